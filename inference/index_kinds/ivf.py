"""Inverted lists: each code in the list of its nearest centroid, by faiss."""

import math
from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np

from inference.index_kinds import FaissKind
from utils.config.keys import AT_LEAST_1, Key
from utils.errors import UserError

# faiss' clustering wants 39 to 256 codes per centroid.
LEAST_PER_LIST, MOST_PER_LIST = 39, 256


class Kind(FaissKind):
    """approximate: looks through the lists of the nearest centroids only; the fastest, slow to build"""

    KEYS = (
        Key("nlist", "int", None, "lists (default: about the root of N)", AT_LEAST_1),
        Key("nprobe", "int", None, "lists looked through per query (default: one in 64, at least 8)", AT_LEAST_1),
    )

    def __init__(self, bits: np.ndarray, num_bits: int, settings: Mapping[str, Any],
                 state: Mapping[str, np.ndarray] | None = None) -> None:
        centroids = state["centroids"] if state else _train(bits, settings["nlist"])
        if centroids.dtype != np.uint8 or centroids.shape != (max(1, len(centroids)), bits.shape[1]):
            raise ValueError(f"centroids are {centroids.dtype} {centroids.shape}, not uint8 (lists, {bits.shape[1]})")
        self.state = {"centroids": centroids}
        nlist, width = len(centroids), 8 * bits.shape[1]
        self._quantizer = faiss.IndexBinaryFlat(width)
        self._quantizer.add(centroids)
        self._index = faiss.IndexBinaryIVF(self._quantizer, width, nlist)
        self._index.is_trained = True
        self._index.nprobe = min(nlist, settings["nprobe"] or max(8, nlist // 64))
        self._index.add(bits)


def _train(bits: np.ndarray, nlist: int | None) -> np.ndarray:
    """Centroids (nlist, bytes) of `bits`, from at most 256 codes per list, evenly spaced; faiss' own fixed seed."""
    nlist = nlist or max(1, min(math.isqrt(len(bits)), len(bits) // LEAST_PER_LIST))
    if nlist > len(bits):
        raise UserError(f"nlist={nlist}: {len(bits)} codes cannot fill as many lists. Set a smaller nlist.")
    num_rows = min(len(bits), nlist * MOST_PER_LIST)
    picked = np.linspace(0, len(bits) - 1, num_rows).round().astype(np.int64)
    quantizer: Any = faiss.IndexBinaryFlat(8 * bits.shape[1])
    index = faiss.IndexBinaryIVF(quantizer, 8 * bits.shape[1], nlist)
    index.cp.min_points_per_centroid = 1  # a user's nlist is no reason to warn
    index.train(bits[picked])
    return faiss.vector_to_array(quantizer.xb).reshape(nlist, bits.shape[1])
