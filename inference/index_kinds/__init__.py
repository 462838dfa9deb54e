"""How an index finds codes near a query. The folder is the registry: a new kind is a new file with a class `Kind`.

N codes held, Q queries, K bits.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from utils.errors import UserError


@dataclass(frozen=True)
class Setting:
    """What a user may set of a kind: a whole number from `low` on, or one of `choices`. None: left to the kind."""

    help: str
    default: int | str | None = None
    low: int = 1
    choices: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        return " or ".join(self.choices) if self.choices else f"a whole number from {self.low} on"

    def read(self, text: str) -> int | str:
        """The value that `text` means. Raises ValueError if none."""
        if self.choices:
            return self.choices[self.choices.index(text)]
        if int(text) < self.low:
            raise ValueError
        return int(text)


class IndexKind(ABC):
    """A search structure over packed codes, made as `Kind(bits, num_bits, settings, state)`.

    bits uint8 (N, ceil(K/8)), N >= 1 unless `state` is given; `settings` has a value for each of SETTINGS.
    `state`: arrays of an earlier structure of the same settings, for other or more codes, that need not be learned
    again; None: they are learned from `bits`. An index file keeps them; the rest is made again from its codes.
    """

    SETTINGS: ClassVar[Mapping[str, Setting]] = {}
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


def names() -> list[str]:
    """The names of the kinds."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> type[IndexKind]:
    """The class of the kind `name`. Raises UserError if there is none."""
    if name not in names():
        raise UserError(f"no kind of index is called '{name}'; there are {', '.join(names())}.")
    return importlib.import_module(f"{__name__}.{name}").Kind


def read_settings(name: str, given: Sequence[str]) -> dict[str, int | str]:
    """The settings in `given`, "key=value" each, for the kind `name`.

    Raises:
        UserError: no such kind or setting, or a value it does not take.
    """
    known, settings = load(name).SETTINGS, {}
    for pair in given:
        key, _, text = pair.partition("=")
        if key not in known:
            raise UserError(f"--set {pair}: '{name}' has no such setting; there are "
                            f"{', '.join(known) or 'none'}, as in --set key=value.")
        try:
            settings[key] = known[key].read(text)
        except ValueError:
            raise UserError(f"--set {pair}: {key} is {known[key].expects}.") from None
    return settings


def stored_settings(name: str, found: Any) -> dict[str, int | str]:
    """The settings of the kind `name` that a file holds. Raises ValueError where they are none of its own."""
    known = load(name).SETTINGS
    if not isinstance(found, dict) or not known.keys() >= found.keys():
        raise ValueError(f"settings that are not of the kind '{name}'")
    return {key: known[key].read(str(value)) for key, value in found.items()}


def describe() -> str:
    """The kinds with their settings, for --help."""
    lines = []
    for name in names():
        kind = load(name)
        lines.append(f"  {name}: {(kind.__doc__ or '').splitlines()[0]}")
        for key, setting in kind.SETTINGS.items():
            lines.append(f"      {key}  ({setting.expects}) {setting.help}")
    return "\n".join(lines)
