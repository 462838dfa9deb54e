"""What extraction keeps: each finished video at once, and in the end one HDF5 file. N items, T frames, F features."""

import importlib.util
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dataset.extraction.recipe import ATTRIBUTE, Recipe
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import make_folder, whole_file

FAILED, MOST_FAILED = 100, 25  # exit status: FAILED and the number of videos, at most MOST_FAILED
ENDINGS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".flv", ".ogv", ".wmv",
           ".asf", ".gif", ".3gp", ".h264", ".hevc", ".ivf", ".mxf", ".y4m"}


def videos_in(named: Sequence[str | os.PathLike]) -> dict[str, Path]:
    """id -> path of the files and of all videos in the folders `named`. An id is a path from the folder, or a file's
    name.

    Raises:
        UserError: nothing is there, no video is found, two have one id, or PyAV is not installed.
    """
    require_decoder()
    found: dict[str, Path] = {}
    for place in map(Path, named):
        if not place.exists():
            raise UserError(f"{place}: no such file or folder. Correct --videos.")
        paths = [place] if place.is_file() else sorted(
            path for path in place.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        for path in paths:
            name = path.name if place.is_file() else path.relative_to(place).as_posix()
            name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            if name in found:
                raise UserError(f"{path}: {found[name]} has the same id, '{name}'. Name the folder above both.")
            found[name] = path
    if not found:
        raise UserError(f"{', '.join(map(str, named))}: no video here ({', '.join(sorted(ENDINGS))}). Correct "
                        "--videos.")
    return found


def item_id(name: str, seconds: tuple[float, float], whole: bool) -> str:
    """The id of a window of the video `name`: its own where it is the `whole`, else with the seconds (W3C, Media
    Fragments URI 1.0): `walk.mp4#t=10,20`."""
    return name if whole else f"{name}#t={seconds[0]:g},{seconds[1]:g}"


def labels_of(names: Sequence[str], among: Sequence[str] = ()) -> tuple[np.ndarray, list[str]] | None:
    """Class ids (N,) and the names of the classes where every id begins with a folder and there are several, else None.

    `among`: ids whose folders are classes too, those of all shares say.
    """
    folders = [name.partition("/")[0] if "/" in name else "" for name in (*names, *among)]
    classes = sorted(set(folders))
    if "" in classes or len(classes) < 2:
        return None
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place[folder] for folder in folders[:len(names)]]), classes


def close_with_failures(failed: int, total: int) -> None:
    """Ends the program with the exit status that says how many of `total` videos failed; goes on where none did."""
    if failed:
        print(f"{failed} of {total} videos failed", file=sys.stderr)
        raise SystemExit(FAILED + min(MOST_FAILED, failed))


def require_decoder() -> None:
    """Raises UserError where PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        raise UserError("the package av, which reads videos, is not installed. Install it with `pip install -r "
                        "requirements-videos.txt`.")


class Finished:
    """The videos that are done, kept in the folder `folder` so that a killed run goes on behind them.

    Rows are appended to one file, and then told in a line of another with their checksum: what is in both is kept. A
    video whose file has changed since, by size or time, counts as new, and so do all under another `recipe`.
    """

    def __init__(self, folder: str | os.PathLike, recipe: Recipe) -> None:
        self.folder, self._recipe = make_folder(folder), recipe
        self._lines: dict[str, dict[str, Any]] = {}
        self._rows, self._journal = (open(self.folder / name, "a+b")  # noqa: SIM115 - until `close`
                                     for name in ("rows", "journal.jsonl"))
        for file, size in zip((self._rows, self._journal), self._sound(), strict=True):
            file.truncate(size)
        if not self._lines:
            self._journal.truncate(0)
            self._tell({"recipe": recipe.text})

    def _sound(self) -> tuple[int, int]:
        """Takes over what is whole; the number of bytes of both files that is."""
        end = told = 0
        self._rows.seek(0)
        self._journal.seek(0)
        for number, text in enumerate(self._journal):
            try:
                line = json.loads(text)
                if number == 0:
                    if line["recipe"] != self._recipe.text:
                        break
                else:
                    content = self._rows.read(line["bytes"])
                    if len(content) != line["bytes"] or zlib.crc32(content) != line["crc32"]:
                        break
                    self._lines[line["name"]] = line | {"start": end}
                    end += len(content)
                told += len(text)
            except (ValueError, KeyError, TypeError):  # the line that a killed run was at
                break
        return end, told

    def has(self, name: str, path: Path) -> bool:
        """Whether the video `name`, the file at `path`, is done."""
        return self._lines.get(name, {}).get("stamp") == _stamp(path)

    def add(self, name: str, path: Path, windows: Sequence[tuple[tuple[float, float], np.ndarray]]) -> None:
        """Keeps the features of a video, float16 (T, F) of each window."""
        content = np.stack([rows for _, rows in windows]).tobytes()
        start = self._rows.seek(0, os.SEEK_END)
        self._rows.write(content)
        self._rows.flush()
        line = {"name": name, "stamp": _stamp(path), "bytes": len(content), "crc32": zlib.crc32(content),
                "seconds": [seconds for seconds, _ in windows]}
        self._lines[name] = line | {"start": start}
        self._tell(line)

    def items(self, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """(id, float16 (T, F)) of every window of the videos `names` that are done, in their order."""
        for name in names:
            if (line := self._lines.get(name)) is not None:
                self._rows.seek(line["start"])
                content = np.frombuffer(self._rows.read(line["bytes"]), np.float16)
                blocks = content.reshape(len(line["seconds"]), self._recipe.num_frames, -1)
                for seconds, rows in zip(line["seconds"], blocks, strict=True):
                    yield item_id(name, seconds, len(line["seconds"]) == 1), rows

    def shape(self, names: Sequence[str]) -> tuple[int, int, int]:
        """(N, T, F) of `items`."""
        lines = [self._lines[name] for name in names if name in self._lines]
        count = sum(len(line["seconds"]) for line in lines)
        size = sum(line["bytes"] for line in lines) // 2
        return count, self._recipe.num_frames, size // max(1, count * self._recipe.num_frames)

    def close(self, *, remove: bool = False) -> None:
        """Closes the files; `remove`: they are not needed any more."""
        for file in (self._rows, self._journal):
            file.close()
            if remove:
                os.unlink(file.name)
        if remove:
            self.folder.rmdir()

    def _tell(self, line: dict[str, Any]) -> None:
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()


def write_features(out: str | os.PathLike, finished: Finished, names: Sequence[str], recipe: Recipe,
                   among: Sequence[str] = ()) -> int:
    """Writes the features of the videos `names` that are done to the HDF5 file `out`, whole or not at all; N.

    It holds `feats` float16 (N, T, F), `ids`, and where `labels_of` finds any `labels` one-hot (N, classes) and
    `classes`, their names; the attribute `extraction` says how they were made. `among`: see `labels_of`.

    Raises:
        UserError: the operating system refused to write.
    """
    shape = finished.shape(names)
    with whole_file(out) as part, NewHdf5(part) as file:
        feats = file.create_dataset("feats", shape, np.float16)
        ids = []
        for row, (name, rows) in enumerate(finished.items(names)):
            feats[row] = rows
            ids.append(name)
        texts = {"ids": ids}
        if (found := labels_of(ids, among)) is not None:
            file.create_dataset("labels", data=np.eye(len(found[1]), dtype=np.uint8)[found[0]])
            texts["classes"] = found[1]
        for key, values in texts.items():
            file.create_dataset(key, data=np.array(values, object), dtype=h5py.string_dtype())
        file.attrs[ATTRIBUTE] = recipe.text
    return shape[0]


def _stamp(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
