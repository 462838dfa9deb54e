"""Debiased contrastive learning (Chuang et al., NeurIPS 2020, eq. 7-8), as used by ConMH, S5VH and VHMT."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def debiased_contrastive_loss(z1: Tensor, z2: Tensor, *, temperature: float, tau_plus: float,
                              both_ways: bool = True) -> Tensor:
    """Mean of -log(pos / (pos + Ng)), a scalar, over the 2B samples, or over the B of z1 where not `both_ways`.

    With unit vectors z and n = 2B - 2 negatives of a sample (all but itself and its other view):
    pos = exp(z1.z2 / t), Ng = max((sum of exp(z.z' / t) over the negatives - n tau_plus pos) / (1 - tau_plus),
    n exp(-1 / t)). The sum, not the mean, stands in for Ng; the paper's n-fold factor is in it.

    VHMT's eq. 20-22 are this of the student's codes z1 and the teacher's z2, not both ways: Ng is its (2N - 2) f_i,
    and its theta, the mean over the student's and the teacher's codes of all other videos, is the sum over n.

    Args:
        z1, z2: (B, K) video codes of the two views, normalised here; B >= 2.
        temperature: t > 0.
        tau_plus: the assumed share of false negatives, in [0, 1).
    """
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    size = z.shape[0]
    similarity = torch.exp(z @ z.T / temperature)
    position = torch.arange(size, device=z.device)
    positive = similarity[position, (position + size // 2) % size]
    num_negatives = size - 2
    negatives = similarity.sum(1) - similarity.diagonal() - positive
    corrected = (negatives - num_negatives * tau_plus * positive) / (1 - tau_plus)
    corrected = corrected.clamp(min=num_negatives * math.exp(-1 / temperature))
    terms = torch.log(positive + corrected) - torch.log(positive)
    return terms.mean() if both_ways else terms[: len(z1)].mean()
