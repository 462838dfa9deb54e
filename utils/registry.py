"""Names to classes. A folder is a registry: a new method, mixer, table, export or kind of index is a new file in it.

What a config or a command names may also lie outside the project: its name is then the path of its file.

Packages are imported here when they are asked for, by name. So configs, which know their keys from the classes that
they name, need no import of methods, mixers or tables, and no code compares a name to choose what to do.
"""

import difflib
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.errors import UserError

NEAR = 0.75  # likeness from which another name is taken for a misspelt one


@dataclass(frozen=True)
class Registry:
    """The files of the package `package` that define `attribute`; messages call one of them `noun`.

    `named_by`: the setting or flag that names one, for messages.
    """

    package: str
    attribute: str
    noun: str
    named_by: str

    def names(self) -> list[str]:
        """What the folder offers: the names of its modules, with "-" for "_"; those with a leading "_" are private."""
        folder = importlib.import_module(self.package)
        modules = [name for path in folder.__path__ for name in _modules_in(path, os.stat(path).st_mtime_ns)]
        return sorted(name.replace("_", "-") for name in modules
                      if not name.startswith("_") and name not in getattr(folder, "NOT_LISTED", ()))

    @property
    def default(self) -> str:
        """The name that stands where none is given: the package's `DEFAULT`."""
        return importlib.import_module(self.package).DEFAULT

    def load(self, name: str) -> Any:
        """The class, or object, called `name`: one of `names()`, or the path of a Python file, which ends in .py.

        Raises:
            UserError: there is none, or the file cannot be imported or lacks it.
        """
        if name.endswith(".py"):
            return self._of_file(os.path.expanduser(name))
        if _canonical(name) not in self.names():
            raise UserError(f"{self.noun} '{name}' is unknown: {self.package.replace('.', '/')}/ has "
                            f"{', '.join(self.names())}. Set {self.named_by} to one of these, or to a file's path.")
        return getattr(importlib.import_module(f"{self.package}.{name.replace('-', '_')}"), self.attribute)

    def _of_file(self, path: str) -> Any:
        if not os.path.isfile(path):
            raise UserError(f"{path}: no such file; {self.named_by} names it as a {self.noun}. Correct the path.")
        try:
            found = getattr(_module_of(os.path.realpath(path)), self.attribute, None)
        except UserError:
            raise
        except Exception as error:  # the file may raise anything
            raise UserError(f"{path}: this {self.noun} cannot be imported ({type(error).__name__}: {error}). Mend the "
                            "file.") from error
        if found is None:
            raise UserError(f"{path}: this {self.noun} does not define {self.attribute}. Name its class so.")
        return found


METHODS = Registry("model.methods", "Method", "method", "method")
MIXERS = Registry("model.mixers", "Mixer", "mixer", "mixer")
TABLES = Registry("tables", "TABLE", "table", "--table")
EXPORTS = Registry("inference.export", "Engine", "export", "--to")
INDEX_KINDS = Registry("inference.index_kinds", "Kind", "kind of index", "--kind")


def chosen_names(get: Callable[[str], Any]) -> tuple[str, str]:
    """The names of the method and of the mixer of a config, whose values `get(key)` gives.

    `method` and `mixer` say so. Where one is None, `model_name` does if it names one (`LSTM` the mixer lstm), else the
    folder's default.

    Raises:
        UserError: `model_name` is no name of a method or mixer and would have to be, or is nearly one.
    """
    method, mixer, shown = get("method"), get("mixer"), get("model_name") or ""
    by_name = shown.lower()
    methods, mixers = METHODS.names(), MIXERS.names()
    if shown and by_name not in methods + mixers and not (method and mixer):
        open_names = ([] if method else methods) + ([] if mixer else mixers)
        near = difflib.get_close_matches(by_name, open_names, n=1, cutoff=NEAR)
        if near or not (method or mixer):
            hint = f"did you mean '{near[0]}'? " if near else f"there are {', '.join(methods + mixers)}. "
            raise UserError(f"model_name '{shown}' is no method or mixer; {hint}Set model_name to one of these, or set "
                            "method and mixer beside a name of your own.")
    return (_canonical(method) if method else (by_name if by_name in methods else METHODS.default),
            _canonical(mixer) if mixer else (by_name if by_name in mixers else MIXERS.default))


def method_class(config) -> Any:
    """The class `Method` that a config names, a `model.contract.HashingMethod`. Raises UserError if there is none."""
    return METHODS.load(chosen_names(lambda name: getattr(config, name, None))[0])


def mixer_class(config) -> Any:
    """The class `Mixer` that a config names, a `model.contract.SequenceMixer`. Raises UserError if there is none."""
    return MIXERS.load(chosen_names(lambda name: getattr(config, name, None))[1])


def _canonical(name: str) -> str:
    """A name as `Registry.names` gives it: words parted by "-". The path of a file is left alone."""
    return name if name.endswith(".py") else name.replace("_", "-")


@cache
def _modules_in(path: str, changed_at: int) -> list[str]:
    """The names of the modules in the folder `path`, listed once until it changes: a config asks dozens of times."""
    return [module.name for module in pkgutil.iter_modules([path])]


def plain_name(name: str) -> str:
    """The name of a method or mixer without where its file lies, so that it means the same on another machine."""
    return Path(name).stem if name.endswith(".py") else name


@cache
def _module_of(path: str) -> ModuleType:
    name = f"own_{Path(path).stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    sys.path.insert(0, os.path.dirname(path))  # so that it may import the files beside it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(os.path.dirname(path))
    return module
