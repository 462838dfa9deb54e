"""Clusters of the training videos: their anchors, the pseudo-label of each video, the semantics of each cluster.

One clustering serves labels and hash centers: label i is center i. N videos, C clusters, P dimensions of the space in
which they are found.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from artefacts.artefact import Array, Artefact, Made, Making, later_settings
from artefacts.clustering import cluster, nearest_anchors, seeded_clusters, unit_rows
from artefacts.latents import LATENTS
from artefacts.neighbor_graph import NEIGHBOR_GRAPH, proposed_clusters
from artefacts.store import finite, ids_below
from artefacts.trajectories import TRAJECTORIES, trajectories
from utils.config.keys import AT_LEAST_1, Key, choice

# By name: the artefact, and the places (N, P) of the videos from what it gives.
SPACES: Mapping[str, tuple[Artefact, Callable[[Any], np.ndarray]]] = {
    "means": (LATENTS, lambda latents: latents),
    "trajectories": (TRAJECTORIES, lambda value: trajectories(value["map"], value["cells"])),
    "graph": (NEIGHBOR_GRAPH, lambda value: value["embedding"]),
}
_ALL = tuple(artefact for artefact, _ in SPACES.values())
LABEL_NEIGHBOURS = 3
_OTHER_CLUSTERING = ("comes from another clustering than {}, so pseudo-label i does not mean hash center i; "
                     "--force makes them from one.")


class _InSpace(Artefact):
    """An artefact about clusters of the videos' places in the space that `semantics` names."""

    needs = _ALL

    def needed(self, config) -> tuple[Artefact, ...]:
        return (SPACES[config.semantics][0], *(need for need in self.needs if need not in _ALL))

    def reads_labels(self, config) -> bool:
        return config.supervised

    @staticmethod
    def places(making: Making) -> np.ndarray:
        """(N, P) float32."""
        artefact, places_from = SPACES[making.config.semantics]
        return places_from(making.value(artefact))


class Anchors(_InSpace):
    """(C, P) float32: the centroids of seeded k-means. With `supervised`, the first are of classes."""

    name = "anchors"
    path_key = "anchor_path"
    KEYS = (
        Key("nclusters", "int", 100, "C, clusters and hash centers", AT_LEAST_1),
        choice("semantics", "means", ["trajectories", "graph"], "what the videos are clustered by: frame means (the "
               "paper), half-whitened trajectories, or their places in the neighbor graph"),
        Key("supervised", "bool", False, "labelled training videos (train_label_path) make their classes clusters; "
            "those without a label, rows of zeros, join the nearest cluster"),
        Key("anchor_path", "path", None, "k-means anchors", file="final_train_anchors.h5", free=True),
    )

    shaped_by = ("nclusters", "preprocess_seed")

    def settings(self, config) -> dict[str, Any]:
        """`semantics` enters as `space`, since an artefact has its name."""
        later = later_settings(config, {"semantics": "means", "supervised": False})
        return super().settings(config) | {"space": later["semantics"], "supervised": later["supervised"]}

    def arrays(self, config, split) -> dict[str, Array]:
        num_dims = LATENTS.arrays(config, split)["feats"].shape[1] if config.semantics == "means" else None
        return {"feats": Array((config.nclusters, num_dims), finite)}

    def make(self, making: Making) -> Made:
        config, places = making.config, self.places(making)
        if config.semantics == "graph":
            proposed = proposed_clusters(making.value(NEIGHBOR_GRAPH))
            making.log(f"neighbor graph: its largest eigengap proposes {proposed} clusters; nclusters = "
                       f"{config.nclusters} are made.")
        classes = classes_of(making.labels()) if config.supervised else np.full(len(places), -1)
        if (classes >= 0).any():
            return Made({"feats": seeded_clusters(places, classes, config.nclusters, config.preprocess_seed)})
        return Made({"feats": cluster(places, config.nclusters, config.preprocess_seed)})

    def complaint(self, config, num_videos: int) -> str | None:
        if config.nclusters <= num_videos:
            return None
        return (f"{num_videos} training videos cannot form nclusters = {config.nclusters} clusters. Set nclusters to "
                f"{num_videos} or less.")


ANCHORS = Anchors()


class PseudoLabels(_InSpace):
    """(N,) int64: the cluster of each training video. The file has its next nearest anchors beside it."""

    name = "pseudo_labels"
    path_key = "train_assist_path"
    KEYS = (
        Key("num_anchor_neighbours", "int", 5, "nearest anchors kept per video", AT_LEAST_1),
        Key("train_assist_path", "path", None, "nearest anchors of each video, the first its pseudo-label",
            file="final_train_train_assit.h5", free=True),
    )
    needs = (*_ALL, ANCHORS)
    shaped_by = ("num_anchor_neighbours",)

    def arrays(self, config, split) -> dict[str, Array]:
        return {"pos": Array((len(split), None), ids_below(config.nclusters))}

    def make(self, making: Making) -> Made:
        num_neighbours = making.config.num_anchor_neighbours
        ids, distances = nearest_anchors(self.places(making), making.value(ANCHORS),
                                         max(num_neighbours, LABEL_NEIGHBOURS))
        labels = ids[:, :LABEL_NEIGHBOURS].copy()
        if making.config.supervised:
            classes = classes_of(making.labels())
            labels[classes >= 0] = classes[classes >= 0, None]
        return Made({"pos": labels, "ids": ids[:, :num_neighbours], "distances": distances[:, :num_neighbours]})

    def read(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return arrays["pos"][:, 0].astype(np.int64)

    def judged(self, arrays: Mapping[str, np.ndarray], labels: Callable[[], np.ndarray | None]) -> str | None:
        known = labels()
        if known is None or (known.sum(axis=1) != 1).any():  # purity has no meaning where a video is of several classes
            return None
        from sklearn.metrics import adjusted_mutual_info_score  # a second of import that training does without
        found, true = self.read(arrays), known.argmax(axis=1)
        counts = np.zeros((found.max() + 1, known.shape[1]), np.int64)
        np.add.at(counts, (found, true), 1)
        return (f"pseudo-labels against the true classes, of which nothing was made: purity "
                f"{counts.max(axis=1).sum() / len(found):.3f}, adjusted mutual information "
                f"{adjusted_mutual_info_score(true, found):.3f}")

    def doubt(self, arrays: Mapping[str, np.ndarray], making: Making) -> str | None:
        if making.config.supervised:
            return None
        nearest, _ = nearest_anchors(self.places(making), making.value(ANCHORS), 1)
        same = (arrays["pos"][:, 0] != nearest[:, 0]).mean() <= 0.01  # other software may settle near ties otherwise
        return None if same else _OTHER_CLUSTERING.format(Path(ANCHORS.path(making.config)).name)


def classes_of(labels: np.ndarray) -> np.ndarray:
    """(N,) int64: the class of each video among those that have one, -1 where `labels` (N, classes) has a row of zeros;
    of several classes the first."""
    present = labels[:, labels.any(axis=0)]
    return np.where(present.any(axis=1), present.argmax(axis=1) if present.size else 0, -1)


PSEUDO_LABELS = PseudoLabels()


class Semantics(Artefact):
    """(C, P) float32: the anchors as unit rows, the semantic centers."""

    name = "semantics"
    path_key = "semantic_center_path"
    KEYS = (Key("semantic_center_path", "path", None, "semantic centers", file="semantic.h5", free=True),)
    needs = (ANCHORS,)

    def arrays(self, config, split) -> dict[str, Array]:
        return {"matrix": Array(ANCHORS.arrays(config, split)["feats"].shape, finite)}

    def make(self, making: Making) -> Made:
        return Made({"matrix": unit_rows(making.value(ANCHORS))})

    def doubt(self, arrays: Mapping[str, np.ndarray], making: Making) -> str | None:
        same = np.allclose(arrays["matrix"], unit_rows(making.value(ANCHORS)), atol=1e-4)
        return None if same else _OTHER_CLUSTERING.format(Path(ANCHORS.path(making.config)).name)


SEMANTICS = Semantics()
