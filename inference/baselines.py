"""Shallow baselines at the same bits: what a learned code has to beat. N videos, F features, K bits, r rank.

Each is fit on the training split's features and then encodes database and queries.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from artefacts.trajectories import cells_of, fit_trajectories, trajectories
from dataset.features import as_frames, frame_layout
from inference.codes import binarize_up
from inference.encode import Features
from inference.intervals import map_intervals
from inference.metrics import evaluate
from inference.report import metric_row
from utils.errors import UserError

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

_BLOCK_ROWS = 256
_ITQ_ITERATIONS = 50
# A direction with less of the leading direction's variance is float32 round-off.
_LEAST_VARIANCE = 1e-6


class Baseline(Protocol):
    """A code learned from vectors: `fit` on the training vectors, then `encode` any."""

    def fit(self, x: np.ndarray, num_bits: int, seed: int) -> "Baseline":
        """Itself, fitted on x (N, F)."""

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Code of x (N, F), int8 +-1 (N, K)."""


def segment_means(features: Features, num_segments: int = 5) -> np.ndarray:
    """Means of consecutive time segments, side by side: float32 (N, S * F), read block by block.

    The T frames are cut as `np.array_split` does (the first T mod S segments are one frame longer), into
    S = min(num_segments, T).
    """
    num_videos, (num_frames, feature_size) = features.shape[0], frame_layout(features.shape)
    segments = np.array_split(np.arange(num_frames), min(num_segments, num_frames))
    means = np.empty((num_videos, len(segments), feature_size), np.float32)
    for start, items in features.blocks(_BLOCK_ROWS):
        block = as_frames(items)
        for i, frames in enumerate(segments):
            block[:, frames[0]:frames[-1] + 1].mean(axis=1, out=means[start:start + len(block), i])
    return means.reshape(num_videos, -1)


def half_whitened(train: Features) -> Callable[[Features], np.ndarray]:
    """Takes features to their trajectories, float32 (N, P): see `artefacts.trajectories`, fit on `train`.

    Raises UserError if all training videos are the same.
    """
    fitted, cells = fit_trajectories(train)
    return lambda features: trajectories(fitted, cells if features is train else cells_of(fitted, features))


def frame_means(features: Features) -> np.ndarray:
    """Mean over the frames of each video, float32 (N, F), read block by block."""
    return segment_means(features, 1)


def random_codes(num_items: int, num_bits: int, seed: int) -> np.ndarray:
    """Fair coin flips, int8 +-1 (num_items, num_bits): the level of chance."""
    flips = np.random.default_rng(seed).integers(0, 2, (num_items, num_bits), dtype=np.int8)
    return flips * np.int8(2) - np.int8(1)


class _Projection:
    """sign((x - mean) @ directions), the form that most baselines here end in."""

    def __init__(self) -> None:
        self._mean: np.ndarray | None = None
        self._directions: np.ndarray | None = None

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Code of x (N, F), int8 +-1 (N, K). Raises ValueError before `fit`."""
        if self._mean is None or self._directions is None:
            raise ValueError("fit the baseline before it encodes.")
        return binarize_up(x @ self._directions - self._mean @ self._directions)

    def _set(self, mean: np.ndarray, directions: np.ndarray, dtype: np.dtype) -> None:
        self._mean, self._directions = mean.astype(dtype), directions.astype(dtype)


class Lsh(_Projection):
    """Signs of K random directions around the mean (Charikar, STOC 2002): what no learning reaches."""

    def fit(self, x: np.ndarray, num_bits: int, seed: int) -> "Lsh":
        """Itself, fitted on x (N, F)."""
        directions = np.random.default_rng(seed).standard_normal((x.shape[1], num_bits))
        self._set(x.mean(axis=0, dtype=np.float64), directions, x.dtype)
        return self


class PcaSign(_Projection):
    """Signs of the K leading principal components.

    Data of rank r < K gives r of them; the other K - r bits are signs of random (Gaussian) mixtures of these.
    """

    def fit(self, x: np.ndarray, num_bits: int, seed: int) -> "PcaSign":
        """Itself, fitted on x (N, F). Raises UserError if all rows of x are the same."""
        pca, axes = _principal_axes(x, num_bits, seed)
        rank = axes.shape[1]
        mixtures = np.random.default_rng(seed).standard_normal((rank, num_bits - rank))
        self._set(pca.mean_, np.hstack([axes, axes @ mixtures]), x.dtype)
        return self


class Itq(_Projection):
    """Iterative quantization: PCA, then the rotation R that brings it closest to its own signs.

    Gong & Lazebnik, CVPR 2011: from a random R, 50 times: B = sign(V R), then R minimises |B - V R|
    (orthogonal Procrustes). Data of rank r < K: V has r columns and R (r, K) orthonormal rows, for which
    |V R| is still constant and the Procrustes step still exact; K = r is the paper's case.
    """

    def fit(self, x: np.ndarray, num_bits: int, seed: int) -> "Itq":
        """Itself, fitted on x (N, F). Raises UserError if all rows of x are the same."""
        pca, axes = _principal_axes(x, num_bits, seed)
        v = (x @ axes.astype(x.dtype) - pca.mean_ @ axes).astype(np.float64)
        start = np.random.default_rng(seed).standard_normal((num_bits, v.shape[1]))
        rotation = np.linalg.qr(start)[0].T
        for _ in range(_ITQ_ITERATIONS):
            left, _, right = np.linalg.svd(v.T @ binarize_up(v @ rotation), full_matrices=False)
            rotation = left @ right
        self._set(pca.mean_, axes @ rotation, x.dtype)
        return self


class SpectralHashing:
    """Signs of the K lowest waves along the principal axes (Weiss, Torralba & Fergus, NIPS 2008).

    On axis j, whose training values lie in [a_j, a_j + R_j], the waves are cos(m pi (v - a_j) / R_j), m = 1, 2, ...;
    of all the K with the smallest m / R_j are kept.
    """

    def fit(self, x: np.ndarray, num_bits: int, seed: int) -> "SpectralHashing":
        """Itself, fitted on x (N, F). Raises UserError if all rows of x are the same."""
        pca, axes = _principal_axes(x, num_bits, seed)
        v = x @ axes - pca.mean_ @ axes
        low, extent = v.min(axis=0), np.ptp(v, axis=0)
        modes = np.arange(1, num_bits + 1)[:, None] / extent
        kept = np.argsort(modes, axis=None, kind="stable")[:num_bits]
        axis = kept % len(extent)
        self._directions = axes[:, axis]
        self._start = pca.mean_ @ self._directions + low[axis]
        self._frequencies = np.pi * modes.ravel()[kept]
        return self

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Code of x (N, F), int8 +-1 (N, K)."""
        return binarize_up(np.cos((x @ self._directions - self._start) * self._frequencies))


YARDSTICK = "ITQ, half-whitened"  # the one to beat; docs/baselines.md

# For each kind of vectors: how it is made, given the training features, and the baselines fit on it.
_TABLE: dict[str, tuple[Callable[[Features], Callable[[Features], np.ndarray]], dict[str, Callable[[], Baseline]]]] = {
    "means": (lambda train: frame_means, {"LSH": Lsh, "PCA sign": PcaSign, "SH": SpectralHashing, "ITQ": Itq}),
    "5 segments": (lambda train: segment_means, {"ITQ": Itq}),
    "half-whitened": (half_whitened, {"ITQ": Itq})}


Codes = dict[str, tuple[np.ndarray, np.ndarray]]  # of the database (N, K) and of the queries (Q, K), by method


@threadpool_limits.wrap(1, user_api="blas")  # else the rounding of the sums, and with it where ITQ ends, hang on them
def baseline_codes(train: Features, database: Features, queries: Features | None, *, num_bits: int,
                   seed: int = 0) -> Codes:
    """Each baseline's codes, int8 +-1; those of the queries are the database's own where `queries` is None.

    The methods are random codes; LSH, PCA signs, spectral hashing and ITQ on frame means; ITQ on the means of five time
    segments; and ITQ on half-whitened trajectories, which is the one to beat.

    Raises:
        UserError: all training videos have the same features.
    """
    num_items, num_queries = database.shape[0], 0 if queries is None else queries.shape[0]
    flips = random_codes(num_items + num_queries, num_bits, seed)
    codes = {"random": (flips[:num_items], flips if queries is None else flips[num_items:])}
    for where, (vectors_from, makers) in _TABLE.items():
        vectors = vectors_from(train)
        x = vectors(train)
        x_database = x if database is train else vectors(database)
        x_queries = None if queries is None else vectors(queries)
        for name, make in makers.items():
            baseline = make().fit(x, num_bits, seed)
            found = baseline.encode(x_database)
            codes[f"{name}, {where}"] = found, found if x_queries is None else baseline.encode(x_queries)
    return codes


def baseline_table(codes: Codes, database_labels: np.ndarray, query_labels: np.ndarray,
                   **evaluation: Any) -> list[dict[str, object]]:
    """Rows for `inference.report.format_table`: each of the `codes` under each tie rule.

    A row has `method`, `bits`, `ties`, `mAP@k` for each k, `GmAP`, and `intervals`, of each mAP@k by k.

    Args:
        evaluation: keyword arguments of `inference.metrics.evaluate`.
    """
    rows = []
    for method, (database, queries) in codes.items():
        result = evaluate(queries, database, query_labels, database_labels, **evaluation)
        intervals, _ = map_intervals(result, next(iter(result.ap.values())))
        rows += [{"method": method, "bits": database.shape[1], "ties": ties} | metric_row(result, ties)
                 | {"intervals": intervals[ties]} for ties in result.map_at]
    return rows


def _principal_axes(x: np.ndarray, num_bits: int, seed: int) -> "tuple[PCA, np.ndarray]":
    """The fitted PCA of x (N, F) and its leading axes, float64 (F, r), r = min(num_bits, rank of x)."""
    if not np.ptp(x, axis=0).any():
        raise UserError(f"the {len(x)} training videos all have the same features, so no baseline can be "
                        "fit; check the training feature file.")
    from sklearn.decomposition import PCA  # the longest import of train.py, which has no baselines

    pca = PCA(min(num_bits, *x.shape), random_state=seed).fit(x)
    variance = pca.explained_variance_
    return pca, pca.components_[variance > _LEAST_VARIANCE * variance[0]].T.astype(np.float64)
