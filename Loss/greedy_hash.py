"""GreedyHash (Su et al., NeurIPS 2018): the sign in the forward pass, its gradient passed on as it is."""

from torch import Tensor


def straight_through_sign(h: Tensor) -> Tensor:
    """sign(h) (B, K), whose gradient to h is that of the identity (eq. 8-9); sign(0) = 0."""
    return h + (h.sign() - h).detach()


def cubic_loss(h: Tensor) -> Tensor:
    """Mean of ||h| - 1|^3 over all entries of h (B, K), a scalar (the penalty of section 3.3, p = 3)."""
    return (h.abs() - 1).abs().pow(3).mean()
