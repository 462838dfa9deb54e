"""MCMSH: self-supervised video hashing by multi-granularity contextualised MLP-Mixer (Hao et al., ACM MM 2022).

Where the paper and its program differ, and what is a switch, is in docs/field.md. Parameters have the program's names.

Letters: B videos, T frames, F features, D width, K bits, M anchors; n places and c channels of what a gate sees.
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
from model.nets.frame_transformer import HIDDEN_SIZE, MASK_SHARE, Drop, keep_all
from model.nets.neighbor_pairs import DISSIMILAR, SIMILAR, PairedHashing
from model.nets.network_latents import LATENT_ANCHORS, MEAN_ANCHORS
from utils.config.keys import BELOW_1, NON_NEGATIVE, Key, choice

REDUCTIONS = 4, 16  # of the gates whose channels are frames, and of the others
MIDDLE = 3  # places of the middle range
MARGINS = 1 / 4, 1 / 64  # of the quadruplets, over K


class Gate(nn.Module):
    """x (B, n, c) -> (B, n, c): a map over the places, a gate in (0, 1), a map over the places.

    Args:
        reach: how many places share a gate, from their mean: 1 or 3, each seeing its neighbors; 0: all.
        num_places, num_channels: n and c. reduction: c over the gate's inner channels. groups: of its convolutions.
    """

    def __init__(self, reach: int, num_places: int, num_channels: int, reduction: int, groups: int):
        super().__init__()
        self.reach, inner = reach, num_channels // reduction

        def layer(before: int, after: int) -> nn.Module:
            linear = nn.Linear(before, after, bias=False)
            return nn.Conv1d(before, after, 3, padding=1, groups=groups, bias=False) if reach else linear
        self.fc1, self.fc2 = (nn.Conv1d(num_places, num_places, 1) for _ in range(2))
        self.conv, self.deconv = layer(num_channels, inner), layer(inner, num_channels)
        self.bn1, self.bn2 = nn.BatchNorm1d(inner), nn.BatchNorm1d(num_channels)

    def forward(self, x: Tensor) -> Tensor:
        x, num_places = over_places(self.fc1, x), x.shape[1]
        if not self.reach:
            return over_places(self.fc2, x * self.shares(x.mean(dim=1))[:, None])
        y = x.transpose(1, 2)
        y = self.shares(F.adaptive_avg_pool1d(y, num_places // self.reach) if self.reach > 1 else y)
        y = F.adaptive_avg_pool1d(y, num_places) if self.reach > 1 else y
        return over_places(self.fc2, x * y.transpose(1, 2))

    def shares(self, x: Tensor) -> Tensor:
        """The gates (B, c) or (B, c, n) of x of the same shape."""
        return self.bn2(self.deconv(self.bn1(self.conv(x)).relu())).sigmoid()


def over_places(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """`conv`, whose kernel is 1, of x (B, n, c), as a product: faster on a CPU."""
    return conv.weight[:, :, 0] @ x + conv.bias[:, None]  # type: ignore[index]


class Gated(nn.Module):
    """The sum of three gates: over the long, the middle and the short range."""

    def add_gates(self, *sizes: int) -> None:
        self.lrd, self.mrd, self.srd = (Gate(reach, *sizes) for reach in (0, MIDDLE, 1))

    def gated(self, x: Tensor) -> Tensor:
        return self.lrd(x) + self.mrd(x) + self.srd(x)


class Mixing(Gated):
    """x + the gates of an MLP over the last axis of x (B, n, c)."""

    def __init__(self, num_places: int, num_channels: int, reduction: int, groups: int):
        super().__init__()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(num_channels, 2 * num_channels),
                                  "fc2": nn.Linear(2 * num_channels, num_channels)})
        self.add_gates(num_places, num_channels, reduction, groups)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        return x + self.gated(drop(self.mlp["fc2"](drop(F.gelu(self.mlp["fc1"](x))))))


class Network(Gated):
    """Frames (B, T, F) -> representations (B, T, D)."""

    def __init__(self, frame_size: int, dim: int, num_frames: int):
        super().__init__()
        of_frames, of_channels = REDUCTIONS
        channels = num_frames, dim, of_channels, dim // of_channels
        self.preproj = nn.Linear(frame_size, dim)
        self.token_mixer, self.channel_mixer = Mixing(dim, num_frames, of_frames, 1), Mixing(*channels)
        self.add_gates(*channels)

    def forward(self, x: Tensor, drop: Drop = keep_all) -> Tensor:
        x = self.token_mixer(self.preproj(x).relu().transpose(1, 2), drop).transpose(1, 2)
        return self.gated(self.channel_mixer(x, drop))


class Method(PairedHashing):
    """Codes are time means of tanh, which sharpens from epoch to epoch; nothing is reconstructed. Arguments as of
    `PairedHashing`, and `mean_anchors`, `ids` (N, S) and `feats` (M, P): a latent is drawn to the nearest of them."""

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
        least, reduction = REDUCTIONS
        if config.max_frames < least or config.hidden_size % reduction:
            return (f"max_frames = {config.max_frames}, hidden_size = {config.hidden_size}; the gates need videos of "
                    f"{least} frames or more, and a multiple of {reduction} as hidden_size.")
        return super().check(config)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (LATENT_ANCHORS, MEAN_ANCHORS)

    def draws(self) -> Draws:
        """Those of a pair, then a video's draws of a similar, two dissimilar ones and what takes the second's place."""
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
        kinds = SIMILAR, DISSIMILAR, DISSIMILAR, DISSIMILAR
        similar, other, another, again = (self.graph.pick(rows, [kind] * len(draws), column)
                                          for kind, column in zip(kinds, draws.T, strict=True))
        another = np.where(self.graph.entries(other, another) == SIMILAR, again, another)
        return [self.training_videos(index, batch.items.device) for index in (similar, other, another)]


class _Sign(torch.autograd.Function):
    """+-1, whose gradient is cut to [-1, 1]."""

    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        return torch.where(h < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient.clamp(-1, 1)
