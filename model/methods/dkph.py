"""DKPH: dual-stream knowledge-preserving hashing for unsupervised video retrieval (Li et al., ECCV 2022).

Where the paper and its program differ, and what is a switch, is in docs/field.md. Letters: as in `frame_transformer`.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from Loss import pair_similarity_loss, squared_errors
from model.nets.autoencoder import binarize_down
from model.nets.frame_transformer import NOT_HERE, Coded, Drop, FrameTransformer, keep_all
from model.nets.neighbor_pairs import PAIR_KEYS, PairedHashing
from utils.config.keys import NON_NEGATIVE, Key

MARGIN = 0.5  # of the triplets


class Method(PairedHashing):
    """One code for a video, from the representations of all its frames side by side. Frames are reconstructed from it
    and from what each adds in a stream of its own, which leaves the code what is common to them. Arguments as of
    `PairedHashing`; every video has T = max_frames frames."""

    title = "DKPH"
    KEYS = (
        *PAIR_KEYS,
        Key("reconstruction_weight", "float", 1.0, "weight of reconstructing the frames", NON_NEGATIVE),
        Key("anchor_weight", "float", 0.9, "weight of latents near their anchors", NON_NEGATIVE),
        Key("triplet_weight", "float", 0.1, "within that, weight of latents nearer to their own anchor than to the "
            "other's, where a pair is dissimilar", NON_NEGATIVE),
        Key("pair_weight", "float", 0.11, "weight of codes that agree with the graph", NON_NEGATIVE),
    )
    ignored_state = NOT_HERE

    def __init__(self, config, num_videos: int = 0, latent_anchors: Mapping[str, Tensor] | None = None):
        super().__init__(config, num_videos, latent_anchors)
        width, bits = config.hidden_size, config.nbits
        self.bert = FrameTransformer(config.feature_size, width, config.max_frames)
        self.hid_b, self.temporal = nn.Linear(config.max_frames * width, bits), nn.Linear(width, bits)
        self.decoder = nn.Linear(bits, config.feature_size)

    def coded(self, items: Tensor, drop: Drop = keep_all) -> Coded:
        hidden = self.bert(items, drop)
        codes = binarize_down(self.hid_b(hidden.flatten(1)).float())
        return Coded(hidden, codes, self.decoder(codes[:, None] + self.temporal(hidden)))

    def encode(self, items: Tensor) -> Tensor:
        return self.hid_b(self.bert(items).flatten(1)).float()

    def terms(self, batch, drop: Drop) -> dict[str, Tensor]:
        pair = self.pair(batch)
        both = [self.coded(seen, drop) for seen in pair.seen]
        with torch.autocast(batch.items.device.type, enabled=False):
            latents, (first, second) = [one.hidden.float().mean(dim=1) for one in both], (one.codes for one in both)
            # Of a similar pair both anchors count as 0: the term is then the margin, without gradient.
            own, other = ((1 - pair.similar)[:, None] / 2 * anchor for anchor in pair.anchors)
            triplet = F.triplet_margin_loss(latents[0], own, other, margin=MARGIN)
            return {"reconstruction": squared_errors([one.frames.float() for one in both], self.targets(pair)) / 2,
                    "anchor": squared_errors(latents, pair.anchors) + self.config.triplet_weight * triplet,
                    "pair": pair_similarity_loss(first, second, pair.similar)}
