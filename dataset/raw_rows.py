"""Rows of a file by plain reads, and the numbers in them: widened, and looked at for NaN and Inf."""

import os
from collections.abc import Iterator
from io import FileIO

import numpy as np
import torch

TELLS_WHAT_IS_CACHED = hasattr(os, "RWF_NOWAIT") and hasattr(os, "posix_fadvise")
_FIRST_NON_FINITE = {2: (0x7C00, 0xFC00), 4: (0x7F800000, 0xFF800000)}  # bits of +Inf and -Inf; NaNs lie above them


def runs(rows: np.ndarray, slots: np.ndarray, most: int) -> Iterator[tuple[int, int, int]]:
    """(first row, rows, first slot) of each stretch of at most `most` consecutive in the file and in the output."""
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(slots) != 1)) + 1
    starts = np.concatenate([[0], breaks])
    lengths = np.diff(np.append(starts, len(rows)))
    for row, length, slot in zip(rows[starts].tolist(), lengths.tolist(), slots[starts].tolist(), strict=True):
        for done in range(0, length, most):
            yield row + done, min(most, length - done), slot + done


def read_cached(file: FileIO, out: np.ndarray, offset: int) -> bool:
    """Fills `out` if the system has all of it in memory, and says whether it had."""
    try:
        return os.preadv(file.fileno(), [out.data], offset, os.RWF_NOWAIT) == out.nbytes
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot tell
        return read_fully(file, out, offset)


def read_fully(file: FileIO, out: np.ndarray, offset: int) -> bool:
    """Fills `out`; one read returns at most 2 GiB on Linux."""
    view = out.reshape(-1).view(np.uint8).data
    file.seek(offset)
    while len(view):
        count = file.readinto(view)
        if not count:
            raise OSError("truncated file: it ends inside the features")
        view = view[count:]
    return True


def all_finite(block: np.ndarray) -> bool:
    """Whether `block` of float16 or float32 holds no NaN or Inf: by its bits, for numpy takes float16 one by one."""
    size = block.dtype.itemsize
    positive, negative = _FIRST_NON_FINITE[size]
    return block.size == 0 or bool(block.view(f"i{size}").max() < positive and block.view(f"u{size}").max() < negative)


def widen(raw: np.ndarray, out: np.ndarray) -> None:
    """out = `raw` in its type; uint8 are pixels, value / 255. A float64 beyond float32 becomes Inf."""
    if raw.dtype == out.dtype:
        out[...] = raw
    elif raw.dtype == np.uint8:
        np.divide(raw, np.float32(255), out=out)
    elif raw.dtype == np.float16 and raw.dtype.isnative:
        torch.from_numpy(out).copy_(torch.from_numpy(raw))  # ten times as fast as numpy's, and other threads run on
    else:
        with np.errstate(over="ignore"):
            out[...] = raw
