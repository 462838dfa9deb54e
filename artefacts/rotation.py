"""The last step of the closed form: [g; E] on K principal components, rotated towards its own signs.

Letters: N videos, P components of g, C columns of E, X = P + C, K bits, r rank.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from utils.config.keys import NON_NEGATIVE, Key
from utils.errors import UserError

ITERATIONS = 50
ROWS_PER_BLOCK = 4096
LEAST_VARIANCE = 1e-6
WEIGHT_OF_ONE_BIT = 9.0
GRAPH_WEIGHT = Key("graph_weight", "float", None, "deviation of the graph's embedding over that of the trajectories; "
                   "None: 9 / sqrt(nbits), or as select = 'validation' finds, 0: no graph", NON_NEGATIVE)


class Rotation(NamedTuple):
    """h = [g; E] @ directions - offset. Arrays are float32."""

    directions: np.ndarray  # (X,K)
    offset: np.ndarray  # (K,)


def default_weight(num_bits: int) -> float:
    """The standard deviation of E over that of g: 9 / sqrt(K), 2.25 at 16 bits and 1.125 at 64.

    Few bits are best spent on the groups that E tells apart, many on the differences within them.
    """
    return WEIGHT_OF_ONE_BIT / num_bits ** 0.5


def fit_rotation(g: np.ndarray, embedding: np.ndarray, num_bits: int, *, weight: float | None = None,
                 seed: int = 0) -> Rotation:
    """The rotation of [g; weight sqrt(Var g / Var E) E]: PCA to r = min(K, rank), then ITQ.

    Iterative quantization (Gong & Lazebnik, CVPR 2011): from a random R, 50 times B = sign(V R), then the R that
    minimizes |B - V R|. Where r < K, R (r,K) has orthonormal rows, for which the step is still exact.

    Args:
        g: (N,P) trajectories. embedding: (N,C) their E. Variances are totals over the columns.
        weight: None for `default_weight`; 0 leaves E out.
        seed: of the random start.

    Raises:
        UserError: all videos are the same.
    """
    weight = default_weight(num_bits) if weight is None else weight
    spread = embedding.var(axis=0, dtype=np.float64).sum()
    scale = weight * np.sqrt(g.var(axis=0, dtype=np.float64).sum() / spread) if spread > 0 else 0.0
    x = np.hstack([g, (scale * embedding).astype(np.float32)])
    mean = x.mean(axis=0, dtype=np.float64)
    x -= mean.astype(np.float32)
    axes = _principal_axes(x, num_bits)
    v = x @ axes.astype(np.float32)
    signs = np.where((v ** 3).sum(axis=0, dtype=np.float64) < 0, -1, 1)  # by the data: the columns of E may be rotated
    directions = axes * signs @ _itq(v * signs.astype(np.float32), num_bits, seed)
    offset = mean @ directions
    directions[g.shape[1]:] *= scale
    return Rotation(directions.astype(np.float32), offset.astype(np.float32))


def _principal_axes(x: np.ndarray, num_bits: int) -> np.ndarray:
    """The leading axes (X,r) float64 of centered `x` (N,X), r = min(K, rank)."""
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), ROWS_PER_BLOCK):
        block = x[start:start + ROWS_PER_BLOCK].astype(np.float64)
        covariance += block.T @ block
    with threadpool_limits(1, user_api="blas"):  # bound by memory
        variances, axes = scipy.linalg.eigh(covariance, check_finite=False)
    variances, axes = variances[::-1], axes[:, ::-1]
    if not variances[0] > 0:
        raise UserError("training features: all videos have the same trajectory, so no code can tell them apart; check "
                        "the file in train_feat_path.")
    return axes[:, variances > LEAST_VARIANCE * variances[0]][:, :num_bits]


def _itq(v: np.ndarray, num_bits: int, seed: int) -> np.ndarray:
    """R (r,K) float64 with orthonormal rows for v (N,r), r <= K."""
    start = np.random.default_rng(seed).standard_normal((num_bits, v.shape[1]))
    rotation = np.linalg.qr(start)[0].T
    for _ in range(ITERATIONS):
        towards = np.zeros(rotation.shape)
        for first in range(0, len(v), ROWS_PER_BLOCK):
            block = v[first:first + ROWS_PER_BLOCK]
            h = block @ rotation.astype(np.float32)
            towards += block.T @ np.where(h < 0, np.float32(-1), np.float32(1))
        left, _, right = np.linalg.svd(towards, full_matrices=False)
        rotation = left @ right
    return rotation
