"""GreedyHash: optimisation by the sign itself (Su et al., NeurIPS 2018)."""

import torch.nn.functional as F
from torch import Tensor, nn

from Loss import cubic_loss, straight_through_sign
from model.nets.picture_hashing import PictureHashing, class_weights
from utils.config.keys import AT_LEAST_1, NON_NEGATIVE, Key
from utils.errors import UserError


class Method(PictureHashing):
    """A linear classifier of the signs, through which the gradient passes as if they were the codes."""

    title = "GreedyHash"
    KEYS = (
        *PictureHashing.KEYS,
        Key("num_classes", "int", 10, "columns of the training labels", AT_LEAST_1),
        Key("cubic_weight", "float", 0.1, "weight of what keeps codes near -1 and 1", NON_NEGATIVE),
    )
    training_only = ("classify.",)
    classify: nn.Module

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, num_videos)
        if num_videos:
            self.classify = nn.Linear(config.nbits, config.num_classes, bias=False)

    def losses(self, batch, step) -> dict[str, Tensor]:
        if batch.labels.shape[1] != self.config.num_classes:
            raise UserError(f"num_classes = {self.config.num_classes}, but the training labels have "
                            f"{batch.labels.shape[1]} columns. Set num_classes to that.")
        h = self.codes(batch)
        terms = {"classes": batch.share.mean(F.cross_entropy(self.classify(straight_through_sign(h)),
                                                             class_weights(batch.labels))),
                 "cubic": batch.share.mean(cubic_loss(h))}
        return {"total": terms["classes"] + self.config.cubic_weight * terms["cubic"], **terms}
