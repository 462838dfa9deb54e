"""Batches of an epoch, from a source that holds the videos.

B batch, T frames, F features, U uniforms.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from dataset.features import VideoFeatures
from dataset.views import EpochDraws
from utils.errors import UserError

GPU_SHARE = 0.5  # of a GPU's free memory that a split may take


@dataclass(frozen=True)
class Batch:
    """What a training step sees: which videos, their features, and the draws of their two views."""

    index: torch.Tensor
    """(B,) int64, the videos' places in the split."""
    features: torch.Tensor
    """(B, T, F) float32."""
    masks: torch.Tensor
    """(B, 2, T) bool, True = hidden."""
    uniforms: torch.Tensor
    """(B, 2, U) float32 in [0, 1)."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on `device`."""
        moved = (tensor.to(device, non_blocking=True)
                 for tensor in (self.index, self.features, self.masks, self.uniforms))
        return Batch(*moved)


class BatchSource(Protocol):
    """Anything that hands out videos by index, wherever it keeps them."""

    def __len__(self) -> int: ...

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) float32: the videos `index` (B,) int64, in that order."""
        ...


class HostResident:
    """A split held whole in main memory as float32.

    Raises:
        UserError: a video holds NaN or Inf, or the memory does not suffice.
    """

    def __init__(self, features: VideoFeatures) -> None:
        try:
            self._videos = torch.from_numpy(features.load())
        except MemoryError as error:
            num_videos, num_frames, num_features = features.shape
            size = num_videos * num_frames * num_features * 4 / 2**30
            raise UserError(f"{', '.join(features.paths)}: the {features.role} features need {size:.1f} GiB "
                            "of main memory. Use a machine with more, or fewer videos.") from error

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, T, F)."""
        num_videos, num_frames, num_features = self._videos.shape
        return num_videos, num_frames, num_features

    def __len__(self) -> int:
        return len(self._videos)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) float32: the videos `index` (B,) int64, in that order."""
        return self._videos[index]


class DeviceResident:
    """A split held whole in the memory of a device as float32, so that no batch has to travel.

    Raises:
        UserError: a video holds NaN or Inf.
    """

    def __init__(self, features: VideoFeatures, device: torch.device) -> None:
        self.shape = features.shape
        self._videos = torch.empty(self.shape, device=device)
        for start, block in features.blocks():
            self._videos[start:start + len(block)] = torch.from_numpy(block)

    def __len__(self) -> int:
        return len(self._videos)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) float32 on the device: the videos `index` (B,) int64, in that order."""
        return self._videos[index.to(self._videos.device, non_blocking=True)]


def open_source(features: VideoFeatures, device: torch.device) -> HostResident | DeviceResident:
    """The split in the memory of `device` where that is a GPU with room for it in half of what is free, else in
    main memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if math.prod(features.shape) * 4 <= free * GPU_SHARE:
            return DeviceResident(features, device)
    return HostResident(features)


def iterate_epoch(source: BatchSource, draws: EpochDraws, batch_size: int,
                  drop_last: bool = False) -> Iterator[Batch]:
    """The batches of one epoch, in the order of `draws`.

    The last, smaller batch is left out if `drop_last`, or if it holds a single video: the contrastive loss
    needs another one to compare with.

    Raises:
        UserError: batch_size is below 2, or no batch results.
    """
    if len(source) != draws.num_videos:
        raise ValueError(f"the draws are for {draws.num_videos} videos, the source holds {len(source)}")
    smallest = batch_size if drop_last else 2
    if batch_size < 2 or len(source) < smallest:
        raise UserError(f"batch_size = {batch_size} makes no batch of two or more from {len(source)} "
                        f"training videos. Set batch_size between 2 and {max(2, len(source))}.")
    return _batches(source, draws, batch_size, smallest)


def _batches(source: BatchSource, draws: EpochDraws, batch_size: int, smallest: int) -> Iterator[Batch]:
    for index in draws.order.split(batch_size):
        if len(index) >= smallest:
            yield Batch(index, source.batch(index), draws.masks(index), draws.uniforms(index))
