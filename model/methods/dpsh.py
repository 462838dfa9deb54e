"""DPSH: deep pairwise-supervised hashing (Li et al., IJCAI 2016)."""

from torch import Tensor

from model.nets.pair_hashing import PairHashing
from utils.config.keys import NON_NEGATIVE, Key


class Method(PairHashing):
    """The likelihood of all pairs of a batch with the training set, and (u - sign u)^2."""

    title = "DPSH"
    KEYS = (*PairHashing.KEYS, Key("sign_weight", "float", 0.1, "weight of what keeps codes near their signs",
                                   NON_NEGATIVE))

    def losses(self, batch, step) -> dict[str, Tensor]:
        return self.pairs_and_signs(batch, self.codes(batch))
