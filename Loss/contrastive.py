"""Debiased contrastive learning (Chuang et al., NeurIPS 2020, eq. 7-8), as used by ConMH and S5VH."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def debiased_contrastive_loss(z1: Tensor, z2: Tensor, *, temperature: float, tau_plus: float) -> Tensor:
    """Mean over the 2B samples of -log(pos / (pos + Ng)), a scalar.

    With unit vectors z and n = 2B - 2 negatives of a sample (all but itself and its other view):
    pos = exp(z1.z2 / t), Ng = max((sum of exp(z.z' / t) over the negatives - n tau_plus pos) / (1 - tau_plus),
    n exp(-1 / t)). The sum, not the mean, stands in for Ng; the paper's n-fold factor is in it.

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
    return (torch.log(positive + corrected) - torch.log(positive)).mean()
