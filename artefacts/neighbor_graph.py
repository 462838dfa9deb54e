"""A self-tuning neighbor graph over trajectories, and the place of a video in it: its spectral embedding E.

Letters: N videos, M nodes, Q components compared, C columns of E, W warps, k neighbors.

Similarity of two videos is the cosine of the first Q components of g, its maximum over the warps of one of them
(`artefacts.trajectories`); d = 1 - similarity. Weights are those of Zelnik-Manor & Perona (2004, "Self-tuning spectral
clustering"): exp(-d_ij^2 / (d_i d_j)), d_i the distance to the k-th neighbor, between k nearest neighbors.

Up to DENSE_LIMIT videos the nodes are the videos. Beyond, they are k-means centroids of g, videos are joined by the
nodes they share (Liu et al. 2011, "Hashing with graphs"), and the work is N M in place of N^2. Either way the place of
a new video is the weighted mean of the places of its k nearest nodes, so an encoder needs a `Graph` alone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making, later_settings
from artefacts.clustering import cluster, signs_of_largest, unit_rows
from artefacts.store import finite, ids_below
from artefacts.trajectories import TRAJECTORIES, TrajectoryMap, trajectories
from utils.config.keys import AT_LEAST_1, Interval, Key
from utils.errors import UserError

NUM_NEIGHBORS, NUM_COLUMNS = 7, 128  # where videos are the nodes
NUM_ANCHORS, ANCHOR_NEIGHBORS, ANCHOR_COLUMNS = 2000, 3, 192  # where anchors are
COMPARED = 128
SHARPNESS = 2.0  # of a video's weights to the nodes: its exponents in the graph, times this
DENSE_LIMIT = 6000
ANCHOR_ITERATIONS = 20
LEAST_VIDEOS = 10
SOLVE_DENSE = 800  # up to that many nodes all eigenpairs are as fast as the leading ones
ROWS_PER_BLOCK = 512
TINY = 1e-6  # of a distance in [0, 2], float32 round-off


class Graph(NamedTuple):
    """The nodes of a graph and their places, float32: what an encoder needs."""

    nodes: np.ndarray  # (M,Q), rows of unit length
    widths: np.ndarray  # (M,), d_j of each node
    places: np.ndarray  # (M,C), columns by falling eigenvalue
    eigenvalues: np.ndarray  # (C,)
    num_neighbors: int  # k, of a video among the nodes


def fit_graph(fitted: TrajectoryMap, cells: np.ndarray, *, num_neighbors: int | None = None,
              num_columns: int | None = None, compared: int = COMPARED, dense_limit: int = DENSE_LIMIT,
              num_anchors: int = NUM_ANCHORS, seed: int = 0, progress=None) -> Graph:
    """The graph of the training videos whose `cells` are (N,R,D); see the head of this file.

    Args:
        num_neighbors, num_columns: k and C; None for 7 and 128 among videos, 3 and 192 over anchors. Fewer where there
            are fewer nodes.
        compared: Q; fewer where g has fewer components.
        dense_limit: the largest N for which every video is a node.
        num_anchors: M beyond; at most N / 2.
        seed: of the k-means.
        progress: is called with the number of videos whose similarities are done, N in all.

    Raises:
        UserError: there are fewer than ten videos.
    """
    num_videos = len(cells)
    if too_few := _too_few(num_videos):
        raise UserError(f"training features: {too_few}")
    nodes = unit_rows(trajectories(fitted, cells)[:, :compared])
    if num_videos <= dense_limit:
        similarities = symmetric(warped_similarities(fitted, cells, nodes, progress))
        return dense_graph(nodes, similarities, min(num_neighbors or NUM_NEIGHBORS, num_videos - 1),
                           num_columns or NUM_COLUMNS)
    nodes = unit_rows(cluster(nodes, min(num_anchors, num_videos // 2), seed, restarts=1,
                              max_iterations=ANCHOR_ITERATIONS, key="num_anchors"))
    return anchor_graph(fitted, cells, nodes, min(num_neighbors or ANCHOR_NEIGHBORS, len(nodes) - 1),
                        num_columns or ANCHOR_COLUMNS, progress)


def warped_similarities(fitted: TrajectoryMap, cells: np.ndarray, nodes: np.ndarray, progress=None) -> np.ndarray:
    """(B,M) float32: the largest cosine of each node with any warp of each video; `cells` (B,R,D), `nodes` (M,Q)."""
    best = np.full((len(cells), len(nodes)), -np.inf, np.float32)
    for start in range(0, len(cells), ROWS_PER_BLOCK):
        rows = slice(start, start + ROWS_PER_BLOCK)
        for warp in range(len(fitted.warps)):
            g = unit_rows(trajectories(fitted, cells[rows], warp)[:, :nodes.shape[1]])
            np.maximum(best[rows], g @ nodes.T, out=best[rows])
        if progress is not None:
            progress(len(cells[rows]))
    return best


def symmetric(similarities: np.ndarray) -> np.ndarray:
    """The same array (N,N), changed: for each pair the larger of the similarities either way, a warp being of one."""
    for start in range(0, len(similarities), ROWS_PER_BLOCK):
        rows, later = slice(start, start + ROWS_PER_BLOCK), slice(start, None)
        larger = np.maximum(similarities[rows, later], similarities[later, rows].T)
        similarities[rows, later], similarities[later, rows] = larger, larger.T
    return similarities


def dense_graph(nodes: np.ndarray, similarities: np.ndarray, num_neighbors: int, num_columns: int) -> Graph:
    """The graph among N videos; `nodes` (N,Q) are kept in it, `similarities` (N,N) are symmetric.

    E: from the leading eigenpairs (w, v) of D^-1/2 W D^-1/2 but the trivial one, the columns D^-1/2 v times w, of unit
    deviation before that where each video counts by its degree: a rotation among equal eigenvalues, as separate parts
    of a graph have them, is then a rotation of E.
    """
    ids, distances = nearest(similarities, num_neighbors, exclude_self=True)
    widths = np.maximum(distances[:, -1], TINY)
    weights = np.exp(-distances ** 2 / (widths[:, None] * widths[ids]))
    rows = np.repeat(np.arange(len(nodes)), num_neighbors)
    graph = scipy.sparse.csr_array((weights.ravel(), (rows, ids.ravel())), shape=similarities.shape)
    graph = graph.maximum(graph.T)
    root = np.sqrt(graph.sum(axis=1))
    normalized = scipy.sparse.diags_array(1 / root) @ graph @ scipy.sparse.diags_array(1 / root)
    length = np.linalg.norm(root)
    values, vectors = leading_eigenpairs(normalized, root / length, min(num_columns, len(nodes) - 1))
    places = vectors * (np.maximum(values, 0) * length) / root[:, None]
    return _graph(nodes, widths, places, values, num_neighbors)


def anchor_graph(fitted: TrajectoryMap, cells: np.ndarray, nodes: np.ndarray, num_neighbors: int, num_columns: int,
                 progress=None) -> Graph:
    """The graph of videos over `nodes` (M,Q): Z D^-1 Z^T, Z (N,M) each video's weights of its k nearest nodes.

    Its eigenvectors are Z D^-1/2 u with (w, u) those of D^-1/2 Z^T Z D^-1/2 (M x M), D the column sums of Z, so that a
    node's place is D^-1/2 u and a video's the mean of its nodes' places; columns as in `dense_graph`.
    """
    _, distances = nearest(nodes @ nodes.T, num_neighbors, exclude_self=True)
    widths = np.maximum(distances[:, -1], TINY)
    parts = []
    for start in range(0, len(cells), ROWS_PER_BLOCK):
        block = cells[start:start + ROWS_PER_BLOCK]
        ids, weights = node_weights(warped_similarities(fitted, block, nodes), widths, num_neighbors)
        rows = np.repeat(np.arange(len(block)), num_neighbors)
        parts.append(scipy.sparse.csr_array((weights.ravel(), (rows, ids.ravel())), shape=(len(block), len(nodes))))
        if progress is not None:
            progress(len(block))
    z = scipy.sparse.vstack(parts, format="csr")
    root = np.sqrt(np.maximum(z.sum(axis=0), TINY))
    scaled = z @ scipy.sparse.diags_array(1 / root)
    trivial = root / np.linalg.norm(root)
    values, vectors = leading_eigenpairs(scaled.T @ scaled, trivial, min(num_columns, len(nodes) - 1))
    places = vectors * np.sqrt(np.maximum(values, 0) * len(cells)) / root[:, None]
    return _graph(nodes, widths, places, values, num_neighbors)


def node_weights(similarities: np.ndarray, widths: np.ndarray, num_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """ids (B,k) and weights (B,k) that sum to 1, of the k nodes nearest to each video; `similarities` (B,M).

    Weights are exp(-2 d_ij^2 / (d_i d_j)), d_i the distance to the k-th node, over their sum. The factor is ours: in
    the graph a video has no edge to itself, here its nearest node may be itself or its twin, which ought to count most.
    """
    ids, distances = nearest(similarities, num_neighbors)
    own = np.maximum(distances[:, -1:], TINY)
    exponents = SHARPNESS * distances ** 2 / (own * widths[ids])
    weights = np.exp(exponents.min(axis=1, keepdims=True) - exponents)
    return ids, weights / weights.sum(axis=1, keepdims=True)


def embed(fitted: TrajectoryMap, graph: Graph, cells: np.ndarray, progress=None) -> np.ndarray:
    """E (N,C) float32 of any videos, `cells` (N,R,D): the weighted mean of the places of their k nearest nodes.

    A training video is met like a new one. Where the videos are the nodes, it is the nearest of its own.
    """
    embedding = np.empty((len(cells), graph.places.shape[1]), np.float32)
    for start in range(0, len(cells), ROWS_PER_BLOCK):
        block = cells[start:start + ROWS_PER_BLOCK]
        embedding[start:start + len(block)] = place(graph, warped_similarities(fitted, block, graph.nodes))
        if progress is not None:
            progress(len(block))
    return embedding


def proposed_clusters(value: Mapping[str, Any]) -> int:
    """The number of clusters before the largest gap between eigenvalues of a `NEIGHBOR_GRAPH` (Luxburg 2007, section
    8.3): as many as near-separate parts, from 2 on."""
    eigenvalues = value["graph"].eigenvalues
    return int(np.argmax(eigenvalues[:-1] - eigenvalues[1:])) + 2 if len(eigenvalues) > 1 else 2


def place(graph: Graph, similarities: np.ndarray) -> np.ndarray:
    """E (B,C) float64 of videos whose similarities to the nodes are (B,M)."""
    ids, weights = node_weights(similarities, graph.widths, graph.num_neighbors)
    return np.einsum("bk,bkc->bc", weights, graph.places[ids])


def nearest(similarities: np.ndarray, num_neighbors: int, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """ids (B,k) and distances 1 - similarity (B,k) float64 of the k most similar columns of each row, nearest first.

    `exclude_self`: column i is not a neighbor of row i.
    """
    ids = np.empty((len(similarities), num_neighbors), np.int64)
    distances = np.empty(ids.shape)
    for start in range(0, len(ids), ROWS_PER_BLOCK):
        block = similarities[start:start + ROWS_PER_BLOCK]
        if exclude_self:
            block = block.copy()
            block[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        found = np.argpartition(block, -num_neighbors, axis=1)[:, -num_neighbors:]
        values = np.take_along_axis(block, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        ids[start:start + len(block)] = np.take_along_axis(found, order, axis=1)
        distances[start:start + len(block)] = 1 - np.take_along_axis(values, order, axis=1).astype(np.float64)
    return ids, np.maximum(distances, 0)


def leading_eigenpairs(matrix, trivial: np.ndarray, num_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues (C,) of a sparse symmetric `matrix` (M,M), falling, and their vectors (M,C), float64.

    `trivial` (M,), an eigenvector of unit length, is left out. Of each vector the largest entry is positive.
    """
    size = len(trivial)
    with threadpool_limits(1, user_api="blas"):  # bound by memory, see `artefacts.trajectories`
        if size <= SOLVE_DENSE or num_pairs >= size - 1:
            values, vectors = scipy.linalg.eigh(matrix.toarray() - np.outer(trivial, trivial),
                                                subset_by_index=(size - num_pairs, size - 1))
        else:
            start = np.random.default_rng(0).standard_normal(size)
            others = LinearOperator(matrix.shape, lambda x: matrix @ x - trivial * (trivial @ x), dtype=np.float64)
            values, vectors = eigsh(others, num_pairs, which="LA", v0=start)
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], vectors[:, order]
    return values, vectors * signs_of_largest(vectors)


def _too_few(num_videos: int) -> str | None:
    if num_videos >= LEAST_VIDEOS:
        return None
    return (f"there are {num_videos} videos, and a graph of neighbors needs at least {LEAST_VIDEOS}; name a larger "
            "file in train_feat_path.")


def _graph(nodes, widths, places, eigenvalues, num_neighbors: int) -> Graph:
    return Graph(nodes.astype(np.float32), widths.astype(np.float32), places.astype(np.float32),
                 eigenvalues.astype(np.float32), num_neighbors)


class NeighborGraph(Artefact):
    """`graph`, a `Graph`, and `embedding` (N,C) float32: E of the training videos, met like new ones."""

    name = "neighbor_graph"
    path_key = "neighbor_graph_path"
    KEYS = (
        Key("num_neighbors", "int", NUM_NEIGHBORS, "k, nearest neighbors that the graph joins where each video is a "
            "node", AT_LEAST_1, shapes_codes=True),
        Key("embedding_dims", "int", NUM_COLUMNS, "columns of the spectral embedding there", AT_LEAST_1),
        Key("compared_dims", "int", COMPARED, "leading components of trajectories that are compared", AT_LEAST_1),
        Key("dense_limit", "int", DENSE_LIMIT, "training videos up to which each is a node of its own", AT_LEAST_1),
        Key("num_graph_anchors", "int", NUM_ANCHORS, "nodes beyond that", Interval(10)),
        Key("graph_anchor_neighbors", "int", ANCHOR_NEIGHBORS, "num_neighbors beyond that", AT_LEAST_1),
        Key("graph_anchor_dims", "int", ANCHOR_COLUMNS, "embedding_dims beyond that", AT_LEAST_1),
        Key("neighbor_graph_path", "path", None, "graph of the training videos and its embedding",
            file="neighbor_graph.h5", free=True),
    )
    needs = (TRAJECTORIES,)
    shaped_by = ("num_neighbors", "embedding_dims", "compared_dims", "dense_limit", "num_graph_anchors",
                 "preprocess_seed")

    def settings(self, config) -> dict[str, Any]:
        return super().settings(config) | later_settings(
            config, {"graph_anchor_neighbors": ANCHOR_NEIGHBORS, "graph_anchor_dims": ANCHOR_COLUMNS})

    def arrays(self, config, split) -> dict[str, Array]:
        return {"nodes": Array((None, None), finite), "widths": Array((None,), finite),
                "places": Array((None, None), finite), "eigenvalues": Array((None,), finite),
                "num_neighbors": Array((1,), ids_below(len(split))), "embedding": Array((len(split), None), finite)}

    def make(self, making: Making) -> Made:
        config, (fitted, cells) = making.config, making.value(TRAJECTORIES).values()
        with tqdm(total=2 * len(cells), desc="neighbor graph", disable=None, leave=False) as bar:
            dense = len(cells) <= config.dense_limit
            graph = fit_graph(
                fitted, cells, num_neighbors=config.num_neighbors if dense else config.graph_anchor_neighbors,
                num_columns=config.embedding_dims if dense else config.graph_anchor_dims,
                compared=config.compared_dims, dense_limit=config.dense_limit, num_anchors=config.num_graph_anchors,
                seed=config.preprocess_seed, progress=bar.update)
            embedding = embed(fitted, graph, cells, bar.update)
        return Made(graph._asdict() | {"num_neighbors": np.array([graph.num_neighbors]), "embedding": embedding})

    def read(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        graph = Graph(arrays["nodes"], arrays["widths"], arrays["places"], arrays["eigenvalues"],
                      int(arrays["num_neighbors"][0]))
        return {"graph": graph, "embedding": arrays["embedding"]}

    def complaint(self, config, num_videos: int) -> str | None:
        return _too_few(num_videos)


NEIGHBOR_GRAPH = NeighborGraph()
