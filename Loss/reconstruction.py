"""Reconstruction of frames: hidden ones (S5VH, Wang et al., AAAI 2025; ConMH, AAAI 2023), or all (VHMT, eq. 19)."""

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, a scalar, over all entries of the given frames.

    Args:
        predicted, target: (B, H, F), H frames of F features: those that a view hides, or all of a video.
    """
    return F.mse_loss(predicted, target)


def cosine_reconstruction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - cosine in the mean over the given frames, a scalar (WSCH; `reconstruction_loss` has the arguments)."""
    return 1 - F.cosine_similarity(predicted, target, dim=-1).mean()
