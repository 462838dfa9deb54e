"""What an artefact is: one thing that preprocess makes from the training split, and methods read.

Artefacts depend on `preprocess_seed` and never on `seed`, so that runs of several seeds share them. Those that the
first release made keep its file names and keys, so that files downloaded from there are found and read.
N training videos, C classes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from artefacts.store import Check, digest
from dataset.features import VideoFeatures
from utils.config.keys import Key


class Array(NamedTuple):
    """An array that an artefact's file holds: its shape, None where any size will do, and a check of its values."""

    shape: tuple[int | None, ...]
    check: Check


class Made(NamedTuple):
    """What the file of an artefact is to hold: its arrays by key, and what it says beside them, for people."""

    arrays: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Making:
    """What an artefact is made with.

    `split` are the training items, `labels()` their labels (N, C), read when first asked for, `value(artefact)` what
    another artefact holds, one of its `needs`. `fit(method, overrides)` trains a method by its name, or its file, on
    the same split, under the same config but for `overrides`, in a run folder of the artefact's own: a run that was
    cut short goes on. It gives the trained method in eval mode, on `device`.
    """

    config: Any
    split: VideoFeatures
    device: torch.device
    log: Callable[[str], None]
    labels: Callable[[], np.ndarray]
    value: Callable[["Artefact"], Any]
    fit: Callable[[str, Mapping[str, object]], Any]


class Artefact:
    """A file of arrays with what it was made from; a subclass says how. It knows no network.

    An object of the class is the artefact, for any config: `name` is what methods call it. It owns its keys, the path
    of its file among them.
    """

    name: ClassVar[str]
    path_key: ClassVar[str]
    """The key of a config that has the path of the file."""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    needs: ClassVar[tuple["Artefact", ...]] = ()
    """The artefacts it is made from under one config or another, beside the training features."""
    shaped_by: ClassVar[tuple[str, ...]] = ()
    """The keys of the config that shape it, beside those that shape its needs."""
    uses_labels: ClassVar[bool] = False
    """Whether it is made from the labels of the training split, under any config."""

    def needed(self, config) -> tuple["Artefact", ...]:
        """Those of `needs` that it is made from under `config`: all of them here."""
        return self.needs

    def reads_labels(self, config) -> bool:
        """Whether it is made from the labels of the training split; their digest then enters what it is made from."""
        return self.uses_labels

    def settings(self, config) -> dict[str, Any]:
        """What shapes it beside its needs and the features, by name: other values make it stale."""
        return {name: getattr(config, name) for name in self.shaped_by}

    def arrays(self, config, split: VideoFeatures) -> dict[str, Array]:
        """The arrays of the file that are read, by key."""
        raise NotImplementedError

    def make(self, making: Making) -> "Made":
        """All arrays of the file, made anew."""
        raise NotImplementedError

    def read(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """What methods and other artefacts are given, from the arrays that `arrays` names."""
        return next(iter(arrays.values())) if len(arrays) == 1 else dict(arrays)

    def complaint(self, config, num_videos: int) -> str | None:
        """Why it cannot be made under `config` from so many training videos, with the fix, or None."""
        return None

    def judged(self, arrays: Mapping[str, np.ndarray], labels: Callable[[], np.ndarray | None]) -> str | None:
        """A line on how what it holds agrees with the labels (N, C) of the training items, which made nothing of it;
        None where it has nothing to compare, or nobody knows them. `labels` reads them."""
        return None

    def doubt(self, arrays: Mapping[str, np.ndarray], making: Making) -> str | None:
        """What a user should know of a file that fits all checks and is used, or None."""
        return None

    def path(self, config) -> str:
        """Where its file is looked for first; see `artefacts.places`."""
        return getattr(config, self.path_key)


def with_keys(*artefacts: Artefact) -> tuple[Key, ...]:
    """The keys of the artefacts and of all that they need, each once: what a method that reads them adds to its own."""
    keys: dict[str, Key] = {}
    for artefact in closure(artefacts):
        keys |= {key.name: replace(key, owner=f"artefact {artefact.name}") for key in artefact.KEYS}
    return tuple(keys.values())


def closure(artefacts: Iterable[Artefact], config=None) -> list[Artefact]:
    """The artefacts with all that they need under `config`, or under any, each once and after what it needs."""
    found: dict[str, Artefact] = {}

    def visit(artefact: Artefact) -> None:
        for need in artefact.needs if config is None else artefact.needed(config):
            visit(need)
        found.setdefault(artefact.name, artefact)

    for artefact in artefacts:
        visit(artefact)
    return list(found.values())


def made_from(artefact: Artefact, config, features: str, labels: str | None = None) -> dict[str, Any]:
    """Every input and setting that shapes an artefact, by name.

    Args:
        features: the fingerprint of the training features. labels: the digest of their labels, where there are any.
    """
    origin = {"features": features} | ({"labels": labels} if artefact.reads_labels(config) else {})
    for need in artefact.needed(config):
        origin |= made_from(need, config, features, labels)
    return origin | artefact.settings(config)


def later_settings(config, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values of keys that came after the files they shape, by name; None, as what a file does not name counts, for
    a default. So files from before stay fresh, and one that was made with another value does not pass for them."""
    return {name: None if getattr(config, name) == default else getattr(config, name)
            for name, default in defaults.items()}


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A fingerprint of what an artefact holds, as those made from it record it."""
    return "+".join(map(digest, arrays.values()))
