"""The masked autoencoder of ConMH (Wang et al., AAAI 2023): a vision transformer over frames, a code per frame, and a
narrower transformer that reconstructs. Parameters have the names of its release.

Letters: B rows, L steps, D width, K bits.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.autoencoder import Decoder, Encoder
from model.nets.blocks import NORM_EPS, Stack, init_linears
from model.nets.masked_hashing import MaskedHashing
from utils.config.keys import AT_LEAST_1, Key


class Attention(nn.Module):
    """Softmax attention of every step to all, (B, L, D) -> (B, L, D); keys have no bias.

    Heads are D // num_heads wide, rounded down, so that six heads of a width of 256 attend in 252.
    """

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads, width = num_heads, dim // num_heads * num_heads
        self.qkv = nn.Linear(dim, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        heads = F.linear(x, self.qkv.weight, bias).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*heads.unbind(0))
        return self.proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attn(norm1(x)), then x + mlp(norm2(x)), (B, L, D) -> (B, L, D)."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=NORM_EPS), Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = nn.Sequential(OrderedDict(fc1=nn.Linear(dim, mlp_ratio * dim), act=nn.GELU(),
                                             fc2=nn.Linear(mlp_ratio * dim, dim)))

    def forward(self, x: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """The block's output; no row skips it, whatever the `uniforms`."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Blocks(Stack):
    """`depth` blocks in a row."""

    def __init__(self, dim: int, depth: int, num_heads: int, mlp_ratio: int):
        nn.ModuleList.__init__(self, (Block(dim, num_heads, mlp_ratio) for _ in range(depth)))


class VisionTransformerHashing(MaskedHashing):
    """Encoder, hash layer and decoder, and the views and losses of `MaskedHashing` over them."""

    KEYS = (
        *MaskedHashing.KEYS,
        Key("encoder_depth", "int", 12, "blocks of the encoder", AT_LEAST_1),
        Key("encoder_heads", "int", 6, "attention heads of an encoder block", AT_LEAST_1, shapes_codes=True),
        Key("decoder_depth", "int", 2, "blocks of the decoder", AT_LEAST_1),
        Key("decoder_heads", "int", 3, "attention heads of a decoder block", AT_LEAST_1),
        Key("mlp_ratio", "int", 4, "inner width of a block's MLP over its width", AT_LEAST_1),
    )

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config)
        D, narrow, F_, T = config.hidden_size, config.decoder_size, config.feature_size, config.max_frames
        self.encoder = Encoder(F_, D, T, 0, nn.Identity, "", 0.0)
        self.encoder.blocks = Blocks(D, config.encoder_depth, config.encoder_heads, config.mlp_ratio)
        self.binary, self.ln = nn.Linear(D, config.nbits), nn.LayerNorm(config.nbits)
        self.encoder_to_decoder = nn.Linear(config.nbits, narrow, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, narrow))
        self.decoder = Decoder(F_, narrow, T, 0, nn.Identity, "")
        self.decoder.blocks = Blocks(narrow, config.decoder_depth, config.decoder_heads, config.mlp_ratio)
        for network in (self.encoder, self.decoder):
            init_linears(network, include_mixers=True)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    @classmethod
    def check(cls, config) -> str | None:
        for width, heads in (("hidden_size", "encoder_heads"), ("decoder_size", "decoder_heads")):
            if getattr(config, heads) > getattr(config, width):
                return f"{heads} = {getattr(config, heads)} is more than {width} = {getattr(config, width)}. Lower it."
        return super().check(config)

    def activations(self, items: Tensor, frames: Tensor | None = None) -> Tensor:
        tokens = self.encoder.embed(items) if frames is None else self.encoder.embed_frames(items, frames)
        return self.ln(self.binary(self.encoder(tokens)))

    def reconstruct(self, codes: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        return self.decoder(self.encoder_to_decoder(codes), self.mask_token, visible, hidden)
