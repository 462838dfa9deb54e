"""Codes near the hash center of a class (central similarity, Yuan et al., CVPR 2020, eq. 3 and 5; SHC, stage 3)."""

import torch.nn.functional as F
from torch import Tensor


def center_bits_loss(u: Tensor, centers: Tensor) -> Tensor:
    """Mean over rows and bits of the binary cross-entropy of (u + 1) / 2 to (centers + 1) / 2, a scalar.

    Args:
        u: (B, K) codes in [-1, 1].
        centers: (B, K) of +-1, the center of each row.
    """
    return F.binary_cross_entropy((u + 1) / 2, (centers + 1) / 2)


def quantisation_loss(u: Tensor) -> Tensor:
    """Mean of (|u| - 1)^2 over all entries of u (B, K), a scalar."""
    return (u.abs() - 1).square().mean()
