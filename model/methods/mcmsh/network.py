"""MCMSH's network: an MLP-Mixer whose mixing is gated over a long, a middle and a short range.

The names of parameters are those of the authors' program (Hao et al., ACM MM 2022).

Letters: B videos, T frames, F features, D width; n places and c channels of what a gate sees, r its reduction.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.frame_transformer import Drop, keep_all

REDUCTIONS = 4, 16  # of the gates over frames as channels, and of those over channels
MIDDLE = 3  # places that the middle range pools into one


class Gate(nn.Module):
    """x (B, n, c) -> (B, n, c): a map over the places, a gate in (0, 1) by `conv` and `deconv`, a map over the places.

    A subclass says over which range the gate sees: `shares`.
    """

    def __init__(self, num_places: int, num_channels: int, reduction: int, groups: int):
        super().__init__()
        inner = num_channels // reduction
        self.fc1, self.fc2 = (nn.Conv1d(num_places, num_places, 1) for _ in range(2))
        self.conv, self.deconv = self.reduce(num_channels, inner, groups), self.reduce(inner, num_channels, groups)
        self.bn1, self.bn2 = nn.BatchNorm1d(inner), nn.BatchNorm1d(num_channels)

    @staticmethod
    def reduce(before: int, after: int, groups: int) -> nn.Module:
        return nn.Conv1d(before, after, 3, padding=1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * self.shares(x))

    def shares(self, x: Tensor) -> Tensor:
        """The gate (B, n or 1, c) of x (B, n, c)."""
        raise NotImplementedError

    def squeezed(self, x: Tensor) -> Tensor:
        """(B, c) or (B, c, n) of the same, between 0 and 1."""
        return self.bn2(self.deconv(self.bn1(self.conv(x)).relu())).sigmoid()


class LongRange(Gate):
    """One gate for all places, from their mean."""

    @staticmethod
    def reduce(before: int, after: int, groups: int) -> nn.Module:
        return nn.Linear(before, after, bias=False)

    def shares(self, x: Tensor) -> Tensor:
        return self.squeezed(x.mean(dim=1))[:, None]


class ShortRange(Gate):
    """A gate for each place, from its neighbors."""

    def shares(self, x: Tensor) -> Tensor:
        return self.squeezed(x.transpose(1, 2)).transpose(1, 2)


class MiddleRange(Gate):
    """A gate for each three places, from the means of such."""

    def shares(self, x: Tensor) -> Tensor:
        num_places = x.shape[1]
        pooled = F.adaptive_avg_pool1d(x.transpose(1, 2), num_places // MIDDLE)
        return F.adaptive_avg_pool1d(self.squeezed(pooled), num_places).transpose(1, 2)


class Ranges(nn.Module):
    """The three gates side by side, as children of whoever holds them."""

    def add_gates(self, num_places: int, num_channels: int, reduction: int, groups: int) -> None:
        sizes = num_places, num_channels, reduction, groups
        self.lrd, self.mrd, self.srd = LongRange(*sizes), MiddleRange(*sizes), ShortRange(*sizes)

    def gated(self, x: Tensor) -> Tensor:
        return self.lrd(x) + self.mrd(x) + self.srd(x)


class Perceptron(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        return drop(self.fc2(drop(F.gelu(self.fc1(x)))))


class MixerHalf(Ranges):
    """x + the gates of an MLP over the last axis of x (B, n, c)."""

    def __init__(self, num_places: int, num_channels: int, reduction: int, groups: int):
        super().__init__()
        self.mlp = Perceptron(num_channels)
        self.add_gates(num_places, num_channels, reduction, groups)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        return x + self.gated(self.mlp(x, drop))


class Network(Ranges):
    """Frames (B, T, F) -> representations (B, T, D)."""

    def __init__(self, frame_size: int, dim: int, num_frames: int, reductions: tuple[int, int] = REDUCTIONS):
        super().__init__()
        of_frames, of_channels = reductions
        groups = dim // of_channels
        self.preproj = nn.Linear(frame_size, dim)
        self.token_mixer = MixerHalf(dim, num_frames, of_frames, 1)
        self.channel_mixer = MixerHalf(num_frames, dim, of_channels, groups)
        self.add_gates(num_frames, dim, of_channels, groups)

    def forward(self, x: Tensor, drop: Drop = keep_all) -> Tensor:
        x = self.preproj(x).relu()
        x = self.token_mixer(x.transpose(1, 2), drop).transpose(1, 2)
        return self.gated(self.channel_mixer(x, drop))
