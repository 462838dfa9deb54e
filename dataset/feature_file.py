"""One HDF5 file of video features: what is in it, and its rows as float32.

An unfiltered contiguous dataset is read with plain file reads at its offset, which costs no more than the
bytes asked for; every other layout is read by h5py. No file stays open between two reads, so an object
survives fork and pickle.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from utils.errors import UserError
from utils.hdf5 import check_sound

SUPPORTED_DTYPES = ("uint8", "float16", "float32", "float64")
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """How the features lie in a file.

    `offset` is the byte where a contiguous dataset starts, else None; `chunk_rows` the videos in a chunk, else 1.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    chunk_rows: int


class FeatureFile:
    """The dataset `key` of the HDF5 file `path`: (N, T, F), of a dtype in SUPPORTED_DTYPES.

    Raises:
        UserError: the file is missing, no HDF5 file, truncated, without `key`, or `key` is no such array.
    """

    def __init__(self, path: str | os.PathLike, key: str, role: str) -> None:
        self.path = str(path)
        self.key = key
        _require_file(self.path, role)
        self._identity = _identity(self.path)
        self._layout = self._inspect()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._layout.shape

    @property
    def dtype(self) -> np.dtype:
        return self._layout.dtype

    @property
    def chunk_rows(self) -> int:
        """How many videos HDF5 has to read at once, as one chunk holds parts of them."""
        return self._layout.chunk_rows

    @property
    def contiguous(self) -> bool:
        """Whether the rows lie in the file in one piece, a video without features or videos aside."""
        return self._layout.offset is not None or 0 in self.shape

    def read(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """out[slots[i]] = row rows[i] as float32.

        `rows` ascends and may hold duplicates; `out` is C-contiguous float32 (any, T, F).

        Raises:
            UserError: the file cannot be read, its layout has changed since it was opened, or a row holds NaN
                or Inf.
        """
        with _reading(self.path):
            self._refuse_changed_file()
            if self._layout.offset is None:
                self._read_by_h5py(rows, out, slots)
            else:
                self._read_contiguous(self._layout.offset, rows, out, slots)

    def _inspect(self) -> Layout:
        with _reading(self.path), h5py.File(self.path, "r") as file:
            if self.key not in file:
                raise UserError(f"{self.path}: no dataset '{self.key}' in this file, which holds "
                                f"{_names(file)}. Set feat_key to the one with the features.")
            dataset = file[self.key]
            if not isinstance(dataset, h5py.Dataset):
                raise UserError(f"{self.path}: '{self.key}' is a group, not an array; it holds "
                                f"{_names(dataset)}. Set feat_key to the array, like '{self.key}/...'.")
            dtype = dataset.dtype
            if dtype.name not in SUPPORTED_DTYPES:
                raise UserError(f"{self.path}: '{self.key}' has the type {dtype}, which is not readable as "
                                "features. Store it as float32 or float16 (or uint8, read as value / 255).")
            if dataset.ndim != 3:
                raise UserError(f"{self.path}: '{self.key}' is {dataset.shape}; expected 3 axes, "
                                "(videos, frames, features). Store it in that shape.")
            check_sound(dataset, self.path)
            return Layout(dataset.shape, dtype, _contiguous_offset(dataset),
                          dataset.chunks[0] if dataset.chunks else 1)

    def _refuse_changed_file(self) -> None:
        identity = _identity(self.path)
        if identity == self._identity:
            return
        if self._inspect() != self._layout:
            raise UserError(f"{self.path}: this file was replaced by one of another layout while in use. "
                            "Start the command again.")
        self._identity = identity

    def _read_contiguous(self, offset: int, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """In steps that stay in the processor's cache until they are converted and checked."""
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:]))
        direct = self.dtype == np.float32
        most = max(1, _READ_BYTES // row_bytes)
        with open(self.path, "rb", buffering=0) as file:
            if rows[-1] - rows[0] >= 2 * len(rows):
                _read_nothing_ahead(file)
            for first, last in _runs(rows, slots, most):
                target = out[slots[first]:slots[first] + last - first]
                raw = target if direct else np.empty(target.shape, self.dtype)
                file.seek(offset + int(rows[first]) * row_bytes)
                _read_fully(file, raw.reshape(-1).view(np.uint8).data)
                if not direct:
                    _widen(raw, target)
                self._refuse_non_finite(rows[first:last], target)

    def _read_by_h5py(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        unique, inverse = np.unique(rows, return_inverse=True)
        with h5py.File(self.path, "r") as file:
            dataset = file[self.key]
            if unique[-1] - unique[0] + 1 == len(unique):
                raw = dataset[int(unique[0]):int(unique[-1]) + 1]
            else:
                raw = dataset[unique]
        in_place = len(unique) == len(rows) and (np.diff(slots) == 1).all()
        block = out[slots[0]:slots[0] + len(slots)] if in_place else np.empty(raw.shape, np.float32)
        _widen(raw, block)
        self._refuse_non_finite(unique, block)
        if not in_place:
            out[slots] = block[inverse]

    def _refuse_non_finite(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Looks at block[i], which is row rows[i] of the file."""
        if self.dtype.kind != "f":
            return
        finite = np.isfinite(block)
        if not finite.all():
            row = rows[np.argmin(finite.all(axis=(1, 2)))]
            raise UserError(f"{self.path}: row {row} of '{self.key}' (counted from 0) holds NaN, Inf or a "
                            "value beyond float32. Extract the features of this video again, or drop the "
                            "video and its label.")


def _contiguous_offset(dataset: h5py.Dataset) -> int | None:
    """The byte at which the rows of `dataset` lie in its file in one piece, or None.

    The storage size tells a dataset that was never written: HDF5 may report an offset for it all the same.
    """
    if dataset.chunks is not None or dataset.is_virtual or dataset.external:
        return None
    size = dataset.size * dataset.dtype.itemsize
    offset = dataset.id.get_offset()
    return offset if offset is not None and dataset.id.get_storage_size() == size > 0 else None


def _runs(rows: np.ndarray, slots: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each stretch of at most `most` entries consecutive in the file and in the output."""
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(slots) != 1)) + 1
    for start, stop in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
        for first in range(start, stop, most):
            yield first, min(first + most, stop)


def _read_nothing_ahead(file) -> None:
    """Keeps the system from guessing at scattered reads: it would fetch several times as much as is asked for."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)


def _read_fully(file, view: memoryview) -> None:
    """Fills `view`; one read returns at most 2 GiB on Linux."""
    while len(view):
        count = file.readinto(view)
        if not count:
            raise OSError("truncated file: it ends inside the features")
        view = view[count:]


def _widen(raw: np.ndarray, out: np.ndarray) -> None:
    """out = `raw` as float32; uint8 are pixels, value / 255. A float64 beyond float32 becomes Inf."""
    if raw.dtype == np.uint8:
        np.divide(raw, np.float32(255), out=out)
    elif raw.dtype == np.float16 and raw.dtype.isnative:
        torch.from_numpy(out).copy_(torch.from_numpy(raw))  # ten times as fast as numpy's, and other threads run on
    else:
        with np.errstate(over="ignore"):
            out[...] = raw


def _require_file(path: str, role: str) -> None:
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder, not an HDF5 file of {role} features. Name the .h5 file in it.")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file; the {role} features are expected at {Path(path).absolute()}. "
                        "Put the file there (README.md lists the feature files) or correct the path in the "
                        "config.")


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _names(group: h5py.Group) -> str:
    names = ", ".join(f"'{name}'" for name in list(group)[:20])
    return names or "nothing"


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turns what the operating system and HDF5 raise about the file `path` into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: {_problem_and_fix(error, reason)}.") from error


def _problem_and_fix(error: BaseException, reason: str) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file has disappeared. Put it back"
    if isinstance(error, PermissionError):
        return "no permission to read it. Change its permissions"
    if "truncated" in reason:
        return f"a truncated file ({reason}). Download or extract it again"
    if "signature not found" in reason:
        return "not an HDF5 file (an unfinished download, or a Git LFS pointer?). Download it again"
    if "filter" in reason and "not available" in reason:
        return f"compressed by a filter that is not installed ({reason}). Repack it without that filter"
    return f"cannot be read ({reason}). Download or extract it again"
