"""Latents of the training videos from a network that is trained for them, and the anchors nearest to each.

BTH trains its own network on reconstruction alone first (Li et al., CVPR 2021); DKPH and MCMSH start from its files.

Letters: N training videos, D width, M anchors.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from artefacts.anchor_graph import NearestAnchors
from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.store import finite
from model.nets.frame_transformer import DROPOUT
from utils.config.keys import AT_LEAST_1, POSITIVE, Key

NETWORK = str(Path(__file__).with_name("_latent_network.py"))
VIDEOS_AT_ONCE = 256
OPTIMISER = {"optimizer_name": "Adam", "schedule": "StepLR", "weight_decay": 0.0}
LEAST_LR = 1e-4


class NetworkLatents(Artefact):
    """(N, D) float32: the mean over time of a network's representations of the frames.

    The network has codes of `latent_bits` whatever `nbits` is, so that all code lengths share it.
    """

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
        network = making.fit(NETWORK, OPTIMISER | {
            "nbits": config.latent_bits, "num_epochs": config.latent_epochs, "lr": config.latent_lr,
            "min_lr": min(LEAST_LR, config.latent_lr), "seed": config.preprocess_seed, "dropout": DROPOUT})
        with torch.no_grad():
            latents = [network.bert(torch.from_numpy(block).to(making.device)).mean(1).cpu().numpy()
                       for _, block in making.split.blocks(VIDEOS_AT_ONCE)]
        return Made({"feats": np.concatenate(latents)})


class AnchorVectors(NearestAnchors):
    """As `NearestAnchors`; and the anchors themselves, `feats` (M, P) float32. A subclass names its file."""

    def arrays(self, config, split) -> dict[str, Array]:
        return super().arrays(config, split) | {"feats": Array((config.nanchors, None), finite)}

    def read(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return super().read(arrays) | {"feats": arrays["feats"].astype(np.float32)}


NUM_ANCHORS = next(key for key in NearestAnchors.KEYS if key.name == "nanchors")


class LatentAnchors(AnchorVectors):
    """Of a network's latents: P = D."""

    name = "latent_anchors"
    path_key = "latent_anchor_path"
    KEYS = (NUM_ANCHORS, Key("latent_anchor_path", "path", None, "anchors of a network's latents and the nearest of "
                             "them to each video", file="latent_anchors.h5", free=True))
    needs = (NetworkLatents(),)


class MeanAnchors(AnchorVectors):
    """Of frame means on their principal components."""

    name = "mean_anchors"
    path_key = "mean_anchor_path"
    KEYS = (NUM_ANCHORS, Key("mean_anchor_path", "path", None, "anchors of frame means and the nearest of them to each "
                             "video", file="mean_anchors.h5", free=True))


LATENT_ANCHORS, MEAN_ANCHORS = LatentAnchors(), MeanAnchors()
