"""The WKV operator of RWKV-6 (Peng et al. 2024, arXiv 2404.05892, eq. 16 to 19): readable and fast.

Letters: B rows, H heads, L steps, d channels of a head. Per head, with the state S of (d, d) starting at 0,

    y_t = r_t (S + diag(u) k_t^T v_t)        u: a bonus for the frame itself
    S  <- diag(w_t) S + k_t^T v_t            w_t: the decay, one per channel and frame
"""

import torch
from torch import Tensor

LOG_DECAY_FLOOR = -10.0
CHUNK = 16


def wkv_recurrent(r: Tensor, k: Tensor, v: Tensor, log_w: Tensor, u: Tensor) -> Tensor:
    """The outputs y (B, H, L, d), one step after the other.

    Args:
        r, k, v: (B, H, L, d). log_w: (B, H, L, d), the logarithms of the decays, at most 0. u: (H, d).
    """
    state, outputs = torch.zeros((), dtype=r.dtype, device=r.device), []
    for r_t, k_t, v_t, log_w_t in zip(*(x.unbind(2) for x in (r, k, v, log_w)), strict=True):
        pair = k_t[..., :, None] * v_t[..., None, :]
        outputs.append((r_t[..., None, :] @ (state + u[..., :, None] * pair)).squeeze(-2))
        state = log_w_t.exp()[..., :, None] * state + pair
    return torch.stack(outputs, dim=2)


def wkv_chunked(r: Tensor, k: Tensor, v: Tensor, log_w: Tensor, u: Tensor, chunk: int = CHUNK) -> Tensor:
    """The same in matrix products: frames attend to those before them in their chunk, and to the state it began with.

    The decay from frame j to frame i is split as exp(p_i - m) exp(m - p_j), with p the running sum of log_w in
    the chunk and m its value halfway. Both factors stay within float32 as long as log_w is at least
    LOG_DECAY_FLOOR and `chunk` at most 16.
    """
    length = r.shape[2]
    num_chunks = -(-length // chunk)
    size = -(-length // num_chunks)
    r, k, v, log_w = (_chunks(x, num_chunks, size) for x in (r, k, v, log_w))  # (B, H, chunks, size, d)
    after = log_w.cumsum(3)  # decay from the chunk's start until after the frame
    before = torch.cat([torch.zeros_like(after[..., :1, :]), after[..., :-1, :]], dim=3)
    middle, end = after[..., size // 2, None, :].detach(), after[..., -1:, :]
    scores = ((r * (before - middle).exp()) @ (k * (middle - after).exp()).transpose(-1, -2)).tril(-1)
    y = scores @ v + (r * u[:, None, None] * k).sum(-1, keepdim=True) * v
    if num_chunks > 1:
        y = y + (r * before.exp()) @ _states(k * (end - after).exp(), v, end.exp())
    return y.flatten(2, 3)[:, :, :length]


def _states(k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """The state (B, H, chunks, d, d) that each chunk begins with; `k` already decayed to its chunk's end."""
    sums, decay = k.transpose(-1, -2) @ v, decay.transpose(-1, -2)
    states = [torch.zeros_like(sums[:, :, 0])]
    for c in range(sums.shape[2] - 1):
        states.append(decay[:, :, c] * states[-1] + sums[:, :, c])
    return torch.stack(states, dim=2)


def _chunks(x: Tensor, num_chunks: int, size: int) -> Tensor:
    """(B, H, L, d) as (B, H, chunks, size, d), padded with zeros, which neither decay nor add to a state."""
    x = torch.nn.functional.pad(x, (0, 0, 0, num_chunks * size - x.shape[2]))
    return x.unflatten(2, (num_chunks, size))
