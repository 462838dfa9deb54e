"""How much an approximate search misses, and how much faster it is. Q queries, k results each."""

import time
from dataclasses import dataclass

import numpy as np

from inference.index import Index
from inference.ranking import top_k

ROUNDS = 5


def tie_aware_recall(distances: np.ndarray, true_distances: np.ndarray) -> float:
    """Share of results (Q, k) no farther than the true k-th distance, 0..1.

    Which of several codes at one distance was found does not matter: ids may differ where recall is 1.

    Args:
        distances: of what a search returned, (Q, k).
        true_distances: of the k nearest, (Q, k) in ascending order, as `inference.ranking.top_k` gives them.

    Raises:
        ValueError: the shapes differ, or there is no result.
    """
    if distances.shape != true_distances.shape or not distances.size:
        raise ValueError(f"distances {distances.shape} and true distances {true_distances.shape} must be of one "
                         "shape, and hold results.")
    return float((distances <= true_distances[:, -1:]).mean())


@dataclass(frozen=True)
class Comparison:
    """`recall` (tie-aware) at `k` over `num_queries` queries; `speedup`: exact time over the index's own."""

    recall: float
    speedup: float
    num_queries: int
    k: int


def compare_with_exact(index: Index, *, k: int, num_queries: int = 200, seed: int = 0) -> Comparison:
    """Recall and speed of `index` against `top_k`, the queries being a sample of its own codes.

    The two search in turns, on one part of the queries after the other, so that a busy machine slows both alike.
    """
    bits = index.codes.bits
    picked = np.random.default_rng(seed).choice(len(bits), min(num_queries, len(bits)), replace=False)
    k, seconds, recalls = min(k, len(bits)), np.zeros(2), []
    for part in np.array_split(picked, min(ROUNDS, len(picked))):
        queries = bits[part]
        times = [time.perf_counter()]
        _, true = top_k(queries, bits, k)
        times.append(time.perf_counter())
        _, found = index.search(queries, k)
        times.append(time.perf_counter())
        seconds += np.diff(times)
        recalls += [tie_aware_recall(found, true)] * len(part)
    return Comparison(float(np.mean(recalls)), float(seconds[0] / seconds[1]), len(picked), k)
