"""AutoSSVH: automated frame sampling for self-supervised video hashing (Lian et al., CVPR 2025, arXiv 2504.03587).

The default is what the release trains, which made the published numbers; what its paper has beside that are switches.
Both are told apart in docs/field.md.

Letters: B videos, T frames, V visible frames of a view, F features, D width, K bits, N training videos.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset.views import Draws
from Loss import prototype_loss
from model.contract import Step
from model.methods.autossvh.prototypes import Prototypes
from model.methods.autossvh.sampler import Sampler
from model.nets.autoencoder import binarize_down
from model.nets.masked_hashing import MaskedViews
from model.nets.vision_transformer import VisionTransformerHashing
from utils.config.keys import AT_LEAST_1, BELOW_1, NON_NEGATIVE, Key, choice


class Method(VisionTransformerHashing):
    """The masked autoencoder with learned positions in the decoder, and codes that near the prototypes of clusters.

    Args:
        config: the resolved configuration.
        num_videos: N, the videos that are clustered; 0 where only codes are wanted.
    """

    title = "AutoSSVH"
    KEYS = (
        *VisionTransformerHashing.KEYS,
        Key("prototype_weight", "float", 0.01, "b, weight of the prototype loss", NON_NEGATIVE),
        Key("prototype_clusters", "ints", [250, 400, 600], "clusters of each clustering", AT_LEAST_1),
        Key("warm_up_epoch", "int", 100, "epochs before videos are clustered, anew for every one", NON_NEGATIVE),
        choice("prototypes", "means", ["votes"], "of a cluster's codes the mean (release), or the sign of most"),
        Key("input_dropout", "float", 0.0, "share of the numbers of a view's frames that are dropped", BELOW_1),
        choice("frame_sampling", "random", ["adversarial"], "what a view sees: any frames (release), or those that a "
               "sampler has learned to be hard"),
    )
    training_only = ("encoder.sample_net.", "clusters.")

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, num_videos)
        self.decoder.positions.zero_()
        self.pos_embed = nn.Parameter(torch.zeros(1, config.max_frames, config.decoder_size))
        if num_videos:
            self.clusters = Prototypes(num_videos, config.prototype_clusters, config.nbits)
            if config.frame_sampling == "adversarial":
                self.encoder.add_module("sample_net", Sampler(config.hidden_size))

    def draws(self) -> Draws:
        """Two views; of each a uniform for the negatives, and one for each frame where they are sampled."""
        frames = self.config.max_frames
        if self.config.frame_sampling == "adversarial":
            return Draws(num_uniforms=1 + frames)
        return Draws(num_uniforms=1, num_frames=frames, mask_ratio=self.config.mask_ratio)

    def begin_epoch(self, epoch: int, train) -> None:
        if epoch >= self.config.warm_up_epoch:
            codes = torch.cat([self.mean_codes(items) for _, items in train.batches()])
            self.clusters.move(F.normalize(codes, dim=1), self.config.prototypes == "votes")

    def mean_codes(self, items: Tensor) -> Tensor:
        """The mean (B, K) of the frame codes of whole videos (B, T, F)."""
        return binarize_down(self.activations(items).float()).mean(dim=1)

    def losses(self, batch, step: Step) -> dict[str, Tensor]:
        """`reconstruction` + alpha `contrastive` + prototype_weight `prototypes` = `total`; the last from
        warm_up_epoch on."""
        views = self.training_views(batch)
        terms = self.terms(batch, views)
        total = terms["reconstruction"] + self.config.alpha * terms["contrastive"]
        if step.epoch < self.config.warm_up_epoch:
            return {"total": total, **terms, "prototypes": torch.zeros_like(total)}
        with torch.autocast(batch.items.device.type, enabled=False):
            terms["prototypes"] = self.prototype_term(batch, views)
        return {"total": total + self.config.prototype_weight * terms["prototypes"], **terms}

    def training_views(self, batch) -> MaskedViews:
        """The training forward, by masks that are drawn or sampled."""
        items, masks, seen, ratio = batch.items, batch.masks, None, self.config.mask_ratio
        if self.config.frame_sampling == "adversarial":
            frames = items.shape[1]
            sample = self.encoder.get_submodule("sample_net")
            masks, factors = sample(self.encoder.embed(items), batch.uniforms[:, :, 1:], frames - int(ratio * frames))
            seen = items.repeat(2, 1, 1) * factors.transpose(0, 1).flatten(0, 1)[..., None]
        return self.views(items, masks, ratio, seen)

    def activations(self, items: Tensor, frames: Tensor | None = None) -> Tensor:
        if frames is None or not (self.training and self.config.input_dropout):
            return super().activations(items, frames)
        items = F.dropout(items.repeat(len(frames) // len(items), 1, 1), self.config.input_dropout)
        return super().activations(items, frames)

    def reconstruct(self, codes: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        positions = self.pos_embed[0]
        return self.decoder(self.encoder_to_decoder(codes) + positions[visible], self.mask_token + positions[hidden],
                            visible, hidden)

    def prototype_term(self, batch, views: MaskedViews) -> Tensor:
        """The mean of the prototype loss over both views and all clusterings."""
        index, draws = batch.share.gather(batch.index), batch.share.gather(batch.uniforms)[:1, :, 0]
        losses: list[Tensor] = []
        for view, codes in enumerate(views.video_codes()):
            z = F.normalize(batch.share.gather(codes), dim=1)
            losses += [prototype_loss(z, *contrast) for contrast in self.clusters.contrasts(index, draws[:, view])]
        return torch.stack(losses).mean()
