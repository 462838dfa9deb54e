"""Pairs that are neighbors or not, and anchors: what BTH's losses (Li et al., CVPR 2021) and their kin are made of."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def pair_similarity_loss(first: Tensor, second: Tensor, similar: Tensor) -> Tensor:
    """Mean over pairs of (s - u.v / K)^2, a scalar (BTH's neighborhood structure loss).

    Args:
        first, second: (B, K) codes u and v, in [-1, 1]. similar: (B,) s, 1 or -1.
    """
    return (similar - (first * second).mean(dim=1)).square().mean()


def squared_errors(found: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The sum over the members of pairs of the mean squared errors, a scalar: of frames, or of latents to anchors."""
    first, *others = (F.mse_loss(one, target) for one, target in zip(found, targets, strict=True))
    return sum(others, first)


def quadruplet_loss(own: Tensor, similar: Tensor, other: Tensor, another: Tensor, *,
                    margins: Sequence[float]) -> Tensor:
    """Mean over rows of max(0, |x - s|^2 - |x - d|^2 + m) + max(0, |x - s|^2 - |d - d'|^2 + m'), a scalar (MCMSH).

    Args:
        own, similar, other, another: (B, K) codes x, s, d and d'; d and d' are dissimilar to x. margins: m and m'.
    """
    near, apart, others_apart = ((a - b).square().sum(dim=1)
                                 for a, b in ((own, similar), (own, other), (other, another)))
    return sum(((near - far + margin).relu().mean()  # type: ignore[return-value]
                for far, margin in zip((apart, others_apart), margins, strict=True)))
