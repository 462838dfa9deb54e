"""The time mix of RWKV-6 (Peng et al. 2024, arXiv 2404.05892) as a mixer, with its authors' parameter names.

B rows, L steps, D width, H heads, d channels of a head, R ranks of the two low-rank maps.

The block around it owns norms and residuals, so this is the time mix alone, causal per direction; its "previous
frame" is the next one in the backward direction. RWKV's channel mix is the block's second half, once both
directions have been summed, as the MLP is in a Transformer. It has no token shift there, since "previous" has no one
meaning after the sum (the S5VH release's is the identity too).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import SequenceMixer
from model.kernels.wkv import LOG_DECAY_FLOOR, wkv_chunked

HEAD_SIZE = 64
SHIFT_RANK, DECAY_RANK = 32, 64
HIDDEN_RATIO = 4
NORM_EPS = 64e-5  # the authors': 1e-5 times the square of their head divisor 8
SMALL = 1e-4  # the low-rank maps start next to zero: the mix is then a fixed one per channel


class ChannelMix(nn.Module):
    """sigmoid(receptance(x)) * value(relu(key(x))^2), hidden width 4D, position by position."""

    def __init__(self, dim: int):
        super().__init__()
        self.key, self.value = _orthogonal(dim, HIDDEN_RATIO * dim), _orthogonal(HIDDEN_RATIO * dim, dim)
        self.receptance = _orthogonal(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.receptance(x).sigmoid() * self.value(F.relu(self.key(x)).square())


class Mixer(SequenceMixer):
    """A causal mixer (B, L, D) -> (B, L, D).

    Every frame is blended with the one before it, by data, into the inputs of decay, key, value, receptance and
    gate; the WKV operator mixes over time; GroupNorm per head, the gate and a projection follow. Heads are 64 wide,
    or the largest power of two below that divides D. Decays are kept above exp(-10) a frame (`wkv_chunked`).

    Starts as the authors' code does, with one departure: they start `output` (and the channel mix's `value` and
    `receptance`) at zero, for deep language models; here they are orthogonal, so that every parameter learns from
    the first step.
    """

    name = "rwkv"
    feed_forward = ChannelMix

    def __init__(self, dim: int, layer: int = 0, num_layers: int = 1):
        super().__init__()
        self.num_heads = dim // math.gcd(dim, HEAD_SIZE)
        self.receptance, self.value, self.output = (_orthogonal(dim, dim) for _ in range(3))
        self.key, self.gate = _orthogonal(dim, dim, gain=0.1), _orthogonal(dim, dim, gain=0.1)
        self.ln_x = nn.GroupNorm(self.num_heads, dim, eps=NORM_EPS)
        self._add_blends(dim, layer, num_layers)
        self._add_decays(dim, layer, num_layers)

    def _add_blends(self, dim: int, layer: int, num_layers: int) -> None:
        """The shares of the previous frame: a vector per target and a low-rank map of the input."""
        depth, remaining = layer / max(num_layers - 1, 1), 1 - layer / num_layers
        channel = torch.arange(dim) / dim
        self.time_maa_x = nn.Parameter(1 - channel**remaining)
        self.time_maa_w = nn.Parameter(1 - channel**remaining)
        self.time_maa_k = nn.Parameter(1 - channel**remaining)
        self.time_maa_v = nn.Parameter(1 - channel**remaining - 0.3 * depth)
        self.time_maa_r = nn.Parameter(1 - channel ** (0.5 * remaining))
        self.time_maa_g = nn.Parameter(1 - channel ** (0.5 * remaining))
        self.time_maa_w1 = nn.Parameter(torch.empty(dim, 5 * SHIFT_RANK).uniform_(-SMALL, SMALL))
        self.time_maa_w2 = nn.Parameter(torch.empty(5, SHIFT_RANK, dim).uniform_(-0.01, 0.01))

    def _add_decays(self, dim: int, layer: int, num_layers: int) -> None:
        """log(-log decay) from -6 to -1 over the channels, a low-rank map of the input to it, and the bonus u."""
        depth = layer / max(num_layers - 1, 1)
        channel = torch.arange(dim) / max(dim - 1, 1)
        self.time_decay = nn.Parameter(-6 + 5 * channel ** (0.7 + 1.3 * depth))
        self.time_decay_w1 = nn.Parameter(torch.empty(dim, DECAY_RANK).uniform_(-SMALL, SMALL))
        self.time_decay_w2 = nn.Parameter(torch.empty(DECAY_RANK, dim).uniform_(-0.01, 0.01))
        zigzag = ((torch.arange(dim) + 1) % 3 - 1) * 0.1
        self.time_faaaa = nn.Parameter((depth * (1 - channel) + zigzag).view(self.num_heads, -1))

    def forward(self, x: Tensor) -> Tensor:
        to_previous = F.pad(x, (0, 0, 1, -1)) - x
        xw, xk, xv, xr, xg = self._blends(x, to_previous)
        log_w = -torch.exp(self.time_decay + torch.tanh(xw @ self.time_decay_w1) @ self.time_decay_w2)
        r, k, v, log_w = (self._split_heads(part) for part in (
            self.receptance(xr), self.key(xk), self.value(xv), log_w.clamp(min=LOG_DECAY_FLOOR)))
        precision = torch.promote_types(x.dtype, torch.float32)  # the recurrence stays out of half precision
        with torch.autocast(x.device.type, enabled=False):
            y = wkv_chunked(r.to(precision), k.to(precision), v.to(precision), log_w.to(precision),
                            self.time_faaaa.to(precision))
        y = y.transpose(1, 2).flatten(2)
        y = self.ln_x(y.flatten(0, 1)).view_as(y)
        return self.output(y * F.silu(self.gate(xg)))

    def _blends(self, x: Tensor, to_previous: Tensor) -> tuple[Tensor, ...]:
        """x + to_previous * share for the inputs of decay, key, value, receptance and gate."""
        low_rank = torch.tanh((x + to_previous * self.time_maa_x) @ self.time_maa_w1).unflatten(-1, (5, -1))
        by_data = torch.einsum("blsr,srd->sbld", low_rank, self.time_maa_w2)
        fixed = (self.time_maa_w, self.time_maa_k, self.time_maa_v, self.time_maa_r, self.time_maa_g)
        return tuple(x + to_previous * (share + data) for share, data in zip(fixed, by_data, strict=True))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _orthogonal(size: int, out_size: int, gain: float = 1.0) -> nn.Linear:
    """A Linear without bias, orthogonal times `gain` and the square root of how much it widens."""
    linear = nn.Linear(size, out_size, bias=False)
    nn.init.orthogonal_(linear.weight, gain=gain * max(1.0, out_size / size) ** 0.5)
    return linear
