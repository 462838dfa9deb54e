"""Batches of an epoch, from a source that holds the videos.

B batch, T frames, F features, U uniforms.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from dataset.views import EpochDraws
from training.distributed import Share, own_share
from utils.ahead import read_ahead
from utils.errors import UserError


@dataclass(frozen=True)
class Batch:
    """What a training step sees: which videos, their features, and the draws of their two views."""

    index: torch.Tensor
    """(B,) int64, the videos' places in the split."""
    features: torch.Tensor
    """(B, T, F) float32; as its source gives it, float16 too, until `to` widens it."""
    masks: torch.Tensor
    """(B, 2, T) bool, True = hidden."""
    uniforms: torch.Tensor
    """(B, 2, U) float32 in [0, 1)."""
    share: Share = field(default_factory=Share)
    """Which rows of the whole batch these are: `gather` and `mean` for the losses, see `HashingMethod.losses`."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`, its features float32."""
        moved = {name: getattr(self, name).to(device, non_blocking=True)
                 for name in ("index", "features", "masks", "uniforms")}
        return replace(self, **moved | {"features": moved["features"].float()})


class BatchSource(Protocol):
    """Anything that hands out videos by index, wherever it keeps them.

    A source with a true attribute `reads_ahead` is asked for the next batch, in a thread, before the last is used up.
    One with a method `order(draws) -> (N,) int64` is asked for the videos in that order, a permutation of `draws.order`
    that depends on the draws and the source's settings alone, and is the same in every process.
    """

    def __len__(self) -> int: ...

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) float32 or float16: the videos `index` (B,) int64, in that order."""
        ...


def epoch_order(source: BatchSource, draws: EpochDraws) -> torch.Tensor:
    """(N,) int64: the videos in the order of an epoch, that of `draws` or the one that the source makes of it."""
    return source.order(draws) if hasattr(source, "order") else draws.order


def iterate_epoch(source: BatchSource, draws: EpochDraws, batch_size: int, drop_last: bool = False,
                  first: int = 0) -> Iterator[Batch]:
    """The batches of one epoch in its `epoch_order`, from number `first` on; of each the share of this process.

    The last, smaller batch is left out if `drop_last`, or if it holds a single video: the contrastive loss
    needs another one to compare with.

    Raises:
        UserError: there is one video, batch_size is below 2, or no batch results; while iterating, what reading a
            batch raises.
    """
    if len(source) != draws.num_videos:
        raise ValueError(f"the draws are for {draws.num_videos} videos, the source holds {len(source)}")
    if len(source) < 2:
        raise UserError("a single training video, which the losses have no other to compare with. Name training "
                        "features of at least two.")
    smallest = batch_size if drop_last else 2
    if batch_size < 2 or len(source) < smallest:
        raise UserError(f"batch_size = {batch_size} makes no batch of two or more from {len(source)} "
                        f"training videos. Set batch_size between 2 and {len(source)}.")
    return _batches(source, draws, batch_size, smallest, first)


def _batches(source: BatchSource, draws: EpochDraws, batch_size: int, smallest: int, first: int) -> Iterator[Batch]:
    whole = [index for index in epoch_order(source, draws).split(batch_size) if len(index) >= smallest][first:]
    shares = [own_share(len(index)) for index in whole]
    indices = [share.take(index) for share, index in zip(shares, whole, strict=True)]
    batches: Iterator[torch.Tensor] = map(source.batch, indices)
    if getattr(source, "reads_ahead", False):
        batches = read_ahead(batches)
    for index, videos, share in zip(indices, batches, shares, strict=True):
        yield Batch(index, videos, draws.masks(index), draws.uniforms(index), share)
