"""Kolmogorov-Arnold layers: a learned function on every edge (Liu et al., ICLR 2025; VHMT eq. 17).

Letters: B rows, T frames, D width, P spline coefficients of an edge.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COEFFICIENTS, DEGREE = 5, 3  # VHMT, 4.3
GRID = (-1.0, 1.0)


def spline_bases(x: Tensor, coefficients: int = COEFFICIENTS, degree: int = DEGREE,
                 grid: tuple[float, float] = GRID) -> Tensor:
    """The B-spline bases (..., P) of x (...), at uniform knots.

    The `grid` is cut into P - degree intervals and its knots go on for `degree` intervals on either side, so that
    the bases add up to one inside the grid; outside they fade and are zero beyond the last knots. With the defaults
    they are five bumps at -2, -1, 0, 1 and 2, each two wide to either side: they cover what a LayerNorm gives.

    Args:
        coefficients: P, above the degree. degree: 2 or more.
    """
    assert coefficients > degree >= 2
    return _Bases.apply(x, coefficients, degree, grid)


class KANLinear(nn.Module):
    """sum over inputs i of omega_oi silu(x_i) + omega'_oi sum_p c_oip F_p(x_i): (..., in) -> (..., out), eq. 17.

    Any real input is allowed: outside the support of the bases F_p (`spline_bases`) the SiLU alone is left.

    omega starts Xavier-uniform, omega' at 1 and c normal with deviation 0.1, as in Liu et al.
    """

    def __init__(self, in_features: int, out_features: int, coefficients: int = COEFFICIENTS, degree: int = DEGREE,
                 grid: tuple[float, float] = GRID):
        super().__init__()
        self.coefficients, self.degree, self.grid = coefficients, degree, grid
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_weight = nn.Parameter(torch.ones(out_features, in_features))
        self.spline_coefficients = nn.Parameter(torch.empty(out_features, in_features, coefficients))
        nn.init.xavier_uniform_(self.base_weight)
        nn.init.normal_(self.spline_coefficients, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        bases = spline_bases(x.to(torch.promote_types(x.dtype, torch.float32)), self.coefficients, self.degree,
                             self.grid)
        splines = self.spline_weight[..., None] * self.spline_coefficients
        return F.linear(F.silu(x), self.base_weight) + F.linear(bases.flatten(-2), splines.flatten(-2))


class TemporalKAN(nn.Module):
    """A KAN along time, x (B, T, D) -> (B, T, D): every column of D goes through the same layers T -> T (eq. 15).

    The paper does not say which axis its KAN mixes. Time it is: the block is called temporal, the Reshape before and
    after it has a purpose only then (a transpose; along D the shapes would agree as they are), the MLP before it
    has mixed D already, and T x T edges of 7 parameters each stay small where D x D of them would outweigh the MLP.
    It ties the network to one number of frames.
    """

    def __init__(self, num_frames: int, num_layers: int = 2):
        super().__init__()
        self.layers = nn.Sequential(*(KANLinear(num_frames, num_frames) for _ in range(num_layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.transpose(1, 2).contiguous()).transpose(1, 2)


class _Bases(torch.autograd.Function):
    """`spline_bases`, remembering x alone for its derivative; autograd would keep several tensors P times as large."""

    @staticmethod
    def forward(ctx, x: Tensor, coefficients: int, degree: int, grid: tuple[float, float]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.settings = (coefficients, degree, grid)
        return _bump(_steps_from_centers(x, coefficients, degree, grid, coefficients), degree)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (x,), (coefficients, degree, grid) = ctx.saved_tensors, ctx.settings
        lower = _bump(_steps_from_centers(x, coefficients, degree, grid, coefficients + 1), degree - 1)
        slopes = (lower[..., :-1] - lower[..., 1:]) / _step(coefficients, degree, grid)
        return (grad * slopes).sum(dim=-1), None, None, None


def _step(coefficients: int, degree: int, grid: tuple[float, float]) -> float:
    return (grid[1] - grid[0]) / (coefficients - degree)


def _steps_from_centers(x: Tensor, coefficients: int, degree: int, grid: tuple[float, float], num_bumps: int) -> Tensor:
    """How many knot intervals x (...) lies from each of `num_bumps` centers one apart, (..., num_bumps).

    The centers are symmetric about the grid's middle: those of the P bases, or of the P + 1 of one degree less.
    """
    steps = (x - (grid[0] + grid[1]) / 2) / _step(coefficients, degree, grid)
    return steps[..., None] - (torch.arange(num_bumps, dtype=x.dtype, device=x.device) - (num_bumps - 1) / 2)


def _bump(steps: Tensor, degree: int) -> Tensor:
    """The cardinal B-spline of a degree above 0, centered at 0: a sum of truncated powers from its outer end.

    Only those that are positive on this side of the center occur, so that it is exactly zero outside its support.
    """
    reach = (degree + 1) / 2 - steps.abs()
    total = reach.clamp(min=0) ** degree
    for k in range(1, degree // 2 + 1):
        total = total + (-1) ** k * math.comb(degree + 1, k) * (reach - k).clamp(min=0) ** degree
    return total / math.factorial(degree)
