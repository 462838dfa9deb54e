"""The networks of WSCH: one wide block of a state-space layer and attention, a hash layer, and a decoder of attention.

None has positions. Parameters have the names of the release.

Letters: B rows, L steps, W width, E inner width (2 W), H heads of the state-space layer, N states, K bits, F features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD, STATES, TAPS = 128, 64, 4  # width of a head of the state-space layer, its states, taps of the convolution
NUM_HEADS = 4  # of attention
SMALLEST_DECAY, LARGEST_DECAY = 1.0, 16.0  # of a head at the start, drawn uniformly


class StateSpace(nn.Module):
    """Mamba-2's layer (Dao & Gu, ICML 2024, "SSD") with one B_t and one C_t for all heads, (B, L, E) -> (B, L, E).

        h_t = exp(dt_t A) h_(t-1) + dt_t u_t B_t^T,  y_t = h_t C_t + D u_t        dt, A, D: a number per head

    Computed in its dual form, as masked attention over all pairs of steps: L is small here.
    """

    def __init__(self, inner: int):
        super().__init__()
        num_heads = inner // HEAD
        self.x_proj = nn.Linear(inner, num_heads + 2 * STATES, bias=False)
        self.dt_bias = nn.Parameter(torch.zeros(num_heads))
        self.A_log = nn.Parameter(torch.empty(num_heads).uniform_(SMALLEST_DECAY, LARGEST_DECAY).log())
        self.D = nn.Parameter(torch.ones(num_heads))

    def forward(self, u: Tensor) -> Tensor:
        dt, B, C = self.x_proj(u).split((len(self.D), STATES, STATES), dim=-1)
        with torch.autocast(u.device.type, enabled=False):
            u, B, C = u.float(), B.float(), C.float()
            dt = F.softplus(dt.float() + self.dt_bias)
            steps = torch.arange(u.shape[1], device=u.device)
            later = (steps[:, None] > steps)[..., None]
            # Sums from step j to step i, each made by itself: differences of one running sum would round.
            decays = (-(dt * self.A_log.exp())[:, :, None] * later).cumsum(1)
            weights = decays.exp() * (later | (steps[:, None] == steps)[..., None]) * dt[:, None]
            weights = weights * (C @ B.mT)[..., None]
            heads = u.unflatten(-1, (len(self.D), HEAD))
            return (torch.einsum("bijh,bjhp->bihp", weights, heads) + self.D[:, None] * heads).flatten(2)


class Attention(nn.Module):
    """Softmax attention of every step to all, (B, L, W) -> (B, L, W)."""

    def __init__(self, width: int):
        super().__init__()
        self.linear_q, self.linear_k, self.linear_v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.linear_output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (linear(x).unflatten(-1, (NUM_HEADS, -1)).transpose(1, 2)
                   for linear in (self.linear_q, self.linear_k, self.linear_v))
        return self.linear_output(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """Features of the frames that are seen, in time order, (B, L, F) -> representations (B, L, W)."""

    def __init__(self, feature_size: int, width: int):
        super().__init__()
        self.Norm, self.in_proj = nn.LayerNorm(feature_size), nn.Linear(feature_size, width, bias=False)
        self.Norm1, self.expand_proj = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, 4 * width, bias=False)
        self.conv = nn.Conv1d(2 * width, 2 * width, TAPS, groups=width, bias=False)
        self.ssm, self.out_proj = StateSpace(2 * width), nn.Linear(2 * width, width)
        self.norm1, self.att1 = nn.LayerNorm(width), Attention(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_proj(self.Norm(x))
        u, z = self.expand_proj(self.Norm1(x)).chunk(2, dim=-1)
        u = self.conv(F.pad(u.transpose(1, 2), (TAPS - 1, 0))).transpose(1, 2)
        x = x + self.out_proj(self.ssm(u) * F.silu(z))
        return x + self.att1(self.norm1(x))


class HashLayer(nn.Module):
    """Representations (B, L, W) -> what the signs of are the codes, (B, L, K)."""

    def __init__(self, width: int, nbits: int):
        super().__init__()
        self.linear, self.ln = nn.Linear(width, nbits), nn.LayerNorm(nbits)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.linear(x))


class Decoder(nn.Module):
    """Codes of the visible frames (B, V, K) -> features (B, num_hidden, F): without positions, the same for all."""

    def __init__(self, feature_size: int, width: int, nbits: int):
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, nbits))
        self.encoder_to_decoder = nn.Linear(nbits, width, bias=False)
        self.norm, self.att = nn.LayerNorm(width), Attention(width)
        self.out_proj = nn.Linear(width, feature_size)

    def forward(self, codes: Tensor, num_hidden: int) -> Tensor:
        tokens = self.mask_token.to(codes.dtype).expand(len(codes), num_hidden, -1)
        x = self.encoder_to_decoder(torch.cat([codes, tokens], dim=1))
        x = x + self.att(self.norm(x))
        return self.out_proj(x[:, codes.shape[1]:])
