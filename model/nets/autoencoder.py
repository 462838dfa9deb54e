"""The encoder, the binarization and the decoder of an autoencoder over frames (Wang et al., AAAI 2025).

Letters: B rows, T frames, V visible frames of a view, F feature size, D width, K bits.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.nets.blocks import NORM_EPS, Stack, per_step, sinusoid_table

TIE_SCALE = 1e-6  # keeps a tied bit's stand-in far below the smallest untied mean, 1 / T


class Encoder(nn.Module):
    """Frame features -> frame representations (rows, frames, D)."""

    positions: Tensor

    def __init__(self, feature_size: int, dim: int, max_frames: int, depth: int, make_mixer: Callable,
                 directions: str, drop_path_rate: float):
        super().__init__()
        self.patch_embed = nn.Linear(feature_size, dim)
        self.blocks = Stack(dim, depth, make_mixer, directions, drop_path_rate)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = nn.Linear(dim, dim)
        self.register_buffer("positions", sinusoid_table(max_frames, dim), persistent=False)

    def embed(self, x: Tensor) -> Tensor:
        """Features (B, T, F) -> tokens (B, T, D) that carry their position in time; T may be beyond max_frames."""
        num_frames, tokens = x.shape[1], per_step(self.patch_embed, x)
        if num_frames > len(self.positions):
            return tokens + sinusoid_table(num_frames, tokens.shape[2]).to(self.positions)
        return tokens + self.positions[:num_frames]

    def embed_frames(self, x: Tensor, frames: Tensor) -> Tensor:
        """The tokens (R B, V, D) of the frames (R B, V) of x (B, T, F), R views one after the other.

        No frame is embedded twice, and few that no view sees: where the views together see fewer than T frames,
        those are picked first, else all frames are embedded and their tokens picked.
        """
        num_views = len(frames) // len(x)
        if num_views * frames.shape[1] < x.shape[1]:
            return self.patch_embed(take_frames(x, frames)) + self.positions[frames]
        return take_frames(self.embed(x), frames)

    def forward(self, tokens: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """Tokens (B, V, D) in time order -> representations (B, V, D)."""
        return per_step(lambda x: self.head(self.norm(x)), self.blocks(tokens, uniforms))


def binarize_down(h: Tensor) -> Tensor:
    """+-1 codes 2 round(clamp((h + 1) / 2, 0, 1)) - 1, rounding half to even, so that h = 0 gives -1.

    The gradient is that of clamp(h, -1, 1): straight through the rounding.
    """
    soft = 2 * ((h + 1) / 2).clamp(0, 1) - 1
    code = 2 * torch.round(((h + 1) / 2).clamp(0, 1)).detach() - 1
    return code + (soft - soft.detach())


def video_codes(h: Tensor, tied_bits: str) -> Tensor:
    """Real video codes (B, K) from the pre-activations h (B, T, K) of the frames; the sign of an entry is its bit.

    The mean of the frame codes. An even number of frames can tie; with `tied_bits` 'sign' a tied bit takes the sign
    of the mean pre-activation instead, with 'zero' (the release of Wang et al.) it stays 0.
    """
    code = binarize_down(h).mean(dim=1)
    if tied_bits == "zero":
        return code
    return torch.where(code == 0, TIE_SCALE * h.mean(dim=1).clamp(-1, 1), code)


class Decoder(nn.Module):
    """Visible frame codes -> features of the hidden frames, or codes of all frames -> features of all."""

    positions: Tensor

    def __init__(self, feature_size: int, dim: int, max_frames: int, depth: int, make_mixer: Callable,
                 directions: str):
        super().__init__()
        self.blocks = Stack(dim, depth, make_mixer, directions, drop_path_rate=0.0)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = nn.Linear(dim, feature_size)
        self.register_buffer("positions", sinusoid_table(max_frames, dim), persistent=False)

    def forward(self, tokens: Tensor, mask_token: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Reconstructions (B, T - V, F) of the hidden frames, in time order.

        Args:
            tokens: (B, V, D) projected codes of the visible frames. mask_token: (1, 1, D).
            visible, hidden: (B, V) and (B, T - V) frame numbers, ascending.
        """
        seen = tokens + self.positions[visible]
        unseen = mask_token + self.positions[hidden]
        x = self.blocks(torch.cat([seen, unseen], dim=1))
        return self.head(self.norm(x[:, visible.shape[1]:]))

    def reconstruct_all(self, tokens: Tensor) -> Tensor:
        """Reconstructions (B, T, F) of all frames from their projected codes (B, T, D)."""
        return self.head(self.norm(self.blocks(tokens + self.positions[: tokens.shape[1]])))


def split_frames(masks: Tensor, num_hidden: int) -> tuple[Tensor, Tensor]:
    """Numbers of the visible (B, V) and of the hidden (B, T - V) frames, ascending, from masks (B, T).

    Every row hides `num_hidden` frames; it is given, since a GPU would have to be waited for to count them.
    """
    num_visible = masks.shape[1] - num_hidden
    order = masks.to(torch.uint8).argsort(dim=1, stable=True)
    return order[:, :num_visible], order[:, num_visible:]


def take_frames(x: Tensor, frames: Tensor) -> Tensor:
    """Frames (R B, V) of x (B, T, D), R views one after the other -> (R B, V, D)."""
    rows = torch.arange(len(x), device=x.device).repeat(len(frames) // len(x))
    return x[rows[:, None], frames]
