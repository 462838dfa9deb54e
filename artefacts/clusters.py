"""Clusters of the training videos: their anchors, the pseudo-label of each video, the semantics of each cluster.

One clustering serves labels and hash centers: label i is center i. N videos, C clusters, P latent dimensions.
"""

from collections.abc import Mapping

import numpy as np

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.clustering import cluster, nearest_anchors, unit_rows
from artefacts.latents import LATENTS
from artefacts.store import finite, ids_below
from utils.config.keys import AT_LEAST_1, Key

LABEL_NEIGHBOURS = 3
_OTHER_CLUSTERING = ("comes from another clustering than {}, so pseudo-label i does not mean hash center i; "
                     "--force makes them from one.")


class Anchors(Artefact):
    """(C, P) float32: the centroids of seeded k-means on the latents."""

    name = "anchors"
    path_key = "anchor_path"
    KEYS = (
        Key("nclusters", "int", 100, "C, clusters and hash centers", AT_LEAST_1),
        Key("anchor_path", "path", None, "k-means anchors", file="final_train_anchors.h5", free=True),
    )
    needs = (LATENTS,)
    shaped_by = ("nclusters", "preprocess_seed")

    def arrays(self, config, split) -> dict[str, Array]:
        num_dims = LATENTS.arrays(config, split)["feats"].shape[1]
        return {"feats": Array((config.nclusters, num_dims), finite)}

    def make(self, making: Making) -> Made:
        config = making.config
        return Made({"feats": cluster(making.value(LATENTS), config.nclusters, config.preprocess_seed)})

    def complaint(self, config, num_videos: int) -> str | None:
        if config.nclusters <= num_videos:
            return None
        return (f"{num_videos} training videos cannot form nclusters = {config.nclusters} clusters. Set nclusters to "
                f"{num_videos} or less.")


ANCHORS = Anchors()


class PseudoLabels(Artefact):
    """(N,) int64: the cluster of each training video. The file has its next nearest anchors beside it."""

    name = "pseudo_labels"
    path_key = "train_assist_path"
    KEYS = (
        Key("num_anchor_neighbours", "int", 5, "nearest anchors kept per video", AT_LEAST_1),
        Key("train_assist_path", "path", None, "nearest anchors of each video, the first its pseudo-label",
            file="final_train_train_assit.h5", free=True),
    )
    needs = (LATENTS, ANCHORS)
    shaped_by = ("num_anchor_neighbours",)

    def arrays(self, config, split) -> dict[str, Array]:
        return {"pos": Array((len(split), None), ids_below(config.nclusters))}

    def make(self, making: Making) -> Made:
        num_neighbours = making.config.num_anchor_neighbours
        ids, distances = nearest_anchors(making.value(LATENTS), making.value(ANCHORS),
                                         max(num_neighbours, LABEL_NEIGHBOURS))
        return Made({"pos": ids[:, :LABEL_NEIGHBOURS], "ids": ids[:, :num_neighbours],
                     "distances": distances[:, :num_neighbours]})

    def read(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return arrays["pos"][:, 0].astype(np.int64)

    def doubt(self, arrays: Mapping[str, np.ndarray], making: Making) -> str | None:
        nearest, _ = nearest_anchors(making.value(LATENTS), making.value(ANCHORS), 1)
        same = (arrays["pos"][:, 0] != nearest[:, 0]).mean() <= 0.01  # other software may settle near ties otherwise
        return None if same else _OTHER_CLUSTERING.format(ANCHORS.path(making.config))


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
        return None if same else _OTHER_CLUSTERING.format(ANCHORS.path(making.config))


SEMANTICS = Semantics()
