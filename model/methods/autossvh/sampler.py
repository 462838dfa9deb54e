"""The paper's sampler: a small network grades the frames, and those that a view sees are drawn by the grades.

The released code has the network (`encoder.sample_net`) and never runs it: docs/field.md.

Letters: B videos, T frames, R views, V visible frames, D width.
"""

import torch
from torch import Tensor, nn

TINY = 1e-20


class Grades(nn.Module):
    """Tokens (B, T, D) -> a grade per frame (B, T)."""

    def __init__(self, dim: int):
        super().__init__()
        self.importance_score = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim)
        self.transf = nn.Sequential(nn.Linear(dim, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.transf(self.norm(tokens + self.importance_score(tokens)))[..., 0]


class Sampler(nn.Module):
    """Draws V frames without replacement by softmax(grades), by Gumbel noise and the largest (Kool et al., ICML 2019).

    A drawn frame's token is passed on as it is. Its gradient reaches the grades through its share of the softmax, and
    with the other sign: the grades climb the loss that all else descends.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.importance_score = Grades(dim)
        self.temperature = nn.Parameter(torch.ones(1, 1, 1, 1))

    def forward(self, tokens: Tensor, uniforms: Tensor, num_visible: int) -> tuple[Tensor, Tensor]:
        """The masks (B, R, T), True = hidden, and the factors (B, R, T), all 1, that pass the gradient on.

        Args:
            tokens: (B, T, D), their gradient is not touched. uniforms: (B, R, T) in [0, 1).
        """
        gumbel = -(-(uniforms + TINY).log()).clamp(min=TINY).log()
        noisy = self.importance_score(tokens.detach())[:, None] + gumbel
        visible = noisy.topk(num_visible, dim=2).indices
        masks = torch.ones_like(noisy, dtype=torch.bool).scatter(2, visible, False)
        soft = (noisy / self.temperature[0]).softmax(dim=2)
        return masks, 1 - (soft - soft.detach())
