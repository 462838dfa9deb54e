"""BTH: self-supervised video hashing via bidirectional transformers (Li et al., CVPR 2021).

Where the paper and its program differ, and what is a switch, is in docs/field.md.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from Loss import pair_similarity_loss, squared_errors
from model.nets.frame_transformer import Drop, FrameCoder
from model.nets.neighbor_pairs import PAIR_KEYS, PairedHashing
from utils.config.keys import NON_NEGATIVE, Key


class Method(PairedHashing, FrameCoder):
    """A code for each frame of both videos of a pair: frames are reconstructed from them, their means agree with the
    graph, and the mean representation of a video is near its anchor. Arguments as of `PairedHashing`."""

    title = "BTH"
    KEYS = (
        *PAIR_KEYS,
        Key("reconstruction_weight", "float", 0.92, "weight of reconstructing the frames", NON_NEGATIVE),
        Key("pair_weight", "float", 0.08, "weight of codes that agree with the graph", NON_NEGATIVE),
        Key("anchor_weight", "float", 0.8, "weight of latents near their anchors", NON_NEGATIVE),
    )

    def __init__(self, config, num_videos: int = 0, latent_anchors: Mapping[str, Tensor] | None = None):
        super().__init__(config, num_videos, latent_anchors)
        self.add_coder(config)

    def terms(self, batch, drop: Drop) -> dict[str, Tensor]:
        pair = self.pair(batch)
        both = [self.coded(seen, drop) for seen in pair.seen]
        with torch.autocast(batch.items.device.type, enabled=False):
            first, second = (one.codes.mean(dim=1) for one in both)
            return {"reconstruction": squared_errors([one.frames.float() for one in both], self.targets(pair)) / 2,
                    "pair": pair_similarity_loss(first, second, pair.similar),
                    "anchor": squared_errors([one.hidden.float().mean(dim=1) for one in both], pair.anchors)}
