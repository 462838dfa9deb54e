"""Quadruplets: a video, a similar one and two dissimilar ones (MCMSH, Hao et al., ACM MM 2022)."""

from collections.abc import Sequence

from torch import Tensor


def quadruplet_loss(own: Tensor, similar: Tensor, other: Tensor, another: Tensor, *,
                    margins: Sequence[float]) -> Tensor:
    """Mean over rows of max(0, |x - s|^2 - |x - d|^2 + m) + max(0, |x - s|^2 - |d - d'|^2 + m'), a scalar.

    Args:
        own, similar, other, another: (B, K) codes x, s, d and d'; d and d' are dissimilar to x. margins: m and m'.
    """
    near, apart, others_apart = ((a - b).square().sum(dim=1)
                                 for a, b in ((own, similar), (own, other), (other, another)))
    return sum(((near - far + margin).relu().mean()  # type: ignore[return-value]
                for far, margin in zip((apart, others_apart), margins, strict=True)))
