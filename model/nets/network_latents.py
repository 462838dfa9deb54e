"""Latents of the training videos from a network that is trained for them, and the anchors nearest to each.

BTH trains its own network on reconstruction alone first (Li et al., CVPR 2021); DKPH and MCMSH start from its files.

Letters: N training videos, D width, M anchors, P dimensions of the space that they are in.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from artefacts.anchor_graph import NearestAnchors
from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.store import finite
from dataset.views import Draws
from model.nets.frame_transformer import DRAWN_KEYS, DROPOUT, FrameCoder, RowDropout, masked
from utils.config.keys import AT_LEAST_1, POSITIVE, Key

VIDEOS_AT_ONCE = 256
LEAST_LR = 1e-4
NUM_ANCHORS = next(key for key in NearestAnchors.KEYS if key.name == "nanchors")


class Method(FrameCoder):
    """The network: it learns to reconstruct frames, some of them masked, and nothing else."""

    KEYS = DRAWN_KEYS

    def __init__(self, config, num_videos: int = 0):
        super().__init__()
        self.config = config
        self.add_coder(config)

    def draws(self) -> Draws:
        return Draws(num_views=1, num_uniforms=self.config.max_frames)

    def losses(self, batch, step) -> dict[str, Tensor]:
        config = self.config
        seen = masked(batch.items, batch.uniforms[:, 0], config.mask_share)
        coded = self.coded(seen, RowDropout(config.dropout, batch, config.seed, step))
        return {"total": batch.share.mean(F.mse_loss(coded.frames.float(), batch.items))}


class NetworkLatents(Artefact):
    """(N, D) float32: means over time of a network's representations; all code lengths share its `latent_bits`."""

    name = "network_latents"
    path_key = "network_latent_path"
    KEYS = (
        Key("latent_epochs", "int", 56, "epochs of the network that makes latents", AT_LEAST_1),
        Key("latent_bits", "int", 64, "length of its codes", AT_LEAST_1),
        Key("latent_lr", "float", 3e-4, "its first learning rate, times .9 every 20 epochs", POSITIVE),
        Key("network_latent_path", "path", None, "latents from a network", file="network_latents.h5", free=True),
    )
    shaped_by = ("latent_epochs", "latent_bits", "latent_lr", "hidden_size", "mask_share", "batch_size",
                 "preprocess_seed")

    def arrays(self, config, split) -> dict[str, Array]:
        return {"feats": Array((len(split), config.hidden_size), finite)}

    def make(self, making: Making) -> Made:
        config = making.config
        network = making.fit(__file__, {
            "nbits": config.latent_bits, "num_epochs": config.latent_epochs, "seed": config.preprocess_seed,
            "optimizer_name": "Adam", "schedule": "StepLR", "lr": config.latent_lr, "weight_decay": 0.0,
            "min_lr": min(LEAST_LR, config.latent_lr), "dropout": DROPOUT})
        with torch.no_grad():
            latents = [network.bert(torch.from_numpy(block).to(making.device)).mean(1).cpu().numpy()
                       for _, block in making.split.blocks(VIDEOS_AT_ONCE)]
        return Made({"feats": np.concatenate(latents)})


class LatentAnchors(NearestAnchors):
    """As `NearestAnchors`, of a network's latents; and the anchors themselves, `feats` (M, P) float32."""

    name = "latent_anchors"
    path_key = "latent_anchor_path"
    KEYS = (NUM_ANCHORS, Key("latent_anchor_path", "path", None, "anchors of a network's latents and the nearest of "
                             "them to each video", file="latent_anchors.h5", free=True))
    needs: ClassVar[tuple[Artefact, ...]] = (NetworkLatents(),)

    def arrays(self, config, split) -> dict[str, Array]:
        return super().arrays(config, split) | {"feats": Array((config.nanchors, None), finite)}

    def read(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return super().read(arrays) | {"feats": arrays["feats"].astype(np.float32)}


class MeanAnchors(LatentAnchors):
    """The same of frame means on their principal components."""

    name = "mean_anchors"
    path_key = "mean_anchor_path"
    KEYS = (NUM_ANCHORS, Key("mean_anchor_path", "path", None, "anchors of frame means and the nearest of them to each "
                             "video", file="mean_anchors.h5", free=True))
    needs = NearestAnchors.needs


LATENT_ANCHORS, MEAN_ANCHORS = LatentAnchors(), MeanAnchors()
