"""Names to classes. A folder is the registry: a new method or mixer is a new file, and nothing else changes."""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

from model import methods, mixers
from model.contract import HashingMethod, SequenceMixer
from utils.errors import UserError

DEFAULT_METHOD, DEFAULT_MIXER = "s5vh", "mamba"


def names(folder: ModuleType) -> list[str]:
    """The names that the package `folder` (`model.methods` or `model.mixers`) offers."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__))


def method_class(config) -> type[HashingMethod]:
    """The method of a config: the class `Method` of `model/methods/<name>.py`.

    The name is `method`; where that is None, `model_name` if it names a method, else S5VH.

    Raises:
        UserError: there is no such method, or `model_name` names neither a method nor a mixer.
    """
    return _load(methods, config.method or _from_model_name(config, methods, DEFAULT_METHOD), "Method")


def mixer_class(config) -> type[SequenceMixer]:
    """The mixer of a config: the class `Mixer` of `model/mixers/<name>.py`.

    The name is `mixer`; where that is None, `model_name` if it names a mixer (LSTM, RetNet, ...), else Mamba.

    Raises:
        UserError: as for `method_class`.
    """
    return _load(mixers, config.mixer or _from_model_name(config, mixers, DEFAULT_MIXER), "Mixer")


def mixer_factory(config) -> Callable[..., SequenceMixer]:
    """Makes mixers of a config from (dim, layer, num_layers)."""
    mixer = mixer_class(config)
    return functools.partial(mixer, **mixer.settings(config))


def _from_model_name(config, folder: ModuleType, default: str) -> str:
    name = config.model_name.lower()
    if name in names(folder):
        return name
    known = names(methods) + names(mixers)
    if name not in known and not (config.method or config.mixer):
        raise UserError(f"model_name '{config.model_name}' is no method or mixer (there are {', '.join(known)}). "
                        "Set model_name to one of these, or set method or mixer beside a name of your own.")
    return default


def _load(folder: ModuleType, name: str, kind: str) -> Any:
    if name not in names(folder):
        raise UserError(f"{kind.lower()} '{name}' is unknown: {folder.__name__.replace('.', '/')}/ has "
                        f"{', '.join(names(folder))}. Set {kind.lower()} to one of these.")
    return getattr(importlib.import_module(f"{folder.__name__}.{name}"), kind)
