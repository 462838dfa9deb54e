"""MambaHash's network: a GroupMamba backbone and the module that enhances its last map, under GroupMamba's names.

Letters: B pictures, H x W places of a map, L = H W, D channels, d = D / 4 channels of a group, R rank of delta.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.kernels.scan import selective_scan

NUM_GROUPS = 4
STATE_SIZE = 1


@dataclass(frozen=True)
class Sizes:
    """Of the four stages: widths, blocks, and how much wider the MLPs are; of the stem; and `growth`, how many times
    more channels the enhancement has inside."""

    stem: int
    widths: Sequence[int]
    depths: Sequence[int]
    mlp_ratios: Sequence[int]
    growth: int


class Network(nn.Module):
    """Pictures (B, 3, rows, columns) to features (B, D) of the last stage."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.num_stages, self.num_features = len(sizes.widths), sizes.widths[-1]
        before = sizes.stem
        stages = zip(sizes.widths, sizes.depths, sizes.mlp_ratios, strict=True)
        for stage, (width, depth, ratio) in enumerate(stages, 1):
            embed = Stem(before, width) if stage == 1 else PatchEmbedding(before, width)
            self.add_module(f"patch_embed{stage}", embed)
            self.add_module(f"block{stage}", nn.ModuleList(Block(width, ratio) for _ in range(depth)))
            self.add_module(f"norm{stage}", nn.LayerNorm(width, eps=1e-6))
            before = width
        self.feature_module = Enhancement(self.num_features, sizes.growth)

    def stages(self, x: Tensor) -> list[Tensor]:
        """The maps (B, H, W, D) behind each stage's norm."""
        maps = []
        for stage in range(1, self.num_stages + 1):
            x = getattr(self, f"patch_embed{stage}")(x)
            for block in getattr(self, f"block{stage}"):
                x = block(x)
            maps.append(getattr(self, f"norm{stage}")(x))
            x = maps[-1].permute(0, 3, 1, 2)
        return maps

    def enhanced(self, x: Tensor) -> Tensor:
        """(B, D, H, W), the last map of a picture once it is enhanced."""
        return self.feature_module(self.stages(x)[-1].permute(0, 3, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.enhanced(x).mean(dim=(2, 3))


class PatchEmbedding(nn.Module):
    """A map (B, D, H, W) to one of half as many rows and columns, (B, H, W, D)."""

    def __init__(self, before: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(before, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Stem(PatchEmbedding):
    """Pictures to a quarter of their rows and columns."""

    def __init__(self, hidden: int, width: int):
        super().__init__(hidden, width)
        layers: list[nn.Module] = []
        for before, size, stride in ((3, 7, 2), (hidden, 3, 1), (hidden, 3, 1)):
            layers += [nn.Conv2d(before, hidden, size, stride, size // 2, bias=False), nn.BatchNorm2d(hidden),
                       nn.ReLU()]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


class Block(nn.Module):
    """x + attn(x), then x + mlp(norm2(x)), of maps (B, H, W, D)."""

    def __init__(self, dim: int, mlp_ratio: int):
        super().__init__()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = GroupMamba(dim)
        self.mlp = Mlp(dim, dim * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.mlp(self.norm2(x))


class Mlp(nn.Module):
    """Linear, depth-wise 3 x 3, GELU, linear."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.dwconv["dwconv"](self.fc1(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.fc2(F.gelu(x))


class GroupMamba(nn.Module):
    """Four groups of channels, each scanned its own way, gated by the mean over the map; (B, H, W, D) to the same."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm, self.proj = nn.LayerNorm(dim), nn.Linear(dim, dim)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.fc = nn.Linear(dim, dim)
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)  # over the channels
        for group in range(NUM_GROUPS):
            self.add_module(f"mamba_g{group + 1}", Scan2d(dim // NUM_GROUPS, by_columns=group % 2 == 1,
                                                          backwards=group >= 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        mean = x.mean(dim=(1, 2))
        gate = (self.fc(mean) + self.conv(mean[:, None])[:, 0]).sigmoid()
        groups = x.chunk(NUM_GROUPS, dim=-1)
        y = torch.cat([getattr(self, f"mamba_g{i}")(group) for i, group in enumerate(groups, 1)], dim=-1)
        return self.proj(self.norm(y * self.skip_scale * x * gate[:, None, None]))


class Scan2d(nn.Module):
    """A selective scan over the places of a map (B, H, W, d), row by row or column by column, either way."""

    def __init__(self, dim: int, by_columns: bool, backwards: bool):
        super().__init__()
        self.by_columns, self.backwards = by_columns, backwards
        self.rank = -(-dim // 16)
        self.in_proj = nn.Linear(dim, 2 * dim, bias=False)
        self.conv2d = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.x_proj_weight = nn.Parameter(torch.empty(1, self.rank + 2 * STATE_SIZE, dim))
        self.dt_projs_weight = nn.Parameter(torch.empty(1, dim, self.rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(1, dim))
        self.A_logs = nn.Parameter(torch.zeros(dim, STATE_SIZE))
        self.Ds = nn.Parameter(torch.ones(dim))
        self.out_norm, self.out_proj = nn.LayerNorm(dim), nn.Linear(dim, dim, bias=False)
        with torch.no_grad():
            nn.init.uniform_(self.x_proj_weight, -dim ** -0.5, dim ** -0.5)
            nn.init.uniform_(self.dt_projs_weight, -self.rank ** -0.5, self.rank ** -0.5)
            step = torch.exp(torch.empty(1, dim).uniform_(-3, -1) * torch.log(torch.tensor(10.0)))
            self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(x).chunk(2, dim=-1)
        u = F.silu(self.conv2d(u.permute(0, 3, 1, 2)))  # (B, d, H, W)
        u = u.transpose(2, 3) if self.by_columns else u
        shape = u.shape[2:]
        with torch.autocast(x.device.type, enabled=False):
            y = self._scanned(u.flatten(2).transpose(1, 2).float().contiguous())
        y = y.unflatten(1, shape)
        y = y.transpose(1, 2) if self.by_columns else y
        return self.out_proj(self.out_norm(y) * F.silu(z))

    def _scanned(self, u: Tensor) -> Tensor:
        """(B, L, d) from the sequence u (B, L, d)."""
        delta, B, C = (u @ self.x_proj_weight[0].T).split([self.rank, STATE_SIZE, STATE_SIZE], dim=-1)
        delta = delta @ self.dt_projs_weight[0].T
        return selective_scan(u, delta, -torch.exp(self.A_logs), B.contiguous(), C.contiguous(), self.Ds, None,
                              self.dt_projs_bias[0], num_reversed=len(u) if self.backwards else 0)


class Enhancement(nn.Module):
    """Widened by `growth`, seen through windows of 1, 3 and 5, and brought back; (B, D, H, W) to the same."""

    def __init__(self, dim: int, growth: int):
        super().__init__()
        wide = dim * growth
        self.f1, self.f2 = _Conv(dim, wide, 1), _Conv(wide, dim, 1)
        for i, size in enumerate((1, 3, 5), 1):
            self.add_module(f"dwconv{i}", _Conv(wide, wide, size, groups=dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.f1(x)
        near, middle, far = (getattr(self, f"dwconv{i}")(x) for i in (1, 2, 3))
        return self.f2(F.relu(near + middle + far))


class _Conv(nn.Module):
    """A convolution as `conv`, which is how GroupMamba's relatives file it."""

    def __init__(self, before: int, after: int, size: int, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, padding=size // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def initialise(network: nn.Module) -> None:
    """As the authors do: linear layers N(0, .02), 2-d convolutions N(0, 2 / (window x channels out / groups)), biases
    0; the rest as it was made."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Conv2d):
            fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=(2 / fan) ** 0.5)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)
