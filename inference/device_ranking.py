"""Exact rankings on a GPU by PyTorch: products of codes, counts of every distance, the nearest items by one key.

For where the model runs on CUDA; the compiled search is faster on a CPU. Written for any device and tested on the CPU
alone: it has not run on a GPU yet. Q queries, N database items, K bits, L distances, C classes.
"""

from collections.abc import Iterator

import numpy as np
import torch

from inference.ties import Ranks

_BYTES_PER_PAIR = 96  # of one query and one item: product, distance, bin and key, most of them int64 and twice
_BYTES_PER_RANK, _BYTES_PER_LEVEL = 256, 96  # of one query: keys and tables, here and in scoring; counts and their sums
_ROWS_AT_ONCE = 1024
_MOST_HALF_BITS = 2048


class DeviceRanking:
    """The rankings of queries over a database, on `device`, in blocks of both that fit into `memory_limit` bytes.

    Products of codes are taken in float16 up to 2,048 bits and in float32 beyond. They are exact: every partial sum is
    a whole number of at most K in size, float16 holds all of these up to 2,048 (float32 up to 2**24), so neither the
    order nor the width of the accumulation matters, nor TF32, which shortens the factors -1, 0 and 1 only.
    """

    def __init__(self, query_codes: np.ndarray, database_codes: np.ndarray, query_labels: np.ndarray,
                 database_labels: np.ndarray, *, levels_per_bit: int, exclude_self: bool, device: torch.device,
                 memory_limit: int):
        """Takes codes and labels to `device`.

        Args:
            query_codes, database_codes: int8 (Q, K) and (N, K) of -1 and +1, or with zeros.
            query_labels, database_labels: multi-hot (Q, C) and (N, C).
            levels_per_bit: 1; or 2 where codes hold zeros, for the distances K - query . item.
            exclude_self: query i is item i and is left out of its own ranking.
        """
        self._codes = [torch.as_tensor(np.asarray(codes), dtype=torch.int8).to(device)
                       for codes in (query_codes, database_codes)]
        self._labels = [torch.as_tensor(np.asarray(labels) != 0).to(device)
                        for labels in (query_labels, database_labels)]
        self._num_items, self._num_bits = self._codes[1].shape
        self._levels_per_bit, self._exclude_self = levels_per_bit, exclude_self
        self._num_levels = levels_per_bit * self._num_bits + 1
        self._memory_limit = memory_limit

    def ranks(self, k: int) -> Iterator[tuple[slice, Ranks]]:
        """(queries as a slice, their `Ranks` up to k <= N) pairs that cover all queries in order.

        A query that is left out of its ranking stands behind all others, irrelevant and tied with none.
        """
        for rows, counts, keys in self._blocks(k):
            distance = keys // (2 * self._num_items)
            tables = [table.gather(1, distance) for table in _with_sums_above(counts)]
            yield rows, Ranks((keys % 2).bool().cpu().numpy(), *(table.cpu().numpy() for table in tables))

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """How many items, and how many relevant ones, lie at each distance of each query: int64 (Q, L) each."""
        tables = [counts[:, :self._num_levels].cpu().numpy() for _, counts, _ in self._blocks(0)]
        both = np.concatenate(tables)
        return both.sum(axis=2), both[:, :, 1]

    def _blocks(self, k: int) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """(queries, counts (q, L + 1, 2) of irrelevant and relevant items by distance, keys (q, k) in order).

        A key is (distance * N + item) * 2 + whether it is relevant, so no two are equal and ties come by index.
        """
        num_queries = len(self._codes[0])
        num_rows, num_columns = self._block_shape(k)
        for start in range(0, num_queries, num_rows):
            rows = slice(start, min(start + num_rows, num_queries))
            size = (rows.stop - start, self._num_levels + 1, 2)
            device = self._codes[0].device
            counts = torch.zeros(size, dtype=torch.int64, device=device)
            keys = torch.empty((size[0], 0), dtype=torch.int64, device=device)
            group = torch.arange(size[0], device=device)[:, None] * size[1]
            for first in range(0, self._num_items, num_columns):
                columns = slice(first, min(first + num_columns, self._num_items))
                distance, relevant = self._pairs(rows, columns)
                bins = ((group + distance) * 2 + relevant).flatten()
                counts += torch.bincount(bins, minlength=counts.numel()).view(size)
                item = torch.arange(columns.start, columns.stop, device=device)
                keys = torch.cat([keys, (distance * self._num_items + item) * 2 + relevant], dim=1)
                keys = keys.topk(min(k, keys.shape[1]), dim=1, largest=False).values
            yield rows, counts, keys

    def _block_shape(self, k: int) -> tuple[int, int]:
        """How many queries and items are looked at at once; what is held of the queries takes half the memory at most.
        """
        per_query = _BYTES_PER_RANK * k + _BYTES_PER_LEVEL * (self._num_levels + 1)
        num_rows = max(1, min(_ROWS_AT_ONCE, len(self._codes[0]), self._memory_limit // (2 * per_query)))
        left = self._memory_limit - num_rows * per_query
        return num_rows, max(1, left // (_BYTES_PER_PAIR * num_rows))

    def _pairs(self, rows: slice, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances, int64, and relevance, bool, of each query and item of a block, (q, n) both."""
        half = torch.float16 if self._num_bits <= _MOST_HALF_BITS else torch.float32
        product = self._codes[0][rows].to(half) @ self._codes[1][columns].to(half).T
        distance = (self._num_bits - product.long()) * self._levels_per_bit // 2
        # A sum of zeros and ones is 0 exactly where all are, whatever it is rounded to.
        relevant = self._labels[0][rows].half() @ self._labels[1][columns].half().T > 0
        if self._exclude_self:
            first, last = max(rows.start, columns.start), min(rows.stop, columns.stop)
            own = torch.arange(first, max(first, last), device=product.device)
            distance[own - rows.start, own - columns.start] = self._num_levels
            relevant[own - rows.start, own - columns.start] = False
        return distance, relevant


def _with_sums_above(counts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """n, r, above and hits_above (see `inference.ties`) of each distance, (q, L + 1), from counts (q, L + 1, 2)."""
    n, r = counts.sum(dim=2), counts[:, :, 1]
    return n, r, n.cumsum(1) - n, r.cumsum(1) - r
