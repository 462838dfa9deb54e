"""Artefacts of a config: made where they are missing or stale, reused where they fit, read for training."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artefacts.artefact import Artefact, Making, closure, digest_of, made_from
from artefacts.places import place
from artefacts.store import PREPROCESS, digest, inspect_artefact, read_artefact, recorded_features, write_artefact
from dataset.features import VideoFeatures
from dataset.protocol import read_train_labels
from utils.errors import UserError
from utils.files.lock import lock_beside
from utils.files.writing import remove_parts

Log = Callable[[str], None]
Fit = Callable[[str, Mapping[str, object], Path], Any]
"""Trains a method by name under overrides, in a run folder: see `Making.fit`."""


def provide(artefacts: Iterable[Artefact], config, split: VideoFeatures, *, force: bool = False,
            device: torch.device | None = None, fit: Fit | None = None, command: str = PREPROCESS,
            log: Log = print, true_labels: Callable[[], np.ndarray | None] = lambda: None) -> list[str]:
    """The files written: the artefacts, and all that they need, are made from the training features `split`; those that
    still fit are reused.

    Downloaded files are used where they fit and overwritten only with `force`. `log` is told a line for each, and of
    some how they agree with `true_labels()` (N, classes), from which nothing is made.

    Raises:
        UserError: an artefact cannot be made from these features, or a file does not fit or cannot be written.
    """
    everything = closure(artefacts, config)
    check_split(everything, config, split)
    cache = _Cache(config, split, force, device or torch.device("cpu"), fit, command, log)
    for artefact in everything:
        cache.provide(artefact)
        judged = not artefact.reads_labels(config)
        if judged and (line := artefact.judged(cache.arrays[artefact.name], true_labels)):
            log(line)
    return cache.written


def load(artefacts: Iterable[Artefact], config, split: VideoFeatures, *, command: str = PREPROCESS,
         log: Log = print) -> dict[str, Any]:
    """What training is given of the artefacts, by name: what `Artefact.read` makes of each.

    Raises:
        UserError: one is missing, made from something else, unreadable or damaged; the message names `command`.
    """
    listed = list(artefacts)
    labels = digest(read_train_labels(config, len(split))) if uses_labels(listed, config) else None
    values = {}
    for one in listed:
        def origin(path: str, one: Artefact = one) -> dict[str, Any]:
            return made_from(one, config, _features_of(path, split), labels)

        path = place(one, config, origin, command)
        values[one.name] = one.read(read_artefact(path, one.arrays(config, split), command=command, log=log,
                                                  expected=origin(path)))
    return values


def check_split(artefacts: Iterable[Artefact], config, split: VideoFeatures) -> None:
    """Refuses training features from which one of the artefacts, or what it needs, cannot be made.

    Raises:
        UserError: the artefact's own complaint, with the file that it is about.
    """
    for artefact in closure(artefacts, config):
        complaint = artefact.complaint(config, len(split))
        if complaint:
            raise UserError(f"{split.paths[0]}: {complaint}")


def uses_labels(artefacts: Iterable[Artefact], config) -> bool:
    """Whether one of the artefacts, or of what they need, is made from the labels of the training split."""
    return any(artefact.reads_labels(config) for artefact in closure(artefacts, config))


def _features_of(path: str, split: VideoFeatures) -> str:
    """The fingerprint of `split` as the artefact at `path` records it, where it does, else as it is made now."""
    recorded = recorded_features(path)
    return recorded if recorded is not None and split.matches(recorded) else split.fingerprint()


class _Cache:
    """Reuses an artefact that still fits, or makes it anew, and says which in one line."""

    def __init__(self, config, split: VideoFeatures, force: bool, device: torch.device, fit: Fit | None, command: str,
                 log: Log):
        self.config, self.split, self.force, self.device = config, split, force, device
        self._fit, self.command, self.log = fit, command, log
        self.arrays: dict[str, Mapping[str, np.ndarray]] = {}
        self.written: list[str] = []

    @cached_property
    def labels(self) -> np.ndarray:
        return read_train_labels(self.config, len(self.split))

    def provide(self, artefact: Artefact) -> None:
        """Has the artefact's arrays at hand; what it needs must be already.

        Raises:
            UserError: a file that no preprocess wrote does not fit: it is not overwritten without `force`.
        """
        path = self._place(artefact)
        making = Making(self.config, self.split, self.device, self.log, lambda: self.labels, self._value,
                        partial(self._train, Path(f"{path}.run")))
        if not self._reuse(artefact, path, making):
            with lock_beside(path, wait=self.log):
                taken = self._place(artefact) != path  # by another config while we waited
                if not taken and not self._reuse(artefact, path, making):  # else made by another
                    self._make(artefact, path, making)
            if taken:
                self.provide(artefact)

    def _place(self, artefact: Artefact) -> str:
        return place(artefact, self.config, partial(self._origin, artefact), self.command, force=self.force)

    def _make(self, artefact: Artefact, path: str, making: Making) -> None:
        if not self.force and Path(path).exists() and (
                reason := inspect_artefact(path, self._origin(artefact, path), self.command).reason):
            self.log(f"{path}: made for other settings ({reason}); rebuilding.")
        remove_parts(path)
        made = artefact.make(making)
        write_artefact(path, made.arrays, self._origin(artefact, path), made.attributes)
        self.arrays[artefact.name] = {key: made.arrays[key] for key in artefact.arrays(self.config, self.split)}
        self.log(f"{path}: written.")
        self.written.append(path)

    def _reuse(self, artefact: Artefact, path: str, making: Making) -> bool:
        """Whether the artefact at `path` fits; its arrays are then at hand."""
        if self.force or not Path(path).exists():  # what the features are is not asked before their first pass
            return False
        origin = self._origin(artefact, path)
        state = inspect_artefact(path, origin, self.command)
        if state.kind not in ("fresh", "foreign"):
            return False
        arrays = read_artefact(path, artefact.arrays(self.config, self.split), expected=origin, command=self.command,
                               log=self.log)
        self.arrays[artefact.name] = arrays
        if state.kind == "fresh":
            self.log(f"{path}: up to date, reused.")
        if doubt := artefact.doubt(arrays, making):
            self.log(f"{path}: {doubt}")
        return True

    def _origin(self, artefact: Artefact, path: str) -> dict[str, Any]:
        """What the artefact at `path` must be made from, the very arrays of its needs included."""
        labels = digest(self.labels) if uses_labels([artefact], self.config) else None
        features = _features_of(path, self.split)
        return made_from(artefact, self.config, features, labels) | {
            need.name: digest_of(self.arrays[need.name]) for need in artefact.needed(self.config)}

    def _value(self, artefact: Artefact) -> Any:
        return artefact.read(self.arrays[artefact.name])

    def _train(self, folder: Path, method: str, overrides: Mapping[str, object]) -> Any:
        assert self._fit is not None, "an artefact that trains a network needs `fit`"
        return self._fit(method, overrides, folder)
