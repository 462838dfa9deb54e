"""Hash centers of the classes of labelled items: rows of a Hadamard matrix, whatever the classes mean.

Letters: C classes, K bits.
"""

import numpy as np

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.centers.solver import start_codes
from artefacts.store import plus_minus_one
from utils.config.keys import Key


class HadamardCenters(Artefact):
    """(C + 1, K) int8 of +-1: a center for each class, and one more whose bits settle ties.

    Rows of the Hadamard matrix, then of its negative, then balanced random ones; all random where K is no power of two
    (Yuan et al., CVPR 2020, algorithm 1).
    """

    name = "class_centers"
    path_key = "class_center_path"
    KEYS = (Key("class_center_path", "path", None, "hash centers of classes", file="hadamard_{nbits}.h5", free=True),)
    shaped_by = ("nbits", "preprocess_seed")
    uses_labels = True

    def arrays(self, config, split) -> dict[str, Array]:
        return {"matrix": Array((None, config.nbits), plus_minus_one)}

    def make(self, making: Making) -> Made:
        config, rng = making.config, np.random.default_rng(making.config.preprocess_seed)
        centers = start_codes(making.labels().shape[1], config.nbits, rng)
        ties = rng.choice(np.array([-1, 1], np.int8), size=(1, config.nbits))
        return Made({"matrix": np.concatenate([centers, ties])})


HADAMARD_CENTERS = HadamardCenters()
