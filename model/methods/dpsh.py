"""DPSH: deep pairwise-supervised hashing (Li et al., IJCAI 2016)."""

from torch import Tensor

from Loss import pair_likelihood_loss, sign_loss
from model.nets.pair_hashing import PairHashing
from utils.config.keys import NON_NEGATIVE, Key


class Method(PairHashing):
    """The likelihood of all pairs of a batch with the training set, and (u - sign u)^2."""

    title = "DPSH"
    KEYS = (*PairHashing.KEYS, Key("sign_weight", "float", 0.1, "weight of what keeps codes near their signs",
                                   NON_NEGATIVE))

    def losses(self, batch, step) -> dict[str, Tensor]:
        u = self.codes(batch)
        similar = self.remembered(batch, u)
        terms = {"pairs": batch.share.mean(pair_likelihood_loss(u, self.bank_codes, similar)),
                 "sign": batch.share.mean(sign_loss(u))}
        return {"total": terms["pairs"] + self.config.sign_weight * terms["sign"], **terms}
