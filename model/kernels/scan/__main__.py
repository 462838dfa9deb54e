"""Says which scan engines work here, whether they are right and how fast they are.

    python -m model.kernels.scan --check

An engine is right if its outputs and gradients agree with the reference in float64, half of the rows reversed. Its
speed is that of an output and its gradients, relative to the `pytorch` engine on the same device: both run in turn,
the median of the ratios. The exit status is 1 if an engine that can be used is wrong.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from model.kernels.scan import ENGINES, selective_scan
from utils.cli import run_script

TOLERANCE = 1e-4  # of the largest value: far above what float32 rounds away, far below any mistake
HEADER = ("engine", "device", "output", "gradients", "speed", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status, after printing the table."""
    parser = argparse.ArgumentParser(prog="python -m model.kernels.scan", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=25)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(arguments)
    inputs = make_inputs(args.batch, args.length, args.channels, args.states)
    truth = run("reference", inputs)
    lines = [HEADER, *(check(name, inputs, truth, args.repeats) for name in ENGINES)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f"B={args.batch} L={args.length} D={args.channels} N={args.states}, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads; largest error relative to float64, speed relative to pytorch")
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 1 if any(line[-1].startswith("WRONG") for line in lines) else 0


def make_inputs(batch: int, length: int, channels: int, states: int) -> list[Tensor]:
    """u, delta, A, B, C, D, z, delta_bias in float64, of the magnitudes that a Mamba layer starts with."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()

    A = -torch.arange(1.0, states + 1).double().repeat(channels, 1)
    rows, series = (batch, length, channels), (batch, length, states)
    return [draw(*rows), draw(*rows), A, draw(*series), draw(*series), draw(channels), draw(*rows), draw(channels) - 3]


def check(name: str, inputs: list[Tensor], truth: list[Tensor], repeats: int) -> tuple[str, ...]:
    """The engine's line of the table."""
    if reason := getattr(ENGINES[name], "unavailable", lambda: None)():
        return name, "-", "-", "-", "-", f"not available: {reason}"
    device = device_of(name)
    ours = [x.to(device, torch.float32) for x in inputs]
    try:
        errors = [relative_error(mine, true) for mine, true in zip(run(name, ours), truth, strict=True)]
        rate = f"{speed(name, ours, repeats):.1f}x"
    except Exception as error:  # a kernel that does not run is as wrong as one that errs
        return name, device, "-", "-", "-", f"WRONG: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    verdict = "agrees" if max(errors) <= TOLERANCE else f"WRONG: an error above {TOLERANCE:.0e}"
    return name, device, f"{errors[0]:.1e}", f"{max(errors[1:]):.1e}", rate, verdict


def device_of(name: str) -> str:
    """Where the engine runs: `cpu` if it can, else `cuda`."""
    probe = torch.empty(1, 1, 1)
    supports = getattr(ENGINES[name], "supports", lambda u, A: True)
    return "cpu" if supports(probe, probe[0]) else "cuda"


def run(name: str, inputs: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of a weighted sum of it in all inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    u, delta, A, B, C, D, z, bias = leaves
    y = selective_scan(u, delta, A, B, C, D, z, bias, num_reversed=len(u) // 2, engine=name)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=y.device).view_as(y)
    return [y.detach(), *torch.autograd.grad(y, leaves, weights)]


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """The largest error over the largest true value; infinite where ours is not a number."""
    error = (ours.cpu().double() - truth).abs().max() / truth.abs().max()
    return error.nan_to_num(nan=torch.inf).item()


def speed(name: str, inputs: list[Tensor], repeats: int) -> float:
    """How many times as fast as the `pytorch` engine."""
    ratios = [seconds("pytorch", inputs) / seconds(name, inputs) for _ in range(repeats + 1)]
    return statistics.median(ratios[1:])


def seconds(name: str, inputs: list[Tensor]) -> float:
    """The time that an output and its gradients take."""
    start = time.perf_counter()
    run(name, inputs)
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    run_script(lambda: sys.exit(main()))
