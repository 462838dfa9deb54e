"""Times the engines of the selective scan side by side: forward, and forward + backward.

    python -m benchmarks.scan [--batch 128] [--lengths 7 15 30] [--threads 2] [--repeats 9] [--device cuda]

Every repeat runs each engine once, in turn, so that a busy machine slows all of them. Printed are the medians
over the repeats, and the median of the ratio to the first engine. The first touch of fresh memory is a large
part of the loops' time: compare runs under one allocator setting only (it is printed). On CUDA a time ends when the
device has finished; what launching costs is in it.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from model.scan import cpu, mamba_ssm, numba_engine, pytorch, reference, triton_engine


def channel_first_loop(u, delta, A, Bm, C, D_skip, z, delta_bias) -> Tensor:
    """The usual reference: exp(dt A) and dt B u of all steps as (B, D, L, N), indexed by step, so that its
    backward pass is O(L^2)."""
    dt = F.softplus(delta + delta_bias).transpose(1, 2)
    u_first = u.transpose(1, 2)
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, A))
    drive = torch.einsum("bdl,bln,bdl->bdln", dt, Bm, u_first)
    h = u.new_zeros(u.shape[0], *A.shape)
    ys = []
    for t in range(u.shape[1]):
        h = decay[:, :, t] * h + drive[:, :, t]
        ys.append(torch.einsum("bdn,bn->bd", h, C[:, t]))
    return ((torch.stack(ys, 2) + D_skip[:, None] * u_first) * F.silu(z.transpose(1, 2))).transpose(1, 2)


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


def time_engines(engines: dict[str, Callable[..., Tensor]], inputs: list[Tensor], repeats: int,
                 backward: bool) -> dict[str, list[float]]:
    """Milliseconds of every engine in every repeat; one unmeasured round first."""
    wait = torch.cuda.synchronize if inputs[0].is_cuda else lambda: None
    weight = torch.randn_like(inputs[0])
    inputs = [x.detach().requires_grad_(backward) for x in inputs]
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(repeats + 1):
        for name, engine in engines.items():
            wait()
            start = time.perf_counter()
            y = engine(*inputs)
            if backward:
                torch.autograd.grad(y, inputs, weight)
            wait()
            times[name].append(1000 * (time.perf_counter() - start))
            del y
    return {name: each[1:] for name, each in times.items()}


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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    engines = usable_engines(args.device)
    machine = (torch.cuda.get_device_name() if args.device == "cuda" else
               f"{args.threads} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(f"torch {torch.__version__}, {machine}; GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')!r} "
          f"THP_MEM_ALLOC_ENABLE={os.environ.get('THP_MEM_ALLOC_ENABLE', '')!r}")
    print(f"B={args.batch} D={args.channels} N={args.states}, median of {args.repeats}, ms")
    for length in args.lengths:
        inputs = make_inputs(args.batch, length, args.channels, args.states, args.device)
        for label, backward in (("forward", False), ("forward + backward", True)):
            times = time_engines(engines, inputs, args.repeats, backward)
            cells = []
            first = next(iter(times.values()))
            for name, each in times.items():
                ratio = statistics.median(a / b for a, b in zip(first, each, strict=True))
                cells.append(f"{name} {statistics.median(each):9.2f} ({ratio:6.1f}x)")
            print(f"L={length:<4} {label:<19} " + "   ".join(cells), flush=True)


if __name__ == "__main__":
    main()
