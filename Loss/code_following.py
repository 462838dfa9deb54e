"""Following codes that are given (S5VH's extension; as in teacher-student hashing, the teacher's signs are targets)."""

import torch.nn.functional as F
from torch import Tensor


def code_following_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows and bits of the binary cross-entropy of sigmoid(logits) to targets, a scalar.

    Args:
        logits: (B, K), real codes before any squashing.
        targets: (B, K) in [-1, 1]: codes of +-1, or mixtures of two codes, which stand for the share of ones.
    """
    return F.binary_cross_entropy_with_logits(logits, (targets + 1) / 2)
