"""A resolved configuration: its values, which cannot change, and how it is written."""

import copy
import hashlib
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import addict

from utils.config.schema import nearest_key, schema_of
from utils.files.writing import write_text


class Config(addict.Dict):
    """A resolved configuration: every key of the schema, by attribute or by item; it cannot be changed.

    A name that is not there raises (AttributeError or KeyError); addict's empty dicts never appear.
    Another value means another `load_config` with overrides, so that derived paths follow it.
    """

    def __init__(self, values: Mapping[str, object] | None = None):
        super().__init__(dict(values or {}))
        self.freeze()

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            nearest = nearest_key(name, self)
            hint = f"; did you mean '{nearest}'?" if nearest else ""
            raise AttributeError(f"the config has no '{name}'{hint}") from None

    def __setitem__(self, name: str, value: object) -> None:
        if self.__dict__["__frozen"]:
            self._refuse()
        super().__setitem__(name, value)

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("a config cannot be changed; pass overrides to load_config")

    __setattr__ = __delattr__ = __delitem__ = _refuse
    pop = popitem = clear = update = setdefault = __ior__ = _refuse

    def __reduce__(self):
        return type(self), (dict(self),)

    def __deepcopy__(self, memo: dict) -> "Config":
        return type(self)(copy.deepcopy(dict(self), memo))

    def as_text(self) -> str:
        """The resolved values as Python, one per line, under their owners."""
        lines: list[str] = []
        owner = None
        for name, key in schema_of(self).items():
            if key.owner != owner:
                lines += ["", f"# {key.owner}"] if lines else [f"# {key.owner}"]
                owner = key.owner
            lines.append(f"{name} = {self[name]!r}")
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """SHA-256 (hex) of all values, by which a result says what it was measured under."""
        return hashlib.sha256(self.as_text().encode()).hexdigest()

    def dump(self, path: str | os.PathLike) -> None:
        """Writes the resolved values to `path`, a config without bases that loads to an equal one.

        `file_path` and `log_path` are written without the ending that `run_name` adds on loading.
        """
        ending = run_ending(self.run_name)
        paths = {name: self[name].removesuffix(ending) for name in ("file_path", "log_path")}
        header = "# A resolved config. Loading it adds _<run_name> to file_path and log_path.\n\n"
        write_text(path, header + type(self)({**self, **paths}).as_text())


def run_ending(run_name: str) -> str:
    """What `run_name` adds to the folders of a run."""
    return f"_{run_name}" if run_name else ""
