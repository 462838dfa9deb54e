"""Ids of many items without a Python object each: consecutive numbers, numbers, or texts. N items.

The key of an id is a 64-bit number. An id that is the plain decimal of a number below 2^63 has this number, so it is
told by its key alone; any other has a hash with the highest bit set, which two ids may share.

The three forms have: `keys()`, uint64 (N,); `texts(items)`, the ids of some items as str; `kept(live)`, those that a
mask (N,) names; `part(start, stop)`, a range of them.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

NUMBERS_BELOW = 2**63


@dataclass(frozen=True)
class Consecutive:
    """The numbers from `first` on."""

    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def keys(self) -> np.ndarray:
        return np.arange(self.first, self.first + self.count, dtype=np.uint64)

    def texts(self, items: np.ndarray) -> list[str]:
        return [str(self.first + int(item)) for item in items]

    def kept(self, live: np.ndarray) -> "Ids":
        return Numbers(self.keys()[live])

    def part(self, start: int, stop: int) -> "Ids":
        return Consecutive(self.first + start, stop - start)


@dataclass(frozen=True)
class Numbers:
    """Any numbers, uint64 (N,) below 2^63."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def keys(self) -> np.ndarray:
        return np.asarray(self.values)

    def texts(self, items: np.ndarray) -> list[str]:
        return [str(value) for value in self.values[items].tolist()]

    def kept(self, live: np.ndarray) -> "Ids":
        return Numbers(self.values[live])

    def part(self, start: int, stop: int) -> "Ids":
        return Numbers(self.values[start:stop])


@dataclass(frozen=True)
class Texts:
    """Texts in UTF-8, one behind the other, uint8; `ends` uint64 (N,) has where each of them ends."""

    bytes: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def keys(self) -> np.ndarray:
        return keys_of(self.texts(np.arange(len(self))))

    def texts(self, items: np.ndarray) -> list[str]:
        ends, starts = self.ends[items].tolist(), (self.ends[np.maximum(items, 1) - 1] * (items > 0)).tolist()
        return [bytes(self.bytes[int(start):int(end)]).decode("utf-8", "surrogatepass")
                for start, end in zip(starts, ends, strict=True)]

    def kept(self, live: np.ndarray) -> "Ids":
        lengths = np.diff(self.ends, prepend=np.uint64(0))
        return Texts(self.bytes[np.repeat(live, lengths.astype(np.int64))], lengths[live].cumsum(dtype=np.uint64))

    def part(self, start: int, stop: int) -> "Ids":
        base = self.ends[start - 1] if start else np.uint64(0)
        return Texts(self.bytes[int(base):int(self.ends[stop - 1])], self.ends[start:stop] - base)


Ids = Consecutive | Numbers | Texts


def key_of(item: str) -> int:
    """The key of the id `item`."""
    if item.isascii() and item.isdecimal() and (item == "0" or item[0] != "0") and int(item) < NUMBERS_BELOW:
        return int(item)
    digest = hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") | NUMBERS_BELOW


def keys_of(ids: Sequence[str]) -> np.ndarray:
    """The keys of `ids`, uint64."""
    together = "".join(ids)
    if all(ids) and together.isascii() and together.isdecimal():  # numbers, as most are, are read at once
        texts = np.array(ids)
        if texts.itemsize // 4 < len(str(NUMBERS_BELOW)):
            values = texts.astype(np.uint64)
            if (values.astype(texts.dtype) == texts).all():  # none has leading zeros
                return values
    return np.fromiter(map(key_of, ids), np.uint64, len(ids))


def ids_of(given: Sequence[str]) -> Ids:
    """`given` in the form that takes the least room."""
    keys = keys_of(given)
    if (keys >= NUMBERS_BELOW).any():
        return _as_texts(given)
    return _tight(Numbers(keys))


def concatenate(parts: Sequence[Ids]) -> Ids:
    """The ids of `parts`, one behind the other."""
    if not any(isinstance(part, Texts) for part in parts):
        return _tight(Numbers(np.concatenate([part.keys() for part in parts])))
    texts = [part if isinstance(part, Texts) else _as_texts(part.texts(np.arange(len(part)))) for part in parts]
    before = np.cumsum([0, *(len(part.bytes) for part in texts)]).astype(np.uint64)
    return Texts(np.concatenate([part.bytes for part in texts]),
                 np.concatenate([part.ends + start for part, start in zip(texts, before, strict=False)]))


def _tight(numbers: Numbers) -> Ids:
    values = numbers.values
    if len(values) and (np.diff(values) == 1).all():
        return Consecutive(int(values[0]), len(values))
    return numbers


def _as_texts(given: Iterable[str]) -> Texts:
    encoded = [item.encode("utf-8", "surrogatepass") for item in given]
    ends = np.fromiter(map(len, encoded), np.uint64, len(encoded)).cumsum(dtype=np.uint64)
    return Texts(np.frombuffer(b"".join(encoded), np.uint8), ends)
