"""Times the engines of the selective scan side by side, and those of the convolution before it: forward, and
forward + backward.

    python -m benchmarks.scan [--batch 128] [--lengths 7 15 30] [--threads 2] [--repeats 9] [--device cuda]

Every repeat runs each engine once, in turn, so that a busy machine slows all of them. Printed are the medians
over the repeats, and the median of the ratio to the first engine. The first touch of fresh memory is a large
part of the loops' time: compare runs under one allocator setting only (it is printed). On CUDA a time ends when the
device has finished; what launching costs is in it. With --cpu-time the process's CPU seconds count instead of the
clock's: on one thread of a busy machine they are steadier.

Extra memory is how far the process's resident memory rises while an engine runs once, after the allocator gave
back what it held: outputs, whatever is kept for the backward pass and scratch, whoever allocates it (Linux only; on
CUDA what torch allocates there). Errors are those of the gradients, relative to the largest value of each, in float64
over at most 16 rows.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.side_by_side import peak_memory
from model.kernels import conv as causal_conv
from model.kernels.conv import cpu as cpu_conv
from model.kernels.scan import cpu, mamba_ssm, numba_engine, pytorch, reference, triton_engine
from utils.cli import run_script


def channel_first_loop(u, delta, A, Bm, C, D_skip, z, delta_bias) -> Tensor:
    """The usual reference, on tensors whose channels come last: `loop_over_steps`."""
    dt = F.softplus(delta + delta_bias)
    u, dt, Bm, C, z = (x.transpose(1, 2) for x in (u, dt, Bm, C, z))
    return loop_over_steps(u, dt, A, Bm, C, D_skip, z).transpose(1, 2)


def loop_over_steps(u, dt, A, Bm, C, D_skip, z) -> Tensor:
    """The output (B, D, L): exp(dt A) and dt B u of all steps as (B, D, L, N), indexed by step, so that the backward
    pass is O(L^2). u, dt, z (B, D, L), Bm, C (B, N, L)."""
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, A))
    drive = torch.einsum("bdl,bnl,bdl->bdln", dt, Bm, u)
    h = u.new_zeros(u.shape[0], *A.shape)
    ys = []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + drive[:, :, t]
        ys.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return (torch.stack(ys, 2) + D_skip[:, None] * u) * F.silu(z)


LOOPS: dict[str, Callable[..., Tensor]] = {
    "reference": channel_first_loop,
    "step loop": reference.selective_scan,
    "pytorch": pytorch.selective_scan,
}
KERNELS = {"cpu": {"numba": numba_engine, "cpu": cpu}, "cuda": {"mamba_ssm": mamba_ssm, "triton": triton_engine}}


def usable_engines(device: str) -> dict[str, Callable[..., Tensor]]:
    """The loops, and the kernels that work on `device`; of the others a line is printed."""
    engines = dict(LOOPS)
    for name, kernel in KERNELS[device].items():
        if reason := kernel.unavailable():
            print(f"{name} engine: {reason}")
        else:
            engines[name] = kernel.selective_scan
    if engines.keys() == LOOPS.keys():
        raise SystemExit(f"no kernel to time on {device}")
    return engines


def make_inputs(batch: int, length: int, channels: int, states: int, device: str) -> list[Tensor]:
    """u, delta, A, B, C, D, z, bias of the magnitudes a Mamba layer starts with."""
    random = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=random)

    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    u, delta, z = (normal(batch, length, channels) for _ in range(3))
    Bm, C = (normal(batch, length, states) for _ in range(2))
    inputs = [u, 0.5 * delta, A, Bm, C, torch.ones(channels), z, 0.5 * normal(channels) - 3]
    return [x.to(device) for x in inputs]


def conv1d_and_silu(u, weight, bias) -> Tensor:
    """What a convolution library makes of it: channels first, padded."""
    x = F.conv1d(u.transpose(1, 2), weight[:, None], bias, padding=weight.shape[1] - 1, groups=len(weight))
    return F.silu(x[..., :u.shape[1]]).transpose(1, 2)


CONVOLUTIONS: dict[str, Callable[..., Tensor]] = {
    "conv1d": conv1d_and_silu,
    "readable": lambda u, weight, bias: causal_conv._CausalConvSilu.apply(u, weight, bias, 0),
}
CONVOLUTION_KERNELS = {"cpu": {"cpu": cpu_conv}, "cuda": {"triton": triton_engine}}


def usable_convolutions(device: str) -> dict[str, Callable[..., Tensor]]:
    """The convolutions in torch, and the kernels that work on `device`."""
    return CONVOLUTIONS | {name: kernel.causal_conv_silu for name, kernel in CONVOLUTION_KERNELS[device].items()
                           if kernel.unavailable() is None}


def make_convolution_inputs(batch: int, length: int, channels: int, device: str) -> list[Tensor]:
    """u (half of a wider projection, as in the model), weight (four taps), bias."""
    random = torch.Generator().manual_seed(1)
    u = torch.randn(batch, length, 2 * channels, generator=random)[..., :channels]
    inputs = [u, 0.5 * torch.randn(channels, 4, generator=random), 0.1 * torch.randn(channels, generator=random)]
    return [x.to(device) for x in inputs]


def time_engines(engines: dict[str, Callable[..., Tensor]], inputs: list[Tensor], repeats: int, backward: bool,
                 clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Milliseconds of every engine in every repeat; one unmeasured round first."""
    wait = torch.cuda.synchronize if inputs[0].is_cuda else lambda: None
    weight = torch.randn_like(inputs[0])
    inputs = [x.detach().requires_grad_(backward) for x in inputs]
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats + 1):
        for name, engine in engines.items():
            wait()
            start = clock()
            y = engine(*inputs)
            if backward:
                torch.autograd.grad(y, inputs, weight)
            wait()
            times[name].append(1000 * (clock() - start))
            del y
    return {name: each[1:] for name, each in times.items()}


def extra_memory(engine: Callable[..., Tensor], inputs: list[Tensor]) -> float | None:
    """MB by which the peak of resident memory rises during a forward and a backward pass."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    weight = torch.randn_like(inputs[0])
    return peak_memory(lambda: torch.autograd.grad(engine(*leaves), leaves, weight))


def gradient_errors(engines: dict[str, Callable[..., Tensor]], inputs: list[Tensor]) -> dict[str, float]:
    """The largest error of any gradient over the largest value of that gradient."""
    batch = len(inputs[0])
    inputs = [x[:16] if len(x) == batch and x.dim() == 3 else x for x in inputs]
    weight = torch.randn_like(inputs[0])

    def gradients(engine, dtype):
        leaves = [x.detach().to(dtype).requires_grad_() for x in inputs]
        return torch.autograd.grad(engine(*leaves), leaves, weight.to(dtype))

    truth = gradients(next(iter(engines.values())), torch.float64)
    return {name: max(((ours - true).abs().max() / true.abs().max()).item()
                      for ours, true in zip(gradients(engine, torch.float32), truth, strict=True))
            for name, engine in engines.items()}


def print_comparison(title: str, engines: dict[str, Callable[..., Tensor]], inputs: list[Tensor], repeats: int,
                     clock: Callable[[], float]) -> None:
    """Times and ratios to the first engine, extra memory and errors of the engines."""
    for label, backward in (("forward", False), ("forward + backward", True)):
        times = time_engines(engines, inputs, repeats, backward, clock)
        first = next(iter(times.values()))
        print_line(title, label, {
            name: f"{statistics.median(each):9.2f} "
                  f"({statistics.median(a / b for a, b in zip(first, each, strict=True)):6.1f}x)"
            for name, each in times.items()})
    if os.access("/proc/self/clear_refs", os.W_OK):
        print_line(title, "extra memory, MB", {name: f"{extra_memory(engine, inputs):9.1f}          "
                                               for name, engine in engines.items()})
    print_line(title, "gradient error", {name: f"{error:9.1e}          "
                                         for name, error in gradient_errors(engines, inputs).items()})


def print_line(title: str, label: str, cells: dict[str, str]) -> None:
    """One line: what is measured, then a cell per engine."""
    print(f"{title} {label:<19} " + "   ".join(f"{name} {cell}" for name, cell in cells.items()).rstrip(), flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lengths", type=int, nargs="+", default=[7, 15, 30])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", choices=KERNELS, default="cpu")
    parser.add_argument("--cpu-time", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    engines, convolutions = usable_engines(args.device), usable_convolutions(args.device)
    machine = (torch.cuda.get_device_name() if args.device == "cuda" else
               f"{args.threads} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(f"torch {torch.__version__}, {machine}; GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')!r} "
          f"THP_MEM_ALLOC_ENABLE={os.environ.get('THP_MEM_ALLOC_ENABLE', '')!r}")
    print(f"B={args.batch} D={args.channels} N={args.states}, median of {args.repeats}, "
          f"{'CPU ' if args.cpu_time else ''}ms")
    clock = time.process_time if args.cpu_time else time.perf_counter
    for length in args.lengths:
        print_comparison(f"L={length:<4} scan", engines,
                         make_inputs(args.batch, length, args.channels, args.states, args.device), args.repeats, clock)
        print_comparison(f"L={length:<4} conv", convolutions,
                         make_convolution_inputs(args.batch, length, args.channels, args.device), args.repeats, clock)


if __name__ == "__main__":
    run_script(main)
