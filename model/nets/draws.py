"""Many random numbers from one that is drawn for each video, so that they do not depend on batches or processes.

Letters: B rows, n numbers.
"""

import torch
from torch import Tensor

_MASK = (1 << 32) - 1


def spread(draws: Tensor, num: int, stream: int) -> Tensor:
    """(B, num) float32 in [0, 1) from `draws` (B,) in [0, 1): the same for the same draw and `stream`.

    Each place is a hash of the draw's bits and its own number: two rounds of a 32-bit multiply and xor-shift.
    """
    place = torch.arange(num, device=draws.device) + (stream << 20)
    x = (draws.double() * (1 << 32)).long()[:, None] ^ _mixed(place * 0x9E3779B1 & _MASK)
    return _mixed(_mixed(x)).float() / (1 << 32) * (1 - 2 ** -24)


def dropped(x: Tensor, draws: Tensor, rate: float, stream: int = 0) -> Tensor:
    """`x` (B, n) with a share `rate` of each row's entries at 0 and the others times 1 / (1 - rate)."""
    return x * ((spread(draws, x.shape[1], stream) >= rate) / (1 - rate))


def _mixed(x: Tensor) -> Tensor:
    """A bijection of 32-bit numbers, held in int64, that scatters them."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & _MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)
