"""Which database items are relevant to which query. Q queries, N database items, C classes."""

import numpy as np

from inference import nearest_codes
from inference.nearest_codes import Labels

_PAIRS_AT_ONCE = 2**18


class Relevance:
    """Relevance of items to queries by shared classes: label rows with a class in common.

    `num_relevant` (Q,): how many database items are relevant to each query (R in the metrics).
    `labels`: the classes as bit sets.
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
        items = _class_words(database_labels)
        self.labels = Labels(items if query_labels is database_labels else _class_words(query_labels), items)
        self._exclude_self = exclude_self
        self.num_relevant = self._count()

    def of(self, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether items[m] is relevant to queries[m]: bool of the shape (M,) of both index arrays."""
        relevant = np.empty(len(queries), bool)
        for start in range(0, len(queries), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            relevant[part] = (self.labels.queries[queries[part]] & self.labels.items[items[part]]).any(axis=1)
        if self._exclude_self:
            relevant &= queries != items
        return relevant

    def row(self, query: int) -> np.ndarray:
        """Whether each database item is relevant to `query`: bool (N,)."""
        bits = self._bits(query).view(np.uint8)
        relevant = np.unpackbits(bits, count=len(self.labels.items), bitorder="little").view(bool)
        if self._exclude_self:
            relevant[query] = False
        return relevant

    def _bits(self, query: int) -> np.ndarray:
        classes = np.unpackbits(self.labels.queries[query].view(np.uint8), bitorder="little")
        return np.bitwise_or.reduce(self.labels.members[classes.view(bool)], axis=0)

    def _count(self) -> np.ndarray:
        if nearest_codes.unavailable() is None:
            return nearest_codes.count_relevant(self.labels, own_from=0 if self._exclude_self else None)
        counts = [np.bitwise_count(self._bits(query)).sum(dtype=np.int64) for query in range(len(self.labels.queries))]
        own = (self.labels.queries != 0).any(axis=1) if self._exclude_self else 0
        return np.array(counts) - own


def _class_words(labels: np.ndarray) -> np.ndarray:
    """Multi-hot labels (N, C) as bit sets, uint64 (N, max(1, ceil(C/64)))."""
    bits = np.packbits(labels if labels.dtype.itemsize == 1 else labels != 0, axis=1)
    padded = np.zeros((len(bits), 8 * max(1, -(-bits.shape[1] // 8))), np.uint8)
    padded[:, :bits.shape[1]] = bits
    return padded.view(np.uint64)
