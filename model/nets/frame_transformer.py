"""A transformer over the frames of a video, a code for each frame, and frames that are masked for it.

The network is that of BTH's program (Li et al., CVPR 2021), whose names of parameters are kept.

Letters: B videos, T frames, F features, D width, K bits.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import HashingMethod, Step
from model.nets.autoencoder import binarize_down, video_codes
from model.nets.blocks import NORM_EPS, sinusoid_table
from utils.config.keys import AT_LEAST_1, BELOW_1, UNIT, Key

HIDDEN_SIZE = Key("hidden_size", "int", 256, "D, width of the network", AT_LEAST_1, shapes_codes=True)
MASK_SHARE = Key("mask_share", "float", 0.15, "share of frames that are masked: 8 in 10 of them by zeros, 1 by another "
                 "frame of the video, 1 not at all", UNIT)
DROPOUT = 0.1
DRAWN_KEYS = (HIDDEN_SIZE, MASK_SHARE, Key("dropout", "float", DROPOUT, "dropout within the transformer", BELOW_1))
NOT_HERE = "bert.embedding.position.", "bert.embedding.token.", "bert.embedding.segment."  # of released checkpoints
Drop = Callable[[Tensor], Tensor]
keep_all = nn.Identity()  # stands for dropout where nothing is dropped


class RowDropout:
    """Dropout of x (B, ...), drawn for all rows of a batch, of which each process keeps its own.

    So they are the same in any number of processes, and in a run that goes on in the middle of an epoch.
    """

    def __init__(self, rate: float, batch, seed: int, step: Step):
        self._rate, self._share = rate, batch.share
        self._num_rows, device = len(batch.share.gather(batch.index)), batch.items.device
        number = hash((seed, step.epoch, int(step.index))) & (1 << 62) - 1
        self._generator = torch.Generator(device).manual_seed(number)

    def __call__(self, x: Tensor) -> Tensor:
        draws = torch.rand(self._num_rows, *x.shape[1:], generator=self._generator, device=x.device)
        return x.masked_fill(self._share.take(draws) < self._rate, 0) / (1 - self._rate)


class SpreadNorm(nn.Module):
    """a (x - mean) / (s + 1e-6) + b over the last axis, s with n - 1: other than LayerNorm by both."""

    def __init__(self, dim: int):
        super().__init__()
        self.a_2, self.b_2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.a_2 * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + NORM_EPS) + self.b_2


class Block(nn.Module):
    """Attention of one head, then the position-wise half, both pre-norm; no norm at the end."""

    def __init__(self, dim: int):
        super().__init__()
        self.attention = nn.ModuleDict({"linear_layers": nn.ModuleList(nn.Linear(dim, dim) for _ in range(3)),
                                        "output_linear": nn.Linear(dim, dim)})
        self.feed_forward = nn.ModuleDict({"w_1": nn.Linear(dim, 4 * dim), "w_2": nn.Linear(4 * dim, dim)})
        self.input_sublayer, self.output_sublayer = (nn.ModuleDict({"norm": SpreadNorm(dim)}) for _ in range(2))

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        normed, linear = self.input_sublayer["norm"](x), self.attention["linear_layers"].children()
        queries, keys, values = (layer(normed) for layer in linear)
        weights = drop((queries @ keys.transpose(1, 2) / math.sqrt(x.shape[2])).softmax(dim=2))
        x = x + drop(self.attention["output_linear"](weights @ values))
        inner = drop(F.gelu(self.feed_forward["w_1"](self.output_sublayer["norm"](x)), approximate="tanh"))
        return drop(x + drop(self.feed_forward["w_2"](inner)))


class FrameTransformer(nn.Module):
    """Frames (B, T, F) -> their representations (B, T, D): embedding, sinusoids, one block."""

    positions: Tensor

    def __init__(self, frame_size: int, dim: int, max_frames: int):
        super().__init__()
        self.embedding = nn.ModuleDict({"frame_map": nn.Linear(frame_size, dim)})
        self.transformer_blocks = nn.ModuleList([Block(dim)])
        self.register_buffer("positions", sinusoid_table(max_frames, dim), persistent=False)

    def forward(self, x: Tensor, drop: Drop = keep_all) -> Tensor:
        num_frames, positions = x.shape[1], self.positions
        if num_frames > len(positions):
            positions = sinusoid_table(num_frames, positions.shape[1]).to(positions)
        x = drop(self.embedding["frame_map"](x) + positions[:num_frames])
        return self.transformer_blocks[0](x, drop)


class Coded(NamedTuple):
    """What an autoencoder makes of videos."""

    hidden: Tensor  # (B, T, D)
    codes: Tensor  # (B, T, K) of frames, or (B, K), +-1
    frames: Tensor  # (B, T, F), reconstructed


class FrameCoder(HashingMethod):
    """A code for each frame of a `FrameTransformer`, from which it is reconstructed; a subclass calls `add_coder`."""

    ignored_state = NOT_HERE
    config: Any

    def add_coder(self, config) -> None:
        self.bert = FrameTransformer(config.feature_size, config.hidden_size, config.max_frames)
        self.binary = nn.Linear(config.hidden_size, config.nbits)
        self.restore = nn.Linear(config.nbits, config.feature_size)

    def coded(self, items: Tensor, drop: Drop = keep_all) -> Coded:
        hidden = self.bert(items, drop)
        codes = binarize_down(self.binary(hidden).float())
        return Coded(hidden, codes, self.restore(codes))

    def encode(self, items: Tensor) -> Tensor:
        """Real codes (B, K) of whole videos (B, T, F), as `video_codes`."""
        return video_codes(self.binary(self.bert(items)).float(), self.config.tied_bits)


def masked(items: Tensor, draws: Tensor, share: float) -> Tensor:
    """`items` (B, T, F), a `share` of the frames masked as BERT masks words, by `draws` (B, T) in [0, 1): of ten, eight
    become zeros, one a frame of the same video, one stays."""
    num_frames = items.shape[1]
    place = (draws / (0.1 * share) - 8).clamp(0, 1) * num_frames if share else draws
    other = items[torch.arange(len(items), device=items.device)[:, None], place.long().clamp(max=num_frames - 1)]
    swapped = ((draws >= 0.8 * share) & (draws < 0.9 * share))[:, :, None]
    return torch.where(swapped, other, items).masked_fill((draws < 0.8 * share)[:, :, None], 0)
