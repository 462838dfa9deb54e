"""The losses of picture hashing against loops over their formulas."""

import math

import pytest
import torch

from Loss import (
    center_bits_loss,
    cosine_margin_loss,
    cubic_loss,
    pair_likelihood_loss,
    quantisation_loss,
    sign_loss,
    straight_through_sign,
)
from model.nets.center_hashing import majority_center
from model.nets.picture_hashing import class_weights


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_center_bits_and_quantisation():
    u, centers = normal(4, 6).tanh(), normal(4, 6, seed=1).sign()
    terms = [-math.log((1 + value * bit) / 2) for value, bit in zip(u.flatten().tolist(), centers.flatten().tolist(),
                                                                  strict=True)]
    assert center_bits_loss(u, centers) == pytest.approx(sum(terms) / 24)
    assert quantisation_loss(u) == pytest.approx(sum((abs(x) - 1) ** 2 for x in u.flatten().tolist()) / 24)


@pytest.mark.parametrize("balanced", [False, True])
def test_pairs(balanced):
    u, bank = normal(3, 5), normal(7, 5, seed=1)
    similar = normal(3, 7, seed=2) > 0.5
    share, total = similar.double().mean().item(), 0.0
    for i in range(3):
        for j in range(7):
            t = 0.3 * float(u[i] @ bank[j])
            s = bool(similar[i, j])
            weight = (0.5 / share if s else 0.5 / (1 - share)) if balanced else 1.0
            total += weight * (math.log1p(math.exp(-abs(t))) + max(t, 0) - s * t)
    given = {"similar_share": similar.float().mean()} if balanced else {}
    assert pair_likelihood_loss(u, bank, similar, scale=0.3, **given) == pytest.approx(total / 21)


def test_pairs_that_are_all_alike_stay_finite():
    u = normal(3, 5)
    for similar in (torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)):
        assert torch.isfinite(pair_likelihood_loss(u, u, similar, similar_share=similar.float().mean()))


def test_signs_and_cubes():
    h = normal(2, 3).requires_grad_()
    assert sign_loss(h).item() == pytest.approx(sum((abs(x) - 1) ** 2 for x in h.flatten().tolist()) / 6)
    assert cubic_loss(h).item() == pytest.approx(sum(abs(abs(x) - 1) ** 3 for x in h.flatten().tolist()) / 6)
    signs = straight_through_sign(h)
    assert torch.equal(signs, h.sign())
    assert torch.equal(torch.autograd.grad(signs.sum(), h)[0], torch.ones(2, 3).double())


def test_cosine_margin():
    z, targets = normal(3, 4), normal(5, 4, seed=1).sign()
    weights = class_weights(torch.tensor([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]])).double()
    total = 0.0
    for row, weight in zip(z, weights, strict=True):
        logits = [8 * (float(row @ t) / float(row.norm() * t.norm()) - 0.2 * (w > 0))
                  for t, w in zip(targets, weight.tolist(), strict=True)]
        log_sum = math.log(sum(map(math.exp, logits)))
        total -= sum(w * (logit - log_sum) for w, logit in zip(weight.tolist(), logits, strict=True))
    assert cosine_margin_loss(z, targets, weights, scale=8, margin=0.2) == pytest.approx(total / 3)


def test_the_majority_of_centers():
    centers = torch.tensor([[1., 1, 1], [1, -1, -1], [-1, -1, 1]])
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=torch.uint8)
    ties = torch.tensor([1., 1, -1])
    assert majority_center(centers, labels, ties).tolist() == [[1, 1, 1], [1, 1, -1], [1, -1, 1]]
