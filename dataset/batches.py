"""Batches of an epoch, from a source that holds the items.

B batch, T frames, F features, R views, U uniforms.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import torch

from dataset.views import EpochDraws
from utils.ahead import read_ahead
from utils.errors import UserError


@dataclass(frozen=True)
class AllRows:
    """The part of a batch's rows that a process alone has: all of them. `training.distributed` has the others' parts.

    What losses pass through it is said in `model.contract.HashingMethod.losses`.
    """

    alone: ClassVar[bool] = True

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of this process from those of the whole batch."""
        return rows

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of the whole batch from those of each process."""
        return rows

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over the whole batch from the mean over the rows of each process."""
        return value

    def level(self, value: torch.Tensor) -> torch.Tensor:
        """The same mean, of what the rows of every process go on to use, as those of batch norm."""
        return value

    def num_rows(self, own: int) -> int:
        """The rows of the whole batch, of which this process computes `own`."""
        return own


@dataclass(frozen=True)
class Batch:
    """What a training step sees: which items, what they are, and what is drawn for them."""

    index: torch.Tensor
    """(B,) int64, the items' places in the split."""
    items: torch.Tensor
    """(B, T, F) float32 of videos; as its source gives it, float16 too, until `to` widens it. (B, rows, columns,
    channels) uint8 of pictures."""
    masks: torch.Tensor | None = None
    """(B, R, T) bool, True = hidden; None where the method draws none."""
    uniforms: torch.Tensor | None = None
    """(B, R, U) float32 in [0, 1)."""
    labels: torch.Tensor | None = None
    """(B, classes) uint8, multi-hot; None where the config names no training labels."""
    share: AllRows = field(default_factory=AllRows)
    """Which rows of the whole batch these are: `gather` and `mean` for the losses, see `HashingMethod.losses`."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`, features as float32."""
        moved = {name: value.to(device, non_blocking=True) for name, value in self.tensors().items()}
        items = moved["items"]
        return self.with_tensors(moved | {"items": items.float() if items.is_floating_point() else items})

    def with_tensors(self, tensors: Mapping[str, Any]) -> "Batch":
        """The same batch with some of its tensors replaced, by name."""
        return replace(self, **tensors)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors of the batch, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}


class BatchSource(Protocol):
    """Anything that hands out items by index, wherever it keeps them.

    A source with a true attribute `reads_ahead` is asked for the next batch, in a thread, before the last is used up.
    One with a method `order(draws) -> (N,) int64` is asked for the items in that order, a permutation of `draws.order`
    that depends on the draws and the source's settings alone, and is the same in every process.
    """

    def __len__(self) -> int: ...

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """The items `index` (B,) int64, in that order: (B, T, F) float32 or float16, or pictures."""
        ...


def epoch_order(source: BatchSource, draws: EpochDraws) -> torch.Tensor:
    """(N,) int64: the items in the order of an epoch, that of `draws` or the one that the source makes of it."""
    return source.order(draws) if hasattr(source, "order") else draws.order


def num_batches(num_items: int, batch_size: int) -> int:
    """How many batches `iterate_epoch` makes: a last one of a single item is left out."""
    return -(-num_items // batch_size) - (num_items % batch_size == 1)


def iterate_epoch(source: BatchSource, draws: EpochDraws, batch_size: int, drop_last: bool = False, *, first: int = 0,
                  labels: torch.Tensor | None = None,
                  share_of: Callable[[int], AllRows] = lambda num_rows: AllRows()) -> Iterator[Batch]:
    """The batches of one epoch in its `epoch_order`, from number `first` on; of each the share of this process.

    The last, smaller batch is left out if `drop_last`, or if it holds a single item: losses that compare items need
    another one.

    Args:
        labels: (N, classes) of all items, where there are any.
        share_of: the share of this process in a batch of so many rows.

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
    whole = [index for index in epoch_order(source, draws).split(batch_size) if len(index) >= smallest][first:]
    return _batches(source, draws, whole, labels, share_of)


def _batches(source: BatchSource, draws: EpochDraws, whole: list[torch.Tensor], labels: torch.Tensor | None,
             share_of: Callable[[int], AllRows]) -> Iterator[Batch]:
    shares = [share_of(len(index)) for index in whole]
    indices = [share.take(index) for share, index in zip(shares, whole, strict=True)]
    batches: Iterator[torch.Tensor] = map(source.batch, indices)
    if getattr(source, "reads_ahead", False):
        batches = read_ahead(batches)
    for index, items, share in zip(indices, batches, shares, strict=True):
        yield Batch(index, items, draws.masks(index), draws.uniforms(index),
                    None if labels is None else labels[index], share)
