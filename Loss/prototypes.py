"""Prototypical contrast (Li et al., ICLR 2021, eq. 11), as AutoSSVH (Lian et al., CVPR 2025) has it over a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def prototype_loss(z: Tensor, prototypes: Tensor, densities: Tensor, own: Tensor, negatives: Tensor,
                   drawn: Tensor) -> Tensor:
    """Mean over the batch of the cross-entropy of z_i . c_j / phi_j to the sample's own prototype, a scalar.

    The columns are the own prototypes of all samples, repeats kept, so that one's own may stand in another's column as
    a negative, and the `negatives`.

    Args:
        z: (B, K) unit rows. prototypes: (C, K) unit rows. densities: (C,) phi > 0.
        own: (B,) int64, each sample's prototype. negatives: (M,) int64, prototypes that are nobody's.
        drawn: (M,) bool, False where a negative does not count.
    """
    columns = torch.cat([own, negatives])
    logits = z @ prototypes[columns].T / densities[columns]
    counts = torch.cat([torch.ones_like(own, dtype=torch.bool), drawn])
    return F.cross_entropy(logits.masked_fill(~counts, -torch.inf), torch.arange(len(z), device=z.device))
