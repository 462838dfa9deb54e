"""Alignment of video codes with semantic hash centers (S5VH, Wang et al., AAAI 2025)."""

from torch import Tensor


def center_alignment_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of the cross-entropy between soft labels and softmax(logits), a scalar.

    Args:
        logits: (B, C) inner products of video codes with the C centers, over K times the temperature.
        labels: (B, C) pseudo-labels, rows sum to 1.
    """
    return -(labels * logits.log_softmax(dim=1)).sum(dim=1).mean()
