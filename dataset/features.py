"""The items of one split: one or several files seen as one array.

N items, T frames, F features. An item is a video (T, F), or a picture (rows, columns, channels) of uint8.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import DTypeLike

from dataset.digests import SCHEME, Digest, kept_digest
from dataset.extraction.recipe import ATTRIBUTE as EXTRACTION
from dataset.feature_file import ChangedError, FeatureFile
from dataset.pictures import ItemFile, PictureList, is_list
from utils.ahead import read_ahead
from utils.errors import UserError

FINGERPRINT_ROWS = 256  # that the fingerprint was made of before
_ROWS_PER_BLOCK = 256
_comparing = Lock()


def open_features(paths: str | os.PathLike | Sequence[str | os.PathLike], *, item_shape: Sequence[int],
                  role: str, key: str = "feats") -> "VideoFeatures":
    """The features of one split, checked but not read.

    Args:
        paths: one file or several, whose videos follow each other in this order: HDF5, .npy, or lists of pictures.
        item_shape: that the config expects: (T, F), or (rows, columns, channels) of pictures.
        role: "training", "database" or "query"; error messages name it.
        key: the dataset inside each file, (N, T, F); float16, float32, float64, or uint8 (pixels, read as
            value / 255). Pictures are uint8 and stay so, grey ones may lack the last axis.

    Raises:
        UserError: a file is missing, unreadable, of another shape or type, or the split holds no video.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths or ())
    if not listed:
        raise UserError(f"no file is named for the {role} features. Set their path in the config.")
    files = [PictureList(path, key, role, item_shape) if len(item_shape) == 3 and is_list(path)
             else FeatureFile(path, key, role, len(item_shape)) for path in listed]
    _check_agreement(files)
    _check_shape(files[0], tuple(item_shape))
    if not any(file.shape[0] for file in files):
        raise UserError(f"{files[0].path}: '{key}' is {files[0].shape}: no video in the {role} split. "
                        "Extract the features again.")
    return VideoFeatures(files, role)


class VideoFeatures:
    """N videos of T frames with F features, read as float32 on demand, or N pictures. Made by `open_features`."""

    def __init__(self, files: Sequence[ItemFile], role: str) -> None:
        self.role = role
        self._files = list(files)
        self._starts = np.cumsum([0, *(file.shape[0] for file in self._files)])
        self._fingerprint: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, T, F), or (N, rows, columns, channels)."""
        return int(self._starts[-1]), *self._files[0].shape[1:]

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self._files]

    @property
    def dtype(self) -> np.dtype:
        """The type in which the first file stores them."""
        return self._files[0].dtype

    @property
    def batch_dtype(self) -> np.dtype:
        """The smallest type that holds every value as read: float16 where all files store that, uint8 of pictures, else
        float32."""
        kept = np.dtype(np.float16)
        small = all(file.dtype == kept for file in self._files)
        return np.dtype(np.uint8) if self.pictures else kept if small else np.dtype(np.float32)

    @property
    def pictures(self) -> bool:
        """Whether the items are pictures."""
        return len(self.shape) == 4

    @property
    def noun(self) -> str:
        """What to call an item."""
        return "picture" if self.pictures else "video"

    @cached_property
    def extraction(self) -> str:
        """How the features were made of videos, as their files say, see `dataset.extraction.recipe`; "" where they do
        not.

        Raises:
            UserError: the files say several things.
        """
        found = {file.attribute(EXTRACTION) for file in self._files}
        if len(found) > 1:
            raise UserError(f"{', '.join(self.paths)}: extracted from videos in several ways, so their features do not "
                            "compare. Extract them all alike.")
        return found.pop()

    @property
    def ids(self) -> list[str] | None:
        """The names of the items where every file holds them, as `ids`, else None."""
        found = [file.texts("ids") for file in self._files]
        return None if None in found else [name for names in found for name in names or ()]

    def __len__(self) -> int:
        return self.shape[0]

    def locate(self, row: int) -> tuple[str, int]:
        """The file that holds the video `row`, and its row there."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._files[number].path, row - int(self._starts[number])

    @property
    def contiguous(self) -> bool:
        """Whether every file holds its videos unfiltered and in one piece, so that several threads read at once."""
        return all(file.contiguous for file in self._files)

    def rows(self, index: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """(len(index), T, F) float32: the videos `index`, in the order asked; duplicates are allowed. Pictures: uint8.

        `out`, C-contiguous and of that shape, float32 or `batch_dtype`, is filled and returned where it is given.

        Raises:
            UserError: a file has become unreadable, or a row holds NaN or Inf.
            IndexError: an index outside 0..N-1.
        """
        wanted = np.asarray(index)
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise IndexError(f"expected a vector of integers, got {wanted.dtype} {wanted.shape}")
        if out is None:
            out = np.empty((len(wanted), *self.shape[1:]), self._read_dtype)
        slots = np.argsort(wanted, kind="stable")
        self.scatter(wanted.astype(np.int64)[slots], out, slots)
        return out

    def scatter(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """out[slots[i]] = the video rows[i], for `rows` int64 that ascend.

        `out` is C-contiguous (any, T, F), float32 or `batch_dtype`.

        Raises:
            UserError, IndexError: as `rows`.
        """
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self):
            raise IndexError(f"video indices {rows[0]}..{rows[-1]} leave 0..{len(self) - 1}")
        cuts = np.searchsorted(rows, self._starts)
        for number, file in enumerate(self._files):
            first, last = cuts[number], cuts[number + 1]
            if first < last:
                wanted = rows[first:last] - self._starts[number], out, slots[first:last]
                try:
                    file.read(*wanted)
                except ChangedError:
                    self._refuse_other_content()
                    self._files[number].read(*wanted)

    def blocks(self, num_rows: int = 1024, dtype: DTypeLike | None = None, *,
               fingerprint: bool = False) -> Iterator[tuple[int, np.ndarray]]:
        """(start, (up to num_rows, T, F)) over the whole split in order, float32, uint8 (pictures) or
        `batch_dtype`.

        With `fingerprint`, who takes all of them has made it by the way, so that no pass of its own is needed.
        """
        digest = Digest(self.shape, self.dtype) if fingerprint and self._fingerprint is None else None
        for start in range(0, len(self), num_rows):
            index = np.arange(start, min(start + num_rows, len(self)))
            block = self.rows(index, np.empty((len(index), *self.shape[1:]), dtype or self._read_dtype))
            if digest is not None:
                digest.add(block)
            yield start, block
        if digest is not None:
            self._fingerprint = digest.keep(self._files)

    def chunk_blocks(self, least: int, most: int) -> list[tuple[int, int]]:
        """(start, stop) of blocks that together are all videos, each of one file and of whole chunks of it.

        They hold `least` videos or the multiple of the chunk above it, but never more than `most`.
        """
        blocks = []
        for file, first in zip(self._files, self._starts.tolist(), strict=False):
            size = min(most, -(-least // file.chunk_rows) * file.chunk_rows)
            last = first + file.shape[0]
            blocks += [(start, min(start + size, last)) for start in range(first, last, size)]
        return blocks

    def load(self, dtype: DTypeLike | None = None) -> np.ndarray:
        """(N, T, F), float32, uint8 of pictures, or `batch_dtype`: the whole split in memory."""
        out = np.empty(self.shape, dtype or self._read_dtype)
        for start in range(0, len(self), 1024):
            stop = min(start + 1024, len(self))
            self.scatter(np.arange(start, stop), out[start:stop], np.arange(stop - start))
        return out

    def fingerprint(self) -> str:
        """"all:" and the SHA-256 (hex) over every video, see `Digest`, as the files were when they were opened.

        It is read from the user's cache where that knows these files by inode, size and times, else made of all videos,
        unless `blocks` has made it.

        Raises:
            UserError: a file has become unreadable or was rewritten, or a video holds NaN or Inf.
        """
        if self._fingerprint is None:
            self._fingerprint = kept_digest(self._files)
        if self._fingerprint is None:
            for _ in read_ahead(self.blocks(_ROWS_PER_BLOCK, self.batch_dtype, fingerprint=True)):
                pass
        assert self._fingerprint is not None
        return self._fingerprint

    def matches(self, fingerprint: str) -> bool:
        """Whether `fingerprint`, as an artefact or a checkpoint has recorded it, is of these videos.

        One recorded before fingerprints were of every video is of 256 of them, so that others may differ unseen.
        """
        own = self.fingerprint() if fingerprint.startswith(SCHEME) else self.legacy_fingerprint()
        return fingerprint == own

    def same_videos(self, other: "VideoFeatures") -> bool:
        """Whether `other` holds the same videos in the same order; all are read only where a few do not tell."""
        return (self.shape == other.shape and self.legacy_fingerprint() == other.legacy_fingerprint()
                and self.fingerprint() == other.fingerprint())

    def legacy_fingerprint(self) -> str:
        """SHA-256 (hex) over shape, stored type and up to 256 evenly spaced videos: what `fingerprint` was before."""
        picked = np.unique(np.linspace(0, len(self) - 1, FINGERPRINT_ROWS).round().astype(np.int64))
        digest = hashlib.sha256(f"{self.shape} {self.dtype.name}".encode())
        for some in np.array_split(picked, 8):
            rows = self.rows(some)
            digest.update(rows.tobytes() if self.pictures else rows.astype("<f4", copy=False).tobytes())
        return digest.hexdigest()

    @property
    def _read_dtype(self) -> np.dtype:
        return self.batch_dtype if self.pictures else np.dtype(np.float32)

    def _refuse_other_content(self) -> None:
        """Goes on where files that were replaced or rewritten hold the same videos, which only a fingerprint can show.

        Raises:
            UserError: they do not, or no fingerprint was made before.
        """
        with _comparing:
            if not any(file.changed for file in self._files):
                return  # another thread has compared
            again = VideoFeatures([file.reopened() for file in self._files], self.role)
            if self._fingerprint is None or again.fingerprint() != self._fingerprint:
                names = ", ".join(file.path for file in self._files if file.changed)
                raise ChangedError(f"{names}: replaced or rewritten while in use, and not known to hold the same "
                                   f"{self.role} videos as before. Put the old file back, or start the command again.")
            self._files = again._files


def frame_layout(shape: Sequence[int]) -> tuple[int, int]:
    """(T, F) of items of `shape` (N, ...); a picture counts as one frame of all its values."""
    return (shape[1], shape[2]) if len(shape) == 3 else (1, math.prod(shape[1:]))


def as_frames(items: np.ndarray) -> np.ndarray:
    """(B, T, F): videos as they are, pictures as one frame of float32 in [0, 1]."""
    return items if items.ndim == 3 else items.reshape(len(items), 1, -1) / np.float32(255)


def _check_agreement(files: Sequence[ItemFile]) -> None:
    first = files[0]
    for file in files[1:]:
        if file.shape[1:] != first.shape[1:] or file.dtype.name != first.dtype.name:
            raise UserError(f"{file.path}: '{file.key}' is {file.dtype.name} {file.shape}, but {first.path} "
                            f"of the same split is {first.dtype.name} {first.shape}. Extract both in the "
                            "same way.")


def _check_shape(file: ItemFile, item_shape: tuple[int, ...]) -> None:
    found = f"{file.path}: '{file.key}' is {file.shape};"
    if len(item_shape) == 3:
        if file.shape[1:] != item_shape:
            raise UserError(f"{found} the config expects pictures of {item_shape}. Set item_shape = "
                            f"{list(file.shape[1:])} in the config, or pack the pictures again.")
        return
    (_, num_frames, num_features), (max_frames, feature_size) = file.shape, item_shape
    if num_features != feature_size:
        raise UserError(f"{found} the config expects {feature_size} features. Set feature_size = "
                        f"{num_features} in the config, or extract the features again.")
    if num_frames != max_frames:
        raise UserError(f"{found} the config expects {max_frames} frames. Set max_frames = {num_frames} in "
                        "the config, or extract the features again.")
