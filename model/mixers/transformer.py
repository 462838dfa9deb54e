"""Multi-head self-attention (Vaswani et al. 2017) as a mixer, natively bidirectional, with ViT's names.

B rows, L steps, D width, H heads. Positions are the encoder's fixed sinusoids, added before the first block.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import SequenceMixer
from utils.errors import UserError

HEAD_SIZE = 64
MLP_RATIO = 4


class MLP(nn.Module):
    """The position-wise half of a Transformer block: D -> 4D, GELU, 4D -> D."""

    def __init__(self, dim: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, MLP_RATIO * dim), nn.Linear(MLP_RATIO * dim, dim)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Mixer(SequenceMixer):
    """Softmax attention of every frame to all frames, (B, L, D) -> (B, L, D).

    Heads are 64 wide, or the largest power of two below that divides D, unless their number is given. Weights start
    Xavier-uniform, biases at 0, as ConMH's and ViT's do.

    Raises:
        UserError: `num_heads` does not divide D.
    """

    name = "transformer"
    causal = False
    feed_forward = MLP

    def __init__(self, dim: int, layer: int = 0, num_layers: int = 1, *, num_heads: int | None = None):
        super().__init__()
        self.num_heads = num_heads or dim // math.gcd(dim, HEAD_SIZE)
        if dim % self.num_heads:
            raise UserError(f"{num_heads} attention heads do not divide the width {dim}. Choose a divisor of it.")
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, L, D / H)
        y = F.scaled_dot_product_attention(*heads.unbind(0))
        return self.proj(y.transpose(1, 2).flatten(2))


def _initialise(module: nn.Module) -> None:
    for linear in module.children():
        if isinstance(linear, nn.Linear):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
