"""Each loss against a naive loop, and its gradient against finite differences."""

import math

import pytest
import torch

from Loss import (
    center_alignment_loss,
    debiased_contrastive_loss,
    distillation_loss,
    reconstruction_loss,
    structure_loss,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_contrastive(z1, z2, temperature, tau_plus):
    rows = [row / row.norm() for row in (*z1, *z2)]
    size, half, total = len(rows), len(z1), 0.0
    for i in range(size):
        partner = (i + half) % size
        positive = math.exp(rows[i] @ rows[partner] / temperature)
        negatives = sum(math.exp(rows[i] @ rows[j] / temperature) for j in range(size) if j not in (i, partner))
        n = size - 2
        corrected = max((negatives - n * tau_plus * positive) / (1 - tau_plus), n * math.exp(-1 / temperature))
        total += -math.log(positive / (positive + corrected))
    return total / size


@pytest.mark.parametrize("tau_plus", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("batch", [2, 7])
def test_contrastive(batch, tau_plus):
    z1, z2 = draw(batch, 8), draw(batch, 8, seed=1)
    loss = debiased_contrastive_loss(z1, z2, temperature=0.5, tau_plus=tau_plus)
    assert loss.item() == pytest.approx(naive_contrastive(z1, z2, 0.5, tau_plus), rel=1e-12)


def naive_student_contrastive(student, teacher, tau, rho):
    """VHMT's eq. 20-22, letter by letter."""
    def cosine(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    num_videos, total = len(student), 0.0
    for i in range(num_videos):
        positive = math.exp(cosine(student[i], teacher[i]) / tau)
        theta = sum(math.exp(cosine(student[i], other[w]) / tau) for other in (student, teacher)
                    for w in range(num_videos) if w != i) / (2 * num_videos - 2)
        baseline = max((theta - rho * positive) / (1 - rho), math.exp(-1 / tau))
        total -= math.log(positive / (positive + (2 * num_videos - 2) * baseline)) / num_videos
    return total


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("batch", [2, 7])
def test_contrastive_of_student_and_teacher(batch, rho):
    student, teacher = draw(batch, 8), draw(batch, 8, seed=1)
    loss = debiased_contrastive_loss(student, teacher, temperature=0.5, tau_plus=rho, both_ways=False)
    assert loss.item() == pytest.approx(naive_student_contrastive(student, teacher, 0.5, rho), rel=1e-12)
    ways = [debiased_contrastive_loss(*pair, temperature=0.5, tau_plus=rho, both_ways=False)
            for pair in ((student, teacher), (teacher, student))]
    both = debiased_contrastive_loss(student, teacher, temperature=0.5, tau_plus=rho)
    torch.testing.assert_close(sum(ways) / 2, both)
    assert (ways[0] - ways[1]).abs() > 1e-4


def test_contrastive_is_lower_when_views_agree():
    z = draw(6, 8)
    agree = debiased_contrastive_loss(z, z, temperature=0.5, tau_plus=0.1)
    differ = debiased_contrastive_loss(z, z.roll(1, 0), temperature=0.5, tau_plus=0.1)
    assert agree < differ


def test_center_alignment():
    logits, labels = draw(4, 6), draw(4, 6, seed=1).softmax(1)
    expected = 0.0
    for row, target in zip(logits, labels, strict=True):
        partition = sum(math.exp(value) for value in row)
        expected -= sum(t * math.log(math.exp(v) / partition) for t, v in zip(target, row, strict=True)) / 4
    assert center_alignment_loss(logits, labels).item() == pytest.approx(float(expected), rel=1e-12)


def test_reconstruction():
    predicted, target = draw(3, 2, 5), draw(3, 2, 5, seed=1)
    expected = sum((p - t) ** 2 for p, t in zip(predicted.flatten(), target.flatten(), strict=True)) / 30
    assert reconstruction_loss(predicted, target).item() == pytest.approx(expected.item(), rel=1e-12)


def test_structure():
    latents, similarity = draw(5, 8), draw(5, 5, seed=1).sign()
    expected = 0.0
    for i in range(5):
        for m in range(5):
            product = sum(float(a) * float(b) for a, b in zip(latents[i], latents[m], strict=True)) / 8
            expected += (product - float(similarity[i, m])) ** 2 / 5
    assert structure_loss(latents, similarity).item() == pytest.approx(expected, rel=1e-12)


def test_structure_by_hand():
    """e_1 . e_1 / 2 = 1, e_1 . e_2 / 2 = 1, e_2 . e_2 / 2 = 2, against 1, -1, 1."""
    latents, similarity = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert structure_loss(latents, similarity).item() == pytest.approx((0 + 2 ** 2 + 2 ** 2 + 1) / 2)


def test_distillation():
    student, teacher = draw(3, 2, 5).requires_grad_(), draw(3, 2, 5, seed=1).requires_grad_()
    loss = distillation_loss(student, teacher)
    pairs = zip(student.detach().flatten(), teacher.detach().flatten(), strict=True)
    expected = sum((float(s) - float(t)) ** 2 for s, t in pairs) / 30
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_gradients():
    z1, z2, labels = draw(3, 4).requires_grad_(), draw(3, 4, seed=1).requires_grad_(), draw(3, 5, seed=2).softmax(1)
    assert torch.autograd.gradcheck(
        lambda a, b: debiased_contrastive_loss(a, b, temperature=0.5, tau_plus=0.05), (z1, z2))
    assert torch.autograd.gradcheck(
        lambda a, b: debiased_contrastive_loss(a, b, temperature=0.5, tau_plus=0.05, both_ways=False), (z1, z2))
    similarity = draw(3, 3, seed=4).sign()
    assert torch.autograd.gradcheck(lambda e: structure_loss(e, similarity), (z1,))
    assert torch.autograd.gradcheck(lambda s: distillation_loss(s, z2), (z1,))
    logits = draw(3, 5, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: center_alignment_loss(x, labels), (logits,))
