"""CSQ: central similarity quantization (Yuan et al., CVPR 2020)."""

from artefacts.artefact import Artefact, with_keys
from artefacts.centers.of_classes import HADAMARD_CENTERS
from model.nets.center_hashing import CenterHashing, majority_center


class Method(CenterHashing):
    """Hadamard rows as centers; a picture of several classes learns the majority of their centers."""

    title = "CSQ"
    KEYS = (*CenterHashing.KEYS, *with_keys(HADAMARD_CENTERS))

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (HADAMARD_CENTERS,)

    def targets(self, labels):
        return majority_center(self.centers[:-1], labels, self.centers[-1])
