"""The selective scan as its definition reads: the ground truth of every other engine.

Letters: B rows, L steps, D channels, N states per channel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CARRIES = True


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None,
                   delta_softplus: bool = True, state: Tensor | None = None) -> Tensor:
    """The output y (B, L, D) of the recurrence, one step at a time; differentiable, any float dtype.

    For the shapes and the equations see `model.kernels.scan.selective_scan`.
    """
    dt = step_sizes(delta, delta_bias, delta_softplus)
    h = u.new_zeros(u.shape[0], u.shape[2], A.shape[1]) if state is None else state.transpose(1, 2)
    outputs = []
    for u_t, dt_t, B_t, C_t in zip(u.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        decay = torch.exp(dt_t[:, :, None] * A)
        h = decay * h + (dt_t * u_t)[:, :, None] * B_t[:, None, :]
        outputs.append((h * C_t[:, None, :]).sum(-1))
    if state is not None:
        state.copy_(h.transpose(1, 2))
    return skip_and_gate(torch.stack(outputs, dim=1), u, D, z)


def step_sizes(delta: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    """The step sizes (B, L, D): delta + bias, through softplus where asked."""
    dt = delta if bias is None else delta + bias
    return F.softplus(dt) if softplus else dt


def skip_and_gate(y: Tensor, u: Tensor, D: Tensor | None, z: Tensor | None) -> Tensor:
    """(y + D u) * SiLU(z), each part where it is given."""
    y = y if D is None else y + D * u
    return y if z is None else y * F.silu(z)
