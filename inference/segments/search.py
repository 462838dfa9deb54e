"""The nearest codes over segments, in bounded memory. Q queries, K bits, W words of 64 bits in a code.

Items are numbered through all segments.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from inference.ranking import top_k
from inference.segments.segment import Segment

FEW_REMOVED = 64  # so many are searched for in vain and dropped; of more, what is left is copied first
ROWS_AT_ONCE = 2**21  # of codes copied to be searched
_FAR = np.iinfo(np.int32).max


def nearest(segments: Sequence[Segment], queries: np.ndarray, k: int,
            asked: Sequence[np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
    """Items, int64, and distances, int32, (Q, k), of the nearest codes to queries uint8 (Q, 8 W), ties by item.

    Args:
        k: at most as many as are left.
        asked: of each segment the items to search among, ascending; None: all.
    """
    best = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int32)
    before = 0
    for number, segment in enumerate(segments):
        for items, distances in _within(segment, queries, k, None if asked is None else asked[number]):
            items = np.concatenate([best[0], items + before], axis=1)
            distances = np.concatenate([best[1], distances], axis=1)
            order = distances.argsort(axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(items, order, 1), np.take_along_axis(distances, order, 1)
        before += segment.count
    return best


def texts_of(segments: Sequence[Segment], items: np.ndarray) -> np.ndarray:
    """The ids of `items`, str, in an array of objects of the same shape."""
    starts = np.cumsum([0, *(segment.count for segment in segments)])
    of = np.searchsorted(starts, items, "right") - 1
    found = np.empty(items.shape, object)
    for number in np.unique(of):
        here = of == number
        found[here] = segments[number].ids.texts(items[here] - starts[number])
    return found


def _within(segment: Segment, queries: np.ndarray, k: int,
            rows: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The nearest of the segment's items, or of `rows` of them, that are left: items and distances (Q, at least the
    k nearest), ties by item; in parts that follow each other."""
    removed = segment.removed
    if rows is None and len(removed) <= FEW_REMOVED:
        items, distances = top_k(queries, segment.codes, min(k + len(removed), segment.count))
        yield items, np.where(np.isin(items, removed), _FAR, distances.astype(np.int32))
        return
    rows = np.flatnonzero(segment.live()) if rows is None else rows
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start:start + ROWS_AT_ONCE]
        items, distances = top_k(queries, segment.rows(part), min(k, len(part)))
        yield part[items], distances.astype(np.int32)
