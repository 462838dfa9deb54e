"""One level of the discrete wavelet transform along time, and halvings of a sequence by it (VHMT eq. 4).

Letters: B rows, T frames, H = ceil(T / 2) frames of a band, D width.
"""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from utils.errors import UserError

# Orthonormal scaling filters with 1, 4 and 8 vanishing moments, from the spectral factors of Daubechies' polynomial
# sum_k C(N-1+k, k) y^k, found at 60 digits: db4 takes the roots of extremal phase, sym8 those whose filter has the
# phase nearest to a line. (PyWavelets' rounded sym8 is 9e-13 off.)
SCALING_FILTERS = {
    "haar": (0.5**0.5, 0.5**0.5),
    "db4": (0.2303778133088965, 0.7148465705529157, 0.6308807679298589, -0.027983769416859854, -0.18703481171909309,
            0.030841381835560764, 0.0328830116668852, -0.010597401785069032),
    "sym8": (0.001889950332767689, -0.0003029205147241331, -0.014952258337062199, 0.0038087520138944896,
             0.04913717967373029, -0.027219029917103486, -0.0519458381078818, 0.36444189483617895, 0.777185751699628,
             0.4813596512590534, -0.061273359067811076, -0.14329423835127267, 0.007607487324976609,
             0.03169508781152599, -0.0005421323318000107, -0.0033824159510050028),
}


def dwt(x: Tensor, wavelet: str = "haar") -> tuple[Tensor, Tensor]:
    """The low and the high band, (B, H, D) each, of x (B, T, D) along time.

    An odd T is extended by the last frame; the frames then follow each other in a circle, so that an orthonormal
    transform remains for every T, also below the filter's length: PyWavelets' mode `periodization`.

    The bands keep the energy of x, not its level: of a constant sequence the low band is sqrt(2) times the constant.
    """
    bands = torch.as_tensor(_analysis(wavelet, x.shape[1]), dtype=x.dtype, device=x.device) @ x
    low, high = bands.chunk(2, dim=1)
    return low, high


def idwt(low: Tensor, high: Tensor, num_frames: int, wavelet: str = "haar") -> Tensor:
    """The sequence (B, T, D) of `num_frames` = T frames whose bands are `low` and `high`, (B, H, D) each.

    Its bands are those given for even T; for odd T if they are bands of a sequence.
    """
    synthesis = torch.as_tensor(_synthesis(wavelet, low.shape[1]), dtype=low.dtype, device=low.device)
    return (synthesis @ torch.cat([low, high], dim=1))[:, :num_frames]


class Halve(nn.Module):
    """x (B, T, D) -> (B, ceil(T / 2), D): the low band of a wavelet, or pairs of frames pooled.

    Args:
        kind: `haar`, `db4`, `sym8` (`dwt`), `max` or `average`. The pools extend an odd T by the last frame as well.
        num_frames: T.

    Raises:
        UserError: there is no such kind.
    """

    bands: Tensor | None

    def __init__(self, kind: str, num_frames: int):
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"halving '{kind}' is unknown. Choose one of: {', '.join(KINDS)}.")
        self.kind = kind
        # Kept on the module's device: made anew it would be copied to a GPU, which waits for it, in every step.
        matrix = _analysis(kind, num_frames) if kind in SCALING_FILTERS else None
        self.register_buffer("bands", None if matrix is None else torch.tensor(matrix, dtype=torch.float32),
                             persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return POOLS[self.kind](_pairs(x)) if self.bands is None else (self.bands @ x).chunk(2, dim=1)[0]

    def extra_repr(self) -> str:
        return self.kind


@functools.lru_cache
def _synthesis(wavelet: str, half: int) -> np.ndarray:
    """The orthogonal matrix (2 half, 2 half) from both bands, low first, to the frames."""
    low = np.array(SCALING_FILTERS[wavelet])
    high = (-1) ** np.arange(len(low)) * low[::-1]
    matrix = np.zeros((2 * half, 2 * half))
    for step in range(half):
        frames = np.arange(len(low)) + 2 * step + 1 - len(low) // 2
        np.add.at(matrix[:, step], frames % (2 * half), low)
        np.add.at(matrix[:, half + step], frames % (2 * half), high)
    return matrix


@functools.lru_cache
def _analysis(wavelet: str, num_frames: int) -> np.ndarray:
    """The matrix (2 H, T) from the frames to both bands, low first."""
    matrix = _synthesis(wavelet, (num_frames + 1) // 2).T
    if num_frames % 2 == 0:
        return matrix
    matrix = matrix.copy()
    matrix[:, -2] += matrix[:, -1]  # the frame that an odd length is extended by
    return matrix[:, :-1]


def _pairs(x: Tensor) -> Tensor:
    """(B, T, D) -> (B, H, 2, D), an odd T extended by the last frame."""
    return (torch.cat([x, x[:, -1:]], dim=1) if x.shape[1] % 2 else x).unflatten(1, (-1, 2))


POOLS: dict[str, Callable[[Tensor], Tensor]] = {"max": lambda pairs: pairs.amax(dim=2),
                                                "average": lambda pairs: pairs.mean(dim=2)}
KINDS = (*SCALING_FILTERS, *POOLS)
