"""Other versions of videos to learn from: warped in time, without some channels, mixed with another.

Letters: B rows, T frames, D channels.
"""

import numpy as np
import scipy.special
import torch
from torch import Tensor

_QUANTILES = 1024


def warped(x: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """x (B, T, D) read between `start` and 1 + `end`, shares of the length (B,), by linear interpolation.

    Frames outside are the first or the last.
    """
    num_frames = x.shape[1]
    if num_frames < 2:
        return x
    steps = torch.linspace(0, 1, num_frames, device=x.device)
    at = ((start[:, None] * (1 - steps) + (1 + end)[:, None] * steps) * (num_frames - 1)).clamp(0, num_frames - 1)
    before = at.floor().long().clamp(max=num_frames - 2)
    rows = torch.arange(len(x), device=x.device)[:, None]
    return torch.lerp(x[rows, before], x[rows, before + 1], (at - before)[:, :, None].to(x.dtype))


def beta_quantiles(shape: float) -> Tensor:
    """(1025,) float32: the quantiles of Beta(shape, shape) at 0, 1 / 1024, ... 1, for `mix_shares`."""
    levels = np.linspace(0, 1, _QUANTILES + 1)
    return torch.from_numpy(scipy.special.betaincinv(shape, shape, levels).astype(np.float32))


def mix_shares(draws: Tensor, quantiles: Tensor) -> Tensor:
    """(B,) in [0, 1] of the distribution whose `quantiles` are given, from uniforms (B,)."""
    at = draws * _QUANTILES
    below = at.floor().long().clamp(max=_QUANTILES - 1)
    return torch.lerp(quantiles[below], quantiles[below + 1], at - below)


def mixed(own: Tensor, partner: Tensor, shares: Tensor) -> Tensor:
    """share x own + (1 - share) x partner, row by row (mixup, Zhang et al., ICLR 2018)."""
    shares = shares.reshape(-1, *(1,) * (own.dim() - 1)).to(own.dtype)
    return shares * own + (1 - shares) * partner
