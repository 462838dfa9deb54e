"""The bidirectional residual block and the stack of them.

Letters: B rows, L steps, D width.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.contract import SequenceMixer
from utils.errors import UserError
from utils.registry import mixer_class

NORM_EPS = 1e-6
PIECE = 2048  # steps, of all rows together, that a layer sees at once of sequences that are longer: they stay in caches


class BidirectionalBlock(nn.Module):
    """x + drop_path(mix(norm1(x)) + flip(mix'(norm2(flip(x))))), flips along time.

    Where the mixer has a position-wise half (`SequenceMixer.feed_forward`), x + drop_path(feed_forward(norm3(x)))
    follows. A mixer that sees both directions by itself runs once: x + drop_path(mix(norm1(x))).

    Args:
        dim: the width D.
        make_mixer: called without arguments for each mixer the block needs.
        directions: `tied` (mix' is mix, with a norm of its own; what the published numbers used),
            `separate` (two mixers) or `forward` (no backward pass).
        drop_rate: the probability that a row of the batch skips the block in training, both halves alike.

    The mixers are called `<name>1` and `<name>2` in the state dict (`mamba1`, `mamba2`), as in the release.

    Raises:
        UserError: directions other than `tied` for a mixer that sees both.
    """

    def __init__(self, dim: int, make_mixer: Callable[[], SequenceMixer], directions: str, drop_rate: float):
        super().__init__()
        mixer = make_mixer()
        if not mixer.causal and directions != "tied":
            raise UserError(f"directions = '{directions}' has no meaning for {mixer.name}, which sees both at once. "
                            "Set directions = 'tied', or choose another model.")
        self.directions, self.drop_rate = directions if mixer.causal else "forward", drop_rate
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self._mixer_name = mixer.name
        self.add_module(f"{mixer.name}1", mixer)
        if self.directions != "forward":
            self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        if self.directions == "separate":
            self.add_module(f"{mixer.name}2", make_mixer())
        self.feed_forward = mixer.feed_forward(dim) if mixer.feed_forward else None
        if self.feed_forward:
            self.norm3 = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, x: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """The block's output (B, L, D).

        Args:
            uniforms: (B,) draws from [0, 1) that decide which rows skip the block; None: no row does.
        """
        if uniforms is None or self.drop_rate == 0.0:
            return self._halves(x, 1.0)
        kept, scale = uniforms >= self.drop_rate, 1.0 / (1.0 - self.drop_rate)
        if x.is_cuda or not kept.any():  # to learn which rows are kept, one would have to wait for the GPU
            return torch.where(kept[:, None, None], self._halves(x, scale), x)
        rows = kept.nonzero()[:, 0]
        return x.index_copy(0, rows, self._halves(x[rows], scale).to(x.dtype))

    def _halves(self, x: Tensor, scale: float) -> Tensor:
        """The block's output for rows (B, L, D), its branches counted `scale` times."""
        x = torch.add(x, self._mix(x), alpha=scale)
        second = self.feed_forward
        return torch.add(x, per_step(lambda part: second(self.norm3(part)), x), alpha=scale) if second else x

    def _mix(self, x: Tensor) -> Tensor:
        ahead = getattr(self, f"{self._mixer_name}1")
        if ahead.carries_state and is_long(x):
            return self._mix_pieces(x)
        if self.directions == "forward":
            return ahead(self.norm1(x))
        if self.directions == "tied":
            return ahead.both_directions(self.norm1(x), self.norm2(x))
        back = getattr(self, f"{self._mixer_name}2")
        return ahead(self.norm1(x)) + back(self.norm2(x).flip(1)).flip(1)

    def _mix_pieces(self, x: Tensor) -> Tensor:
        """The same piece by piece, the mixers' states carried on: their inner tensors, wider than x, stay small."""
        ahead = getattr(self, f"{self._mixer_name}1")
        y, state = torch.empty_like(x), None
        for piece in pieces(x):
            y[:, piece], state = ahead.piece(self.norm1(x[:, piece]), state)
        if self.directions == "forward":
            return y
        back, state = getattr(self, f"{self._mixer_name}2", ahead), None
        for piece in reversed(pieces(x)):
            part, state = back.piece(self.norm2(x[:, piece]).flip(1), state)
            y[:, piece] += part.flip(1)
        return y


class Stack(nn.ModuleList):
    """Blocks in a row; stochastic depth grows linearly from 0 to `drop_path_rate` (Huang et al. 2016)."""

    def __init__(self, dim: int, depth: int, make_mixer: Callable[..., SequenceMixer], directions: str,
                 drop_path_rate: float):
        rates = torch.linspace(0, drop_path_rate, depth).tolist()
        super().__init__(
            BidirectionalBlock(dim, functools.partial(make_mixer, dim, layer, depth), directions, rate)
            for layer, rate in enumerate(rates)
        )

    def forward(self, x: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """(B, L, D) -> (B, L, D); `uniforms` (B, depth) as in `BidirectionalBlock`."""
        for layer, block in enumerate(self):
            x = block(x, None if uniforms is None else uniforms[:, layer])
        return x


def mixer_factory(config) -> Callable[..., SequenceMixer]:
    """Makes mixers of a config, with their settings, from (dim, layer, num_layers)."""
    return with_settings(mixer_class(config), config)


def with_settings(mixer: type[SequenceMixer], config) -> Callable[..., SequenceMixer]:
    """`mixer` with the settings that a config has for it, to be made from (dim, layer, num_layers)."""
    return functools.partial(mixer, **{key.name: getattr(config, key.name, key.default) for key in mixer.KEYS})


def is_long(x: Tensor) -> bool:
    """Whether x (B, L, .) should go through a layer in `pieces`: long, on a CPU, and no gradient is wanted."""
    return x.shape[1] > PIECE and x.device.type == "cpu" and not torch.is_grad_enabled()


def pieces(x: Tensor) -> list[slice]:
    """The steps of x (B, L, .) in pieces of about `PIECE` steps of all rows together."""
    size = max(1, PIECE // len(x))
    return [slice(start, start + size) for start in range(0, x.shape[1], size)]


def per_step(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`function(x)` (B, L, .) for one that sees each step of x by itself: a long x goes through in pieces."""
    if not is_long(x):
        return function(x)
    first, *others = pieces(x)
    part = function(x[:, first])
    y = part.new_empty(*x.shape[:2], part.shape[2])
    y[:, first] = part
    for piece in others:
        y[:, piece] = function(x[:, piece])
    return y


def sinusoid_table(length: int, dim: int) -> Tensor:
    """Fixed positions (length, dim): even columns sin, odd columns cos, base 10000 (Vaswani et al. 2017)."""
    pair = torch.arange((dim + 1) // 2, dtype=torch.float64)
    table = torch.empty(length, dim)
    for rows, steps in zip(table.split(PIECE), torch.arange(length, dtype=torch.float64).split(PIECE), strict=True):
        angle = steps[:, None] / 10000 ** (2 * pair / dim)
        rows[:, 0::2], rows[:, 1::2] = angle.sin(), angle.cos()[:, :dim // 2]
    return table


def init_linears(module: nn.Module, *, include_mixers: bool) -> None:
    """Xavier-uniform weights and zero biases for every Linear, those inside blocks and mixers only where asked."""
    for child in module.children():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif include_mixers or not isinstance(child, BidirectionalBlock | SequenceMixer):
            init_linears(child, include_mixers=include_mixers)
