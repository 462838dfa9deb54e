"""The temporal attention module of VHMT's teacher (eq. 11-16, figure 2) and its variants (table 4).

Letters: B rows, T frames, D width.
"""

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from model.contract import SequenceMixer
from model.methods.vhmt.kan import TemporalKAN
from model.mixers import mamba, transformer
from model.nets.blocks import NORM_EPS
from utils.errors import UserError

MLP_RATIO = 4  # as in ViT; the paper gives no width
DROPOUT = 0.1  # as in the original Transformer and in BTH; the paper gives no rate


class TemporalAttentionModule(nn.Module):
    """y = MHA(LN(x)) + LN(x), then z = TRE(LN(y)) + LN(y) (eq. 11): (B, T, D) -> z and MHA's output, (B, T, D) each.

    What is carried past a half is the normalised input, as the paper writes it, where a ViT carries the input.

    Args:
        width: D. num_heads: those of the attention; None: 64 wide, or as `model.mixers.transformer` says.
        num_frames: T, to which the temporal KAN is tied.
        mixer: `attention`, `mamba`, or what makes a mixer from (dim, layer, num_layers)
            (`model.nets.blocks.mixer_factory`). A causal one runs in both directions, which share its weights.
        enhancement: `tre`, its halves alone, `mlp` (eq. 13) or `kan` (eq. 14-15, on LN(y)), or `none`: z = y.
        dropout: the rate of both Drops of eq. 13.

    Raises:
        UserError: there is no such mixer or enhancement, or the heads do not divide the width.
    """

    def __init__(self, width: int, num_heads: int | None, num_frames: int,
                 mixer: str | Callable[..., SequenceMixer] = "attention", enhancement: str = "tre",
                 dropout: float = DROPOUT):
        super().__init__()
        if enhancement not in ENHANCEMENTS:
            raise UserError(f"enhancement '{enhancement}' is unknown. Choose one of: {', '.join(ENHANCEMENTS)}.")
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mixer = _make_mixer(mixer, num_heads)(width, 0, 1)
        make_enhancement = ENHANCEMENTS[enhancement]
        self.enhancement = make_enhancement(width, num_frames, dropout) if make_enhancement else None
        if self.enhancement:
            self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm1(x)
        attended = self.mixer.both_directions(x, x) if self.mixer.causal else self.mixer(x)
        y = attended + x
        if self.enhancement is None:
            return y, attended
        y = self.norm2(y)
        return self.enhancement(y) + y, attended


class TAMStack(nn.ModuleList):
    """`depth` modules in a row: (B, T, D) -> the last one's z and MHA output, (B, T, D) each.

    Args:
        depth: 1 or more. width, settings: as for `TemporalAttentionModule`.
    """

    def __init__(self, depth: int, width: int, **settings):
        super().__init__(TemporalAttentionModule(width, **settings) for _ in range(depth))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for module in self:
            x, attended = module(x)
        return x, attended


class MLP(nn.Module):
    """Drop(Linear(Drop(GELU(Linear(LN(x)))))), eq. 13; D -> 4D -> D, (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, num_frames: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.fc1, self.fc2 = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(self.norm(x))))))


class NormalisedKAN(nn.Module):
    """Reshape(TKAN(Reshape(LN(x)))), eq. 14-15; (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, num_frames: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.kan = TemporalKAN(num_frames)

    def forward(self, x: Tensor) -> Tensor:
        return self.kan(self.norm(x))


class TemporalReconstructionEnhancement(nn.Module):
    """The MLP's output, gated by the temporal KAN of it: x_MLP * x_TKAN, eq. 16; (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, num_frames: int, dropout: float):
        super().__init__()
        self.mlp = MLP(width, num_frames, dropout)
        self.gate = NormalisedKAN(width, num_frames, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mlp(x)
        return self.gate(x) * x


ENHANCEMENTS: dict[str, Callable[..., nn.Module] | None] = {
    "tre": TemporalReconstructionEnhancement, "mlp": MLP, "kan": NormalisedKAN, "none": None}


def _make_mixer(mixer: str | Callable[..., SequenceMixer], num_heads: int | None) -> Callable[..., SequenceMixer]:
    if not isinstance(mixer, str):
        return mixer
    makers: dict[str, Callable[..., SequenceMixer]] = {
        "attention": functools.partial(transformer.Mixer, num_heads=num_heads), "mamba": mamba.Mixer}
    if mixer not in makers:
        raise UserError(f"mixer '{mixer}' is unknown. Choose one of: {', '.join(makers)}.")
    return makers[mixer]
