"""The random draws of an epoch as functions of (seed, epoch): video order, frame masks, uniforms.

Each draw belongs to a video and not to a place in a batch. Neither the batch size nor the division over
processes changes it, and a resumed run needs no saved generator state.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch

_BLOCK = 1 << 16


def frame_views(num_videos: int, num_frames: int, mask_ratio: float,
                generator: torch.Generator) -> torch.Tensor:
    """(N, 2, T) bool, True = hidden: the frame masks of two views of each video.

    The T frames of a video are shuffled once; view 1 sees the first T - int(mask_ratio * T) of the shuffle,
    view 2 the last T - int(mask_ratio * T). Below a ratio of one half the views share frames, above it frames
    are hidden in both. The masks of the first videos do not depend on how many follow.
    """
    if not 0 <= mask_ratio < 1:
        raise ValueError(f"mask_ratio must be in [0, 1), got {mask_ratio}")
    num_hidden = int(mask_ratio * num_frames)
    masks = torch.empty(num_videos, 2, num_frames, dtype=torch.bool)
    for start in range(0, num_videos, _BLOCK):
        block = masks[start:start + _BLOCK]
        # Sorting noise gives a uniform permutation, read here as each frame's place in the shuffle.
        noise = torch.rand(len(block), num_frames, dtype=torch.float64, generator=generator)
        place = noise.argsort(dim=1)
        block[:, 0] = place >= num_frames - num_hidden
        block[:, 1] = place < num_hidden
    return masks


@dataclass(frozen=True)
class Draws:
    """What is drawn for each item of a batch: R views of it, each with a mask over its frames and U uniforms.

    `mask_ratio`: the share of the `num_frames` frames that a view hides; None: no masks. Masks are drawn for two views.
    """

    num_views: int = 2
    num_uniforms: int = 0
    num_frames: int = 0
    mask_ratio: float | None = None

    def __post_init__(self) -> None:
        assert self.mask_ratio is None or self.num_views == 2, "frame masks come in pairs of views"


class EpochDraws:
    """The draws of one epoch for N videos, each kind from its own stream and made on first use.

    Args:
        seed, epoch: what the draws are a function of, with the number of videos and `what`.
        num_videos: N.
        what: is drawn for each.
    """

    def __init__(self, seed: int, epoch: int, num_videos: int, what: Draws) -> None:
        self.seed, self.epoch, self.num_videos, self.what = seed, epoch, num_videos, what

    @cached_property
    def order(self) -> torch.Tensor:
        """(N,) int64: the videos in the order of this epoch."""
        return torch.randperm(self.num_videos, generator=self._stream("order"))

    def masks(self, index: torch.Tensor) -> torch.Tensor | None:
        """(B, 2, T) bool, True = hidden: the masks of the videos `index` (see `frame_views`), if any are drawn."""
        return None if self.what.mask_ratio is None else self._masks[index]

    def uniforms(self, index: torch.Tensor) -> torch.Tensor:
        """(B, R, U) float32 in [0, 1): the uniforms of the views of the videos `index`."""
        return self._uniforms[index]

    @cached_property
    def _masks(self) -> torch.Tensor:
        assert self.what.mask_ratio is not None
        return frame_views(self.num_videos, self.what.num_frames, self.what.mask_ratio, self._stream("masks"))

    @cached_property
    def _uniforms(self) -> torch.Tensor:
        return torch.rand(self.num_videos, self.what.num_views, self.what.num_uniforms,
                          generator=self._stream("uniforms"))

    def _stream(self, name: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}/{self.epoch}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
