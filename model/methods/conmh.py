"""ConMH: contrastive masked autoencoders for self-supervised video hashing (Wang et al., AAAI 2023, arXiv 2211.11210).

What the release does beside its paper is in docs/field.md.
"""

from torch import Tensor

from model.contract import Step
from model.nets.vision_transformer import VisionTransformerHashing


class Method(VisionTransformerHashing):
    """The method: hidden frames of two masked views are reconstructed, and the views of a video agree."""

    title = "ConMH"

    def losses(self, batch, step: Step) -> dict[str, Tensor]:
        """`reconstruction` + alpha `contrastive` = `total`."""
        terms = self.terms(batch, self.views(batch.items, batch.masks, self.config.mask_ratio))
        return {"total": terms["reconstruction"] + self.config.alpha * terms["contrastive"], **terms}
