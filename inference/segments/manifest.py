"""The manifest of a mapped index: a JSON file that names its segments, swapped whole at every change."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.segments.segment import Segment, map_segment
from utils.errors import UserError
from utils.files.writing import write_text

NAME = "manifest.json"
FORMAT = 2
_TRIES = 20  # to map files that a writer may just have replaced


@dataclass(frozen=True)
class Manifest:
    """One state of the index in `folder`; `generation` counts them, `named` the segments that ever were.

    `fingerprint` and `made_from` as of a `CodeSet`.
    """

    folder: Path
    num_bits: int
    fingerprint: str = ""
    made_from: dict[str, Any] = field(default_factory=dict)
    generation: int = 0
    named: int = 0
    segments: tuple[Segment, ...] = ()

    def swap_in(self) -> None:
        """Makes this the state of the folder. Readers of another state keep theirs.

        Raises:
            UserError: the operating system refused to write; the state before stays.
        """
        about = {"format": FORMAT, "num_bits": self.num_bits, "fingerprint": self.fingerprint,
                 "made_from": self.made_from, "generation": self.generation, "named": self.named,
                 "segments": [segment.entry() for segment in self.segments]}
        write_text(self.folder / NAME, json.dumps(about | {"checksum": _checksum(about)}, indent=1) + "\n")

    def remove_strangers(self) -> None:
        """Deletes the files that are not of this state; only for the one writer. Who has them mapped keeps them."""
        own = {NAME} | {entry[0] for segment in self.segments for entry in segment.files.values()}
        for path in _files(self.folder):
            if path.name not in own:
                with suppress(FileNotFoundError):
                    path.unlink()


def is_mapped_index(path: str | os.PathLike) -> bool:
    """Whether `path` is the folder of a mapped index."""
    return (Path(path) / NAME).is_file()


def read_manifest(path: str | os.PathLike) -> Manifest:
    """The state of the index in the folder `path`.

    Raises:
        UserError: no such folder, another format, or damage.
    """
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            return _read(Path(path))
        except FileNotFoundError as error:
            if last or not is_mapped_index(path):
                raise UserError(f"{error.filename}: no such file. Bring it back, or make the index anew with "
                                "search.py index.") from error
    raise AssertionError


def _read(folder: Path) -> Manifest:
    path = folder / NAME
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found, kind = about.pop("checksum"), about.pop("format")
        if kind != FORMAT:
            raise UserError(f"{path}: format {kind}, this version reads {FORMAT}. Update this program, or make the "
                            "index anew.")
        if found != _checksum({"format": kind} | about):
            raise ValueError("its content does not fit its checksum")
        entries = about.pop("segments")
        return Manifest(folder, segments=tuple(map_segment(folder, entry) for entry in entries), **about)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged ({reason}). Bring it back, or make the index anew with search.py "
                        "index.") from error


def _files(folder: Path) -> Iterator[Path]:
    """The files that belong to an index by their names, and what killed writers left of such."""
    for path in folder.iterdir():
        name = path.name.removeprefix(".")
        if name[:8].isdecimal() or (path.name != name and name.startswith(NAME)):
            yield path


def _checksum(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
