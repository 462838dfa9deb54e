"""Ids of many items without a Python object each: consecutive numbers, numbers, or texts. N items.

The key of an id is a 64-bit number. An id that is the plain decimal of a number below 2^63 has this number, so it is
told by its key alone; any other has a hash with the highest bit set, which two ids may share: its bytes are the
coefficients of a polynomial, taken at a fixed odd number modulo 2^64.

The three forms have: `keys()`, uint64 (N,); `texts(items)`, the ids of some items as str; `kept(live)`, those that a
mask (N,) names; `part(start, stop)`, a range of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUMBERS_BELOW = 2**63
_POINT = np.uint64(0x9E3779B97F4A7C15)
_TENS = np.uint64(10) ** np.arange(1, 19, dtype=np.uint64)
_TEXTS_AT_ONCE = 2**11  # of which hashes are made: in a core's cache


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
        parts = [_hashes(self.part(start, min(start + _TEXTS_AT_ONCE, len(self))))
                 for start in range(0, len(self), _TEXTS_AT_ONCE)]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def texts(self, items: np.ndarray) -> list[str]:
        starts, ends = (places.tolist() for places in self._places(items))
        content = self.bytes.data
        return [str(content[start:end], "utf-8", "surrogatepass") for start, end in zip(starts, ends, strict=True)]

    def equal(self, items: np.ndarray, other: "Texts", others: np.ndarray) -> np.ndarray:
        """Whether each of the texts `items` is that of `other` in `others`, bool."""
        parts = [slice(start, start + _TEXTS_AT_ONCE) for start in range(0, len(items), _TEXTS_AT_ONCE)]
        return np.concatenate([np.empty(0, bool), *(self._equal(items[part], other, others[part]) for part in parts)])

    def _equal(self, items: np.ndarray, other: "Texts", others: np.ndarray) -> np.ndarray:
        (ours, ends), (theirs, their_ends) = self._places(items), other._places(others)
        lengths = ends - ours
        same = lengths == their_ends - theirs
        ours, theirs, lengths = ours[same], theirs[same], lengths[same]
        ends = lengths.cumsum()
        places = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        differ = self.bytes[np.repeat(ours, lengths) + places] != other.bytes[np.repeat(theirs, lengths) + places]
        same[same] = _sums(differ, ends - lengths, ends) == 0
        return same

    def _places(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where texts start and end, int64; within the bytes, also where damage says otherwise."""
        starts = self.ends[np.maximum(items, 1) - 1] * (items > 0).astype(np.uint64)
        starts, ends = (np.minimum(places, np.uint64(len(self.bytes))) for places in (starts, self.ends[items]))
        return starts.astype(np.int64), ends.astype(np.int64)

    def begin_with(self, start: str) -> np.ndarray:
        """Which of the texts do, bool (N,)."""
        wanted = start.encode("utf-8", "surrogatepass")
        starts, ends = self._places(np.arange(len(self)))
        left = np.flatnonzero(ends - starts >= len(wanted))
        for place, byte in enumerate(wanted):
            left = left[self.bytes[starts[left] + place] == byte]
        found = np.zeros(len(self), bool)
        found[left] = True
        return found

    def kept(self, live: np.ndarray) -> "Ids":
        lengths = np.diff(self.ends, prepend=np.uint64(0))
        return Texts(self.bytes[np.repeat(live, lengths.astype(np.int64))], lengths[live].cumsum(dtype=np.uint64))

    def part(self, start: int, stop: int) -> "Texts":
        base = self.ends[start - 1] if start else np.uint64(0)
        return Texts(self.bytes[int(base):int(self.ends[stop - 1])], self.ends[start:stop] - base)


Ids = Consecutive | Numbers | Texts


def _numbers(ids: Sequence[str]) -> np.ndarray | None:
    """The numbers of `ids`, uint64; None unless all are plain decimals below 2^63."""
    together = " ".join(ids)
    content = np.frombuffer(together.encode("utf-8", "surrogatepass"), np.uint8)
    num_digits = np.count_nonzero(content - np.uint8(ord("0")) < 10)
    if not ids or not all(ids) or num_digits != len(content) - (len(ids) - 1):
        return None
    values = np.fromstring(together, np.uint64, sep=" ")
    without_zeros = len(ids) + np.searchsorted(_TENS, values, "right").sum()  # digits, but those zeros that lead
    return values if without_zeros == num_digits and values.max() < NUMBERS_BELOW else None


def _hashes(texts: Texts) -> np.ndarray:
    """The keys of texts, among which may be numbers."""
    starts, ends = texts._places(np.arange(len(texts)))
    lengths, content = ends - starts, texts.bytes
    powers = np.array(_POINT).repeat(lengths.max(initial=0) + 1).cumprod()
    terms = (content + np.uint64(1)) * powers[np.arange(len(content)) - np.repeat(starts, lengths)]
    keys = _sums(terms, starts, ends) | np.uint64(NUMBERS_BELOW)
    short = np.flatnonzero((lengths > 0) & (lengths <= len(str(NUMBERS_BELOW))))
    short = short[content[starts[short]] - np.uint8(ord("0")) < 10]  # few are looked at in full
    for item, text in zip(short, texts.texts(short), strict=True):
        if text.isascii() and text.isdecimal() and int(text) < NUMBERS_BELOW and text == str(int(text)):
            keys[item] = int(text)
    return keys


def _sums(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The sums of the parts `starts` to `ends` of `values`, modulo 2^64."""
    before = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=before[1:], dtype=np.uint64)
    return before[ends] - before[starts]


def ids_of(given: Sequence[str]) -> Ids:
    """`given` in the form that takes the least room."""
    numbers = _numbers(given)
    return _as_texts(given) if numbers is None else _tight(Numbers(numbers))


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


def _as_texts(given: Sequence[str]) -> Texts:
    together = "".join(given)
    parts: Sequence[str | bytes] = given  # as long as they are encoded
    if not together.isascii():
        parts = [item.encode("utf-8", "surrogatepass") for item in given]
    ends = np.fromiter(map(len, parts), np.uint64, len(parts)).cumsum(dtype=np.uint64)
    return Texts(np.frombuffer(together.encode("utf-8", "surrogatepass"), np.uint8), ends)
