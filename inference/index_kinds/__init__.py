"""How an index finds codes near a query. The folder is the registry: a new kind is a new file with a class `Kind`.

N codes held, Q queries, K bits.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from utils.config.keys import Key, check_value, parse_text
from utils.errors import UserError
from utils.registry import INDEX_KINDS


class IndexKind(ABC):
    """A search structure over packed codes, made as `Kind(bits, num_bits, settings, state)`.

    It knows positions and no ids, and may find too few; `inference.index.Index` does the rest.

    bits uint8 (N, ceil(K/8)), N >= 1 unless `state` is given; `settings` has a value for each of KEYS.
    `state`: arrays of an earlier structure of the same settings, for other or more codes, that need not be learned
    again; None: they are learned from `bits`. An index file keeps them; the rest is made again from its codes.
    """

    KEYS: ClassVar[tuple[Key, ...]] = ()
    exact: ClassVar[bool] = False
    """Every answer is the true one, ties by position."""

    state: Mapping[str, np.ndarray]

    @abstractmethod
    def __init__(self, bits: np.ndarray, num_bits: int, settings: Mapping[str, Any],
                 state: Mapping[str, np.ndarray] | None = None) -> None: ...

    @abstractmethod
    def extend(self, bits: np.ndarray, num_new: int) -> None:
        """Holds `bits` from now on: the codes held so far with `num_new` behind them."""

    @abstractmethod
    def replace(self, bits: np.ndarray) -> None:
        """Holds `bits` instead of the codes held so far, in a structure of the same state."""

    @abstractmethod
    def search(self, query_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions (Q, k) int64, -1 where fewer than k were found, and their distances (Q, k); 1 <= k <= N."""


class FaissKind(IndexKind):
    """A kind whose structure is a binary index of faiss, `_index`."""

    _index: Any

    def extend(self, bits: np.ndarray, num_new: int) -> None:
        self._index.add(bits[len(bits) - num_new:])

    def replace(self, bits: np.ndarray) -> None:
        self._index.reset()
        self._index.add(bits)

    def search(self, query_bits: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances, positions = self._index.search(query_bits, k)
        return positions, distances


def read_settings(name: str, given: Sequence[str]) -> dict[str, Any]:
    """The settings in `given`, "key=value" each, for the kind `name`.

    Raises:
        UserError: no such kind or setting, or a value it does not take.
    """
    known, settings = keys_of(name), {}
    for pair in given:
        key, _, text = pair.partition("=")
        if key not in known:
            raise UserError(f"--set {pair}: '{name}' has no such setting; there are "
                            f"{', '.join(known) or 'none'}, as in --set key=value.")
        settings[key] = check_value(known[key], parse_text(known[key], text), f"--set {pair}")
    return settings


def stored_settings(name: str, found: Any) -> dict[str, Any]:
    """The settings of the kind `name` that a file holds. Raises ValueError where they are none of its own."""
    known = keys_of(name)
    try:
        return {key: check_value(known[key], value, name) for key, value in found.items()}
    except (AttributeError, KeyError, UserError):
        raise ValueError(f"settings that are not of the kind '{name}'") from None


def keys_of(name: str) -> dict[str, Key]:
    """The settings of the kind `name`, by name."""
    return {key.name: key for key in INDEX_KINDS.load(name).KEYS}


def describe() -> str:
    """The kinds with their settings, for --help."""
    lines = []
    for name in INDEX_KINDS.names():
        lines.append(f"  {name}: {(INDEX_KINDS.load(name).__doc__ or '').splitlines()[0]}")
        lines += [f"      {key.name}  ({key.expects}) {key.help}" for key in keys_of(name).values()]
    return "\n".join(lines)
