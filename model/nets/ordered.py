"""A hash layer that keeps the order of time: the means of a video's segments side by side, not the mean of all frames.

Letters: B rows, T frames, V visible frames, S segments, D width, K bits.
"""

import torch
from torch import Tensor, nn

from artefacts.trajectories import default_segments, segment_averages
from model.nets.draws import dropped


class OrderedHead(nn.Module):
    """Encoded frames (B, V, D) -> real codes (B, K), whose sign is the code.

    Args:
        num_segments: S; None: half of `num_frames`, at most 12.
        num_frames: T of the training videos. Videos of other lengths are cut in as many segments.
        dropout: the share of the S D numbers that is dropped in training.
    """

    averages: Tensor

    def __init__(self, dim: int, num_bits: int, num_segments: int | None, num_frames: int, dropout: float):
        super().__init__()
        self.num_segments = min(num_segments or default_segments(num_frames), num_frames)
        self.dropout = dropout
        self.register_buffer("averages", self._averages(num_frames), persistent=False)
        self.norm = nn.LayerNorm(self.num_segments * dim)
        self.out = nn.Linear(self.num_segments * dim, num_bits)

    def forward(self, h: Tensor, num_frames: int, visible: Tensor | None = None, draws: Tensor | None = None) -> Tensor:
        """The codes of videos of `num_frames` frames.

        Args:
            h: (B, V, D), the visible frames in time order. A hidden frame counts as the nearest visible one, of two
                equally near the earlier.
            visible: (B, V) their numbers; None: all are.
            draws: (B,) uniforms that decide what is dropped; None: nothing is.
        """
        averages = self.averages
        if num_frames != averages.shape[1]:
            averages = self._averages(num_frames).to(h)
        if visible is not None:
            every = torch.arange(num_frames, device=h.device)
            nearest = (every[:, None] - visible[:, None]).abs().argmin(dim=2)  # (B, T)
            places = torch.arange(visible.shape[1], device=h.device)
            averages = averages @ (nearest[:, :, None] == places).to(h)  # (B, S, V)
        x = self.norm((averages @ h).flatten(1))
        return self.out(x if draws is None else dropped(x, draws, self.dropout))

    def _averages(self, num_frames: int) -> Tensor:
        """(S, T) float32 that averages frames to segments."""
        return torch.from_numpy(segment_averages(num_frames, self.num_segments)).float()
