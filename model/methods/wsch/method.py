"""WSCH: one wide block of a state-space layer and attention, trained in two phases (the released code, anon271/WSCH).

An epoch here is one pass over the videos: first those of phase one, which reconstruct; then pairs of one that sharpens
clusters, found anew before it, and one that contrasts. docs/field.md says what of this is chosen here.

Letters: B videos, T frames, V visible frames of a view, K bits, N training videos, C clusters.
"""

import numpy as np
import torch
from torch import Tensor

from artefacts.clustering import k_means
from dataset.views import Draws, EpochDraws
from Loss import cosine_reconstruction_loss, own_cluster_loss
from model.contract import Step
from model.methods.wsch.network import HEAD, NUM_HEADS, Decoder, Encoder, HashLayer
from model.nets.autoencoder import binarize_down, split_frames, take_frames
from model.nets.frame_hashing import hides_nothing
from model.nets.masked_hashing import MaskedHashing
from utils.config.keys import AT_LEAST_1, INSIDE_UNIT, NON_NEGATIVE, POSITIVE, Key


class Method(MaskedHashing):
    """The method, with the centers of the last clustering and the number of the epoch, on which its draws depend."""

    title = "WSCH"
    KEYS = (
        *MaskedHashing.KEYS,
        Key("pretrain_epochs", "int", 100, "epochs of phase one", NON_NEGATIVE),
        Key("pretrain_mask_ratio", "float", 0.9, "hidden share of a view's frames in phase one, and where videos are "
            "clustered", INSIDE_UNIT),
        Key("a_cluster", "float", 0.02, "a, weight of the cluster loss, in every other epoch of phase two",
            NON_NEGATIVE),
        Key("temperature_cluster", "float", 0.2, "temperature of the cluster loss", POSITIVE),
        Key("nclusters", "int", 800, "C, clusters of the codes of all views", AT_LEAST_1),
    )
    optional_state = ("cluster_centers", "epoch")
    cluster_centers: Tensor
    epoch: Tensor

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, cosine_reconstruction_loss)
        F, W, K = config.feature_size, config.hidden_size, config.nbits
        self.En, self.hash, self.De = Encoder(F, W), HashLayer(W, K), Decoder(F, config.decoder_size, K)
        self.register_buffer("cluster_centers", torch.zeros(config.nclusters, K))
        self.register_buffer("epoch", torch.tensor(0))

    @classmethod
    def check(cls, config) -> str | None:
        if 2 * config.hidden_size % HEAD or config.decoder_size % NUM_HEADS:
            return (f"hidden_size = {config.hidden_size} and decoder_size = {config.decoder_size}; they must be "
                    f"multiples of {HEAD // 2} and of {NUM_HEADS}.")
        return hides_nothing(config, "pretrain_mask_ratio") or super().check(config)

    def draws(self) -> Draws:
        return Draws(num_frames=self.config.max_frames, mask_ratio=self._mask_ratio(int(self.epoch)))

    def _mask_ratio(self, epoch: int) -> float:
        return self.config.pretrain_mask_ratio if epoch < self.config.pretrain_epochs else self.config.mask_ratio

    def _clusters(self, epoch: int) -> bool:
        """Whether an epoch is of those that sharpen clusters."""
        return epoch >= self.config.pretrain_epochs and (epoch - self.config.pretrain_epochs) % 2 == 0

    def begin_epoch(self, epoch: int, train) -> None:
        """Clusters the signs of both views of all videos: from scratch at first, then from the centers before."""
        self.epoch.fill_(epoch)
        if self._clusters(epoch):
            known = self.cluster_centers.cpu().numpy() if epoch > self.config.pretrain_epochs else None
            signs = torch.sign(self.codes_of_views(train, epoch)).cpu().numpy()
            centroids = k_means(signs, len(self.cluster_centers), init="k-means++" if known is None else known,
                                n_init=1, algorithm="elkan", random_state=self.config.seed)
            self.cluster_centers.copy_(torch.from_numpy(np.sign(centroids)))

    def codes_of_views(self, train, epoch: int) -> Tensor:
        """The video codes (2N, K) of views of all videos that hide a share of pretrain_mask_ratio, view 1 of all
        first."""
        draws = EpochDraws(self.config.seed, epoch, len(train),
                           Draws(num_frames=self.config.max_frames, mask_ratio=self.config.pretrain_mask_ratio))
        codes = []
        for index, items in train.batches():
            masks = draws.masks(index.cpu())
            assert masks is not None  # they have a ratio
            codes.append(self.view_codes(items, masks.to(items.device)))
        return torch.cat(codes, dim=1).flatten(0, 1)

    def view_codes(self, items: Tensor, masks: Tensor) -> Tensor:
        """The video codes (2, B, K) of both views of items (B, T, F) by masks (B, 2, T)."""
        num_hidden = int(self.config.pretrain_mask_ratio * masks.shape[2])
        visible, _ = split_frames(masks.transpose(0, 1).flatten(0, 1), num_hidden)
        return binarize_down(self.activations(items, visible).float()).mean(dim=1).unflatten(0, (2, -1))

    def losses(self, batch, step: Step) -> dict[str, Tensor]:
        """`reconstruction`, `cluster` and `contrastive`, and `total`: the first alone in phase one, then with one of
        the others, in turn."""
        views = self.views(batch.items, batch.masks, self._mask_ratio(step.epoch))
        terms = self.terms(batch, views)
        with torch.autocast(batch.items.device.type, enabled=False):
            first, second = (own_cluster_loss(z, self.cluster_centers, self.config.temperature_cluster)
                             for z in views.video_codes())
        terms["cluster"] = batch.share.mean(first + second)
        if step.epoch < self.config.pretrain_epochs:
            total = terms["reconstruction"].clone()
        elif self._clusters(step.epoch):
            total = terms["reconstruction"] + self.config.a_cluster * terms["cluster"]
        else:
            total = terms["reconstruction"] + self.config.alpha * terms["contrastive"]
        return {"total": total, **terms}

    def activations(self, items: Tensor, frames: Tensor | None = None) -> Tensor:
        return self.hash(self.En(items if frames is None else take_frames(items, frames)))

    def reconstruct(self, codes: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        return self.De(codes, hidden.shape[1])
