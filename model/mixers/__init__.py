"""Mixers: what mixes information between frames. Each file here that defines `Mixer` is one, by its name."""

import importlib
import pkgutil
from collections.abc import Callable

from torch import nn

from utils.errors import UserError


def names() -> list[str]:
    """The names of the mixers in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def mixer_class(name: str) -> Callable[..., nn.Module]:
    """The class `Mixer` of `model/mixers/<name>.py`.

    Raises:
        UserError: there is no such file.
    """
    if name not in names():
        raise UserError(f"mixer '{name}' is unknown: model/mixers/ has {', '.join(names())}. "
                        "Set mixer to one of these.")
    return importlib.import_module(f"{__name__}.{name}").Mixer
