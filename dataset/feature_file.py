"""One file of video features, HDF5 or .npy: what is in it, and its rows.

A .npy file, or an unfiltered contiguous dataset, is read with plain file reads at its offset, which costs no more than
the bytes asked for; every other layout is read by h5py. No file stays open between two reads, so an object
survives fork and pickle.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import FileIO
from pathlib import Path

import h5py
import numpy as np

from dataset.layout import Layout, contiguous_offset, numpy_layout
from dataset.raw_rows import TELLS_WHAT_IS_CACHED, all_finite, read_cached, read_fully, runs, widen
from utils.errors import UserError
from utils.files.hdf5 import check_sound, in_use
from utils.files.outside import files_of, follow, lies_in

SUPPORTED_DTYPES = ("uint8", "float16", "float32", "float64")
_READ_BYTES = 1 << 20


class ChangedError(UserError):
    """A file was replaced or rewritten between two reads, so that they may be of different videos."""


class FeatureFile:
    """The dataset `key` of the HDF5 file `path`, or the array of a .npy file: (N, T, F), of a dtype in
    SUPPORTED_DTYPES, or pictures of uint8: (N, rows, columns, channels), or grey ones without their last axis, which
    are read with it.

    `item_axes`: 2 of a video (T, F), 3 of a picture.

    Raises:
        UserError: the file is missing, no HDF5 file, truncated, without `key`, or `key` is no such array.
    """

    def __init__(self, path: str | os.PathLike, key: str, role: str, item_axes: int = 2) -> None:
        self.path = str(path)
        self.key, self._item_axes = key, item_axes
        _require_file(self.path, role)
        self.role = role
        opened = self._stamp([self.path])
        self._layout, self._files = self._inspect()
        self.stamp = self._stamp(self._files)
        if self.stamp[:1] != opened:
            raise ChangedError(f"{self.path}: this file was replaced or rewritten while it was opened. Start the "
                               "command again when it is complete.")

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self._layout.shape
        return shape if len(shape) == 1 + self._item_axes else (*shape, 1)

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

    @cached_property
    def _known_finite(self) -> np.ndarray:
        """(N,) bool: the rows of the file as it is that have been read and hold no NaN or Inf."""
        return np.zeros(self.shape[0], bool)

    def read(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """out[slots[i]] = row rows[i].

        `rows` ascends and may hold duplicates; `out` is C-contiguous (any, T, F), float32 or of the type stored.

        Raises:
            ChangedError: the file is not the one that was opened, or was written to since, at latest by the end of
                this call.
            UserError: the file cannot be read, or a row holds NaN or Inf: each is looked at when it is first read.
        """
        with _reading(self.path):
            self._refuse_changed_file()
            if self._layout.offset is None:
                self._read_by_h5py(rows, out, slots)
            else:
                self._read_contiguous(self._layout.offset, rows, out, slots)
            self._refuse_changed_file()

    @property
    def changed(self) -> bool:
        """Whether inode, size or time of a file that the features lie in are others than when it was opened."""
        return [mark[:3] for mark in self._stamp(self._files)] != [mark[:3] for mark in self.stamp]

    def reopened(self) -> "FeatureFile":
        """The same dataset as its file is now."""
        return FeatureFile(self.path, self.key, self.role, self._item_axes)

    def attribute(self, name: str) -> str:
        """The text of an attribute of the HDF5 file, "" where it has none."""
        with _reading(self.path):
            if not h5py.is_hdf5(self.path):
                return ""
            with h5py.File(self.path, "r") as file:
                return str(file.attrs.get(name, ""))

    def texts(self, key: str) -> list[str] | None:
        """The text for each row in the array `key` of the HDF5 file, None where it has no such array."""
        with _reading(self.path):
            if not h5py.is_hdf5(self.path):
                return None
            with h5py.File(self.path, "r") as file:
                if not isinstance(node := file.get(key), h5py.Dataset) or node.shape != self.shape[:1] or (
                        h5py.check_string_dtype(node.dtype) is None):
                    return None
                check_sound(node, self.path)
                return [text.decode("utf-8", "replace") for text in node[()]]

    def _stamp(self, files: Sequence[str]) -> list[tuple[int, int, int, int]]:
        """(inode, size, time of writing, of change; in ns) of each of `files`."""
        with _reading(self.path):
            found = map(os.stat, files)
            return [(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for status in found]

    def _inspect(self) -> tuple[Layout, list[str]]:
        """How the features lie, and the files that they lie in."""
        with _reading(self.path):
            found = numpy_layout(self.path)
            if found is None:
                with h5py.File(self.path, "r") as file:
                    dataset = self._dataset(file)
                    check_sound(dataset, self.path)
                    offset = contiguous_offset(dataset) if lies_in(dataset, self.path) else None
                    found = (Layout(dataset.shape, dataset.dtype, offset, dataset.chunks[0] if dataset.chunks else 1),
                             files_of(dataset, self.path))
            self._check(found[0])
            return found

    def _dataset(self, file: h5py.File) -> h5py.Dataset:
        if self.key not in file:
            raise UserError(f"{self.path}: no dataset '{self.key}' in this file, which holds "
                            f"{_names(file)}. Set feat_key to the one with the features.")
        dataset = follow(file, self.key, self.path)
        if not isinstance(dataset, h5py.Dataset):
            raise UserError(f"{self.path}: '{self.key}' is a group, not an array; it holds "
                            f"{_names(dataset)}. Set feat_key to the array, like '{self.key}/...'.")
        self._check(Layout(dataset.shape or (), dataset.dtype, None, 1))
        return dataset

    def _check(self, layout: Layout) -> None:
        """Refuses what cannot be features by its type or its axes."""
        if layout.dtype.name not in SUPPORTED_DTYPES:
            raise UserError(f"{self.path}: '{self.key}' has the type {layout.dtype}, which is not readable as "
                            "features. Store it as float32 or float16 (or uint8, read as value / 255).")
        if len(layout.shape) not in {3, 1 + self._item_axes}:
            axes = ("3 axes, (videos, frames, features)" if self._item_axes == 2
                    else "4 axes, (pictures, rows, columns, channels), or 3 of grey pictures")
            hint = (" One vector per video has no frames; give it two that are equal: np.repeat(x[:, None], 2, axis=1)."
                    if self._item_axes == 2 and len(layout.shape) == 2 else "")
            raise UserError(f"{self.path}: '{self.key}' is {layout.shape}; expected {axes}. "
                            f"Store it in that shape.{hint}")
        if self._item_axes == 3 and layout.dtype != np.uint8:
            raise UserError(f"{self.path}: '{self.key}' has the type {layout.dtype}; pictures are uint8. Store them "
                            "so.")

    def _refuse_changed_file(self) -> None:
        if self.changed:
            raise ChangedError(f"{self.path}: this file was replaced or rewritten while in use, so what was read "
                               "before may belong to other videos. Put the old one back, or start the command again.")

    def _read_contiguous(self, offset: int, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """In steps that stay in the processor's cache until they are converted and checked.

        Scattered rows that the system has not cached are all asked for at once, and read when the others are.
        """
        row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        direct = self.dtype == out.dtype
        check = not self._known_finite[rows].all()
        uncached = []

        def read(row: int, count: int, slot: int, fill: Callable[[FileIO, np.ndarray, int], bool]) -> bool:
            target = out[slot:slot + count]
            raw = target if direct else np.empty(target.shape, self.dtype)
            if not fill(file, raw, offset + row * row_bytes):
                return False
            if not direct:
                widen(raw, target)
            if check:
                self._refuse_non_finite(slice(row, row + count), target)
            return True

        with open(self.path, "rb", buffering=0) as file:
            scattered = TELLS_WHAT_IS_CACHED and rows[-1] - rows[0] >= 2 * len(rows)
            if scattered:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # else it fetches several times as much
            for run in runs(rows, slots, max(1, _READ_BYTES // row_bytes)):
                if not read(*run, read_cached if scattered else read_fully):
                    row, count, _ = run
                    os.posix_fadvise(file.fileno(), offset + row * row_bytes, count * row_bytes,
                                     os.POSIX_FADV_WILLNEED)
                    uncached.append(run)
            for run in uncached:
                read(*run, read_fully)

    def _read_by_h5py(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        unique, inverse = np.unique(rows, return_inverse=True)
        with h5py.File(self.path, "r") as file:
            dataset = file[self.key]
            if unique[-1] - unique[0] + 1 == len(unique):
                raw = dataset[int(unique[0]):int(unique[-1]) + 1]
            else:
                raw = dataset[unique]
        raw = raw.reshape(len(raw), *self.shape[1:])
        in_place = len(unique) == len(rows) and (np.diff(slots) == 1).all()
        block = out[slots[0]:slots[0] + len(slots)] if in_place else np.empty(raw.shape, out.dtype)
        widen(raw, block)
        if not self._known_finite[unique].all():
            self._refuse_non_finite(unique, block)
        if not in_place:
            out[slots] = block[inverse]

    def _refuse_non_finite(self, rows: np.ndarray | slice, block: np.ndarray) -> None:
        """Looks at block[i], which is row rows[i] of the file."""
        if self.dtype.kind == "f" and not all_finite(block):
            row = np.arange(self.shape[0])[rows][np.argmin(np.isfinite(block).reshape(len(block), -1).all(axis=1))]
            raise UserError(f"{self.path}: row {row} of '{self.key}' (counted from 0) holds NaN, Inf or a "
                            "value beyond float32. Extract the features of this video again, or drop the "
                            "video and its label.")
        self._known_finite[rows] = True


def _require_file(path: str, role: str) -> None:
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder, not a file of {role} features. Name the .h5 or .npy file in it.")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file; the {role} features are expected at {Path(path).absolute()}. "
                        "Put the file there (README.md lists the feature files) or correct the path in the "
                        "config.")


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
    if busy := in_use(reason):
        return busy
    if "truncated" in reason:
        return f"a truncated file ({reason}). Download or extract it again"
    if "signature not found" in reason:
        return "not an HDF5 file (an unfinished download, or a Git LFS pointer?). Download it again"
    if "filter" in reason and "not available" in reason:
        return f"compressed by a filter that is not installed ({reason}). Repack it without that filter"
    return f"cannot be read ({reason}). Download or extract it again"
