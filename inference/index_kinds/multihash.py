"""Multi-index hashing: tables of substrings of the codes (Norouzi, Punjani & Fleet, CVPR 2012), by faiss."""

import math
from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np

from inference.index_kinds import FaissKind
from utils.config.keys import AT_LEAST_1, NON_NEGATIVE, Key
from utils.errors import UserError

MAX_SUBSTRING = 32  # bits: a longer one would not find more, and its table takes no less


class Kind(FaissKind):
    """approximate: looks up substrings of the code in hash tables; quick to build

    A code is found if one of its `nhash` substrings differs from the query's in at most `nflip` bits, so every code at
    a distance below nhash * (nflip + 1) is. Substrings of log2 N bits fill a table evenly (their paper, section 3.3).
    """

    KEYS = (
        Key("nhash", "int", None, "substrings (default: about K / log2 N)", AT_LEAST_1),
        Key("nflip", "int", 1, "bits of a substring that may differ (default: 1)", NON_NEGATIVE),
    )

    def __init__(self, bits: np.ndarray, num_bits: int, settings: Mapping[str, Any],
                 state: Mapping[str, np.ndarray] | None = None) -> None:
        nhash = settings["nhash"] or (int(state["nhash"]) if state else _num_substrings(num_bits, len(bits)))
        nflip, width = settings["nflip"], 8 * bits.shape[1]
        length = min(MAX_SUBSTRING, width // nhash)
        if length <= nflip:
            raise UserError(f"nhash={nhash}, nflip={nflip}: substrings of {num_bits} / {nhash} bits are no longer than "
                            "the bits that may differ. Set a smaller nhash or nflip.")
        self.state = {"nhash": np.array(nhash)}
        self._index = faiss.IndexBinaryMultiHash(width, nhash, length)
        self._index.nflip = nflip
        self._index.add(bits)


def _num_substrings(num_bits: int, num_codes: int) -> int:
    return max(1, round(num_bits / max(4.0, math.log2(num_codes))))
