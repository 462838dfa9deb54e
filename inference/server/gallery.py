"""Items of an index with their videos: what is nearest, how it looks. N items, K bits."""

import queue
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from dataset.extraction.decoders import Decoder
from dataset.extraction.recipe import Recipe
from dataset.extraction.store import labels_of
from inference.code_set import CodeSet
from inference.codes import pack, unpack
from inference.figures import png_bytes
from inference.index import Index
from inference.segments.index import MappedIndex

MOST_RESULTS = 100
NUM_FRAMES, SIDE = 6, 96  # of a film strip
_SECONDS = 10.0  # that a film strip may take
_DECODERS = 2
_FILMS_KEPT = 256


class Gallery:
    """What can be asked of an index.

    Args:
        index: of which the items have labels where it is in memory.
        videos: id of a whole video -> its file; items without one have no film.
        encode: the codes of a video file, one, and why it cannot be read where it cannot; None: no model is here.
    """

    def __init__(self, index: Index | MappedIndex, videos: Mapping[str, Path],
                 encode: Callable[[Path], tuple[CodeSet | None, str]] | None) -> None:
        self.index, self.encode, self._videos = index, encode, videos
        self.num_bits = index.about.num_bits
        index.code("")  # what ids are looked up in is made now, once, and not by the first requests
        names = [] if isinstance(index, MappedIndex) else list(index.codes.ids)
        found = labels_of(names)
        self.labels: list[str] = [] if found is None else found[1]
        self._label_of = {} if found is None else dict(zip(names, found[0].tolist(), strict=True))
        self.film = lru_cache(_FILMS_KEPT)(self._film)
        self._of_label: dict[str, Index] = {}

    @cached_property
    def _decoders(self) -> "queue.SimpleQueue[Decoder]":
        decoders: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for _ in range(_DECODERS):
            decoders.put(Decoder(_SECONDS))
        return decoders

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.index.code(name) is not None

    def label(self, name: str) -> str | None:
        """The label of an item, the first folder of its id, where the items have any."""
        return self.labels[self._label_of[name]] if self.labels else None

    def item(self, name: str) -> dict[str, Any]:
        """What there is to say of the item `name`, ready for JSON."""
        found, code = self.place(name) is not None, self.index.code(name)
        assert code is not None
        return {"id": name, "label": self.label(name), "code": self.bits_as_text(code),
                "film": f"/film?id={quote(name, safe='')}" if found else None,
                "video": f"/video?id={quote(name, safe='')}{_fragment(name)}" if found else None}

    def names(self, label: str | None, start: int, count: int) -> tuple[list[str], int]:
        """The ids of `count` items from `start` on, of that label or of any, and how many there are."""
        index = self.index if label is None else self._index(label)
        return index.names(start, count), len(index)

    def bits_as_text(self, bits: np.ndarray) -> str:
        """A packed code (1, ceil(K/8)) as 0110..."""
        return "".join("1" if sign > 0 else "0" for sign in unpack(bits, self.num_bits)[0])

    def bits_of_text(self, text: str) -> np.ndarray:
        """The packed code of 0110..., of K signs."""
        return pack(np.array([[1 if sign == "1" else -1 for sign in text]], np.int8))

    def nearest(self, bits: np.ndarray, k: int, label: str | None = None,
                without: str | None = None) -> list[dict[str, Any]]:
        """The k nearest items to a packed code, with rank and Hamming distance, of `label` alone where it is named.

        `without`: an item that is left out.
        """
        index = self.index if label is None else self._index(label)
        ids, distances = index.search(bits, k + (without is not None))
        kept = [(name, int(distance)) for name, distance in zip(ids[0], distances[0], strict=True) if name != without]
        return [{"rank": rank, "distance": distance} | self.item(name)
                for rank, (name, distance) in enumerate(kept[:k], 1)]

    def place(self, name: str) -> Path | None:
        """The file of an item's video, one of those that were found at the start, whatever the id says."""
        return self._videos.get(name) or self._videos.get(name.rpartition("#t=")[0])

    def strip(self, upload: Path) -> np.ndarray | None:
        """Frames of a video from elsewhere side by side, uint8 (SIDE, NUM_FRAMES * SIDE, 3), None where it cannot be
        read; by a process that reads no other video."""
        decoder = Decoder(_SECONDS)
        try:
            return _strip(decoder, upload)
        finally:
            decoder.close()

    def _film(self, name: str) -> bytes | None:
        """A PNG file of such frames of an item's video."""
        place = self.place(name)
        if place is None:
            return None
        decoder = self._decoders.get()
        try:
            film = _strip(decoder, place, None if place == self._videos.get(name) else _seconds(name))
        finally:
            self._decoders.put(decoder)
        return None if film is None else png_bytes(film)

    def _index(self, label: str) -> Index:
        if label not in self._of_label:
            number = self.labels.index(label)
            self._of_label[label] = Index(self.index.codes.only([
                name for name, its in self._label_of.items() if its == number]))
        return self._of_label[label]


def _strip(decoder: Decoder, video: Path, seconds: tuple[float, float] | None = None) -> np.ndarray | None:
    found: list[np.ndarray] = []
    decoder.read(video, Recipe("", "", SIDE, True, NUM_FRAMES), described=False, part=seconds,
                 use=lambda _, frames: found.append(frames))
    return np.concatenate(list(found[0]), axis=1) if found else None


def _fragment(name: str) -> str:
    return f"#t={name.rpartition('#t=')[2]}" if _seconds(name) else ""


def _seconds(name: str) -> tuple[float, float] | None:
    """(start, end) in an id that ends in #t=start,end."""
    _, mark, text = name.rpartition("#t=")
    start, _, end = text.partition(",")
    try:
        return (float(start), float(end)) if mark else None
    except ValueError:
        return None
