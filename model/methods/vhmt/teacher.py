"""The teacher of VHMT: temporal attention modules between halvings of the sequence (eq. 5, 6 and 9).

Training alone needs it. It knows nothing of a student or of losses.

Letters: B videos, T frames, H frames that are left after the halvings, F feature size, D width, K bits.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from model.contract import SequenceMixer
from model.methods.vhmt.tam import DROPOUT, TAMStack
from model.methods.vhmt.wavelet import Halve
from model.nets.autoencoder import binarize_down
from model.nets.blocks import NORM_EPS, init_linears, sinusoid_table


class TeacherViews(NamedTuple):
    """What the teacher makes of whole videos."""

    latents: Tensor  # (B, H, D)
    frame_codes: Tensor  # (B, H, K), +-1
    reconstructions: Tensor  # (B, T, F), all frames
    attention: Tensor  # (B, H, D), the output of the encoder's last multi-head attention


class Teacher(nn.Module):
    """Encoder, hash layer and decoder of the teacher: features (B, T, F) -> `TeacherViews`.

    Args:
        feature_size, width, max_frames, nbits: F, D, T, K. Every video has T frames.
        encoder_depths: modules before, between and after the halvings, {E_1, ..., E_n}; H = T halved n - 1 times,
            rounded up. decoder_depth, decoder_width: D_T and the width of its modules.
        halving: `haar`, `db4`, `sym8`, `max` or `average` (`model.methods.vhmt.wavelet.Halve`).
        mixer, enhancement, num_heads, dropout: as for `TemporalAttentionModule` of `tam.py`, in encoder and decoder.

    Where the paper is silent: frames are embedded, given the positions and mapped to latents (LayerNorm, Linear) as
    in the student's encoder, so that the two can be compared. A relaxed code is never put out: the codes are
    sign(tanh(LN(FC(E)))) whose gradient is that of the tanh.

    Raises:
        UserError: a name is unknown, or the heads do not divide a width.
    """

    def __init__(self, feature_size: int, width: int, max_frames: int, nbits: int,
                 encoder_depths: Sequence[int] = (8, 4, 2), decoder_depth: int = 1, decoder_width: int = 192,
                 halving: str = "haar", mixer: str | Callable[..., SequenceMixer] = "attention",
                 enhancement: str = "tre", num_heads: int | None = None, dropout: float = DROPOUT):
        super().__init__()
        variant = {"mixer": mixer, "enhancement": enhancement, "num_heads": num_heads, "dropout": dropout}
        self.encoder = TeacherEncoder(feature_size, width, max_frames, encoder_depths, halving, variant)
        self.binary = nn.Linear(width, nbits)
        self.ln = nn.LayerNorm(nbits)
        self.decoder = TeacherDecoder(feature_size, decoder_width, max_frames, nbits, decoder_depth,
                                      2 ** (len(encoder_depths) - 1), variant)
        init_linears(self.encoder, include_mixers=False)
        init_linears(self.decoder, include_mixers=False)

    def forward(self, features: Tensor) -> TeacherViews:
        latents, attention = self.encoder(features)
        frame_codes = binarize_down(self.ln(self.binary(latents)).float().tanh())
        return TeacherViews(latents, frame_codes, self.decoder(frame_codes), attention)


class TeacherEncoder(nn.Module):
    """Features (B, T, F) -> latents and the last attention output, (B, H, D) each (eq. 5).

    `variant`: what all temporal attention modules are given by name.
    """

    positions: Tensor

    def __init__(self, feature_size: int, width: int, max_frames: int, depths: Sequence[int], halving: str,
                 variant: dict):
        super().__init__()
        self.patch_embed = nn.Linear(feature_size, width)
        self.levels = nn.ModuleList()
        self.halvings = nn.ModuleList()  # one before each level but the first
        num_frames = max_frames
        for level, depth in enumerate(depths):
            if level:
                self.halvings.append(Halve(halving, num_frames))
                num_frames = (num_frames + 1) // 2
            self.levels.append(TAMStack(depth, width, num_frames=num_frames, **variant))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, width)
        self.register_buffer("positions", sinusoid_table(max_frames, width), persistent=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        assert features.shape[1] == len(self.positions)
        x = self.patch_embed(features) + self.positions
        for level, modules in enumerate(self.levels):
            x, attention = modules(self.halvings[level - 1](x) if level else x)
        return self.head(self.norm(x)), attention


class TeacherDecoder(nn.Module):
    """Frame codes (B, H, K) -> reconstructions (B, T, F) of all frames (eq. 6).

    The paper does not say how the halved frames come back. Here a code, projected to the width as in the student,
    stands for each of the `repeats` frames that it was made of, and positions tell them apart. That is the inverse
    Haar transform with a high band of zeros, up to its scale; it is done so for every kind of halving, for them to
    differ in the encoder alone.
    """

    positions: Tensor

    def __init__(self, feature_size: int, width: int, max_frames: int, nbits: int, depth: int, repeats: int,
                 variant: dict):
        super().__init__()
        self.repeats = repeats
        self.embed = nn.Linear(nbits, width, bias=False)
        self.blocks = TAMStack(depth, width, num_frames=max_frames, **variant)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.head = nn.Linear(width, feature_size)
        self.register_buffer("positions", sinusoid_table(max_frames, width), persistent=False)

    def forward(self, frame_codes: Tensor) -> Tensor:
        x = self.embed(frame_codes).repeat_interleave(self.repeats, dim=1)
        x, _ = self.blocks(x[:, : len(self.positions)] + self.positions)
        return self.head(self.norm(x))
