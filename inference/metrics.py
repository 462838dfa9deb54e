"""Retrieval metrics over Hamming rankings. N database items, Q queries, K bits, C classes.

Three engines rank, and agree to the integer: PyTorch on a GPU (`device_ranking`), the compiled kernels, which share
blocks of queries out to threads (`nearest_codes`), and numpy elsewhere. Relevance is a bit per class and item.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from inference import nearest_codes
from inference.codes import pack
from inference.device_ranking import DeviceRanking
from inference.ranking import check_codes, iterate_blocks, levels_per_bit, nearest
from inference.relevance import Relevance
from inference.ties import RULES, Ranks, score
from utils.cpus import available_cpus

# What the sum of an AP@k is divided by:
#   k        k itself (S5VH and the video peers);
#   min_kr   min(k, R), R the relevant items of the whole database (VHMT eq. 28);
#   hits     the number of relevant items within k (image hashing, DeepHash); the AP is 0 when there are none.
NORMALISERS = ("k", "min_kr", "hits")
MAP_AT = (5, 20, 40, 60, 80, 100)

# What one (query, item) pair takes in the worst case, when a whole row ties, and one rank of one query.
_BYTES_PER_PAIR, _BYTES_PER_RANK = 64, 256
_RANKS_AT_ONCE = 2**17  # of one or more queries, that a thread works on: an array of them stays in its cache


@dataclass(frozen=True)
class Evaluation:
    """How well one retrieval run found what is relevant; every figure is a mean over the queries, in [0, 1].

    `map_at[ties][k]` is mAP@k. `precision_at[ties][k]` counts the relevant items within rank k over k (over k also
    where the ranking ends before), `recall_at[ties][k]` over all relevant ones. `num_without_relevant` queries
    have nothing to find: they count as 0 in all three.
    `ap[ties]` (Q, k) holds what mAP is the mean of, its columns in the order of `map_at[ties]`.
    """

    map_at: dict[str, dict[int, float]]
    precision_at: dict[str, dict[int, float]]
    recall_at: dict[str, dict[int, float]]
    normaliser: str
    num_queries: int
    num_database: int
    num_bits: int
    num_without_relevant: int
    queries_are_database: bool
    include_self: bool
    ap: dict[str, np.ndarray] = field(repr=False, compare=False)

    @property
    def gmap(self) -> dict[str, float]:
        """GmAP of each tie rule as S5VH and AutoSSVH report it: `geometric_mean` of the mAP@k."""
        return {ties: geometric_mean(maps.values()) for ties, maps in self.map_at.items()}

    @property
    def rss_map(self) -> dict[str, float]:
        """"GmAP" of each tie rule as the VHMT paper defines it: `root_sum_square` of the mAP@k."""
        return {ties: root_sum_square(maps.values()) for ties, maps in self.map_at.items()}


def geometric_mean(maps: Iterable[float]) -> float:
    """Geometric mean of mAP@k values; 0 as soon as one is 0. The "Avg"/GmAP column of AutoSSVH and S5VH."""
    maps = list(maps)
    return math.exp(math.fsum(map(math.log, maps)) / len(maps)) if all(maps) else 0.0


def root_sum_square(maps: Iterable[float]) -> float:
    """Root of the sum of squared mAP@k values (VHMT eq. 29, which calls it GmAP); it can pass 1."""
    return math.sqrt(math.fsum(value * value for value in maps))


def evaluate(query_codes: np.ndarray, database_codes: np.ndarray, query_labels: np.ndarray,
             database_labels: np.ndarray, *, map_at: Sequence[int] = MAP_AT, normaliser: str = "k",
             ties: Sequence[str] = ("index", "expected"), queries_are_database: bool = False,
             include_self: bool = True, memory_limit: int = 2**28,
             device: torch.device | None = None) -> Evaluation:
    """mAP@k, precision and recall of Hamming rankings.

    An item is relevant if its label row shares a class with the query's. AP@k is the sum, over the relevant items
    within rank k, of the precision at their rank, divided as `NORMALISERS` has it. If k > N the ranking ends at N and
    the divisor stays. Queries with nothing relevant count as 0.

    Args:
        query_codes, database_codes: int8 (Q, K) and (N, K) of -1 and +1. Codes that hold zeros are ranked
            as they are, by distances that count a tied bit half (S5VH release).
        query_labels, database_labels: multi-hot (Q, C) and (N, C).
        ties: names of `inference.ties.RULES`.
        queries_are_database: query i is database item i.
        include_self: then item i stays in query i's ranking (S5VH release); if False, neither there nor in R.
        memory_limit: bytes of working memory, beside codes and labels (one query's row is always held).
        device: ranks on it where it is a GPU; None: on the CPU.

    Raises:
        ValueError: shapes that do not fit, an unknown name, a k below 1.
    """
    at = _checked(map_at, ties, normaliser)
    search = Search(query_codes, database_codes, query_labels, database_labels,
                    queries_are_database=queries_are_database, include_self=include_self, device=device)
    ap, hits = ({rule: np.empty((search.num_queries, len(at))) for rule in ties} for _ in range(2))

    def take(rows: slice, ranks: Ranks) -> None:
        for rule in ties:
            ap[rule][rows], hits[rule][rows] = score(ranks, rule, normaliser, at, search.num_relevant[rows])

    search.each_block(max(at), memory_limit, take)
    findable = np.maximum(search.num_relevant, 1)[:, None]
    means, precision, recall = ({rule: _mean_by_k(values / divisor, at) for rule, values in figures.items()}
                                for figures, divisor in ((ap, 1), (hits, at), (hits, findable)))
    return Evaluation(
        means, precision, recall, normaliser, search.num_queries, search.num_database, search.num_bits,
        int((search.num_relevant == 0).sum()), queries_are_database, include_self, ap)


class Search:
    """A retrieval task, checked: the distances from every query, and its first ranks with their tie groups.

    `relevance` tells which items are relevant; `leaves_out_self`: no query is in its own ranking; `levels_per_bit`: see
    `inference.ranking`. Ranks on `device` where that is a GPU, else by the compiled search or numpy.

    Raises:
        ValueError: shapes that do not fit.
    """

    def __init__(self, query_codes, database_codes, query_labels, database_labels, *,
                 queries_are_database: bool, include_self: bool, device: torch.device | None = None):
        self._query, self._database = check_codes(query_codes), check_codes(database_codes)
        self.num_queries, self.num_bits = self._query.shape
        self.num_database = len(self._database)
        if not self.num_queries or not self.num_database:
            raise ValueError(f"there are {self.num_queries} queries and {self.num_database} database items; "
                             "at least one of each is needed.")
        if queries_are_database and self.num_queries != self.num_database:
            raise ValueError(f"the queries are said to be the database, but there are {self.num_queries} "
                             f"queries and {self.num_database} database items.")
        if self._database.shape[1] != self.num_bits:
            raise ValueError(f"query codes have {self.num_bits} bits, database codes {self._database.shape[1]}.")
        if len(query_labels) != self.num_queries or len(database_labels) != self.num_database:
            raise ValueError(f"{self.num_queries} queries and {self.num_database} database items have "
                             f"{len(query_labels)} and {len(database_labels)} label rows.")
        self.leaves_out_self = queries_are_database and not include_self
        self.relevance = Relevance(query_labels, database_labels, exclude_self=self.leaves_out_self)
        self.num_relevant = self.relevance.num_relevant
        self.levels_per_bit = levels_per_bit(self._query, self._database)
        self._labels, self._device = (query_labels, database_labels), device

    def distances(self, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """As `inference.ranking.iterate_blocks`; a query's distance to itself is among them."""
        return iterate_blocks(self._query, self._database, num_rows)

    def each_block(self, k: int, memory_limit: int, take: Callable[[slice, Ranks], None]) -> None:
        """Calls take(queries as a slice, their `Ranks` up to min(k, N)) for blocks that cover all queries, from several
        threads at once where the search is compiled."""
        k = min(k, self.num_database)
        if self._on_gpu:
            for rows, ranks in self._device_ranking(memory_limit).ranks(k):
                take(rows, ranks)
            return
        if self._compiled(k):
            self._each_compiled_block(k, memory_limit, take)
            return
        num_rows = max(1, memory_limit // (_BYTES_PER_PAIR * self.num_database + _BYTES_PER_RANK * k))
        for start, distances in self.distances(num_rows):
            if self.leaves_out_self:
                # Farther than everything and irrelevant, alone in its group: as if it were not there.
                own = np.arange(len(distances))
                distances[own, start + own] = distances.max() + 1
            take(slice(start, start + len(distances)), self._block(start, distances, k))

    def counts(self, memory_limit: int) -> tuple[np.ndarray, np.ndarray] | None:
        """How many items, and how many relevant ones, lie at each distance of each query, (Q, L) each; None where
        neither a GPU nor the compiled search can tell."""
        if self._on_gpu:
            return self._device_ranking(memory_limit).counts()
        if not self._compiled(k=1):
            return None
        queries, database = (nearest_codes.words(pack(codes)) for codes in (self._query, self._database))
        items, hits = nearest_codes.count_codes(queries, database, self.relevance.labels,
                                                own_from=0 if self.leaves_out_self else None)
        return items[:, : self.num_bits + 1], hits[:, : self.num_bits + 1]

    @property
    def _on_gpu(self) -> bool:
        return self._device is not None and self._device.type == "cuda"

    def _device_ranking(self, memory_limit: int) -> DeviceRanking:
        assert self._device is not None
        return DeviceRanking(self._query, self._database, *self._labels, levels_per_bit=self.levels_per_bit,
                             exclude_self=self.leaves_out_self, device=self._device, memory_limit=memory_limit)

    def _compiled(self, k: int) -> bool:
        packed = self.levels_per_bit == 1
        num_bytes = -(-self.num_bits // 8)
        return (packed and nearest_codes.supports(num_bytes, self.num_database, k, self.leaves_out_self)
                and nearest_codes.unavailable() is None)

    def _each_compiled_block(self, k: int, memory_limit: int, take: Callable[[slice, Ranks], None]) -> None:
        queries, database = (nearest_codes.words(pack(codes)) for codes in (self._query, self._database))
        threads = available_cpus()
        at_once = min(_RANKS_AT_ONCE, memory_limit // (_BYTES_PER_RANK * threads)) // k
        at_once = min(at_once, -(-self.num_queries // threads))

        def search(rows: slice) -> None:
            labels = self.relevance.labels.of_queries(rows)
            take(rows, nearest_codes.nearest_ranks(queries[rows], database, k, labels, threads=1,
                                                   own_from=rows.start if self.leaves_out_self else None))

        # Whole blocks are shared out, so that the scoring, which lets go of the interpreter, is shared as well.
        with ThreadPoolExecutor(threads) as pool:
            deque(pool.map(search, _slices(self.num_queries, max(1, at_once))), maxlen=0)

    def _block(self, start: int, distances: np.ndarray, k: int) -> Ranks:
        near = nearest(distances, k)
        relevant = self.relevance.of(near.queries + start, near.items)
        sizes = near.sizes
        hits = np.bincount(near.groups[relevant], minlength=sizes.size).reshape(sizes.shape)
        first = near.first(k)
        group = near.groups[first]
        nearer, nearer_hits = sizes.cumsum(axis=1) - sizes, hits.cumsum(axis=1) - hits
        return Ranks(relevant[first], *(table.ravel()[group] for table in (sizes, hits, nearer, nearer_hits)))


def _slices(num_rows: int, at_once: int) -> Iterator[slice]:
    return (slice(start, min(start + at_once, num_rows)) for start in range(0, num_rows, at_once))


def _checked(at: Sequence[int], ties: Sequence[str], normaliser: str) -> tuple[int, ...]:
    if normaliser not in NORMALISERS:
        raise ValueError(f"normaliser is one of {', '.join(NORMALISERS)}, not {normaliser!r}.")
    unknown = [rule for rule in ties if rule not in RULES]
    if unknown or not ties:
        raise ValueError(f"ties names some of {', '.join(RULES)}, not {list(ties)}.")
    if not at or min(at) < 1:
        raise ValueError(f"ranks k start at 1; got {list(at)}.")
    return tuple(dict.fromkeys(int(k) for k in at))


def _mean_by_k(values: np.ndarray, at: tuple[int, ...]) -> dict[int, float]:
    return {k: float(mean) for k, mean in zip(at, values.mean(axis=0), strict=True)}
