"""Local structure preservation (VHMT, Yang et al., eq. 26), as in BTH's neighbourhood loss."""

from torch import Tensor


def structure_loss(latents: Tensor, similarity: Tensor) -> Tensor:
    """(1 / B) times the sum over all B x B pairs of (e_i . e_m / D - S_im)^2, a scalar.

    As the paper writes it: B^2 terms over B, so that the value grows with the batch. The pair of a video with itself
    and neutral pairs (S = 0) count, and e is not normalised.

    Args:
        latents: (B, D) video latents e, the mean over time of the student's frame representations.
        similarity: (B, B) block of the graph, 1 similar, -1 dissimilar, 0 neutral.
    """
    num_videos, width = latents.shape
    return (latents @ latents.T / width - similarity).square().sum() / num_videos
