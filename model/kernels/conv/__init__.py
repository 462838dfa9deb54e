"""Causal depth-wise convolution and SiLU in one step, channels last, as Mamba has them before its scan.

B rows, L steps, E channels, W taps. With four taps a pass over the tensor per tap beats a convolution library,
whose backward takes a sixth of a training step on a CPU. On CUDA one Triton kernel does the same where it can.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.kernels.conv import cpu as cpu_conv
from model.kernels.scan import triton_engine

ENGINES = (triton_engine, cpu_conv)  # tried in this order before the readable version below


def causal_conv_silu(u: Tensor, weight: Tensor, bias: Tensor, num_reversed: int = 0) -> Tensor:
    """SiLU(bias + sum_k weight[:, W-1-k] u_(t-k)), (B, L, E) of u's type: each frame and the W - 1 before it, zeros
    before all.

    Args:
        u: (B, L, E). weight: (E, W), its last column for the frame itself. bias: (E,).
        num_reversed: in the last so many rows a frame sees the W - 1 after it instead.
    """
    for engine in ENGINES:
        if engine.supports(u, weight, bias) and engine.unavailable() is None:
            return engine.causal_conv_silu(u, weight, bias, num_reversed)
    return _CausalConvSilu.apply(u, weight, bias, num_reversed).to(u.dtype)


class _CausalConvSilu(torch.autograd.Function):

    @staticmethod
    def forward(ctx, u, weight, bias, num_reversed):
        taps = weight.t().flip(0).contiguous()  # (W, E), tap k for the frame k steps back
        x = torch.addcmul(bias, u, taps[0])
        for k in range(1, min(len(taps), u.shape[1])):
            for x_part, u_part in _pairs(x, u, k, num_reversed):
                x_part.addcmul_(u_part, taps[k])
        ctx.save_for_backward(u, taps, x)
        ctx.num_reversed = num_reversed
        return F.silu(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        u, taps, x = ctx.saved_tensors
        dx = torch.ops.aten.silu_backward(dy, x)
        du, d_taps = dx * taps[0], torch.zeros_like(taps)
        d_taps[0] = _inner(dx, u)
        for k in range(1, min(len(taps), u.shape[1])):
            for (dx_part, u_part), (_, du_part) in zip(_pairs(dx, u, k, ctx.num_reversed),
                                                       _pairs(dx, du, k, ctx.num_reversed), strict=True):
                du_part.addcmul_(dx_part, taps[k])
                d_taps[k] += _inner(dx_part, u_part)
        return du, d_taps.flip(0).t(), dx.sum((0, 1)), None


def _pairs(x: Tensor, u: Tensor, k: int, num_reversed: int) -> list[tuple[Tensor, Tensor]]:
    """Views of `x` and of the `u` that tap k brings to it: k steps back, and k ahead in reversed rows."""
    ahead = x.shape[0] - num_reversed
    pairs = [(x[:ahead, k:], u[:ahead, :-k])] if ahead else []
    return [*pairs, (x[ahead:, :-k], u[ahead:, k:])] if num_reversed else pairs


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Sums of products over rows and steps, (E,)."""
    return (a * b).sum((0, 1))
