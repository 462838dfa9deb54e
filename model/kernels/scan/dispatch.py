"""Which engine computes a scan."""

from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor

from model.kernels.scan import cpu, mamba_ssm, numba_engine, pytorch, reference, triton_engine
from utils.errors import UserError

# In the order in which `auto` tries them.
ENGINES: dict[str, ModuleType] = {"triton": triton_engine, "mamba_ssm": mamba_ssm, "cpu": cpu, "numba": numba_engine,
                                  "pytorch": pytorch, "reference": reference}


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None, delta_softplus: bool = True,
                   num_reversed: int = 0, engine: str = "auto", state: Tensor | None = None) -> Tensor:
    """The output y (B, L, D) of a selective state-space layer, causal along L (Gu & Dao 2023, Mamba).

        dt  = softplus(delta + delta_bias)
        h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t          (h before the first step is 0)
        y_t = (C_t h_t + D u_t) * SiLU(z_t)

    Args:
        u, delta, z: (B, L, D), of one type, y's as well. `z` may be None: no gate. The states are float32 where this
            is half precision.
        A: (D, N), negative. B, C: (B, L, N). D, delta_bias: (D,) or None.
        num_reversed: the last so many rows run from the last step to the first, which saves flipping them.
        engine: a name in `ENGINES`, or `auto`.
        state: (B, N, D), contiguous: h before the first step, overwritten by h after the last one, so that a sequence
            may come in pieces. Without gradients and reversed rows, by the engines that run on a CPU.

    Raises:
        UserError: the engine is unknown, or asked for by name and cannot be used here.
    """
    precision = torch.promote_types(u.dtype, torch.float32)
    chosen = _choose(u.new_empty(0, dtype=precision), A) if engine == "auto" else _forced(engine)
    B, C, given = B.to(precision), C.to(precision), u.dtype
    if given not in getattr(chosen, "HALF", ()):
        u, delta, z = u.to(precision), delta.to(precision), None if z is None else z.to(precision)
    return _scan(chosen, u, delta, z, A, B, C, D, delta_bias, delta_softplus, num_reversed, state).to(given)


def _scan(chosen: ModuleType, u, delta, z, A, B, C, D, delta_bias, delta_softplus, num_reversed, state) -> Tensor:
    if state is not None:
        assert not torch.is_grad_enabled(), "a carried state has no gradient"
        assert not num_reversed, "a carried state has one direction"
        assert getattr(chosen, "CARRIES", False), "this engine carries no state"
        assert (state.shape, state.dtype) == ((len(u), *A.t().shape), A.dtype)
        assert state.is_contiguous()
        return chosen.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, state=state)
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
    """One line for a run's log: the engine that `engine` means for float32 tensors on `device`, and why no better."""
    if engine != "auto":
        _forced(engine)
        return f"scan engine: {engine} (set in the config)"
    reasons: list[str] = []
    probe = torch.empty(1, 1, 1, device=device)
    for name, candidate in _candidates(probe, probe[0]):
        if (reason := _unavailable(candidate)) is None:
            return f"scan engine: {name}" + (f" ({'; '.join(reasons)})" if reasons else "")
        reasons.append(f"{name}: {reason}")
    raise AssertionError("the pytorch engine is always there")


def _choose(u: Tensor, A: Tensor) -> ModuleType:
    return next(engine for _, engine in _candidates(u, A) if _unavailable(engine) is None)


def _candidates(u: Tensor, A: Tensor) -> Iterator[tuple[str, ModuleType]]:
    """The engines that take such tensors, the best first."""
    return ((name, engine) for name, engine in ENGINES.items()
            if not hasattr(engine, "supports") or engine.supports(u, A))


def _forced(name: str) -> ModuleType:
    if name not in ENGINES:
        raise UserError(f"scan_engine '{name}' is unknown. Choose one of: auto, {', '.join(ENGINES)}.")
    if reason := _unavailable(ENGINES[name]):
        raise UserError(f"scan_engine '{name}' cannot be used here: {reason}. Set scan_engine = 'auto'.")
    return ENGINES[name]


def _unavailable(engine: ModuleType) -> str | None:
    return engine.unavailable() if hasattr(engine, "unavailable") else None
