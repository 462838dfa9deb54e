"""Batches from files that only HDF5 can read and that do not fit in memory: whole chunks, in a bounded shuffle.

N videos, B batch, T frames, F features.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from dataset.buffers import Buffers
from dataset.features import VideoFeatures
from dataset.views import EpochDraws

BUFFER_BYTES = 2 << 30  # fixed, not what is free: the order of an epoch depends on it
LEAST_BLOCK = 64  # videos per read, where chunks are smaller


class StreamSource:
    """A split left in its files and read in whole chunks, each once per epoch unless it alone exceeds half the buffer.

    The videos are divided into blocks of whole chunks, the blocks into groups of which two fill `buffer_bytes`: one in
    use, one being read. An epoch goes through the groups one by one; which blocks meet in a group, and the order within
    it, follow the epoch's own order, so that both are a function of (seed, epoch, buffer_bytes) alone. Where the split
    fits in the buffer, it is one group in exactly the epoch's order.
    """

    reads_ahead = True

    def __init__(self, features: VideoFeatures, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.shape = features.shape
        self._features = features
        self._buffers = Buffers(self.shape[1:], features.batch_dtype)
        videos = buffer_bytes // (features.batch_dtype.itemsize * math.prod(self.shape[1:]))
        self.shuffles_all = len(features) <= videos
        self._most = len(features) if self.shuffles_all else max(1, videos // 2)
        self._blocks = features.chunk_blocks(LEAST_BLOCK, self._most)
        self._block_of = np.repeat(np.arange(len(self._blocks)), [stop - start for start, stop in self._blocks])
        self._reader = ThreadPoolExecutor(1, "read features")
        self._plan(np.zeros(len(self._blocks), np.int64))

    def __len__(self) -> int:
        return len(self._features)

    def order(self, draws: EpochDraws) -> torch.Tensor:
        """(N,) int64: the videos in the order in which `batch` is to be asked for them in this epoch."""
        order = draws.order.numpy()
        _, first = np.unique(self._block_of[order], return_index=True)
        group_of_block = np.empty(len(self._blocks), np.int64)
        group = size = 0
        for block in first.argsort():  # in the order in which the epoch first meets them
            start, stop = self._blocks[block]
            if size + stop - start > self._most:
                group, size = group + 1, 0
            group_of_block[block] = group
            size += stop - start
        self._plan(group_of_block)
        return torch.from_numpy(order[self._group_of[order].argsort(kind="stable")])

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) of `VideoFeatures.batch_dtype`: the videos `index` (B,) int64, in that order.

        Raises:
            UserError: a video holds NaN or Inf, or a file has become unreadable.
        """
        wanted = index.numpy()
        out = self._buffers.take(len(wanted))
        groups = self._group_of[wanted]
        for group in np.unique(groups):
            rows, videos = self._take(int(group))
            slots = np.flatnonzero(groups == group)
            out.numpy()[slots] = videos[np.searchsorted(rows, wanted[slots])]
        return out

    def _plan(self, group_of_block: np.ndarray) -> None:
        self._group_of_block = group_of_block
        self._group_of = group_of_block[self._block_of]
        self._here: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None
        self._coming: tuple[int, Future] | None = None

    def _take(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """The videos of a group; the next one is read meanwhile."""
        if self._here is None or self._here[0] != group:
            self._here = None  # gone before another is asked for
            if self._coming is None or self._coming[0] != group:
                self._coming = group, self._reader.submit(self._read, group)
            self._here = group, self._coming[1].result()
            following = group + 1
            is_last = following > self._group_of_block.max()
            self._coming = None if is_last else (following, self._reader.submit(self._read, following))
        return self._here[1]

    def _read(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a group, ascending, and their videos."""
        blocks = [self._blocks[block] for block in np.flatnonzero(self._group_of_block == group)]
        rows = np.concatenate([np.arange(*block) for block in blocks])
        videos = np.empty((len(rows), *self.shape[1:]), self._features.batch_dtype)
        place = 0
        for start, stop in blocks:
            slots = np.arange(place, place + stop - start)
            self._features.scatter(np.arange(start, stop), videos, slots)
            place += stop - start
        return rows, videos
