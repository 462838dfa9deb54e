"""Curves over whole rankings, from how many items, and how many relevant ones, lie at each Hamming distance.

Q queries, N database items, K bits, L distances: 0..K, or 0, 1/2, 1, ..., K where codes hold zeros. Within a distance
the order is open: whatever depends on it is its exact mean over all orders (McSherry & Najork, ECIR 2008).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from inference.metrics import Search

_BYTES_PER_PAIR = 8
_ROWS_AT_ONCE = 512  # queries whose precision is worked out at once: their arrays stay in a core's cache


@dataclass(frozen=True)
class DistanceCounts:
    """What each query sees at each distance: `items` and `hits` (relevant items), int64 (Q, L).

    `radii` (L,): the distances themselves.
    """

    items: np.ndarray
    hits: np.ndarray
    radii: np.ndarray

    @property
    def num_items(self) -> int:
        """The length of a ranking: N, or N - 1 where each query is left out of its own."""
        return int(self.items[0].sum())


def count_distances(query_codes: np.ndarray, database_codes: np.ndarray, query_labels: np.ndarray,
                    database_labels: np.ndarray, *, queries_are_database: bool = False, include_self: bool = True,
                    memory_limit: int = 2**28, device: torch.device | None = None) -> DistanceCounts:
    """The `DistanceCounts` of every query; arguments and errors as in `inference.metrics.evaluate`."""
    search = Search(query_codes, database_codes, query_labels, database_labels,
                    queries_are_database=queries_are_database, include_self=include_self, device=device)
    levels = search.levels_per_bit
    num_levels = levels * search.num_bits + 1
    if counts := search.counts(memory_limit):
        return DistanceCounts(*counts, np.arange(num_levels) / levels)
    items = np.empty((search.num_queries, num_levels), np.int64)
    hits = np.empty_like(items)
    for start, distances in search.distances(max(1, memory_limit // (_BYTES_PER_PAIR * search.num_database))):
        for query, row in enumerate(distances, start):
            items[query] = np.bincount(row, minlength=num_levels)
            hits[query] = np.bincount(row[search.relevance.row(query)], minlength=num_levels)
            if search.leaves_out_self:
                items[query, row[query]] -= 1
    return DistanceCounts(items, hits, np.arange(num_levels) / levels)


def radius_curve(counts: DistanceCounts) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (L,) of all pairs (query, item) within each radius, from 0 to K.

    Micro averages: hits over items, and hits over relevant items, each summed over the queries, as in the evaluation
    script of Spectral Hashing (Weiss, Torralba & Fergus, NIPS 2008). A macro average would need a precision for
    queries that find nothing within the radius. Precision is NaN where no pair lies within the radius; recall is 0
    where no pair is relevant.
    """
    items, hits = (counts_at.sum(axis=0).cumsum() for counts_at in (counts.items, counts.hits))
    precision = np.where(items > 0, hits / np.maximum(items, 1), np.nan)
    return precision, hits / max(1, hits[-1])


def rank_curve(counts: DistanceCounts, at: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Precision@n and recall@n for each n >= 1 of `at`, with ties in expectation.

    Macro averages, as in `inference.metrics.Evaluation`: the mean over queries of hits within rank n over n, and
    over the query's relevant items. If n exceeds the ranking, it ends there and precision's divisor stays n. Queries
    with nothing relevant count as 0 in both.
    """
    items, hits = counts.items.cumsum(axis=1), counts.hits.cumsum(axis=1)
    num_relevant = np.maximum(hits[:, -1], 1)
    precision, recall = np.empty(len(at)), np.empty(len(at))
    for place, n in enumerate(at):
        within = min(n, counts.num_items)
        # The group that holds rank n: the first that fills the ranking up to it.
        group = (np.arange(len(items)), (items >= within).argmax(axis=1))
        size, relevant = np.maximum(counts.items[group], 1), counts.hits[group]
        found = hits[group] - relevant * ((items[group] - within) / size)
        precision[place], recall[place] = (found / n).mean(), (found / num_relevant).mean()
    return precision, recall


def average_precision(counts: DistanceCounts) -> np.ndarray:
    """AP of each query over its whole ranking (Q,): the mean of the precision at every relevant item.

    Ties in expectation; 0 for a query with nothing relevant. Its mean is mAP@all, the limit of `evaluate`'s mAP@k with
    the normaliser 'min_kr' as k reaches N.
    """
    harmonic = np.concatenate([[0.0], (1 / np.arange(1, counts.num_items + 1)).cumsum()])
    blocks = (slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(counts.items), _ROWS_AT_ONCE))
    return np.concatenate([_average_precision(counts.items[rows], counts.hits[rows], harmonic) for rows in blocks])


def _average_precision(n: np.ndarray, r: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    items, hits = n.cumsum(axis=1), r.cumsum(axis=1)
    above, hits_above = items - n, hits - r
    # Sums over the places j = 1..n of a group of 1 / (above + j) and of (j - 1) / (above + j). A relevant item at
    # place j has a fair share of the group's other r - 1 before it.
    reciprocals = harmonic[items] - harmonic[above]
    places = n - (above + 1) * reciprocals
    gain = r / np.maximum(n, 1) * ((hits_above + 1) * reciprocals + (r - 1) / np.maximum(n - 1, 1) * places)
    return gain.sum(axis=1) / np.maximum(hits[:, -1], 1)


def log_ranks(num_items: int, per_decade: int = 10) -> list[int]:
    """About `per_decade` ranks per power of ten, from 1 to `num_items`, both included, each once."""
    num_items = max(1, num_items)
    count = 2 + int(per_decade * np.log10(num_items))
    return sorted({*np.geomspace(1, num_items, count).round().astype(int).tolist()})
