"""Reconstruction of hidden frames (S5VH, Wang et al., AAAI 2025; masked frame modelling as in ConMH, AAAI 2023)."""

import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, a scalar, over all entries of the hidden frames of one view.

    Args:
        predicted, target: (B, H, F), H hidden frames of F features.
    """
    return F.mse_loss(predicted, target)
