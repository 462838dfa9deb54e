"""Tells of every scan engine whether it can be used here, how well it agrees with the reference, and how fast it is.

    python -m model.scan --check [--length 25]

Errors are relative to the largest value, of outputs and of gradients, against the readable scan in float64; half the
rows run backwards. Speed is that of a forward and backward pass over the `pytorch` engine's, side by side. The exit
status is 1 if an engine that can be used disagrees.
"""

import argparse
import statistics
import sys
import time
from types import ModuleType

import torch
from torch import Tensor

from model.scan import ENGINES, selective_scan

TOLERANCE = 1e-4
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check and time the engines (what it does anyway)")
    parser.add_argument("--length", type=int, default=25, help="frames (default: %(default)s)")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reasons = {name: _reason(engine, device) for name, engine in ENGINES.items()}
    usable = [name for name, reason in reasons.items() if reason is None]
    errors = {name: disagreement(name, args.length, device) for name in usable}
    speeds = relative_speeds(usable, args.length, device)
    print(f"engines of the selective scan on {device.type}, {args.length} frames, {torch.get_num_threads()} threads")
    print(f"{'engine':<10} {'outputs':>8} {'gradients':>9} {'speed':>8}")
    for name, reason in reasons.items():
        if reason is None:
            print(f"{name:<10} {errors[name][0]:>8.0e} {errors[name][1]:>9.0e} {speeds[name]:>7.2f}x")
        else:
            print(f"{name:<10} {reason}")
    wrong = [name for name, values in errors.items() if not max(values) < TOLERANCE]
    if wrong:
        sys.exit(f"error: {', '.join(wrong)} disagrees with the reference here. Set scan_engine to another one.")


def _reason(engine: ModuleType, device: torch.device) -> str | None:
    """Why `engine` cannot be used for float32 tensors on `device`; None where it can."""
    probe = torch.empty(1, 1, 1, device=device)
    if hasattr(engine, "supports") and not engine.supports(probe, probe[0]):
        return f"not for {device.type} tensors"
    return engine.unavailable() if hasattr(engine, "unavailable") else None


def disagreement(name: str, length: int, device: torch.device) -> tuple[float, float]:
    """The largest relative error of an engine's outputs and of its gradients."""
    truth, *their_gradients = run("reference", make_inputs(4, length, 40, torch.device("cpu"), torch.float64))
    y, *gradients = run(name, make_inputs(4, length, 40, device, torch.float32))
    return _error(y, truth), max(map(_error, gradients, their_gradients))


def relative_speeds(names: list[str], length: int, device: torch.device) -> dict[str, float]:
    """How many times as fast as `pytorch` each engine is, the median of interleaved repeats."""
    inputs = make_inputs(16, length, 256, device, torch.float32)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(1 + REPEATS):
        for name, each in times.items():
            started = time.perf_counter()
            run(name, inputs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            each.append(time.perf_counter() - started)
    return {name: statistics.median(base / own for base, own in zip(times["pytorch"][1:], each[1:], strict=True))
            for name, each in times.items()}


def make_inputs(rows: int, length: int, channels: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """u, delta, A, B, C, D, z and delta_bias, the same numbers for every device and dtype."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    A = -torch.exp(draw(channels, 16))
    tensors = (draw(rows, length, channels), draw(rows, length, channels), A, draw(rows, length, 16),
               draw(rows, length, 16), draw(channels), draw(rows, length, channels), draw(channels))
    return [x.to(device, dtype).requires_grad_() for x in tensors]


def run(name: str, inputs: list[Tensor]) -> list[Tensor]:
    """The output, then the gradients of its sum of squares."""
    u, delta, A, B, C, D, z, bias = inputs
    y = selective_scan(u, delta, A, B, C, D, z, bias, num_reversed=len(u) // 2, engine=name)
    return [y.detach(), *torch.autograd.grad(y.square().sum(), inputs)]


def _error(ours: Tensor, truth: Tensor) -> float:
    return ((ours.cpu().double() - truth).abs().max() / truth.abs().max()).item()


if __name__ == "__main__":
    main()
