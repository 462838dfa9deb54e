"""float16 to float32 without holding the interpreter's lock, so that threads that read features do not wait."""

import numpy as np

from utils.jit import compiled

_EXPONENTS = np.arange(32)
# By sign and exponent: what to add to the ten bits of the fraction, and the factor that makes the sum the value.
_LEADING = np.tile(np.where(_EXPONENTS == 0, 0, 1024), 2).astype(np.int32)
_FACTOR = np.where(_EXPONENTS == 31, np.inf, 2.0 ** (np.maximum(_EXPONENTS, 1) - 25.0))
_FACTOR = np.concatenate([_FACTOR, -_FACTOR]).astype(np.float32)


def widen_half(raw: np.ndarray, out: np.ndarray) -> None:
    """out = `raw`, float16, as float32 of the same length; NaN becomes Inf."""
    _widen(raw.view(np.uint16), out, _LEADING, _FACTOR)


@compiled
def _widen(raw, out, leading, factor):
    for i in range(len(raw)):
        head = raw[i] >> 10
        out[i] = np.float32(np.int32(raw[i] & 1023) + leading[head]) * factor[head]
