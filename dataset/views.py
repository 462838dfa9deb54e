"""The random draws of an epoch as functions of (seed, epoch): video order, frame masks, uniforms.

Each draw belongs to a video and not to a place in a batch. Neither the batch size nor the division over
processes changes it, and a resumed run needs no saved generator state.
"""

import hashlib
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


class EpochDraws:
    """The draws of one epoch for N videos of T frames, each kind from its own stream and made on first use.

    Args:
        seed, epoch: what the draws are a function of, with the sizes below.
        num_videos, num_frames: N and T.
        mask_ratio: share of the frames hidden in each view.
        num_uniforms: U, uniforms per view of a video (stochastic depth takes them).
    """

    def __init__(self, seed: int, epoch: int, num_videos: int, num_frames: int, mask_ratio: float,
                 num_uniforms: int) -> None:
        self.seed = seed
        self.epoch = epoch
        self.num_videos = num_videos
        self.num_frames = num_frames
        self.mask_ratio = mask_ratio
        self.num_uniforms = num_uniforms

    @cached_property
    def order(self) -> torch.Tensor:
        """(N,) int64: the videos in the order of this epoch."""
        return torch.randperm(self.num_videos, generator=self._stream("order"))

    def masks(self, index: torch.Tensor) -> torch.Tensor:
        """(B, 2, T) bool, True = hidden: the frame masks of the videos `index` (see `frame_views`)."""
        return self._masks[index]

    def uniforms(self, index: torch.Tensor) -> torch.Tensor:
        """(B, 2, U) float32 in [0, 1): the uniforms of both views of the videos `index`."""
        return self._uniforms[index]

    @cached_property
    def _masks(self) -> torch.Tensor:
        return frame_views(self.num_videos, self.num_frames, self.mask_ratio, self._stream("masks"))

    @cached_property
    def _uniforms(self) -> torch.Tensor:
        return torch.rand(self.num_videos, 2, self.num_uniforms, generator=self._stream("uniforms"))

    def _stream(self, name: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}/{self.epoch}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
