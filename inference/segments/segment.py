"""One segment of a mapped index: files that are written once and then only mapped. N items, W words in a code.

    NAME.codes    uint64 (N, W)
    NAME.ids      numbers uint64 (N,), or the texts one behind the other, whose ends are NAME.ends, uint64 (N,)
    NAME.keys     the ids' keys in ascending order, uint64 (N,), and NAME.order, uint32 (N,), the item of each
    NAME.G.removed  uint32, ascending: the items that are no more, as of the generation G of the manifest

Consecutive ids need no file, and ascending numbers are their own keys.
"""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.segments.ids import NUMBERS_BELOW, Consecutive, Ids, Numbers, Texts
from utils.errors import UserError
from utils.files.writing import whole_file

MOST_ITEMS = 2**24
_TYPES: Mapping[str, type[np.generic]] = {"codes": np.uint64, "ids": np.uint64, "bytes": np.uint8, "ends": np.uint64,
                                          "keys": np.uint64, "order": np.uint32, "removed": np.uint32}
_CRC_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Segment:
    """What the manifest says of a segment, and its files, mapped.

    `files`: by what they hold, [name, bytes, CRC-32]. `lowest` and `highest`: of the keys.
    """

    folder: Path
    count: int
    words: int
    lowest: int
    highest: int
    first: int | None
    files: Mapping[str, list]
    arrays: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def codes(self) -> np.ndarray:
        """The codes as they are searched, uint8 (N, 8 W)."""
        return self.arrays["codes"].view(np.uint8).reshape(self.count, 8 * self.words)

    def rows(self, items: np.ndarray) -> np.ndarray:
        """A copy of the codes of `items`, told by number or by a mask, in the form of `codes`."""
        return np.asarray(self.arrays["codes"].reshape(self.count, self.words)[items]).view(np.uint8)

    @property
    def ids(self) -> Ids:
        if self.first is not None:
            return Consecutive(self.first, self.count)
        return Texts(self.arrays["bytes"], self.arrays["ends"]) if "ends" in self.arrays else Numbers(
            self.arrays["ids"])

    @property
    def removed(self) -> np.ndarray:
        """The items that are no more, ascending."""
        return self.arrays.get("removed", np.empty(0, np.uint32))

    @property
    def num_live(self) -> int:
        return self.count - len(self.removed)

    def find(self, keys: np.ndarray, ids: Ids, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the asked `ids` are among the items that are left: (which place in `keys`, its item), both int64.

        Args:
            keys: those of `ids`, uint64, ascending. order: whose they are.
        """
        part = slice(int(np.searchsorted(keys, np.uint64(self.lowest), "left")),
                     int(np.searchsorted(keys, np.uint64(self.highest), "right")))
        asked = keys[part]
        if not len(asked):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        which, items = self._candidates(asked)
        if len(items) and items.max() >= self.count:
            raise UserError(f"{self.folder}/{self.files['order'][0]}: damaged, it names items that are not there. "
                            "Bring the file back, or make the index anew.")
        which = which + part.start
        same = keys[which] < np.uint64(NUMBERS_BELOW)
        if len(hashed := np.flatnonzero(~same)):
            assert isinstance(self.ids, Texts)  # others have numbers alone
            assert isinstance(ids, Texts)
            same[hashed] = self.ids.equal(items[hashed], ids, order[which[hashed]])
        if len(self.removed):
            same &= ~np.isin(items, self.removed)
        return which[same], items[same]

    def _candidates(self, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of asked keys and items of equal key."""
        if self.first is not None:
            return np.arange(len(asked)), (asked - np.uint64(self.first)).astype(np.int64)
        keys = self.arrays.get("keys", self.arrays.get("ids"))
        assert keys is not None
        found, which, places = [], np.arange(len(asked)), np.searchsorted(keys, asked, "left")
        while len(which):  # once, and once more for each hash that one id has had before another
            equal = keys[np.minimum(places, len(keys) - 1)] == asked[which]
            which, places = which[equal & (places < len(keys))], places[equal & (places < len(keys))]
            found.append((which, places))
            places = places + 1
        which, places = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return which, (self.arrays["order"][places].astype(np.int64) if "order" in self.arrays else places)

    def live(self) -> np.ndarray:
        """Which items are left, bool (N,)."""
        found = np.ones(self.count, bool)
        found[self.removed] = False
        return found

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"count": self.count, "words": self.words, "lowest": self.lowest, "highest": self.highest,
                "first": self.first, "files": dict(self.files)}

    def without(self, items: np.ndarray, generation: int) -> "Segment":
        """The same with `items` removed, in a new file."""
        name = self.files["codes"][0].partition(".")[0]
        removed = np.union1d(self.removed, items).astype(np.uint32)
        files = {**self.files, "removed": _write(self.folder / f"{name}.{generation}.removed", removed)}
        return map_segment(self.folder, {**self.entry(), "files": files})

    def damage(self) -> str | None:
        """The name of a file whose content is not what was written, or None."""
        return next((name for what, (name, _, crc) in self.files.items() if _crc(self.arrays[what]) != crc), None)


def write_segment(folder: Path, name: str, codes: np.ndarray, ids: Ids) -> Segment:
    """Writes a segment of `codes`, uint64 (N, W), 1 <= N <= MOST_ITEMS; each file is on the disk when this returns.

    Raises:
        UserError: the operating system refused to write.
    """
    keys = ids.keys()
    arrays: dict[str, np.ndarray] = {"codes": codes}
    if not isinstance(ids, Consecutive):
        arrays |= {"bytes": ids.bytes, "ends": ids.ends} if isinstance(ids, Texts) else {"ids": keys}
        if isinstance(ids, Texts) or not (keys[1:] > keys[:-1]).all():
            order = keys.argsort(kind="stable").astype(np.uint32)
            arrays |= {"keys": keys[order], "order": order}
    files = {what: _write(folder / f"{name}.{'ids' if what == 'bytes' else what}", array)
             for what, array in arrays.items()}
    return map_segment(folder, {
        "count": len(codes), "words": codes.shape[1], "lowest": int(keys.min()), "highest": int(keys.max()),
        "first": ids.first if isinstance(ids, Consecutive) else None, "files": files})


def map_segment(folder: Path, entry: Mapping[str, Any]) -> Segment:
    """The segment that a manifest has as `entry`.

    Raises:
        FileNotFoundError, UserError: a file is missing, or not as long as it was written.
    """
    arrays = {}
    for what, (name, size, _) in entry["files"].items():
        path = folder / os.path.basename(name)
        if os.stat(path).st_size != size:
            raise UserError(f"{path}: {os.stat(path).st_size} bytes, {size} were written. Bring the file back, or make "
                            "the index anew.")
        arrays[what] = np.memmap(path, _TYPES[what], "r") if size else np.empty(0, _TYPES[what])
    segment = Segment(folder, arrays=arrays, **entry)
    removed = segment.removed
    if segment.codes.shape != (segment.count, 8 * segment.words) or (len(removed) and removed[-1] >= segment.count):
        raise ValueError(f"{entry['files']} hold other than {segment.count} items")
    return segment


def _write(path: Path, array: np.ndarray) -> list:
    array = np.ascontiguousarray(array)
    with whole_file(path) as part:
        array.tofile(part)
    return [path.name, array.nbytes, _crc(array)]


def _crc(array: np.ndarray) -> int:
    found, content = 0, array.reshape(-1).view(np.uint8)
    for start in range(0, len(content), _CRC_AT_ONCE):
        found = zlib.crc32(content[start:start + _CRC_AT_ONCE].data, found)
    return found
