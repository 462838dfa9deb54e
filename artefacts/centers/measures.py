"""What hash centers are worth: how far apart they lie and how well they follow the semantics.

Letters: C centers, K bits, P semantic dimensions.
"""

from dataclasses import dataclass
from math import comb

import numpy as np


@dataclass(frozen=True)
class CenterMeasures:
    """Distances in bits; correlations are NaN where they are undefined (all distances equal, C < 3)."""

    min_distance: float
    mean_distance: float
    gilbert_varshamov: int
    pearson: float
    spearman: float
    release_score: float


def measure_centers(codes: np.ndarray, semantics: np.ndarray) -> CenterMeasures:
    """The measures of `codes` (C,K) of +-1 against unit rows `semantics` (C,P), over all pairs i < j.

    The correlations compare the codes' cosine with the semantics' cosine.
    """
    num_centers, num_bits = codes.shape
    code_cosines, semantic_cosines = _pairs(codes.astype(np.float64)) / num_bits, _pairs(semantics)
    distances = 0.5 * num_bits * (1.0 - code_cosines)
    return CenterMeasures(
        min_distance=float(distances.min()) if distances.size else float("nan"),
        mean_distance=float(distances.mean()) if distances.size else float("nan"),
        gilbert_varshamov=gilbert_varshamov(num_centers, num_bits),
        pearson=_correlation(code_cosines, semantic_cosines),
        spearman=_correlation(ranks(code_cosines), ranks(semantic_cosines)),
        release_score=release_score(codes, semantics))


def ranks(values: np.ndarray) -> np.ndarray:
    """Of each of `values` (n,), from 1; equal ones share the mean of theirs."""
    from scipy.stats import rankdata  # a second of import that training and evaluation do without
    return rankdata(values)


def gilbert_varshamov(num_centers: int, num_bits: int) -> int:
    """d_max, the least d with sum_{j<d} C(K,j) >= 2^K / C: so far apart C codes of K bits can surely be."""
    volume, distance = 0, 0
    while num_centers * volume < 2 ** num_bits:
        volume += comb(num_bits, distance)
        distance += 1
    return distance


def release_score(codes: np.ndarray, semantics: np.ndarray) -> float:
    """The score by which the release picks its best sweep, over pairs i < j:
    (sum of Hamming distances) / C^2 - sum of (cos(H_i,H_j) - cos(W_i,W_j)).

    It is degenerate: as the semantic term sums over all pairs, the score is linear in the total Hamming
    distance and every bit-balanced code reaches its maximum, whatever the semantics.
    """
    num_centers, num_bits = codes.shape
    code_cosines = _pairs(codes.astype(np.float64)) / num_bits
    total_distance = 0.5 * num_bits * (1.0 - code_cosines).sum()
    return float(total_distance / num_centers ** 2 - (code_cosines.sum() - _pairs(semantics).sum()))


def _pairs(rows: np.ndarray) -> np.ndarray:
    """Inner products of all pairs i < j of `rows` (C,P): (C(C-1)/2,), in float64."""
    rows = np.asarray(rows, dtype=np.float64)
    return (rows @ rows.T)[np.triu_indices(len(rows), 1)]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.size < 2:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-12 * a.size else float("nan")
