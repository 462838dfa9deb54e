"""Pictures in files of their own: what lists and folders name, decoding, and a list read as an array of pictures."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.feature_file import ChangedError, FeatureFile
from dataset.raw_rows import widen
from utils.cpus import available_cpus
from utils.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_ALONE = 64  # pictures that one thread decodes by itself: who asks for so few has threads of its own


@dataclass(frozen=True)
class Listed:
    """Pictures and what they show: `paths` N of them, `labels` uint8 (N, classes), `ids` what searches call them."""

    paths: Sequence[Path]
    labels: np.ndarray
    ids: Sequence[str]


def of_list(path: str | os.PathLike, root: str | os.PathLike) -> Listed:
    """The pictures of a list file; paths in it are relative to `root`.

    Raises:
        UserError: the file cannot be read, or a line is no path with a label of as many numbers as the first has.
    """
    try:
        lines = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this list cannot be read ({error}). Name a text file.") from error
    if not lines:
        raise UserError(f"{path}: the list is empty. Name one with a picture on each line.")
    width = len(lines[0])
    for number, words in enumerate(lines, 1):
        if len(words) != width or width < 3 or not set(words[1:]) <= {"0", "1"}:
            raise UserError(f"{path}: line {number} is not a path and {max(2, width - 1)} numbers of 0 and 1. Write "
                            "every line so.")
    names = [words[0] for words in lines]
    labels = np.array([words[1:] for words in lines]).astype(np.uint8)
    return Listed([Path(root, name) for name in names], labels, names)


def of_folders(root: str | os.PathLike) -> Listed:
    """The pictures in the sub-folders of `root`, each a class.

    Raises:
        UserError: there are no two sub-folders with pictures.
    """
    found = [(folder, sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS))
             for folder in sorted(Path(root).iterdir() if Path(root).is_dir() else ()) if folder.is_dir()]
    found = [(folder, paths) for folder, paths in found if paths]
    if len(found) < 2:
        raise UserError(f"{root}: {len(found)} sub-folders with pictures are here, a class each; two are needed. Name "
                        "the folder above them with --folders.")
    classes = np.repeat(np.arange(len(found)), [len(paths) for _, paths in found])
    paths = [path for _, listed in found for path in listed]
    return Listed(paths, np.eye(len(found), dtype=np.uint8)[classes], [str(path.relative_to(root)) for path in paths])


def decoded(path: Path, size: int, stretch: bool) -> np.ndarray:
    """uint8 (size, size, 3).

    Raises:
        UserError: there is no picture at `path`, or it is damaged.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError("the package pillow, which reads pictures, is not installed. Install it with `pip install -r "
                        "requirements-pictures.txt`.") from error
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
        if not stretch:
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            picture = picture.crop((left, top, left + side, top + side))
        return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    except Exception as error:  # a damaged file makes a decoder raise nearly anything
        raise UserError(f"{path}: this picture cannot be read ({' '.join(str(error).split())[:120]}). Replace it, or "
                        "take it out of the list.") from error


def is_list(path: str | os.PathLike) -> bool:
    """Whether `path` is, by its name, a list file as `of_list` reads it."""
    return str(path).endswith(".txt")


class PictureList:
    """The pictures of the list file `path`, decoded whenever they are read: uint8 (N, size, size, 3), as
    `dataset.pack_pictures` packs them. Paths in it are relative to its folder.

    It is to `VideoFeatures` what a `FeatureFile` is. No picture is looked into before it is read.

    Raises:
        UserError: the list cannot be read, a picture is missing, or `item_shape` is not [size, size, 3].
    """

    dtype = np.dtype(np.uint8)
    chunk_rows, contiguous = 1, True

    def __init__(self, path: str | os.PathLike, key: str, role: str, item_shape: Sequence[int]) -> None:
        rows, columns, channels = item_shape
        if rows != columns or channels != 3:
            raise UserError(f"{path}: pictures of a list are read as squares in RGB, but item_shape = "
                            f"{list(item_shape)}. Set it to [size, size, 3].")
        self.path, self.key, self.role = str(path), key, role
        listed = of_list(path, os.path.dirname(path))
        self._paths, self._names = listed.paths, list(listed.ids)
        self.shape = len(self._paths), rows, columns, channels
        self._marks = self._look()
        summary = hashlib.sha256(repr(self._marks).encode()).digest()
        self.stamp = [self._marks[0], (int.from_bytes(summary[:6]), *(
            max(mark[place] for mark in self._marks) for place in (1, 2, 3)))]

    def read(self, rows: np.ndarray, out: np.ndarray, slots: np.ndarray) -> None:
        """out[slots[i]] = picture rows[i], as `FeatureFile.read`.

        Raises:
            ChangedError: the list or one of the pictures was replaced since it was opened.
            UserError: a picture cannot be read.
        """
        def fill(row: int, slot: int) -> None:
            widen(decoded(self._paths[row], self.shape[1], False), out[slot])
            if _mark(self._paths[row])[:3] != self._marks[1 + row][:3]:
                raise ChangedError(f"{self._paths[row]}: this picture was replaced while in use. Put the old one back, "
                                   "or start the command again.")

        if _mark(self.path)[:3] != self._marks[0][:3]:
            raise ChangedError(f"{self.path}: this list was rewritten while in use. Put the old one back, or start the "
                               "command again.")
        if len(rows) <= _ALONE:
            for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
                fill(row, slot)
            return
        with ThreadPoolExecutor(available_cpus(), "decode pictures") as pool:
            for _ in pool.map(fill, rows.tolist(), slots.tolist()):
                pass

    @property
    def changed(self) -> bool:
        """Whether the list or one of its pictures is another file than when it was opened, or was written to."""
        return [mark[:3] for mark in self._look()] != [mark[:3] for mark in self._marks]

    def reopened(self) -> "PictureList":
        """The same list as it is now."""
        return PictureList(self.path, self.key, self.role, self.shape[1:])

    def attribute(self, name: str) -> str:
        """The empty text: a list says nothing of how it was made."""
        return ""

    def texts(self, key: str) -> list[str] | None:
        """The paths of the pictures as the list has them, which are their `ids`; None of any other key."""
        return self._names if key == "ids" else None

    def _look(self) -> list[tuple[int, int, int, int]]:
        """The marks of the list and of each picture."""
        return [_mark(self.path), *map(_mark, self._paths)]


ItemFile = FeatureFile | PictureList
"""Where items of a split lie."""


def _mark(path: str | os.PathLike) -> tuple[int, int, int, int]:
    """(inode, size, time of writing, of change; in ns) of a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # the latter of a name that no file can have
        reason = getattr(error, "strerror", error)
        raise UserError(f"{path}: this picture is not there ({reason}). Put it there, or take it out of the list."
                        ) from error
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
