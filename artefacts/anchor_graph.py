"""The similarity graph of the training videos, from nearest anchors, in O(N) storage.

With Z_s (N,C) the RBF weights of each video to its s nearest anchors (rows sum to 1), two videos share an
anchor where A_s = Z_s diag(colsum Z_s)^-1 Z_s^T > 1e-5. The graph is A_3 + 2 (A_5 - A_4): 1 similar,
2 dissimilar, 0 ignored (Liu et al. 2011, "Hashing with Graphs"; the combination is the S5VH release's).
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.clustering import cluster, nearest_anchors
from artefacts.latents import LATENTS
from artefacts.store import ids_below, not_negative
from utils.config.keys import AT_LEAST_1, Key

ITERATIONS = 16  # of k-means, as in BTH: the graph's anchors quantise, no label hangs on them
THRESHOLD = 1e-5
LEVELS = 3, 4, 5  # how many nearest anchors of two videos are compared


class AnchorGraph:
    """Blocks of the N x N graph, made when asked for.

    Args:
        ids: (N,S) the S >= 1 nearest anchors of each video, nearest first, in [0, num_anchors).
        distances: (N,S) the Euclidean distances to them. Where S < 5, the s beyond S count as S.
        num_anchors: C.
    """

    def __init__(self, ids: np.ndarray, distances: np.ndarray, num_anchors: int):
        if ids.shape != distances.shape or ids.ndim != 2 or not ids.shape[1]:
            raise ValueError(f"ids {ids.shape} and distances {distances.shape} must both be (N, S), S >= 1")
        self.ids, self.num_anchors = ids, num_anchors
        self._weights = {}
        self._inverse_mass = {}
        for num_nearest in {min(s, ids.shape[1]) for s in LEVELS}:
            weights = rbf_weights(distances[:, :num_nearest])
            mass = np.bincount(ids[:, :num_nearest].ravel(), weights.ravel(), minlength=num_anchors)
            self._weights[num_nearest] = weights
            self._inverse_mass[num_nearest] = np.divide(1.0, mass, out=np.zeros(num_anchors), where=mass > 0)

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The graph between the videos `rows` (R,) and `columns` (M,): (R,M) int8."""
        three, four, five = (self._share(s, rows, columns) for s in LEVELS)
        return three + 2 * (five - four)

    def factors(self) -> np.ndarray:
        """(N,3,S) float32: for s = 3, 4, 5 the weights of each video's anchors over the roots of their masses.

        With them as the rows R_s of an N x C matrix, zero elsewhere, A_s = R_s R_s^T: see `similarity_block`.
        """
        factors = np.zeros((len(self.ids), len(LEVELS), self.ids.shape[1]), np.float32)
        for level, num_nearest in enumerate(min(s, self.ids.shape[1]) for s in LEVELS):
            scale = np.sqrt(self._inverse_mass[num_nearest])[self.ids[:, :num_nearest]]
            factors[:, level, :num_nearest] = self._weights[num_nearest] * scale
        return factors

    def _share(self, num_nearest: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        num_nearest = min(num_nearest, self.ids.shape[1])
        left = self._dense(num_nearest, rows) * self._inverse_mass[num_nearest]
        return (left @ self._dense(num_nearest, columns).T > THRESHOLD).astype(np.int8)

    def _dense(self, num_nearest: int, videos: np.ndarray) -> np.ndarray:
        dense = np.zeros((len(videos), self.num_anchors))
        np.put_along_axis(dense, self.ids[videos, :num_nearest], self._weights[num_nearest][videos], axis=1)
        return dense


def graph_block(ids: np.ndarray, distances: np.ndarray, num_anchors: int, rows: np.ndarray,
                columns: np.ndarray) -> np.ndarray:
    """One block (R,M) int8 of the graph; for more than one, keep an `AnchorGraph`."""
    return AnchorGraph(ids, distances, num_anchors).block(rows, columns)


def similarity_block(ids: torch.Tensor, factors: torch.Tensor, num_anchors: int) -> torch.Tensor:
    """The graph among B videos as VHMT's S (eq. 25): (B,B) of 1 similar, -1 dissimilar, 0 neutral, on their device.

    Similar: A_3 holds. Dissimilar: A_5 does and A_4 does not. The work is three products (B,C) x (C,B).

    Args:
        ids: (B,S) int64, the nearest anchors of the videos. factors: (B,3,S), their rows of `AnchorGraph.factors`.
    """
    rows = factors.new_zeros(len(LEVELS), len(ids), num_anchors)
    rows.scatter_(2, ids.expand(len(LEVELS), *ids.shape), factors.transpose(0, 1))
    three, four, five = rows @ rows.transpose(1, 2) > THRESHOLD
    return three.to(factors.dtype) - (five & ~four & ~three).to(factors.dtype)


def rbf_weights(distances: np.ndarray) -> np.ndarray:
    """exp(-d^2 / (2 sigma^2)) of `distances` (N,s), rows divided by their sums: (N,s) float64.

    sigma is the mean distance to the s-th anchor over sqrt 2. Where it is 0, all distances are, and the
    weights are equal. Each row is scaled by its nearest anchor first, so a far video does not underflow.
    """
    squares = distances.astype(np.float64) ** 2
    sigma = distances[:, -1].mean(dtype=np.float64) / np.sqrt(2.0)
    if sigma == 0.0:
        return np.full(distances.shape, 1.0 / distances.shape[1])
    weights = np.exp(-(squares - squares.min(axis=1, keepdims=True)) / (2.0 * sigma ** 2))
    return weights / weights.sum(axis=1, keepdims=True)


class NearestAnchors(Artefact):
    """`ids` (N, S) int64 and `distances` (N, S) float32 of the nearest of M anchors to each training video.

    They stand for N x N similarities in O(N). S is 5, or M where anchors are fewer. Of latents, the first of `needs`.
    """

    name = "nearest_anchors"
    path_key = "structure_path"
    KEYS = (
        Key("nanchors", "int", 2000, "M, anchors of the similarity graph", AT_LEAST_1),
        Key("structure_path", "path", None, "anchors of the similarity graph and the nearest of them to each video",
            file="structure.h5", free=True),
    )
    needs: ClassVar[tuple[Artefact, ...]] = (LATENTS,)
    shaped_by = ("nanchors", "preprocess_seed")

    def arrays(self, config, split) -> dict[str, Array]:
        shape = len(split), min(max(LEVELS), config.nanchors)
        return {"ids": Array(shape, ids_below(config.nanchors)), "distances": Array(shape, not_negative)}

    def make(self, making: Making) -> Made:
        config, latents = making.config, making.value(self.needs[0])
        anchors = cluster(latents, config.nanchors, config.preprocess_seed, restarts=1, max_iterations=ITERATIONS,
                          key="nanchors")
        ids, distances = nearest_anchors(latents, anchors, max(LEVELS))
        return Made({"feats": anchors, "ids": ids, "distances": distances})

    def read(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"ids": arrays["ids"].astype(np.int64), "distances": arrays["distances"].astype(np.float32)}


NEAREST_ANCHORS = NearestAnchors()
