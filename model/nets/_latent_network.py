"""The network whose representations of the training videos tell which are neighbors: see `network_latents`."""

import torch.nn.functional as F
from torch import Tensor

from dataset.views import Draws
from model.nets.frame_transformer import DRAWN_KEYS, FrameCoder, RowDropout, masked


class Method(FrameCoder):
    """A `FrameCoder` that learns to reconstruct frames, some of them masked, and nothing else."""

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
