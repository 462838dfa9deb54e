"""Where the videos of a split lie while batches are drawn from them: main memory, a GPU, or their files.

Batches come in the type in which videos are handed out, `VideoFeatures.batch_dtype`: `Batch.to` widens float16, so that
half as much is kept, copied and sent to a GPU. B batch, N videos, T frames, F features.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from dataset.buffers import Buffers
from dataset.features import VideoFeatures
from dataset.stream import BUFFER_BYTES, StreamSource
from utils.cpus import available_cpus
from utils.errors import UserError
from utils.memory import available_memory

SHARE = 0.5  # of the free memory that a split may take
READERS = min(8, max(2, available_cpus()))  # threads, each with a piece of a batch


class HostResident:
    """A split held whole in main memory.

    Raises:
        UserError: a video holds NaN or Inf, or the memory does not suffice.
    """

    reads_ahead = False

    def __init__(self, features: VideoFeatures) -> None:
        try:
            self._videos = features.load(features.batch_dtype)
        except MemoryError as error:
            raise UserError(f"{', '.join(features.paths)}: the {features.role} features need "
                            f"{_gib(_size(features))} of main memory. Set batch_source = file to read them from "
                            "disk as training goes.") from error
        self.shape = features.shape
        self._buffers = Buffers(self.shape[1:], features.batch_dtype)

    def __len__(self) -> int:
        return len(self._videos)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F): the videos `index` (B,) int64, in that order."""
        out = self._buffers.take(len(index))
        np.take(self._videos, index.numpy(), 0, out.numpy(), "clip")  # "raise" would gather elsewhere first
        return out


class DeviceResident:
    """A split held whole in the memory of a device, so that no batch has to travel.

    Raises:
        UserError: a video holds NaN or Inf, or the memory does not suffice.
    """

    reads_ahead = False

    def __init__(self, features: VideoFeatures, device: torch.device) -> None:
        self.shape = features.shape
        try:
            self._videos = torch.empty(self.shape, dtype=getattr(torch, features.batch_dtype.name), device=device)
        except torch.OutOfMemoryError as error:
            raise UserError(f"{', '.join(features.paths)}: the {features.role} features need "
                            f"{_gib(_size(features))} of the memory of {device}. Set batch_source = auto.") from error
        for start, block in features.blocks(dtype=features.batch_dtype):
            self._videos[start:start + len(block)] = torch.from_numpy(block)

    def __len__(self) -> int:
        return len(self._videos)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F) on the device: the videos `index` (B,) int64, in that order."""
        return self._videos[index.to(self._videos.device, non_blocking=True)]


class FileSource:
    """A split left in its files: a batch is read when it is asked for, by several threads at once.

    Plain reads at the row's place in the file serve both a file in the page cache, where they cost what a memory
    map does, and one on disk, where a memory map is several times slower. Datasets that do not lie in one piece
    are read by HDF5, one batch after another.
    """

    reads_ahead = True

    def __init__(self, features: VideoFeatures) -> None:
        self.shape = features.shape
        self._features = features
        self._buffers = Buffers(self.shape[1:], features.batch_dtype)
        self._pool = ThreadPoolExecutor(READERS if features.contiguous else 1, "read features")

    def __len__(self) -> int:
        return len(self._features)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """(B, T, F): the videos `index` (B,) int64, in that order.

        Raises:
            UserError: a video holds NaN or Inf, or a file has become unreadable.
        """
        slots = index.argsort().numpy()
        rows = index.numpy()[slots]
        out = self._buffers.take(len(rows))
        videos = out.numpy()
        size = max(1, -(-len(rows) // READERS)) if self._features.contiguous else max(1, len(rows))
        pieces = [slice(start, start + size) for start in range(0, len(rows), size)]
        for _ in self._pool.map(lambda piece: self._features.scatter(rows[piece], videos, slots[piece]), pieces):
            pass
        return out


Source = HostResident | DeviceResident | FileSource | StreamSource


def open_source(features: VideoFeatures, device: torch.device, kind: str = "auto", *, num_copies: int = 1,
                agree: Callable[[int], int] = int) -> tuple[Source, str]:
    """The source of a split's batches, and a line that says which it is and why.

    Args:
        kind: "host", "device", "file" or "stream"; "auto" takes `device` where that is a GPU with room for the split in
            half of its free memory, else main memory under the same condition, else the files: "file" where their
            videos lie in one piece, "stream" where only HDF5 can read them.
        num_copies: processes of this machine that hold the split, each in a part of main memory of its own.
        agree: the least of what several processes have free, so that they decide alike.
    """
    size = f"the training features ({_gib(_size(features))} as {features.batch_dtype})"
    if kind == "auto":
        kind, reason = _choose(features, device, num_copies, agree)
    else:
        reason = f"batch_source = {kind}"
    if kind == "device":
        return DeviceResident(features, device), f"{size} stay in the memory of {device}: {reason}"
    if kind == "host":
        return HostResident(features), f"{size} stay in main memory: {reason}"
    if kind == "stream":
        stream = StreamSource(features)
        shuffle = "" if stream.shuffles_all else (f", shuffled within {_gib(BUFFER_BYTES)}; files rewritten once with "
                                                  "python -m dataset.repack are shuffled whole")
        return stream, f"{size} are read from their files chunk by chunk: {reason}{shuffle}"
    advice = "" if features.contiguous else (
        "; they are compressed or chunked, so reading is slow: rewrite them once with python -m dataset.repack")
    return FileSource(features), f"{size} are read from their files batch by batch: {reason}{advice}"


def _choose(features: VideoFeatures, device: torch.device, num_copies: int,
            agree: Callable[[int], int]) -> tuple[str, str]:
    """The kind that "auto" means here, and why."""
    size = _size(features)
    if device.type == "cuda":
        free = agree(torch.cuda.mem_get_info(device)[0])
        if size <= free * SHARE:
            return "device", f"they fit in half of its free {_gib(free)}"
    free_here = available_memory()
    if free_here is None:
        return "host", "the system does not tell how much is free"
    free_here = agree(free_here) // num_copies
    available = f"available {_gib(free_here)}" + (f" of each of {num_copies} processes" if num_copies > 1 else "")
    if size <= free_here * SHARE:
        return "host", f"they fit in half of the {available}"
    return "file" if features.contiguous else "stream", f"they do not fit in half of the {available}"


def _size(features: VideoFeatures) -> int:
    return math.prod(features.shape) * features.batch_dtype.itemsize


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / 2**30:.1f} GiB"
