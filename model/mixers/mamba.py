"""Mamba-1 (Gu & Dao 2023), in plain PyTorch over `selective_scan`, with mamba-ssm's parameter names.

From letters to the paper: D width, E inner width (expand x D), N states per channel, R rank of the step size.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import SequenceMixer
from model.kernels.conv import causal_conv_silu
from model.kernels.scan import explain, selective_scan
from utils.config.keys import AT_LEAST_1, Key

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4


class Mixer(SequenceMixer):
    """A causal mixer (B, L, D) -> (B, L, D).

    Args:
        dim: the width D.
        layer, num_layers: position in the stack; Mamba does not use them.
        scan_engine: see `model.kernels.scan`.
        d_state, d_conv, expand: N, the width of the causal convolution, E / D.
    """

    name = "mamba"
    KEYS = (
        Key("scan_engine", "text", "auto", "engine of the selective scan"),
        Key("d_state", "int", 16, "N, states per channel", AT_LEAST_1, shapes_codes=True),
        Key("d_conv", "int", 4, "width of the causal convolution", AT_LEAST_1, shapes_codes=True),
        Key("expand", "int", 2, "inner width of the mixer over its width", AT_LEAST_1, shapes_codes=True),
    )
    carries_state = True

    def __init__(self, dim: int, layer: int = 0, num_layers: int = 1, *, scan_engine: str = "auto",
                 d_state: int = 16, d_conv: int = 4, expand: int = 2):
        super().__init__()
        inner, rank = expand * dim, math.ceil(dim / 16)
        self.scan_engine = scan_engine
        self.sizes = (rank, d_state, d_state)
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner)  # the parameters, by mamba-ssm's names
        self.x_proj = nn.Linear(inner, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self._init_step_sizes(rank)

    @classmethod
    def describe(cls, config, device: torch.device) -> str:
        return explain(config.scan_engine, device)

    @torch.no_grad()
    def _init_step_sizes(self, rank: int) -> None:
        """softplus(bias) is log-uniform in [DT_MIN, DT_MAX]: the memory of a channel spans 10 to 1,000 steps."""
        nn.init.uniform_(self.dt_proj.weight, -rank**-0.5, rank**-0.5)
        dt = torch.exp(torch.empty_like(self.dt_proj.bias).uniform_(math.log(DT_MIN), math.log(DT_MAX)))
        dt.clamp_(min=DT_FLOOR)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self._mix(x))

    def both_directions(self, ahead: Tensor, back: Tensor) -> Tensor:
        """As in the contract, without flips and with one output projection of the sum."""
        up, down = self._mix(torch.cat([ahead, back]), num_reversed=len(back)).chunk(2)
        return self.out_proj(up + down)

    def _mix(self, x: Tensor, num_reversed: int = 0) -> Tensor:
        """What the output projection is given, (B, L, E); the last `num_reversed` rows run backwards in time."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        return self._scan(self._convolve(u, num_reversed), z, num_reversed)

    def piece(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As in the contract; the state is the convolution's last inputs (B, W - 1, E) and the scan's h (B, N, E)."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        num_before = self.conv1d.kernel_size[0] - 1
        before, h = state or (u.new_zeros(len(u), num_before, u.shape[2]),
                              self.A_log.new_zeros(len(u), *self.A_log.t().shape))
        u = torch.cat([before, u], dim=1)
        y = self._scan(self._convolve(u)[:, num_before:], z, state=h)
        return self.out_proj(y), (u[:, u.shape[1] - num_before:].clone(), h)

    def _convolve(self, u: Tensor, num_reversed: int = 0) -> Tensor:
        return causal_conv_silu(u, self.conv1d.weight[:, 0], cast(Tensor, self.conv1d.bias), num_reversed)

    def _scan(self, u: Tensor, z: Tensor, num_reversed: int = 0, state: Tensor | None = None) -> Tensor:
        dt, B, C = self.x_proj(u).split(self.sizes, dim=-1)
        delta = F.linear(dt, self.dt_proj.weight)
        with torch.autocast(u.device.type, enabled=False):  # which would have it in half precision throughout
            return selective_scan(u, delta, -torch.exp(self.A_log), B, C, self.D, z, self.dt_proj.bias,
                                  num_reversed=num_reversed, engine=self.scan_engine, state=state)
