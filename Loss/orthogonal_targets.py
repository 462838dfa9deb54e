"""OrthoHash (Hoe et al., NeurIPS 2021): one classification loss over cosines with fixed, nearly orthogonal codes."""

import torch.nn.functional as F
from torch import Tensor


def cosine_margin_loss(z: Tensor, targets: Tensor, weights: Tensor, *, scale: float, margin: float) -> Tensor:
    """Mean over rows of the cross-entropy of softmax(scale (cos - margin y)), a scalar (eq. 6, additive margin).

    Args:
        z: (B, K) real codes.
        targets: (C, K) of +-1, a code for each class.
        weights: (B, C) the share of each class in a row, sums 1 (label smoothing of rows with several classes).
    """
    cosines = F.normalize(z, dim=1) @ F.normalize(targets.to(z), dim=1).T
    logits = scale * (cosines - margin * (weights > 0).to(z))
    return -(weights * logits.log_softmax(dim=1)).sum(dim=1).mean()
