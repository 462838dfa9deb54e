"""OrthoHash: one loss for deep hashing (Hoe et al., NeurIPS 2021)."""

from torch import Tensor, nn

from artefacts.artefact import Artefact, with_keys
from artefacts.centers.of_classes import HADAMARD_CENTERS
from Loss import cosine_margin_loss
from model.nets.picture_hashing import PictureHashing, class_weights
from utils.config.keys import NON_NEGATIVE, POSITIVE, Key


class Method(PictureHashing):
    """Codes through a batch norm, classified by their cosine to fixed codes of the classes."""

    title = "OrthoHash"
    KEYS = (
        *PictureHashing.KEYS,
        Key("cosine_scale", "float", 8.0, "scale of the cosines in the softmax", POSITIVE),
        Key("cosine_margin", "float", 0.2, "margin that the cosine to the own class has to make up", NON_NEGATIVE),
        *with_keys(HADAMARD_CENTERS),
    )
    centers: Tensor

    def __init__(self, config, num_videos: int = 0, class_centers: Tensor | None = None):
        super().__init__(config, num_videos)
        self.hash = nn.Sequential(nn.Linear(self.backbone.num_features, config.nbits, bias=False),
                                  nn.BatchNorm1d(config.nbits))
        self.register_buffer("centers", None if class_centers is None else class_centers[:-1].float(), persistent=False)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (HADAMARD_CENTERS,)

    def losses(self, batch, step) -> dict[str, Tensor]:
        loss = cosine_margin_loss(self.codes(batch), self.centers, class_weights(batch.labels),
                                  scale=self.config.cosine_scale, margin=self.config.cosine_margin)
        return {"total": batch.share.mean(loss)}
