"""The k nearest packed codes by `nearest_codes.cpp`, compiled at its first use. N database items, Q queries, K bits."""

import ctypes
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from inference.ties import Ranks
from utils.cpus import available_cpus
from utils.native import load_library

FOLDER = Path(__file__).parent
SOURCES, HEADERS = [FOLDER / "nearest_codes.cpp", FOLDER / "count_codes.cpp"], [FOLDER / "hamming.h"]
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread")
MAX_SCRATCH = 2**28  # bytes that one query may remember; more is left to numpy
_BITS_AT_ONCE = 2**19  # classes of items that are looked at at once: in a core's cache


@dataclass(frozen=True)
class Labels:
    """Class sets of the queries and the items as bit words, uint64 (Q, C) and (N, C): relevant where they meet."""

    queries: np.ndarray
    items: np.ndarray

    @cached_property
    def members(self) -> np.ndarray:
        """The items that each bit of `items` is set in, as bits, uint64 (64 C, ceil(N / 64)); bit i is 1 << i."""
        num_items, num_classes = len(self.items), 64 * self.items.shape[1]
        found = np.zeros((num_classes, -(-num_items // 64)), np.uint64)
        at_once = max(1, _BITS_AT_ONCE // num_classes)
        for start in range(0, num_items, at_once):
            rows = np.unpackbits(self.items[start:start + at_once].view(np.uint8), axis=1, bitorder="little")
            item, its_class = np.divmod(np.flatnonzero(rows), num_classes)
            item += start
            np.bitwise_or.at(found, (its_class, item >> 6), np.uint64(1) << (item & 63).astype(np.uint64))
        return found

    def of_queries(self, rows: slice) -> "Labels":
        """The same of some of the queries; `members` is not made again."""
        part = Labels(self.queries[rows], self.items)
        part.__dict__["members"] = self.members
        return part


def unavailable() -> str | None:
    """None if the kernel can be used, else one line saying why not. The first call compiles (about 2 s)."""
    library = _library()
    return library if isinstance(library, str) else None


def supports(num_bytes: int, num_items: int, k: int, exclude_self: bool = False) -> bool:
    """Whether the kernel takes a search for k among `num_items` codes of `num_bytes` bytes."""
    words = -(-num_bytes // 8)
    return (1 <= k <= num_items - exclude_self and num_items < 2**32 and words <= 1000
            and (64 * words + 1) * (k + 2) * 4 <= MAX_SCRATCH)


def nearest_items(query_bits: np.ndarray, database_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Items (Q, k) int64 and distances (Q, k) uint16 of the k nearest codes, ties by database index.

    Args:
        query_bits, database_bits: uint8 (Q, bytes) and (N, bytes), from `inference.codes.pack`.
    """
    items, distances = np.empty((len(query_bits), k), np.int64), np.empty((len(query_bits), k), np.uint16)
    _run(_Search(items=_address(items), distances=_address(distances)), words(query_bits), words(database_bits), k)
    return items, distances


def nearest_ranks(queries: np.ndarray, database: np.ndarray, k: int, labels: Labels, *,
                  own_from: int | None = None, threads: int | None = None) -> Ranks:
    """The first k ranks of each query, with whole tie groups counted.

    Args:
        queries, database: the codes as `words`.
        labels: those of these queries and of the database.
        own_from: query i is item own_from + i and leaves it out of its ranking; None: no query is an item.
        threads: None: `available_cpus()`.
    """
    shape = len(queries), k
    relevant, tables = np.empty(shape, bool), [np.empty(shape, np.int64) for _ in range(4)]
    search = _Search(relevant=_address(relevant), **_relevance(labels, own_from),
                     **dict(zip(("n", "r", "above", "hits_above"), map(_address, tables), strict=True)))
    _run(search, queries, database, k, threads=threads)
    return Ranks(relevant, *tables)


def count_codes(queries: np.ndarray, database: np.ndarray, labels: Labels, *,
                own_from: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """How many items, and how many relevant ones, lie at each distance of each query: int64 (Q, 64 W + 1) each.

    Arguments as in `nearest_ranks`; W words in a code.
    """
    items, hits = (np.empty((len(queries), 64 * database.shape[1] + 1), np.int64) for _ in range(2))
    search = _Search(n=_address(items), r=_address(hits), **_relevance(labels, own_from))
    _run(search, queries, database, 0, "count_codes")
    return items, hits


def count_relevant(labels: Labels, *, own_from: int | None = None) -> np.ndarray:
    """How many items are relevant to each query, int64 (Q,); `own_from` as in `nearest_ranks`."""
    counts = np.empty(len(labels.queries), np.int64)
    _call("count_relevant", _Search(n=_address(counts), num_queries=len(counts), num_codes=len(labels.items),
                                    threads=available_cpus(), **_relevance(labels, own_from)))
    return counts


def words(bits: np.ndarray) -> np.ndarray:
    """Packed codes (N, bytes) as uint64 words (N, ceil(bytes / 8)), a view where none need be filled up."""
    num_items, num_bytes = bits.shape
    if num_bytes and num_bytes % 8 == 0 and bits.flags.c_contiguous and bits.ctypes.data % 8 == 0:
        return bits.view(np.uint64)
    padded = np.zeros((num_items, max(1, -(-num_bytes // 8)) * 8), np.uint8)
    padded[:, :num_bytes] = bits
    return padded.view(np.uint64)


_SIZES = ("num_queries", "num_codes", "words", "label_words", "k", "first_query", "own", "threads")


class _Search(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in ("queries", "codes", "query_labels", "members")),
                *((name, ctypes.c_int64) for name in _SIZES),
                *((name, ctypes.c_void_p) for name in ("items", "distances", "relevant", "n", "r", "above",
                                                       "hits_above"))]


def _relevance(labels: Labels, own_from: int | None) -> dict[str, int]:
    """What of a `_Search` says which items are relevant, and which of them is the query itself."""
    return {"query_labels": _address(labels.queries), "members": _address(labels.members),
            "label_words": labels.items.shape[1], "own": own_from is not None, "first_query": own_from or 0}


def _address(array: np.ndarray) -> int:
    assert array.flags.c_contiguous
    return array.ctypes.data


def _run(search: _Search, queries: np.ndarray, database: np.ndarray, k: int, what: str = "nearest_codes",
         threads: int | None = None) -> None:
    if not len(queries):
        return
    queries, database = np.ascontiguousarray(queries), np.ascontiguousarray(database)
    search.queries, search.codes = _address(queries), _address(database)
    search.num_queries, search.k = len(queries), k
    search.num_codes, search.words = database.shape
    search.threads = threads or available_cpus()
    _call(what, search)


def _call(what: str, search: _Search) -> None:
    library = _library()
    if isinstance(library, str):
        raise RuntimeError(f"the compiled search cannot be used: {library}")
    if getattr(library, what)(ctypes.byref(search)):
        raise MemoryError(f"{what} ran out of memory")


@cache
def _library() -> ctypes.CDLL | str:
    return load_library(SOURCES, FLAGS, "nearest_codes", HEADERS)
