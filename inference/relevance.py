"""Which database items are relevant to which query. Q queries, N database items, C classes."""

import numpy as np

from inference import nearest_codes
from inference.nearest_codes import Labels

_PAIRS_AT_ONCE = 2**18
_ROWS_AT_ONCE = 512


class Relevance:
    """Relevance of items to queries by shared classes: label rows with a class in common.

    `num_relevant` (Q,): how many database items are relevant to each query (R in the metrics).
    `queries`, `items`: the classes as bit sets, uint64 (Q, words) and (N, words).
    """

    def __init__(self, query_labels: np.ndarray, database_labels: np.ndarray, *, exclude_self: bool = False):
        """From multi-hot labels (Q, C) and (N, C); nonzero means "has the class".

        Args:
            exclude_self: the queries are the database, and item i never counts as relevant to query i.

        Raises:
            ValueError: the labels are not 2-D or differ in C.
        """
        query_labels, database_labels = np.asarray(query_labels), np.asarray(database_labels)
        are_tables = query_labels.ndim == database_labels.ndim == 2
        if not are_tables or query_labels.shape[1] != database_labels.shape[1]:
            raise ValueError("labels have shapes (Q, C) and (N, C), not "
                             f"{query_labels.shape} and {database_labels.shape}.")
        self.queries, self.items = _class_words(query_labels), _class_words(database_labels)
        self._exclude_self = exclude_self
        self.num_relevant = self._count()

    def of(self, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether items[m] is relevant to queries[m]: bool of the shape (M,) of both index arrays."""
        relevant = np.empty(len(queries), bool)
        for start in range(0, len(queries), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            relevant[part] = (self.queries[queries[part]] & self.items[items[part]]).any(axis=1)
        if self._exclude_self:
            relevant &= queries != items
        return relevant

    def row(self, query: int) -> np.ndarray:
        """Whether each database item is relevant to `query`: bool (N,)."""
        shared = np.zeros(len(self.items), np.uint64)
        for word in range(self.queries.shape[1]):
            shared |= self.queries[query, word] & self.items[:, word]
        relevant = shared != 0
        if self._exclude_self:
            relevant[query] = False
        return relevant

    def _count(self) -> np.ndarray:
        """R by distinct label rows: videos of one class need one count."""
        rows, row_of_query = _distinct(self.queries)
        kinds, kind_of_item = _distinct(self.items)
        count = _count_in_numpy if nearest_codes.unavailable() else nearest_codes.weigh_relevant
        counts = count(Labels(rows, kinds), np.bincount(kind_of_item))
        own = (self.queries != 0).any(axis=1) if self._exclude_self else 0
        return counts[row_of_query] - own


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of (N, words), and which of them each row is, (N,)."""
    number = np.zeros(len(rows), np.int64)
    for column in rows.T:
        values, place = np.unique(column, return_inverse=True)
        _, first, number = np.unique(number * len(values) + place, return_index=True, return_inverse=True)
    return rows[first], number


def _count_in_numpy(labels: Labels, sizes: np.ndarray) -> np.ndarray:
    """As `nearest_codes.weigh_relevant`, by products of class sets as zeros and ones."""
    rows, kinds = (np.unpackbits(sets.view(np.uint8), axis=1).astype(np.float32)
                   for sets in (labels.queries, labels.items))
    counts, kinds = np.empty(len(rows), np.int64), kinds.T.copy()
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        counts[block] = (rows[block] @ kinds > 0) @ sizes.astype(np.float64)
    return counts


def _class_words(labels: np.ndarray) -> np.ndarray:
    """Multi-hot labels (N, C) as bit sets, uint64 (N, max(1, ceil(C/64)))."""
    bits = np.packbits(labels != 0, axis=1)
    padded = np.zeros((len(bits), 8 * max(1, -(-bits.shape[1] // 8))), np.uint8)
    padded[:, :bits.shape[1]] = bits
    return padded.view(np.uint64)
