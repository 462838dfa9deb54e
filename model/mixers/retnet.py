"""Multi-scale retention (Sun et al. 2023, arXiv 2307.08621) as a mixer, with torchscale's parameter names.

B rows, H heads, L steps, D width, d and e the widths of a head's keys and values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import SequenceMixer
from utils.errors import UserError

NUM_HEADS = 4
VALUE_FACTOR = 2
CHUNK = 128  # longer sequences run chunk by chunk: memory stays linear in L
XPOS_SCALE_BASE = 512


class Mixer(SequenceMixer):
    """A causal mixer (B, L, D) -> (B, L, D): out_proj(SiLU(g_proj(x)) * GroupNorm(retention)).

    Four heads with values twice as wide as keys. Head h forgets at the rate gamma_h = 1 - 2^-s, s evenly spaced
    from 5 to 9 (the S5VH release's four rates; the paper's would be 5, 6, 7 and 8). No 1 / sqrt(d): GroupNorm
    would undo it. Projections start Xavier-uniform with the gain 2^-2.5, the output's with 2^-1, as torchscale's.

    Raises:
        UserError: D is no multiple of 8; heads are rotated in pairs of channels.
    """

    name = "retnet"
    log_gamma: Tensor

    def __init__(self, dim: int, layer: int = 0, num_layers: int = 1):
        super().__init__()
        if dim % (2 * NUM_HEADS):
            raise UserError(f"retnet cannot split a width of {dim} into {NUM_HEADS} heads of even size. "
                            f"Set hidden_size and decoder_size to multiples of {2 * NUM_HEADS}.")
        inner = VALUE_FACTOR * dim
        self.q_proj, self.k_proj = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.v_proj, self.g_proj = nn.Linear(dim, inner, bias=False), nn.Linear(dim, inner, bias=False)
        self.group_norm = nn.GroupNorm(NUM_HEADS, inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        exponents = torch.linspace(5, 9, NUM_HEADS, dtype=torch.float64)
        self.register_buffer("log_gamma", torch.log1p(-(2**-exponents)).float(), persistent=False)
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.g_proj):
            nn.init.xavier_uniform_(projection.weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.out_proj.weight, gain=2**-1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (_split_heads(projection(x)) for projection in (self.q_proj, self.k_proj, self.v_proj))
        q, k = xpos(q, 1), xpos(k, -1)
        form = retention_parallel if x.shape[1] <= CHUNK else retention_chunkwise
        y = form(q, k, v, self.log_gamma).transpose(1, 2).flatten(2)
        y = self.group_norm(y.flatten(0, 1)).view_as(y)
        return self.out_proj(F.silu(self.g_proj(x)) * y)


def xpos(x: Tensor, sign: int) -> Tensor:
    """Queries (sign 1) or keys (sign -1) (B, H, L, d) rotated and scaled by their position (Sun et al. 2022).

    Channel pair i of frame n turns by n theta_i and is scaled by zeta_i^(sign n / 512), with theta_i =
    10000^(-2i / d) and zeta_i = (2i / d + .4) / 1.4, so that products depend on the distance of frames alone.
    """
    length, width = x.shape[-2:]
    steps = torch.arange(length, dtype=torch.float64, device=x.device)[:, None]
    fraction = torch.arange(0, width, 2, dtype=torch.float64, device=x.device) / width
    angle = steps * 10000**-fraction
    scale = ((fraction + 0.4) / 1.4) ** (sign * steps / XPOS_SCALE_BASE)
    cos, sin = (scale * angle.cos()).to(x.dtype), (scale * angle.sin()).to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2)


def retention_parallel(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor) -> Tensor:
    """sum over m <= n of gamma^(n-m) (q_n . k_m) v_m, all n at once (eq. 5).

    Args:
        q, k: (B, H, L, d). v: (B, H, L, e). log_gamma: (H,).
    """
    steps = torch.arange(q.shape[2], device=q.device)
    distance = steps[:, None] - steps
    decay = torch.exp(log_gamma[:, None, None] * distance.clamp(min=0)) * (distance >= 0)
    return (q @ k.transpose(-1, -2) * decay.to(q.dtype)) @ v


def retention_recurrent(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor) -> Tensor:
    """The same frame by frame, with a state of (d, e) per head (eq. 6): S <- gamma S + k_n^T v_n, y_n = q_n S."""
    gamma = log_gamma.exp().to(q.dtype)[:, None, None]
    state, outputs = torch.zeros((), dtype=q.dtype, device=q.device), []
    for n in range(q.shape[2]):
        state = gamma * state + k[:, :, n, :, None] * v[:, :, n, None, :]
        outputs.append(q[:, :, n, None, :] @ state)
    return torch.cat(outputs, dim=2)


def retention_chunkwise(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, chunk: int = CHUNK) -> Tensor:
    """The same, parallel within chunks of frames and recurrent from one to the next (eq. 7)."""
    state = torch.zeros((), dtype=q.dtype, device=q.device)
    outputs: list[Tensor] = []
    for q_c, k_c, v_c in zip(q.split(chunk, 2), k.split(chunk, 2), v.split(chunk, 2), strict=True):
        size = q_c.shape[2]
        steps = torch.arange(size, device=q.device)[:, None]
        since_start = torch.exp(log_gamma[:, None, None] * (steps + 1)).to(q.dtype)
        until_end = torch.exp(log_gamma[:, None, None] * (size - 1 - steps)).to(q.dtype)
        inside = retention_parallel(q_c, k_c, v_c, log_gamma)
        outputs.append(inside + since_start * (q_c @ state) if outputs else inside)
        state = since_start[:, -1:] * state + k_c.transpose(-1, -2) @ (until_end * v_c)
    return torch.cat(outputs, dim=2)


def _split_heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (NUM_HEADS, -1)).transpose(1, 2)
