"""What a split of features holds, as one digest, and the file in which it is kept between runs."""

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from dataset.pictures import ItemFile
from utils.errors import UserError
from utils.files.cache import private_folder
from utils.files.writing import whole_file

SCHEME = "all:"  # begins a digest of every video; the ones before, of 256 videos, are bare hexadecimal numbers
_SETTLED = 2e9  # ns: a file written to more recently may change again and show the same time


class Digest:
    """The digest of the videos of a split, told block by block in their order.

    SHA-256 over shape, stored type and every value, as float16 where that is what is stored, else as float32. Paths,
    dates, compression and the division into files do not enter.
    """

    def __init__(self, shape: tuple[int, ...], stored: np.dtype) -> None:
        self._kind = "<f2" if stored.name == "float16" else "<f4"
        self._sum = hashlib.sha256(f"{shape} {stored.name}".encode())
        self._begun = time.time_ns()

    def add(self, block: np.ndarray) -> None:
        """The next videos (n, T, F), float16 or float32."""
        self._sum.update(np.ascontiguousarray(block, self._kind).data.cast("B"))

    def keep(self, files: Sequence[ItemFile]) -> str:
        """The digest, once all videos of `files` were told, and kept for later runs if these can be recognised."""
        found = SCHEME + self._sum.hexdigest()
        stamps = [mark for file in files for mark in file.stamp]
        if max(moment for mark in stamps for moment in mark[2:]) < self._begun - _SETTLED:
            place = _place(files)
            with suppress(UserError, OSError):  # no room: the next run reads the files again
                if place is not None:
                    _write(place, stamps, found)
        return found


def kept_digest(files: Sequence[ItemFile]) -> str | None:
    """The digest that an earlier run has kept of `files`, if they have the same inodes, sizes and times as then."""
    place = _place(files)
    if place is None:
        return None
    try:
        text, _, check = place.read_text(encoding="utf-8").partition("\n")
        content = json.loads(text)
        same = content["files"] == [list(mark) for file in files for mark in file.stamp]
        return str(content["digest"]) if check == _check(text) and same else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or damaged
        return None


def _place(files: Sequence[ItemFile]) -> Path | None:
    folder = private_folder("fingerprints")
    names = json.dumps([[str(Path(file.path).absolute()), file.key, file.shape, file.dtype.name] for file in files])
    return folder and folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.json"


def _write(place: Path, stamps: Sequence[tuple], digest: str) -> None:
    text = json.dumps({"files": stamps, "digest": digest})
    with whole_file(place) as part:
        part.write_text(f"{text}\n{_check(text)}", encoding="utf-8")


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
