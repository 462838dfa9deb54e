"""Binary codes: N items, K bits. "h" is real (N, K), "code" is +-1 int8 (N, K), "bits" packed uint8."""

import numpy as np

from utils.errors import UserError


def binarize_up(h: np.ndarray) -> np.ndarray:
    """The code of `h`, int8 +-1 of the same shape: -1 where h < 0, else +1 (exactly 0 -> +1).

    The one place where the sign of a real code is taken. The S5VH release keeps sign(0) = 0; see `ternary`.

    Raises:
        UserError (a ValueError): `h` holds NaN.
    """
    h = _without_nan(h)
    return np.where(h < 0, np.int8(-1), np.int8(1))


def ternary(h: np.ndarray) -> np.ndarray:
    """The sign of `h`, int8 in {-1, 0, +1}, zeros kept: what the S5VH release ranks by.

    A mean of an even number of +-1 frame codes (ActivityNet: T = 30) is often exactly 0. Such codes cannot
    be packed; `inference.ranking` ranks them by doubled distances.

    Raises:
        UserError (a ValueError): `h` holds NaN.
    """
    return np.sign(_without_nan(h)).astype(np.int8)


def pack(code: np.ndarray) -> np.ndarray:
    """The bits of `code` (N, K), uint8 (N, ceil(K/8)): +1 -> 1, -1 -> 0.

    Bit 0 of a code is the most significant bit of its first byte; the last byte is filled up with zeros.

    Raises:
        ValueError: `code` is not 2-D, or holds values other than -1 and +1.
    """
    code = np.asarray(code)
    if code.ndim != 2:
        raise ValueError(f"a code has shape (N, K), not {code.shape}.")
    if not is_binary(code):
        raise ValueError("only codes of -1 and +1 can be packed; binarize_up() makes such codes.")
    return np.packbits(code > 0, axis=1)


def unpack(bits: np.ndarray, num_bits: int) -> np.ndarray:
    """The code, int8 +-1 (N, num_bits), that `pack` made `bits` (N, ceil(num_bits/8)) from.

    Raises:
        ValueError: `bits` has another width than codes of `num_bits` bits have.
    """
    bits = np.asarray(bits, dtype=np.uint8)
    if bits.ndim != 2 or bits.shape[1] != -(-num_bits // 8):
        raise ValueError(f"packed codes of {num_bits} bits have shape (N, {-(-num_bits // 8)}), "
                         f"not {bits.shape}.")
    return np.unpackbits(bits, axis=1, count=num_bits).astype(np.int8) * np.int8(2) - np.int8(1)


def is_binary(code: np.ndarray) -> bool:
    """Whether every value of `code` is -1 or +1."""
    return bool(((code == 1) | (code == -1)).all())


def _without_nan(h: np.ndarray) -> np.ndarray:
    h = np.asarray(h)
    bad = np.isnan(h)
    if bad.any():
        raise UserError(f"the real codes hold {int(bad.sum())} NaN of {h.size} values (first at "
                        f"{tuple(int(i) for i in np.argwhere(bad)[0])}): the model has diverged. "
                        "Train with a smaller lr or load an earlier checkpoint.")
    return h
