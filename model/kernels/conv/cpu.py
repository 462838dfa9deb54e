"""Causal depth-wise convolution and SiLU on CPUs: `cpu_conv.cpp`, built and called through `native`.

B rows, L steps, E channels, W taps. Inputs are on the CPU: u float32 or bfloat16, all else float32.
"""

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.kernels.cpp import native
from model.kernels.cpp.native import Series, address, empty_like, series, supports, unavailable, unit_stride

__all__ = ["causal_conv_silu", "supports", "unavailable"]


def causal_conv_silu(u: Tensor, weight: Tensor, bias: Tensor, num_reversed: int = 0) -> Tensor:
    """`model.kernels.conv.causal_conv_silu`, (B, L, E) of u's type, differentiable once; keeps nothing but its inputs.

    Strides of the first two dimensions of u are free. Uses up to `torch.get_num_threads()` threads; their number
    changes no bit of the output or gradients.

    Raises:
        ValueError: shapes that do not fit together, or tensors of other types or elsewhere.
        RuntimeError: the kernels cannot be used; `unavailable()` says why.
    """
    channels = u.shape[-1]
    if u.dim() != 3 or weight.dim() != 2 or len(weight) != channels or not weight.shape[1] or bias.shape != (channels,):
        raise ValueError(f"causal_conv_silu: u is {tuple(u.shape)}, weight {tuple(weight.shape)} and bias "
                         f"{tuple(bias.shape)}; expected (B, L, E), (E, W) and (E,)")
    if not supports(u, weight, bias):
        raise ValueError("causal_conv_silu: these kernels take u in float32 or bfloat16, weight and bias in float32, "
                         "on the CPU only")
    return CpuCausalConvSilu.apply(u, weight, bias, num_reversed)


class CpuCausalConvSilu(torch.autograd.Function):
    """The convolution and its gradient; backward computes SiLU's input again."""

    @staticmethod
    def forward(ctx, u, weight, bias, num_reversed):
        u, weight, bias = unit_stride(u), weight.contiguous(), bias.contiguous()
        y = empty_like(u)
        if y.numel():
            native.call("conv_forward", u.dtype, _conv(u, weight, bias, num_reversed, y))
        ctx.save_for_backward(u, weight, bias)
        ctx.num_reversed = num_reversed
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u, weight, bias = ctx.saved_tensors
        dy = unit_stride(dy)
        du, dweight, dbias = (empty_like(x) for x in (u, weight, bias))
        if u.numel():
            native.call("conv_backward", u.dtype, _conv(u, weight, bias, ctx.num_reversed, None),
                        _Gradient(*map(series, (dy, du)), *map(address, (dweight, dbias))))
        else:
            dweight.zero_()
            dbias.zero_()
        return du, dweight, dbias, None


class _Conv(ctypes.Structure):
    _fields_ = [*((name, Series) for name in ("u", "y")), *((name, ctypes.c_void_p) for name in ("weight", "bias")),
                *((name, ctypes.c_int64) for name in ("rows", "length", "channels", "taps", "reversed", "threads"))]


class _Gradient(ctypes.Structure):
    _fields_ = [*((name, Series) for name in ("dy", "du")),
                *((name, ctypes.c_void_p) for name in ("dweight", "dbias"))]


def _conv(u, weight, bias, num_reversed, y) -> _Conv:
    return _Conv(*map(series, (u, y)), *map(address, (weight, bias)), *u.shape, weight.shape[1], num_reversed,
                 torch.get_num_threads())
