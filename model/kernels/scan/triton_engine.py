"""The selective scan and the convolution before it in Triton, on CUDA, with nothing but what torch brings along.

**Work.** One warp per row and block of channels walks over the steps, the states (float32) in registers; softplus,
decays, D and the gate are fused into the walk, and reversed rows walk from the end in the same launch. Sums over
channels (dB, dC) and rows (dA, dD, d bias) are written as partial sums in a fixed order and added up afterwards: there
are no atomics, and two runs give the same bits.

**Memory.** Forward keeps its inputs. Backward walks a row forwards once, storing the state before every chunk of about
sqrt(L) steps, then goes through the chunks from the last, storing the states within one: 2 sqrt(L) states a warp, in
scratch that the rows of a warp share (at most `PROGRAMS` warps: 100 MB for rows of 30 steps, 512 channels and 16
states). The partial sums of dB and dC take 2 N / CHANNELS of the size of u.

**Bytes.** Per row, step and channel, in float32 with N = 16: forward reads u, delta, z and writes y, 16 bytes, and 4
for B and C; backward moves 28 bytes, 12 for B, C and their partial sums, and 128 of states that should stay in the
cache. With 16 exponentials forward and up to 48 backward beside them, memory is not what limits backward.

**Layout.** A tile of states is stored with N innermost, which has Triton spread 16 states over four threads and 32
channels over eight: then sums over states and over channels both take few exchanges between threads.

It takes float32, bfloat16 and float16, with any strides of the first two dimensions, and writes contiguous outputs.
It has been compiled for GPUs and has run in Triton's interpreter (TRITON_INTERPRET=1, on CPU tensors, for tests), but
not yet on a GPU.
"""

import functools
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.kernels.scan.selfcheck import conv_is_right, scan_is_right

REVERSES = True
HALF = (torch.bfloat16, torch.float16)
DTYPES = (torch.float32, *HALF)
TILE = 512  # states and channels of a program: 16 states a thread
PROGRAMS = 4096  # of a backward launch at most: keeps scratch and partial sums small, and is several GPUs full
CONV_TILE = {"STEPS": 8, "CHANNELS": 64}


@functools.cache
def unavailable() -> str | None:
    """None where the engine can be used; otherwise one line that says why not. The first call compiles."""
    if not _interpreted() and not torch.cuda.is_available():
        return "no CUDA device"
    try:
        _kernels()
    except Exception as error:  # a broken binary raises anything from ImportError to OSError
        return f"triton cannot be imported ({type(error).__name__}: {_first_line(error)})"
    device = "cpu" if _interpreted() else "cuda"
    try:
        right = scan_is_right(selective_scan, device) and conv_is_right(causal_conv_silu, _truth_of_conv(), device)
    except Exception as error:  # Triton, its compiler and the driver raise what they like
        return f"triton fails on this device ({type(error).__name__}: {_first_line(error)})"
    return None if right else "triton disagrees with the reference on this device"


def supports(*tensors: Tensor) -> bool:
    """Whether the engine is worth choosing for these: on CUDA, float32, bfloat16 or float16, and not interpreted."""
    return not _interpreted() and all(x.is_cuda and x.dtype in DTYPES for x in tensors)


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = True,
                   num_reversed: int = 0) -> Tensor:
    """The output y (B, L, D) of `model.kernels.scan.selective_scan`, in u's dtype and contiguous; differentiable once.

    Raises:
        ValueError: shapes that do not fit together, other dtypes, or tensors that Triton cannot reach.
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    return _Scan.apply(u, delta, A, B, C, D, z, delta_bias, delta_softplus, num_reversed)


def causal_conv_silu(u: Tensor, weight: Tensor, bias: Tensor, num_reversed: int = 0) -> Tensor:
    """The output of `model.kernels.conv.causal_conv_silu`, (B, L, E), in one launch; differentiable once."""
    return _ConvSilu.apply(u, weight, bias, num_reversed)


class _Scan(torch.autograd.Function):

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, bias, softplus, num_reversed):
        u, delta, B, C, z = (None if x is None else _unit_stride(x) for x in (u, delta, B, C, z))
        A, D, bias = (None if x is None else x.contiguous() for x in (A, D, bias))
        y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        tile = _tile(A)
        if y.numel():
            _launch("scan_forward", len(u) * _blocks(u, tile), u.device, *_strided(u, delta), A, *_strided(B, C), D,
                    *_strided(z), bias, y, u.shape[1], u.shape[2], len(u) - num_reversed, SOFTPLUS=softplus, **tile,
                    num_warps=1)
        ctx.save_for_backward(u, delta, A, B, C, D, z, bias)
        ctx.softplus, ctx.num_reversed = softplus, num_reversed
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u, delta, A, B, C, D, z, bias = ctx.saved_tensors
        (rows, length, channels), states = u.shape, A.shape[1]
        if not u.numel():
            return *(None if x is None else torch.zeros_like(x) for x in ctx.saved_tensors), None, None
        tile = _tile(A)
        blocks = _blocks(u, tile)
        rows_each, groups = _split(rows, PROGRAMS // blocks)
        chunk = min(length, max(8, math.isqrt(length)))
        chunks = -(-length // chunk)
        du, ddelta, dz = (None if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
                          for x in (u, delta, z))

        def partial(*shape):
            return torch.empty(shape, dtype=torch.float32, device=u.device)

        dB, dC = partial(blocks, rows, length, states), partial(blocks, rows, length, states)
        dA, dD, dbias = partial(groups, channels, states), partial(groups, channels), partial(groups, channels)
        kept = partial(groups, chunks + chunk, channels, tile["STATES"])
        _launch("scan_backward", groups * blocks, u.device, *_strided(u, delta), A, *_strided(B, C), D, *_strided(z),
                bias, *_strided(_unit_stride(dy)), kept, du, ddelta, dz, dA, dB, dC, dD, dbias, rows, rows_each, length,
                chunk, chunks, channels, rows - ctx.num_reversed, SOFTPLUS=ctx.softplus, **tile, num_warps=1)
        return (du, ddelta, _total(dA, A), _total(dB, B), _total(dC, C), _total(dD, D), dz, _total(dbias, bias), None,
                None)


class _ConvSilu(torch.autograd.Function):

    @staticmethod
    def forward(ctx, u, weight, bias, num_reversed):
        u, weight, bias = _unit_stride(u), weight.contiguous(), bias.contiguous()
        y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        if y.numel():
            tiles = len(u) * -(-u.shape[1] // CONV_TILE["STEPS"])
            _launch("conv_forward", tiles * _blocks(u, CONV_TILE), u.device, *_strided(u), weight, bias, y, u.shape[1],
                    u.shape[2], len(u) - num_reversed, **_taps(weight), **CONV_TILE)
        ctx.save_for_backward(u, weight, bias)
        ctx.num_reversed = num_reversed
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        u, weight, bias = ctx.saved_tensors
        if not u.numel():
            return torch.zeros_like(u), torch.zeros_like(weight), torch.zeros_like(bias), None
        blocks = _blocks(u, CONV_TILE)
        tiles_each, groups = _split(len(u) * -(-u.shape[1] // CONV_TILE["STEPS"]), PROGRAMS // blocks)
        du = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        d_weight, d_bias = (torch.empty((groups, *x.shape), dtype=torch.float32, device=u.device)
                            for x in (weight, bias))
        _launch("conv_backward", groups * blocks, u.device, *_strided(u), weight, bias, *_strided(_unit_stride(dy)), du,
                d_weight, d_bias, len(u), tiles_each, u.shape[1], u.shape[2], len(u) - ctx.num_reversed,
                **_taps(weight), **CONV_TILE)
        return du, _total(d_weight, weight), _total(d_bias, bias), None


@functools.cache
def _kernels() -> ModuleType:
    from model.kernels.scan import triton_kernels
    return triton_kernels


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _truth_of_conv() -> Callable[..., Tensor]:
    from model.kernels.conv import causal_conv_silu  # which itself asks for this engine
    return causal_conv_silu


def _check(u, delta, A, B, C, D, z, bias) -> None:
    if u.dim() != 3 or A.dim() != 2 or not A.shape[1]:
        raise ValueError(f"selective_scan: u is {tuple(u.shape)} and A {tuple(A.shape)}; expected (B, L, D) and (D, N)")
    (rows, length, channels), states = u.shape, A.shape[1]
    wanted = {"u": (u, u.shape), "delta": (delta, u.shape), "A": (A, (channels, states)),
              "B": (B, (rows, length, states)), "C": (C, (rows, length, states)), "D": (D, (channels,)),
              "z": (z, u.shape), "delta_bias": (bias, (channels,))}
    for name, (tensor, shape) in wanted.items():
        if tensor is None:
            continue
        if tensor.shape != torch.Size(shape):
            raise ValueError(f"selective_scan: {name} is {tuple(tensor.shape)}; expected {tuple(shape)}")
        if tensor.dtype not in DTYPES or tensor.device != u.device:
            raise ValueError(f"selective_scan: {name} is {tensor.dtype} on {tensor.device}; expected float32, bfloat16 "
                             f"or float16 on {u.device}")


def _launch(kernel: str, programs: int, device: torch.device, *arguments: Any, **settings: Any) -> None:
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        getattr(_kernels(), kernel)[(programs,)](*arguments, **settings, enable_fp_fusion=True)  # Triton warns without


def _unit_stride(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _strided(*tensors: Tensor | None) -> list[Any]:
    """Each tensor followed by the strides of its first two dimensions."""
    return [value for x in tensors for value in ((None, 0, 0) if x is None else (x, x.stride(0), x.stride(1)))]


def _tile(A: Tensor) -> dict[str, int]:
    states = 1 << (A.shape[1] - 1).bit_length()
    return {"N": A.shape[1], "STATES": states, "CHANNELS": max(1, min(32, TILE // states))}


def _taps(weight: Tensor) -> dict[str, int]:
    return {"TAPS": weight.shape[1], "PADDED": 1 << (weight.shape[1] - 1).bit_length()}


def _blocks(u: Tensor, tile: dict[str, int]) -> int:
    return -(-u.shape[2] // tile["CHANNELS"])


def _split(items: int, groups: int) -> tuple[int, int]:
    """How many items each of at most `groups` groups takes, and the number of groups then."""
    each = -(-items // max(1, groups))
    return each, -(-items // each)


def _total(partial: Tensor, like: Tensor | None) -> Tensor | None:
    return None if like is None else partial.sum(0).to(like.dtype)
