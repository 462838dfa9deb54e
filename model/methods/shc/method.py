"""SHC: deep hashing with semantic hash centers (Chen et al., arXiv 2507.08404).

A classifier says how alike the classes are (`similarity`), centers that are far apart follow it (`centers`), and a
network learns the center of each picture's class. The first two are artefacts that preprocess makes.
"""

from artefacts.artefact import Artefact, with_keys
from model.methods.shc.centers import CLASS_CENTERS
from model.nets.center_hashing import CenterHashing


class Method(CenterHashing):
    """Stage 3; a picture of several classes goes to the first of them."""

    title = "SHC"
    KEYS = (*CenterHashing.KEYS, *with_keys(CLASS_CENTERS))

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (CLASS_CENTERS,)

    def targets(self, labels):
        return self.centers[labels.argmax(dim=1)]
