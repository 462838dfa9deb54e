"""Sharpening of clusters (WSCH): codes near the centers that they are nearest to already."""

import torch.nn.functional as F
from torch import Tensor


def own_cluster_loss(z: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Mean of the cross-entropy of cosine(z, centers) / temperature to its own argmax, the first of equal ones.

    Args:
        z: (B, K). centers: (C, K); one of zeros has a cosine of 0.
    """
    # Means of signs are often as near to two centers; a product of matrices would round the two apart.
    logits = F.cosine_similarity(F.normalize(z, dim=1)[:, None], centers, dim=-1) / temperature
    return F.cross_entropy(logits, logits.argmax(dim=1))
