"""Pictures by which pairs of them are alike, compared with the last codes of all training pictures.

Letters: B pictures, N training pictures, C classes, K bits.
"""

import torch
from torch import Tensor, nn

from Loss import pair_likelihood_loss, sign_loss
from model.nets.picture_hashing import PictureHashing


class PairHashing(PictureHashing):
    """Keeps the last code and the labels of every training picture (N rows, zeros until it is first seen)."""

    resident_state = ("bank_codes", "bank_labels")
    optional_state = ("bank_labels",)
    bank_codes: Tensor
    bank_labels: Tensor

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, num_videos)
        # Codes near zero make all pairs alike, and (u - sign u)^2 would settle their signs before the pairs do.
        assert isinstance(self.hash, nn.Linear)
        nn.init.normal_(self.hash.weight, std=self.backbone.num_features ** -0.5)
        self.register_buffer("bank_codes", torch.zeros(num_videos, config.nbits))
        self.register_buffer("bank_labels", torch.zeros(num_videos, 0, dtype=torch.uint8))

    def prepare(self, state) -> None:
        if (labels := state.get("bank_labels")) is not None:
            self.bank_labels = torch.zeros_like(labels, device=self.bank_codes.device)

    @torch.no_grad()
    def remembered(self, batch, u: Tensor) -> Tensor:
        """(B, N) bool, which pairs share a class, once the bank has the codes `u` (B, K) of the batch."""
        if self.bank_labels.shape[1] != batch.labels.shape[1]:
            self.bank_labels = batch.labels.new_zeros(len(self.bank_codes), batch.labels.shape[1])
        index, labels = batch.share.gather(batch.index), batch.share.gather(batch.labels)
        self.bank_codes[index] = batch.share.gather(u.detach())
        self.bank_labels[index] = labels
        return batch.labels.float() @ self.bank_labels.float().T > 0

    def pairs_and_signs(self, batch, u: Tensor) -> dict[str, Tensor]:
        """The likelihood of all pairs of the batch's codes `u` (B, K) with the bank, and `sign_weight`, a key of the
        method, times (u - sign u)^2."""
        similar = self.remembered(batch, u)
        terms = {"pairs": batch.share.mean(pair_likelihood_loss(u, self.bank_codes, similar)),
                 "sign": batch.share.mean(sign_loss(u))}
        return {"total": terms["pairs"] + self.config.sign_weight * terms["sign"], **terms}
