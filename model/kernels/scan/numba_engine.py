"""The selective scan on CPUs without a C++ compiler: the loops of `numba_kernels`, compiled at their first use.

B batch, L steps, D channels, N states. Rows are cut into groups by the shapes alone, threads take the groups as they
come, and what is summed over groups is summed in a fixed order. The threads are Python's, as the kernels run free of
its lock: numba's own pool would spin beside torch's, and one kind of it may not be entered by two callers at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

REVERSES = True
CARRIES = True
ROW_GROUPS = 32  # at most
ELEMENTS_PER_THREAD = 400_000  # B L D N that are worth starting one more
LOG2E = 1.4426950408889634


@cache
def unavailable() -> str | None:
    """None if the engine can be used, else one line saying why not. Compiles nothing."""
    try:
        compiled = not isinstance(_kernels().run_forward, FunctionType)
    except Exception as error:  # a numba that does not fit this numpy raises more than ImportError
        reason = str(error).partition("\n")[0]
        return f"numba cannot be imported ({type(error).__name__}: {reason}); pip install numba"
    return None if compiled else "NUMBA_DISABLE_JIT is set; unset it"


def supports(*tensors: Tensor | None) -> bool:
    """Whether the engine takes these inputs: all that are given are dense float32 CPU tensors."""
    return all(x.device.type == "cpu" and x.dtype == torch.float32 and x.layout == torch.strided
               for x in tensors if x is not None)


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = True,
                   num_reversed: int = 0, state: Tensor | None = None) -> Tensor:
    """The output y (B, L, D), float32, of `model.kernels.scan.selective_scan`, differentiable once.

    Uses up to `torch.get_num_threads()` threads; their number changes no bit of the outputs or gradients. A NaN in an
    input reaches the output. Inputs are copied only where their last dimension is strided, or where D is no multiple of
    `numba_kernels.WIDTH` (for B and C: N none of TILE).

    Raises:
        ValueError: shapes that do not fit together, or tensors that are not float32 on the CPU.
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    inputs = u, delta, A, B, C, D, z, delta_bias, delta_softplus, num_reversed
    return _SelectiveScan.apply(*inputs) if state is None else _forward(*inputs, state)


class _SelectiveScan(torch.autograd.Function):
    """The scan and its gradient; backward recomputes the states, so only the inputs are kept."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, delta_bias, delta_softplus, num_reversed):
        inputs = u, delta, A, B, C, D, z, delta_bias
        ctx.save_for_backward(*inputs)
        ctx.options = delta_softplus, num_reversed
        return _forward(*inputs, *ctx.options) if u.numel() else torch.empty_like(u)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        inputs = ctx.saved_tensors
        if dy.numel():
            gradients = _backward(dy, *inputs, *ctx.options)
        else:
            gradients = [None if x is None else torch.zeros_like(x) for x in inputs]
        return *gradients, None, None


def _check(u, delta, A, B, C, D, z, delta_bias) -> None:
    if u.dim() != 3 or A.dim() != 2 or not A.shape[1]:
        raise ValueError(f"selective_scan: u is {tuple(u.shape)} and A {tuple(A.shape)}; "
                         "expected (B, L, D) and (D, N) with N at least 1")
    wide, narrow, each = u.shape, (*u.shape[:2], A.shape[1]), u.shape[2:]
    wanted = {"delta": (delta, wide), "A": (A, (*each, A.shape[1])), "B": (B, narrow), "C": (C, narrow),
              "D": (D, each), "z": (z, wide), "delta_bias": (delta_bias, each)}
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tensor.shape != torch.Size(shape):
            raise ValueError(f"selective_scan: {name} is {tuple(tensor.shape)}; expected {tuple(shape)} "
                             f"beside u {tuple(u.shape)} and A {tuple(A.shape)}")
    if not supports(u, delta, A, B, C, D, z, delta_bias):
        raise ValueError("selective_scan: this engine takes float32 tensors on the CPU only")


@cache
def _kernels() -> ModuleType:
    """The compiled loops; imported only here, as numba may be missing."""
    from model.kernels.scan import numba_kernels

    return numba_kernels


def _forward(u, delta, A, B, C, D, z, delta_bias, softplus, num_reversed, state=None) -> Tensor:
    k = _kernels()
    scan = _scan(u, delta, A, B, C, D, z, delta_bias, softplus, num_reversed)
    y = _room_for(u, k.WIDTH)
    y_series = _series(y)
    carried = _in_tiles(A.new_empty(0, *A.t().shape) if state is None else state)

    def run(group, rows, scratch):
        k.run_forward(scan, y_series, carried, *rows, *scratch)

    shapes = (k.CHUNK * k.STEP_SIZE,), (scan.rates.shape[1], k.TILE_SIZE), (k.KEPT_SIZE,)
    _share(run, len(u), u.numel() * A.shape[1], shapes)
    if state is not None:
        tiles = torch.from_numpy(carried).unflatten(3, (k.TILE, k.WIDTH)).permute(0, 2, 3, 1, 4)
        state.copy_(tiles.flatten(3).flatten(1, 2)[:, :A.shape[1], :len(A)])
    return _cut(y, u)


def _backward(dy, u, delta, A, B, C, D, z, delta_bias, softplus, num_reversed) -> list[Tensor | None]:
    """The gradients of u, delta, A, B, C, D, z and delta_bias, None for absent ones."""
    k = _kernels()
    scan = _scan(u, delta, A, B, C, D, z, delta_bias, softplus, num_reversed)
    du, ddelta = _room_for(u, k.WIDTH), _room_for(u, k.WIDTH)
    dz = du if z is None else _room_for(z, k.WIDTH)
    dB, dC = _room_for(B, k.TILE).zero_(), _room_for(C, k.TILE).zero_()
    gradient = k.Gradient(*map(_series, (_filled(dy, k.WIDTH), du, ddelta, dz, dB, dC)))
    num_blocks, num_tiles = scan.rates.shape[:2]
    sums = _empty(min(len(u), ROW_GROUPS), num_blocks, num_tiles * k.TILE + 2, k.WIDTH)

    def run(group, rows, scratch):
        k.run_backward(scan, gradient, *rows, *scratch, sums[group])

    num_chunks = -(-u.shape[1] // k.CHUNK)
    shapes = ((k.CHUNK * k.STEP_SIZE,), (num_chunks, num_tiles, k.TILE_SIZE), ((k.CHUNK + 1) * k.KEPT_SIZE,),
              (num_blocks, num_tiles, k.CARRY_SIZE))
    _share(run, len(u), 2 * u.numel() * A.shape[1], shapes)
    for partial in sums[1:]:
        sums[0] += partial
    parameters = torch.from_numpy(sums[0]).transpose(1, 2).flatten(0, 1)[:u.shape[2]]  # (D, N + 2)
    return [_cut(du, u), _cut(ddelta, u), parameters[:, :A.shape[1]], _cut(dB, B), _cut(dC, C),
            None if D is None else parameters[:, -2], None if z is None else _cut(dz, z),
            None if delta_bias is None else parameters[:, -1]]


def _scan(u, delta, A, B, C, D, z, delta_bias, softplus, num_reversed) -> Any:
    """The inputs as a `numba_kernels.Scan`."""
    k = _kernels()
    wide = [_series(_filled(x, k.WIDTH)) for x in (u, delta, u if z is None else z)]
    narrow = [_series(_filled(x, k.TILE)) for x in (B, C)]
    rates = _filled(_filled(A * LOG2E, k.TILE).t(), k.WIDTH).unflatten(0, (-1, k.TILE)).unflatten(2, (-1, k.WIDTH))
    parameters = [_filled(A.new_zeros(len(A)) if x is None else x, k.WIDTH).view(-1, k.WIDTH) for x in (D, delta_bias)]
    return k.Scan(*wide, *narrow, rates.permute(2, 0, 1, 3).flatten(2).contiguous().numpy(),
                  *(x.numpy() for x in parameters), u.shape[1], len(u) - num_reversed, z is not None,
                  bool(softplus))


def _in_tiles(state: Tensor) -> np.ndarray:
    """States (B, N, D) as (B, blocks, tiles, TILE_SIZE), filled up with zeros."""
    k = _kernels()
    filled = _filled(_filled(state, k.WIDTH).transpose(1, 2), k.TILE).transpose(1, 2)
    tiles = filled.unflatten(1, (-1, k.TILE)).unflatten(3, (-1, k.WIDTH)).permute(0, 3, 1, 2, 4)
    return tiles.flatten(3).clone(memory_format=torch.contiguous_format).numpy()


def _filled(x: Tensor, multiple: int) -> Tensor:
    """x, its last dimension extended by zeros to a multiple, and of unit stride."""
    missing = -x.shape[-1] % multiple
    x = F.pad(x.detach(), (0, missing)) if missing else x.detach()
    return x if x.stride(-1) == 1 else x.contiguous()


def _room_for(x: Tensor, multiple: int) -> Tensor:
    """An uninitialised tensor of the shape of `_filled(x, multiple)`."""
    return x.new_empty(*x.shape[:-1], x.shape[-1] + -x.shape[-1] % multiple)


def _cut(filled: Tensor, x: Tensor) -> Tensor:
    return filled[..., :x.shape[-1]].contiguous()


def _series(x: Tensor) -> Any:
    """x (B, L, width) of unit stride in the last dimension as a `numba_kernels.Series`."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    return _kernels().Series(x.as_strided((extent,), (1,)).numpy(), x.stride(0), x.stride(1))


def _empty(*shape: int) -> np.ndarray:
    """Uninitialised memory; torch's begins at a cache line, and vectors that straddle two would be slow."""
    return torch.empty(shape, dtype=torch.float32).numpy()


def _share(run: Callable, num_rows: int, num_elements: int, scratch_shapes: tuple[tuple[int, ...], ...]) -> None:
    """Calls run(group, (first row, end row), scratch) for every group of rows, on as many threads as are worth it."""
    num_groups = min(num_rows, ROW_GROUPS)
    num_helpers = max(0, min(torch.get_num_threads(), num_groups, num_elements // ELEMENTS_PER_THREAD) - 1)
    groups = iter(range(num_groups))

    def take_groups(scratch: list[np.ndarray]) -> None:
        with _denormals_flushed():
            for group in groups:
                run(group, (num_rows * group // num_groups, num_rows * (group + 1) // num_groups), scratch)

    own, *others = ([_empty(*shape) for shape in scratch_shapes] for _ in range(1 + num_helpers))
    with ThreadPoolExecutor(max(1, num_helpers)) as pool:  # starts no thread before it is given something
        helpers = [pool.submit(take_groups, scratch) for scratch in others]
        take_groups(own)
        for helper in helpers:
            helper.result()


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """In this thread only: states decay towards zero, and denormals on the way would be slow and mean nothing."""
    before = bool(torch.tensor(1e-40, dtype=torch.float32) == 0)  # torch tells it no other way
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
