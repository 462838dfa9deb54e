"""HashNet: deep learning to hash by continuation (Cao et al., ICCV 2017)."""

from torch import Tensor

from Loss import pair_likelihood_loss
from model.nets.pair_hashing import PairHashing
from utils.config.keys import POSITIVE, Key


class Method(PairHashing):
    """Balanced pairs of u = tanh(beta code), beta growing from 1 as training goes on, so that u nears the sign."""

    title = "HashNet"
    KEYS = (*PairHashing.KEYS,
            Key("continuation", "float", 10.0, "beta at the end of training; it grows evenly from 1", POSITIVE),
            Key("pair_scale", "float", 0.1, "scale of the inner product of two codes", POSITIVE))

    def losses(self, batch, step) -> dict[str, Tensor]:
        beta = 1 + (self.config.continuation - 1) * step.fraction
        u = (beta * self.codes(batch)).tanh()
        similar = self.remembered(batch, u)
        loss = pair_likelihood_loss(u, self.bank_codes, similar, scale=self.config.pair_scale,
                                    similar_share=batch.share.mean(similar.float().mean()))
        return {"total": batch.share.mean(loss)}
