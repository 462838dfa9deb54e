"""Exact search by looking at every code."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from inference import nearest_codes
from inference.index_kinds import IndexKind
from inference.ranking import top_k
from utils.config.keys import choice


def _faiss_top_k(query_bits: np.ndarray, database_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`top_k` by faiss, which keeps the first of equal codes as well."""
    import faiss  # here, since the other engine does without

    distances, positions = faiss.knn_hamming(query_bits, database_bits, k)
    return positions, distances


def _auto_top_k(query_bits: np.ndarray, database_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`top_k` where it is compiled, else by faiss, which is faster than numpy."""
    compiled = nearest_codes.unavailable() is None
    return (top_k if compiled else _faiss_top_k)(query_bits, database_bits, k)


ENGINES = {"auto": _auto_top_k, "own": top_k, "faiss": _faiss_top_k}


class Kind(IndexKind):
    """exact: compares a query with every code"""

    KEYS = (choice("engine", "auto", [name for name in ENGINES if name != "auto"], "what compares (default: auto)"),)
    exact = True

    def __init__(self, bits: np.ndarray, num_bits: int, settings: Mapping[str, Any],
                 state: Mapping[str, np.ndarray] | None = None) -> None:
        self.state = {}
        self._bits = bits
        self._top_k = ENGINES[settings["engine"]]

    def extend(self, bits: np.ndarray, num_new: int) -> None:
        self._bits = bits

    def replace(self, bits: np.ndarray) -> None:
        self._bits = bits

    def search(self, query_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._top_k(query_bits, self._bits, k)
