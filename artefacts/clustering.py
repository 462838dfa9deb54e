"""From features to clusters: frame means, PCA, k-means, nearest anchors.

Letters: N videos, T frames, F features, P latent dimensions, C anchors (cluster centroids), S neighbours.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from dataset.features import as_frames, frame_layout
from utils.errors import UserError

ROWS_PER_BLOCK = 256
MEANS_PER_BLOCK = 4096
RESTARTS, MAX_ITERATIONS = 4, 300
COINCIDENCE = 1e-5
TINY = float(np.finfo(np.float32).tiny)


def frame_means(features, progress=None, out: np.ndarray | None = None) -> np.ndarray:
    """The mean frame of each video: (N,F) float64, in one pass over `features` (N,T,F) in blocks.

    `progress(num_videos)` is told of each block. `out` is filled and returned where it is given.
    """
    means = np.empty((features.shape[0], frame_layout(features.shape)[1])) if out is None else out
    for start, block in features.blocks(ROWS_PER_BLOCK, fingerprint=True):
        as_frames(block).mean(axis=1, dtype=np.float64, out=means[start:start + len(block)])
        if progress is not None:
            progress(len(block))
    return means


def project(means: np.ndarray, num_dims: int) -> np.ndarray:
    """The latents (N,P) float32: `means` (N,F) on their first `num_dims` <= min(N,F) principal components.

    The solvers used are exact, and of each component the largest entry is positive, so equal means give equal
    latents. Beside the result, memory is taken for F x F numbers and a block of means, however many videos there are:
    `means` may be mapped from a file.
    """
    num_videos, num_features = means.shape
    center = sum(block.sum(axis=0) for _, block in _blocks(means)) / num_videos
    solve = _axes_by_covariance if num_features <= 2 * num_videos else _axes_by_svd
    axes = solve(means, center, num_dims)
    axes *= signs_of_largest(axes)
    latents = np.empty((num_videos, num_dims), np.float32)
    for start, block in _blocks(means):
        latents[start:start + len(block)] = (block - center) @ axes
    return latents


def _blocks(means: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(means), MEANS_PER_BLOCK):
        yield start, means[start:start + MEANS_PER_BLOCK]


def _axes_by_covariance(means: np.ndarray, center: np.ndarray, num_dims: int) -> np.ndarray:
    """The leading eigenvectors of the scatter matrix, (F,P), largest first."""
    num_features = len(center)
    scatter = np.zeros((num_features, num_features), order="F")
    for _, block in _blocks(means):
        scatter = scipy.linalg.blas.dsyrk(1.0, (block - center).T, beta=1.0, c=scatter, overwrite_c=1)  # upper half
    _, axes = scipy.linalg.eigh(scatter, lower=False, overwrite_a=True, check_finite=False,
                                subset_by_index=(num_features - num_dims, num_features - 1))
    return axes[:, ::-1]


def _axes_by_svd(means: np.ndarray, center: np.ndarray, num_dims: int) -> np.ndarray:
    """The same where the videos are few, so that the means themselves are smaller than F x F."""
    _, _, axes = scipy.linalg.svd(means - center, full_matrices=False, overwrite_a=True, check_finite=False)
    return axes[:num_dims].T


def signs_of_largest(vectors: np.ndarray) -> np.ndarray:
    """(1,P) of +-1: the sign of each column's largest entry of (F,P), by which eigenvectors are made unique."""
    return np.where(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0) < 0, -1.0, 1.0)


def cluster(latents: np.ndarray, num_clusters: int, seed: int, *, restarts: int = RESTARTS,
            max_iterations: int = MAX_ITERATIONS, key: str = "nclusters") -> np.ndarray:
    """The centroids (C,P) float32 of the best of `restarts` seeded k-means runs on `latents` (N,P).

    Raises:
        UserError: the videos are too few or too alike for `num_clusters` distinct centroids; the message names
            `key`, which asked for so many.
    """
    anchors = k_means(latents, num_clusters, key, n_init=restarts, max_iter=max_iterations, random_state=seed)
    num_distinct = _count_distinct(anchors, scale=float(np.abs(latents).max(initial=0.0)))
    num_distinct = min(num_distinct, len(np.unique(nearest_anchors(latents, anchors, 1)[0])))
    if num_distinct < num_clusters:
        raise _too_few(num_distinct, num_clusters, key)
    return anchors


def seeded_clusters(latents: np.ndarray, classes: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """The centroids (C,P) float32 of k-means that starts from the means of classes (Basu et al., ICML 2002), in their
    order; the clusters beyond the classes start from k-means on the videos without a class.

    Where all videos have one, the centroids beyond the classes are the mean of all and belong to nobody.

    Args:
        latents: (N,P). classes: (N,) int64, -1 where a video has none; each number up to the largest occurs.

    Raises:
        UserError: there are more classes than clusters, or the other videos cannot fill the rest.
    """
    num_classes, free = int(classes.max()) + 1, latents[classes < 0]
    if num_classes > num_clusters:
        raise UserError(f"config: nclusters = {num_clusters}, but the labels of the training videos have {num_classes} "
                        f"classes. Set nclusters to {num_classes} or more.")
    means = np.stack([latents[classes == number].mean(axis=0) for number in range(num_classes)])
    num_free = num_clusters - num_classes
    if not len(free):
        return np.vstack([means, np.tile(latents.mean(axis=0), (num_free, 1))]).astype(np.float32)
    if num_free:
        means = np.vstack([means, cluster(free, num_free, seed)])
    return k_means(latents, num_clusters, init=means, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed)


def k_means(latents: np.ndarray, num_clusters: int, key: str = "nclusters", **options) -> np.ndarray:
    """The centroids (C,P) float32 that scikit-learn's KMeans finds in `latents` (N,P), whose `options` these are.

    The same on any machine's number of cores. Where there are fewer distinct rows than clusters, some are alike.

    Raises:
        UserError: there are fewer rows than clusters; the message names `key`, which asked for so many.
    """
    if len(latents) < num_clusters:
        raise _too_few(len(latents), num_clusters, key)
    from sklearn.cluster import KMeans  # more than a second of import that training and evaluation do without
    from sklearn.exceptions import ConvergenceWarning
    # Two partial sums added to zero give the same bits in either order; more threads would not.
    with threadpool_limits(2, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(num_clusters, **options).fit(latents).cluster_centers_.astype(np.float32)


def nearest_anchors(latents: np.ndarray, anchors: np.ndarray,
                    num_neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest anchors of each video, nearest first, ties to the lower id.

    `latents` (N,P), `anchors` (C,P); returns ids (N,S) int64 and Euclidean distances (N,S) float32 with
    S = min(num_neighbours, C).
    """
    anchors = anchors.astype(np.float64)
    num_neighbours = min(num_neighbours, len(anchors))
    ids = np.empty((len(latents), num_neighbours), dtype=np.int64)
    distances = np.empty((len(latents), num_neighbours), dtype=np.float32)
    squares = (anchors ** 2).sum(axis=1)
    for start in range(0, len(latents), 4096):
        block = latents[start:start + 4096].astype(np.float64)
        apart = (block ** 2).sum(axis=1)[:, None] - 2.0 * block @ anchors.T + squares
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :num_neighbours]
        ids[start:start + len(block)] = nearest
        distances[start:start + len(block)] = np.sqrt(np.maximum(np.take_along_axis(apart, nearest, 1), 0.0))
    return ids, distances


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """`rows` (C,P) divided by their L2 norms, float32; a row of zeros stays."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.maximum(norms, TINY)).astype(np.float32)


def _count_distinct(anchors: np.ndarray, scale: float) -> int:
    """How many of `anchors` lie farther than round-off, relative to `scale`, from every one before them."""
    apart = _distance_to_earlier(anchors)
    return int((apart > COINCIDENCE * max(scale, TINY)).sum())


def _distance_to_earlier(anchors: np.ndarray) -> np.ndarray:
    """The distance from each anchor to the nearest of those before it: (C,), infinite for the first."""
    nearest = np.full(len(anchors), np.inf)
    anchors = anchors.astype(np.float64)
    for i in range(1, len(anchors)):
        nearest[i] = np.linalg.norm(anchors[:i] - anchors[i], axis=1).min()
    return nearest


def _too_few(num_distinct: int, num_clusters: int, key: str) -> UserError:
    return UserError(f"config: {key} = {num_clusters}, but the training videos form only {num_distinct} "
                     f"distinct clusters; set {key} to {num_distinct} or less.")
