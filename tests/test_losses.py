"""Each loss against a naive loop, and its gradient against finite differences."""

import math

import pytest
import torch

from Loss import center_alignment_loss, debiased_contrastive_loss, reconstruction_loss


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


def test_gradients():
    z1, z2, labels = draw(3, 4).requires_grad_(), draw(3, 4, seed=1).requires_grad_(), draw(3, 5, seed=2).softmax(1)
    assert torch.autograd.gradcheck(
        lambda a, b: debiased_contrastive_loss(a, b, temperature=0.5, tau_plus=0.05), (z1, z2))
    logits = draw(3, 5, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: center_alignment_loss(x, labels), (logits,))
