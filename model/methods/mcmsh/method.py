"""MCMSH: self-supervised video hashing by multi-granularity contextualised MLP-Mixer (Hao et al., ACM MM 2022).

Where the paper and its program differ, and what is a switch, is in docs/field.md.

Letters: B videos, N training videos, T frames, D width, K bits, M anchors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artefacts.artefact import Artefact, with_keys
from dataset.batches import AllRows
from dataset.views import Draws
from Loss import pair_similarity_loss, quadruplet_loss, squared_errors
from model.contract import Step
from model.methods.mcmsh.network import MIDDLE, REDUCTIONS, Network
from model.nets.frame_transformer import HIDDEN_SIZE, MASK_SHARE, Drop
from model.nets.neighbor_pairs import DISSIMILAR, SIMILAR, PairedHashing
from model.nets.network_latents import LATENT_ANCHORS, MEAN_ANCHORS
from utils.config.keys import BELOW_1, NON_NEGATIVE, Key, choice

MARGINS = 1 / 4, 1 / 64  # of the quadruplets, over K


class Method(PairedHashing):
    """Codes in time means of tanh, which sharpens from epoch to epoch; nothing is reconstructed.

    Arguments as of `PairedHashing`, and `mean_anchors`, `ids` (N, S) and `feats` (M, P): a video's latent is drawn to
    the nearest of them.
    """

    title = "MCMSH"
    KEYS = (
        HIDDEN_SIZE, MASK_SHARE,
        Key("dropout", "float", 0.5, "dropout within the MLPs", BELOW_1),
        choice("tanh_scale", "trained", ["one"], "what codes are scaled by before tanh: as in the last epoch, or by 1, "
               "as the program evaluates", shapes_codes=True),
        Key("anchor_weight", "float", 0.8, "weight of latents near their anchors", NON_NEGATIVE),
        Key("pair_weight", "float", 0.1, "weight of codes that agree with the graph", NON_NEGATIVE),
        Key("sign_weight", "float", 0.01, "weight of codes near their signs", NON_NEGATIVE),
        Key("quadruplet_weight", "float", 0.01, "weight of the margins of quadruplets", NON_NEGATIVE),
        *with_keys(LATENT_ANCHORS, MEAN_ANCHORS),
    )
    optional_state = ("scale",)
    scale: Tensor

    def __init__(self, config, num_videos: int = 0, latent_anchors: Mapping[str, Tensor] | None = None,
                 mean_anchors: Mapping[str, Tensor] | None = None):
        super().__init__(config, num_videos, latent_anchors)
        if mean_anchors is not None:
            feats = mean_anchors["feats"]
            self.nearest = mean_anchors["ids"][:, 0].contiguous()
            self.anchors = F.pad(feats, (0, config.hidden_size - feats.shape[1]))  # zeros, or the first are kept
        self.mc_mlp = Network(config.feature_size, config.hidden_size, config.max_frames)
        self.binary = nn.Linear(config.hidden_size, config.nbits)
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def check(cls, config) -> str | None:
        if complaint := super().check(config):
            return complaint
        least, (_, reduction) = max(MIDDLE, REDUCTIONS[0]), REDUCTIONS
        if config.max_frames < least:
            return f"max_frames = {config.max_frames}, but the gates need {least} frames at least."
        inner = config.hidden_size // reduction
        if not inner or config.hidden_size % inner:
            return (f"hidden_size = {config.hidden_size} cannot be divided into its {inner} groups of channels; set it "
                    f"to a multiple of {reduction}.")
        return None

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (LATENT_ANCHORS, MEAN_ANCHORS)

    def draws(self) -> Draws:
        """Those of a pair, and as the last of each video the draws of a similar and two dissimilar ones, and of what
        takes the second one's place."""
        return Draws(num_views=1, num_uniforms=super().draws().num_uniforms + 4)

    def codes(self, latents: Tensor, scale: Tensor | float) -> Tensor:
        """(B, K) in (-1, 1) of representations (B, T, D)."""
        return (scale * self.binary(latents)).float().tanh().mean(dim=1)

    def encode(self, items: Tensor) -> Tensor:
        return self.codes(self.mc_mlp(items), self.scale if self.config.tanh_scale == "trained" else 1.0)

    @torch.no_grad()
    def before_step(self, batch, step: Step) -> None:
        self.scale.fill_((step.epoch + 1) ** 0.5)

    def computed(self, batch) -> Any:
        """All rows, since batch norm takes its means over them: every process computes the same, in equal parts."""
        gathered = {name: batch.share.gather(value) for name, value in batch.tensors().items()}
        return batch.with_tensors(gathered | {"share": AllRows()})

    def terms(self, batch, drop: Drop) -> dict[str, Tensor]:
        pair = self.pair(batch)
        latents = [self.mc_mlp(videos, drop) for videos in (*pair.seen, *self.others(batch))]
        first, second, *others = (self.codes(one, self.scale) for one in latents)
        with torch.autocast(batch.items.device.type, enabled=False):
            signs = [_Sign.apply(h) for h in (first, second)]
            return {"anchor": squared_errors([one.float().mean(dim=1) for one in latents[:2]], pair.anchors),
                    "pair": pair_similarity_loss(first, second, pair.similar),
                    "sign": squared_errors((first, second), signs),
                    "quadruplet": quadruplet_loss(first, *others, margins=[m * self.config.nbits for m in MARGINS])}

    def others(self, batch) -> list[Tensor]:
        """For each video of the batch a similar one and two dissimilar ones, (B, T, F) each, without masks.

        The second dissimilar one is drawn anew, once, where it is similar to the first.
        """
        if self.graph is None:
            return [batch.items.roll(-1, 0)] * 3
        rows = self.graph.rows(batch.index.cpu().numpy())
        draws = batch.uniforms[:, 0, -4:].cpu().numpy()
        kinds = np.array([SIMILAR, DISSIMILAR, DISSIMILAR, DISSIMILAR])
        similar, other, another, again = (self.graph.pick(rows, kind.repeat(len(draws)), column)
                                          for kind, column in zip(kinds, draws.T, strict=True))
        another = np.where(self.graph.entries(other, another) == SIMILAR, again, another)
        return [self.training_videos(index, batch) for index in (similar, other, another)]


class _Sign(torch.autograd.Function):
    """+-1 of h, whose gradient is that of the sign within [-1, 1]."""

    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        return torch.where(h < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient.clamp(-1, 1)
