"""Codes of the training videos in closed form, for a network to follow.

Letters: N videos, K bits.
"""

import numpy as np

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.neighbor_graph import NEIGHBOR_GRAPH
from artefacts.rotation import GRAPH_WEIGHT, fit_rotation
from artefacts.store import plus_minus_one
from artefacts.trajectories import TRAJECTORIES, trajectories
from utils.config.keys import Key


class TeacherCodes(Artefact):
    """(N, K) int8 of +-1: GraphCode's codes of the training videos (docs/graph_code.md)."""

    name = "teacher_codes"
    path_key = "teacher_code_path"
    KEYS = (
        GRAPH_WEIGHT,
        Key("teacher_code_path", "path", None, "closed-form codes of the training videos",
            file="teacher_codes_{nbits}.h5", free=True),
    )
    needs = (TRAJECTORIES, NEIGHBOR_GRAPH)
    shaped_by = ("nbits", "graph_weight", "preprocess_seed")

    def arrays(self, config, split) -> dict[str, Array]:
        return {"codes": Array((len(split), config.nbits), plus_minus_one)}

    def make(self, making: Making) -> Made:
        config, value, embedding = making.config, making.value(TRAJECTORIES), making.value(NEIGHBOR_GRAPH)["embedding"]
        g = trajectories(value["map"], value["cells"])
        directions, offset = fit_rotation(g, embedding, config.nbits, weight=config.graph_weight,
                                          seed=config.preprocess_seed)
        return Made({"codes": np.where(np.hstack([g, embedding]) @ directions > offset, 1, -1).astype(np.int8)})


TEACHER_CODES = TeacherCodes()
