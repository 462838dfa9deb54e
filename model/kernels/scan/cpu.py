"""The selective scan on CPUs: `cpu_scan.cpp`, built and called through `native`.

B batch, L steps, D channels, N states. Inputs are on the CPU: u, delta and z float32 or bfloat16, all else float32.
"""

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.kernels.cpp import native
from model.kernels.cpp.native import Series, address, empty_like, series, supports, unavailable, unit_stride

REVERSES = True  # runs the last rows backwards by itself
CARRIES = True  # takes and leaves a state
HALF = (torch.bfloat16,)  # types of u, delta and z that it takes besides float32

__all__ = ["CARRIES", "HALF", "REVERSES", "selective_scan", "supports", "unavailable"]


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, C: Tensor, D_skip: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None,
                   delta_softplus: bool = True, num_reversed: int = 0, state: Tensor | None = None) -> Tensor:
    """y (B, L, D), of u's type, of the selective scan (Gu & Dao 2023, arXiv 2312.00752), differentiable once.

    dt = softplus(delta + delta_bias); h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t from h = 0;
    y_t = (sum_n C_t[n] h_t[:, n] + D_skip u_t) * SiLU(z_t). Uses up to `torch.get_num_threads()` threads;
    their number changes no bit of the outputs or gradients. A NaN in an input reaches the output.

    Args:
        u, delta, z: (B, L, D); z may be None. Strides of the first two dimensions are free.
        A: (D, N), negative. Bm, C: (B, L, N). D_skip, delta_bias: (D) or None.
        delta_softplus: without it dt = delta + delta_bias.
        num_reversed: the last so many rows run from the last step to the first, to the bit as if flipped.
        state: (B, N, D) contiguous, h before the first step; h after the last when this returns. No gradient then.

    Raises:
        ValueError: shapes that do not fit together, or tensors of other types or elsewhere.
        RuntimeError: the engine cannot be used; `unavailable()` says why.
    """
    _check(u, delta, A, Bm, C, D_skip, z, delta_bias)
    if state is None:
        return CpuScan.apply(u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus, num_reversed)
    return _forward(_ready(u, delta, A, Bm, C, D_skip, z, delta_bias), (delta_softplus, num_reversed, state))


class CpuScan(torch.autograd.Function):
    """The scan and its gradient; backward recomputes the states, so only the inputs are kept."""

    @staticmethod
    def forward(ctx, u, delta, A, Bm, C, D_skip, z, delta_bias, *options):
        inputs = _ready(u, delta, A, Bm, C, D_skip, z, delta_bias)
        y = _forward(inputs, options)
        ctx.save_for_backward(*inputs)
        ctx.options = options
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        inputs = ctx.saved_tensors
        u, delta, A, Bm, C, D_skip, z, delta_bias = inputs
        dy = unit_stride(dy)
        du, ddelta, dA, dB, dC = (empty_like(x) for x in (u, delta, A, Bm, C))
        dz = None if z is None else empty_like(z)
        dskip, dbias = empty_like(A[:, 0]), empty_like(A[:, 0])
        if u.numel() and A.numel():
            native.call("scan_backward", u.dtype, _scan(*inputs, *ctx.options),
                        _Gradient(*map(series, (dy, du, ddelta, dz, dB, dC)), *map(address, (dA, dskip, dbias))))
        else:
            for x in (dA, dB, dC, dskip, dbias):
                x.zero_()
        return (du, ddelta, dA, dB, dC, None if D_skip is None else dskip, dz,
                None if delta_bias is None else dbias, None, None)


def _forward(inputs, options) -> Tensor:
    y = empty_like(inputs[0])
    if y.numel():
        scan = _scan(*inputs, *options)
        scan.y = series(y)
        native.call("scan_forward", inputs[0].dtype, scan)
    return y


def _check(u, delta, A, Bm, C, D_skip, z, delta_bias) -> None:
    if u.dim() != 3 or A.dim() != 2:
        raise ValueError(f"selective_scan: u is {tuple(u.shape)} and A {tuple(A.shape)}; "
                         "expected (B, L, D) and (D, N)")
    wanted = {"delta": (delta, u.shape), "z": (z, u.shape), "A": (A, (u.shape[2], A.shape[1])),
              "Bm": (Bm, (*u.shape[:2], A.shape[1])), "C": (C, (*u.shape[:2], A.shape[1])),
              "D_skip": (D_skip, u.shape[2:]), "delta_bias": (delta_bias, u.shape[2:])}
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tensor.shape != torch.Size(shape):
            raise ValueError(f"selective_scan: {name} is {tuple(tensor.shape)}; expected {tuple(shape)} "
                             f"beside u {tuple(u.shape)} and A {tuple(A.shape)}")
    if not A.shape[1]:
        raise ValueError("selective_scan: A has no states; expected (D, N) with N at least 1")
    if not supports(u, A, Bm, C, D_skip, delta_bias) or any(
            x is not None and (x.dtype, x.device) != (u.dtype, u.device) for x in (delta, z)):
        raise ValueError("selective_scan: this engine takes u, delta and z all float32 or all bfloat16, and float32 "
                         "tensors else, on the CPU only")


def _ready(u, delta, A, Bm, C, D_skip, z, delta_bias) -> tuple[Tensor | None, ...]:
    """The same tensors with unit stride in the last dimension; parameters contiguous."""
    u, delta, Bm, C, z = (None if x is None else unit_stride(x) for x in (u, delta, Bm, C, z))
    A, D_skip, delta_bias = (None if x is None else x.contiguous() for x in (A, D_skip, delta_bias))
    return u, delta, A, Bm, C, D_skip, z, delta_bias


class _Scan(ctypes.Structure):
    _fields_ = [*((name, Series) for name in ("u", "delta", "z", "B", "C", "y")),
                *((name, ctypes.c_void_p) for name in ("A", "skip", "bias")),
                *((name, ctypes.c_int64) for name in ("rows", "length", "channels", "states", "softplus",
                                                      "reversed", "threads")),
                ("carried", ctypes.c_void_p)]


class _Gradient(ctypes.Structure):
    _fields_ = [*((name, Series) for name in ("dy", "du", "ddelta", "dz", "dB", "dC")),
                *((name, ctypes.c_void_p) for name in ("dA", "dskip", "dbias"))]


def _scan(u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus, num_reversed, state=None) -> _Scan:
    return _Scan(*map(series, (u, delta, z, Bm, C, None)), *map(address, (A, D_skip, delta_bias)),
                 *u.shape, A.shape[1], bool(delta_softplus), num_reversed, torch.get_num_threads(), address(state))
