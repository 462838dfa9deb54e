"""Hashing by two masked views of each video: hidden frames are reconstructed from codes of the visible ones, and the
views' codes are contrasted (ConMH, Wang et al., AAAI 2023; what several methods after it share).

Letters: B videos, T frames, V visible and H hidden frames of a view, F feature size, K bits.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from dataset.views import Draws
from Loss import debiased_contrastive_loss, reconstruction_loss
from model.contract import HashingMethod, videos_only
from model.nets.autoencoder import binarize_down, split_frames, take_frames, video_codes
from model.nets.frame_hashing import CONTRASTIVE_KEYS, FrameHashing, hides_nothing
from utils.config.keys import Key

_SHARED = {"hidden_size", "decoder_size", "mask_ratio"}


class MaskedViews(NamedTuple):
    """What the training forward gives for the two views, stacked view after view."""

    reconstructions: Tensor  # (2B, H, F), hidden frames in time order
    targets: Tensor  # (2B, H, F)
    frame_codes: Tensor  # (2B, V, K), +-1

    def video_codes(self) -> tuple[Tensor, Tensor]:
        """(B, K) float32 of each view, the means of its frames' codes."""
        first, second = self.frame_codes.float().mean(dim=1).chunk(2)
        return first, second


class MaskedHashing(HashingMethod):
    """A method of two masked views, which has the networks: `activations` and `reconstruct`; `measure` compares a
    reconstruction and its target."""

    KEYS: ClassVar[tuple[Key, ...]] = (*(key for key in FrameHashing.KEYS if key.name in _SHARED), *CONTRASTIVE_KEYS)

    def __init__(self, config, measure: Callable[[Tensor, Tensor], Tensor] = reconstruction_loss):
        super().__init__()
        self.config, self.measure = config, measure

    @classmethod
    def check(cls, config) -> str | None:
        return videos_only(config) or hides_nothing(config)

    def draws(self) -> Draws:
        return Draws(num_frames=self.config.max_frames, mask_ratio=self.config.mask_ratio)

    def activations(self, items: Tensor, frames: Tensor | None = None) -> Tensor:
        """What the sign of is a frame's code: (R B, V, K) of the `frames` (R B, V) of items (B, T, F), R views one
        after the other, seen without the others; None: of all, (B, T, K)."""
        raise NotImplementedError

    def reconstruct(self, codes: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """The hidden frames (rows, H, F) from the codes (rows, V, K) of the visible ones; both as numbers."""
        raise NotImplementedError

    def views(self, items: Tensor, masks: Tensor, mask_ratio: float, seen: Tensor | None = None) -> MaskedViews:
        """The training forward over both views of items (B, T, F).

        Args:
            masks: (B, 2, T), True = hidden, int(mask_ratio T) in every row.
            seen: (2B, T, F), what each view is taken from, if not from the items.
        """
        visible, hidden = split_frames(masks.transpose(0, 1).flatten(0, 1), int(mask_ratio * masks.shape[2]))
        codes = binarize_down(self.activations(items if seen is None else seen, visible).float())
        return MaskedViews(self.reconstruct(codes, visible, hidden), take_frames(items, hidden), codes)

    def terms(self, batch, views: MaskedViews) -> dict[str, Tensor]:
        """`reconstruction`, the sum over both views, and `contrastive`."""
        with torch.autocast(batch.items.device.type, enabled=False):
            first, second = (self.measure(predicted.float(), target) for predicted, target in
                             zip(views.reconstructions.chunk(2), views.targets.chunk(2), strict=True))
            z1, z2 = map(batch.share.gather, views.video_codes())
            contrastive = debiased_contrastive_loss(z1, z2, temperature=self.config.temperature,
                                                    tau_plus=self.config.tau_plus)
        return {"reconstruction": batch.share.mean(first + second), "contrastive": contrastive}

    def encode(self, items: Tensor) -> Tensor:
        """Real video codes (B, K) of whole videos (B, T, F), as `video_codes`."""
        return video_codes(self.activations(items).float(), self.config.tied_bits)
