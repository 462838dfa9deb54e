"""The selective scan in plain PyTorch with a hand-written backward: runs wherever torch does.

The recurrence keeps its state as (rows, N, D), channels last, so that the reductions over N and over D are
batched matrix products. Rows are taken in chunks whose state fits the cache, and the backward recomputes a
chunk's states instead of keeping all of them: memory O(chunk x L x N x D), not O(B x L x N x D).
"""

import torch
from torch import Tensor

from model.kernels.scan.reference import skip_and_gate, step_sizes

CARRIES = True
CHUNK_ELEMENTS = 1 << 18  # states of one chunk on a CPU: 1 MiB of float32, which a core's cache holds
GPU_CHUNK_ELEMENTS = 1 << 23  # on a GPU fewer, larger kernels count for more


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None,
                   delta_softplus: bool = True, state: Tensor | None = None) -> Tensor:
    """The output y (B, L, D) of `model.kernels.scan.selective_scan`, with gradients in every tensor given."""
    dt = step_sizes(delta, delta_bias, delta_softplus)
    y = _Recurrence.apply(dt, dt * u, A, B, C) if state is None else _run(dt, dt * u, A, B, C, state)
    return skip_and_gate(y, u, D, z)


class _Recurrence(torch.autograd.Function):
    """y_t = C_t h_t with h_t = exp(dt_t A) h_(t-1) + B_t x_t, where x = dt * u."""

    @staticmethod
    def forward(ctx, dt, x, A, B, C):
        ctx.save_for_backward(dt, x, A, B, C)
        return _run(dt, x, A, B, C)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        dt, x, A, B, C = ctx.saved_tensors
        decay_rates = A.t().contiguous()
        d_dt, d_x = torch.empty_like(dt), torch.empty_like(x)
        d_B, d_C = torch.empty_like(B), torch.empty_like(C)
        d_rates = torch.zeros_like(decay_rates)
        for rows in _chunks(x, A):
            decays, states = _replay(dt[rows], x[rows], decay_rates, B[rows])
            d_state = torch.zeros_like(states[0])
            for t in reversed(range(x.shape[1])):
                d_state.addcmul_(C[rows, t, :, None], dy[rows, t, None])
                d_C[rows, t] = torch.bmm(states[t + 1], dy[rows, t, :, None])[:, :, 0]
                d_B[rows, t] = torch.bmm(d_state, x[rows, t, :, None])[:, :, 0]
                d_x[rows, t] = torch.bmm(B[rows, t, None], d_state)[:, 0]
                d_state.mul_(decays[t])
                d_exponent = d_state * states[t]
                d_dt[rows, t] = (d_exponent * decay_rates).sum(1)
                d_rates += (d_exponent * dt[rows, t, None]).sum(0)
        return d_dt, d_x, d_rates.t(), d_B, d_C


def _run(dt: Tensor, x: Tensor, A: Tensor, B: Tensor, C: Tensor, carried: Tensor | None = None) -> Tensor:
    decay_rates = A.t().contiguous()
    y = torch.empty_like(x)
    for rows in _chunks(x, A):
        state = x.new_zeros(x[rows].shape[0], *decay_rates.shape) if carried is None else carried[rows]
        for t in range(x.shape[1]):
            state.mul_(torch.exp(dt[rows, t, None] * decay_rates))
            state.addcmul_(B[rows, t, :, None], x[rows, t, None])
            y[rows, t] = torch.bmm(C[rows, t, None], state)[:, 0]
    return y


def _chunks(x: Tensor, A: Tensor) -> list[slice]:
    elements = CHUNK_ELEMENTS if x.device.type == "cpu" else GPU_CHUNK_ELEMENTS
    size = max(1, elements // A.numel())
    return [slice(start, start + size) for start in range(0, x.shape[0], size)]


def _replay(dt: Tensor, x: Tensor, decay_rates: Tensor, B: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The decays exp(dt_t A) of every step and the states before the first step and after each."""
    decays, states = [], [x.new_zeros(x.shape[0], *decay_rates.shape)]
    for t in range(x.shape[1]):
        decays.append(torch.exp(dt[:, t, None] * decay_rates))
        states.append(torch.addcmul(decays[t] * states[t], B[:, t, :, None], x[:, t, None]))
    return decays, states
