"""Which engine computes a scan."""

import functools
from types import ModuleType

import torch
from torch import Tensor

from model.scan import cpu, mamba_ssm, numba_engine, pytorch, reference
from utils.errors import UserError

ENGINES: dict[str, ModuleType] = {"mamba_ssm": mamba_ssm, "cpu": cpu, "numba": numba_engine, "pytorch": pytorch,
                                  "reference": reference}


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = True,
                   num_reversed: int = 0, engine: str = "auto") -> Tensor:
    """The output y (B, L, D) of a selective state-space layer, causal along L (Gu & Dao 2023, Mamba).

        dt  = softplus(delta + delta_bias)
        h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t          (h before the first step is 0)
        y_t = (C_t h_t + D u_t) * SiLU(z_t)

    Args:
        u, delta, z: (B, L, D). `z` may be None: no gate.
        A: (D, N), negative. B, C: (B, L, N). D, delta_bias: (D,) or None.
        num_reversed: the last so many rows run from the last step to the first, which saves flipping them.
        engine: a name in `ENGINES`, or `auto`.

    Raises:
        UserError: the engine is unknown, or asked for by name and cannot be used here.
    """
    chosen = _choose(u, A) if engine == "auto" else _forced(engine)
    if not num_reversed:
        return chosen.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    if getattr(chosen, "REVERSES", False):
        return chosen.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, num_reversed)
    u, delta, B, C = (flip_last_rows(x, num_reversed) for x in (u, delta, B, C))
    z = None if z is None else flip_last_rows(z, num_reversed)
    y = chosen.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    return flip_last_rows(y, num_reversed)


def flip_last_rows(x: Tensor, num_rows: int) -> Tensor:
    """x (B, L, ...) with the last `num_rows` rows turned around along L."""
    kept = x.shape[0] - num_rows
    return torch.cat([x[:kept], x[kept:].flip(1)])


def explain(engine: str, device: torch.device) -> str:
    """One line for a run's log: the engine that `engine` means for float32 tensors on `device`."""
    if engine != "auto":
        _forced(engine)
        return f"scan engine: {engine} (set in the config)"
    probe = torch.empty(1, 1, 1, device=device)
    chosen = _choose(probe, probe[0])
    name = next(name for name, engine in ENGINES.items() if engine is chosen)
    reasons = [f"{other}: {reason}" for other, reason in _unavailable().items() if reason]
    return f"scan engine: {name}" + (f" ({'; '.join(reasons)})" if reasons else "")


def _choose(u: Tensor, A: Tensor) -> ModuleType:
    for engine in (mamba_ssm, cpu, numba_engine):
        if engine.supports(u, A) and engine.unavailable() is None:
            return engine
    return pytorch


def _forced(name: str) -> ModuleType:
    if name not in ENGINES:
        raise UserError(f"scan_engine '{name}' is unknown. Choose one of: auto, {', '.join(ENGINES)}.")
    if reason := _unavailable().get(name):
        raise UserError(f"scan_engine '{name}' cannot be used here: {reason}. Set scan_engine = 'auto'.")
    return ENGINES[name]


@functools.cache
def _unavailable() -> dict[str, str | None]:
    return {name: engine.unavailable() for name, engine in ENGINES.items() if hasattr(engine, "unavailable")}
