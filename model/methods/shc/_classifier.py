"""The classifier of SHC's first stage."""

import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.picture_hashing import PictureHashing, class_weights
from utils.config.keys import AT_LEAST_1, Key


class Method(PictureHashing):
    """A backbone and a linear layer to the classes; `encode` gives the logits (B, C)."""

    KEYS = (*PictureHashing.KEYS, Key("num_classes", "int", 2, "columns of the training labels", AT_LEAST_1),
            Key("softmax_twice", "bool", False, "cross-entropy over a softmax of the softmax, as the authors' program"))

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, num_videos)
        self.hash = nn.Linear(self.backbone.num_features, config.num_classes)

    def losses(self, batch, step) -> dict[str, Tensor]:
        logits = self.codes(batch)
        logits = logits.softmax(dim=1) if self.config.softmax_twice else logits
        return {"total": batch.share.mean(F.cross_entropy(logits, class_weights(batch.labels)))}
