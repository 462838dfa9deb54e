"""Pictures towards the hash centers of their classes: what methods with such centers share.

Letters: B pictures, C classes, K bits.
"""

from typing import ClassVar

import torch
from torch import Tensor

from Loss import center_bits_loss, quantisation_loss
from model.nets.picture_hashing import PictureHashing
from utils.config.keys import NON_NEGATIVE, Key


class CenterHashing(PictureHashing):
    """u = tanh(code): binary cross-entropy of u to the center's bits, and `quantisation_weight` times (|u| - 1)^2.

    Args:
        class_centers: (C, K) of +-1, row i of class i; needed to train alone.
    """

    KEYS: ClassVar[tuple[Key, ...]] = (*PictureHashing.KEYS,
            Key("quantisation_weight", "float", 1e-4, "weight of what keeps codes near -1 and 1", NON_NEGATIVE))
    centers: Tensor

    def __init__(self, config, num_videos: int = 0, class_centers: Tensor | None = None):
        super().__init__(config, num_videos)
        # Not in the state dict: they do not change, and a resumed run reads the artefact again.
        self.register_buffer("centers", None if class_centers is None else class_centers.float(), persistent=False)

    def targets(self, labels: Tensor) -> Tensor:
        """The center (B, K) that each picture with `labels` (B, C) learns."""
        raise NotImplementedError

    def losses(self, batch, step) -> dict[str, Tensor]:
        u = self.codes(batch).tanh()
        terms = {"center": batch.share.mean(center_bits_loss(u, self.targets(batch.labels))),
                 "quantisation": batch.share.mean(quantisation_loss(u))}
        return {"total": terms["center"] + self.config.quantisation_weight * terms["quantisation"], **terms}


def majority_center(centers: Tensor, labels: Tensor, ties: Tensor) -> Tensor:
    """(B, K) of +-1: the majority of the centers (C, K) of a picture's classes, bit by bit, `ties` (K,) where they are
    equally many (central similarity, Yuan et al., CVPR 2020, section 3.2)."""
    votes = labels.to(centers) @ centers
    return torch.where(votes == 0, ties, votes.sign())
