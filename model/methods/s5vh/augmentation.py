"""Other versions of the videos of a batch to learn from: warped in time, without some channels, mixed with another.

Letters: B videos, R views, T frames, D components of a frame.
"""

import torch
from torch import Tensor

from model.nets.augment import mix_shares, mixed, warped
from model.nets.draws import dropped, spread
from utils.config.keys import BELOW_1, NON_NEGATIVE, Interval, Key

KEYS = (
    Key("view_warp", "float", 0.0, "most that a view's start and end move, as a share of the length", Interval(0, 0.5)),
    Key("channel_dropout", "float", 0.0, "share of a view's input channels that is dropped", BELOW_1),
    Key("mixup", "float", 0.0, "a: a video counts for a share of Beta(a, a), another for the rest; 0: none",
        NON_NEGATIVE),
)
WARP, CHANNELS, SHARES = 1, 2, 3  # streams of `spread`


def augments(config) -> bool:
    """Whether a config asks for any of it."""
    return bool(config.view_warp or config.channel_dropout or config.mixup)


def augmented(batch, config, quantiles: Tensor | None) -> tuple[Tensor, Tensor]:
    """The rows (R B, T, D) of all views, view after view, and each video's own share (B,) where it is mixed.

    Args:
        batch: its `uniforms` (B, R, U) have as their last the draw that all of a view is spread from; the first view's
            mixes the video.
        quantiles: of the shares, as `model.nets.augment.beta_quantiles` makes them; None where nothing is mixed.
    """
    draws = batch.uniforms[:, :, -1]
    x, shares = batch.items, torch.ones_like(draws[:, 0])
    if quantiles is not None:
        shares = mix_shares(spread(draws[:, 0], 1, SHARES)[:, 0], quantiles)
        x = mixed(x, partners(batch, x), shares)
    x = x.repeat(draws.shape[1], 1, 1)
    draws = draws.T.flatten()
    if config.view_warp:
        start, end = (config.view_warp * (2 * spread(draws, 2, WARP) - 1)).unbind(dim=1)
        x = warped(x, start, end)
    if config.channel_dropout:
        x = x * dropped(torch.ones_like(x[:, 0]), draws, config.channel_dropout, CHANNELS)[:, None]
    return x, shares


def partners(batch, rows: Tensor) -> Tensor:
    """For each of the `rows` (B, ...) of this process that of the next video of the whole batch, which is a ring.

    The order of an epoch is drawn, so the next video is any.
    """
    return batch.share.take(batch.share.gather(rows).roll(-1, 0))
