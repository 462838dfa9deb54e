"""The likelihood of pairs: similar items have codes of a large inner product.

DPSH (Li et al., IJCAI 2016, eq. 2-3), HashNet (Cao et al., ICCV 2017, eq. 4-5), MambaHash.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def pair_likelihood_loss(u: Tensor, bank: Tensor, similar: Tensor, *, scale: float = 0.5,
                         similar_share: Tensor | None = None) -> Tensor:
    """Mean over all pairs of log(1 + exp(t)) - s t with t = scale u.v, a scalar.

    Args:
        u: (B, K) codes; bank: (N, K) the codes v to compare with, or those of the same batch.
        similar: (B, N) bool, s: the pair shares a class.
        similar_share: of all pairs of the batch, those that are similar, a scalar; where given, pairs weigh so that
            these and the others count alike (HashNet's c_ij), their mean being 1.
    """
    t = scale * u @ bank.T
    similarity = similar.to(t)
    terms = F.softplus(t) - similarity * t
    if similar_share is None:
        return terms.mean()
    share = similar_share.clamp(1e-7, 1 - 1e-7)
    return (terms * torch.where(similar, 0.5 / share, 0.5 / (1 - share))).mean()


def sign_loss(u: Tensor) -> Tensor:
    """Mean of (u - sign u)^2 over all entries of u (B, K), a scalar."""
    return (u - u.detach().sign()).square().mean()
