"""The graph's weight, its neighbors and whether it warps, chosen by labelled training videos that are held out.

Letters: N videos, M nodes, P components of g, C columns of E, K bits, k neighbors.

The training videos are cut in four. Each part in turn asks the other three, which alone make graph and rotation; a
setting is worth the mean of the four scores. First the weight is chosen, then neighbors and warps at that weight. Where
anchors are the nodes, the weight alone is: a graph over anchors takes minutes, and they are made of all videos.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from artefacts.neighbor_graph import Graph, dense_graph, embed, place, symmetric, warped_similarities
from artefacts.rotation import Rotation, default_weight, fit_rotation
from artefacts.trajectories import TrajectoryMap, trajectories
from model.contract import Score
from utils.errors import UserError

FOLDS = 4
WEIGHTS = (1, 0, 0.5, 2, 4)  # times the default, which of equals is taken
NEIGHBORS = (5, 10)  # beside those of the graph
NO_QUERY = -1


class Setting(NamedTuple):
    """What is tried."""

    weight: float
    num_neighbors: int
    warped: bool

    def __str__(self) -> str:
        return f"weight={self.weight:.4g},neighbors={self.num_neighbors},warps={int(self.warped)}"


class Chosen(NamedTuple):
    """The best setting, what makes its code, and the score of every setting that was tried."""

    setting: Setting
    fitted: TrajectoryMap
    graph: Graph
    embedding: np.ndarray
    scores: dict[Setting, float]


def choose(fitted: TrajectoryMap, cells: np.ndarray, graph: Graph, embedding: np.ndarray, labels: np.ndarray, *,
           num_bits: int, score: Score, groups: np.ndarray | None = None, seed: int = 0) -> Chosen:
    """The setting of the best score on held-out training videos, and the graph under it of all of them.

    Args:
        fitted, cells, graph, embedding: of the training videos, as their artefacts have them.
        labels: (N, classes) multi-hot. A video without a label asks nothing.
        groups: (N,) what is held out together, see `folds_of`.

    Raises:
        UserError: no video has a label, or all that have one are in one group.
    """
    trial = _Trial(fitted, cells, graph, embedding, labels, folds_of(labels, groups), num_bits, seed, score)
    if len(set(trial.folds.tolist()) - {NO_QUERY}) < 2:
        raise UserError("training labels: select = 'validation' holds out a part of the labelled training videos, and "
                        "they are none or of one group. Leave select out, or correct train_label_path and "
                        "train_group_path.")
    usual = default_weight(num_bits)
    scores = trial.scores([weight * usual for weight in WEIGHTS], graph.num_neighbors, len(fitted.warps) > 1)
    best = max(scores, key=scores.__getitem__)
    if best.weight and trial.dense:
        for warped in dict.fromkeys((best.warped, False)):
            for k in (graph.num_neighbors, *NEIGHBORS):
                if k < len(cells) // 2 and (k, warped) != best[1:]:
                    scores |= trial.scores([best.weight], k, warped)
        best = max(scores, key=scores.__getitem__)
    if (best.num_neighbors, best.warped) == (graph.num_neighbors, len(fitted.warps) > 1):
        return Chosen(best, fitted, graph, embedding, scores)
    similarities, fitted = trial.similarities(best.warped), _warps(fitted, best.warped)
    graph = dense_graph(graph.nodes, symmetric(similarities), best.num_neighbors, len(graph.eigenvalues))
    return Chosen(best, fitted, graph, embed(fitted, graph, cells), scores)


def folds_of(labels: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(N,) the part, 0 to 3, of each training video; -1 of one without a label.

    A group is in one part. Without groups, the videos of each class, by its first label, are cut in four in their
    order: windows of one recording, which are as good as copies of each other, mostly stay together.
    """
    folds = np.full(len(labels), NO_QUERY)
    if groups is not None:
        for fold, members in enumerate(np.array_split(np.unique(groups), FOLDS)):
            folds[np.isin(groups, members)] = fold
    else:
        first = labels.argmax(axis=1)
        for turn, label in enumerate(np.unique(first)):
            for fold, rows in enumerate(np.array_split(np.flatnonzero(first == label), FOLDS)):
                folds[rows] = (fold + turn) % FOLDS
    folds[~labels.any(axis=1)] = NO_QUERY
    return folds


class _Trial:
    """What all settings are tried with."""

    def __init__(self, fitted: TrajectoryMap, cells: np.ndarray, graph: Graph, embedding: np.ndarray,
                 labels: np.ndarray, folds: np.ndarray, num_bits: int, seed: int, score: Score):
        self.fitted, self.cells, self.graph, self.embedding = fitted, cells, graph, embedding
        self.labels, self.folds, self.num_bits, self.seed, self.score = labels, folds, num_bits, seed, score
        self.g = trajectories(fitted, cells)
        self.dense = len(graph.nodes) == len(cells)
        self._similarities: dict[bool, np.ndarray] = {}

    def scores(self, weights: Sequence[float], num_neighbors: int, warped: bool) -> dict[Setting, float]:
        """The mean score of each weight with a graph of these settings."""
        totals = np.zeros(len(weights))
        parts = sorted(set(self.folds.tolist()) - {NO_QUERY})
        for fold in parts:
            held, kept = np.flatnonzero(self.folds == fold), np.flatnonzero(self.folds != fold)
            e_held, e_kept = self._embeddings(held, kept, num_neighbors, warped)
            for i, weight in enumerate(weights):
                rotation = fit_rotation(self.g[kept], e_kept, self.num_bits, weight=weight, seed=self.seed)
                totals[i] += self.score(_codes(rotation, self.g[held], e_held), _codes(rotation, self.g[kept], e_kept),
                                        self.labels[held], self.labels[kept])
        return {Setting(weight, num_neighbors, warped): float(total / len(parts))
                for weight, total in zip(weights, totals, strict=True)}

    def similarities(self, warped: bool) -> np.ndarray:
        """(N,N) float32, from any warp of a video to each other as it is."""
        if warped not in self._similarities:
            self._similarities[warped] = warped_similarities(_warps(self.fitted, warped), self.cells, self.graph.nodes)
        return self._similarities[warped]

    def _embeddings(self, held: np.ndarray, kept: np.ndarray, num_neighbors: int,
                    warped: bool) -> tuple[np.ndarray, np.ndarray]:
        """E of the held-out videos and of the others, whose graph it is."""
        if not self.dense:
            return self.embedding[held], self.embedding[kept]
        similarities = self.similarities(warped)
        among = similarities[np.ix_(kept, kept)]
        graph = dense_graph(self.graph.nodes[kept], symmetric(among.copy()), min(num_neighbors, len(kept) - 1),
                            len(self.graph.eigenvalues))
        return place(graph, similarities[np.ix_(held, kept)]), place(graph, among)


def _warps(fitted: TrajectoryMap, warped: bool) -> TrajectoryMap:
    return fitted if warped else fitted._replace(warps=fitted.warps[:1])


def _codes(rotation: Rotation, g: np.ndarray, embedding: np.ndarray) -> np.ndarray:
    h = np.hstack([g, embedding]) @ rotation.directions - rotation.offset
    return np.where(h < 0, -1, 1).astype(np.int8)


def as_figures(chosen: Chosen) -> Mapping[str, float]:
    """What a run records: the choice, and the score of each setting."""
    return {"graph_weight": chosen.setting.weight, "num_neighbors": chosen.setting.num_neighbors,
            "warps": len(chosen.fitted.warps), **{f"held_out/{setting}": round(score, 4)
                                                  for setting, score in chosen.scores.items()}}
