"""A key of a config, or of a kind of index: its kind, default, range and meaning; and the checks on a value for it."""

import ast
import math
import numbers
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from utils.errors import UserError

REQUIRED = object()  # stands for a default that no key can have


@dataclass(frozen=True)
class Interval:
    """A range of numbers; an end that is not closed does not belong to it."""

    low: float
    high: float = math.inf
    low_closed: bool = True
    high_closed: bool = True

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_closed else value > self.low
        below = value <= self.high if self.high_closed else value < self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>=' if self.low_closed else '>'} {self.low:g}"
        ends = "[" if self.low_closed else "(", "]" if self.high_closed else ")"
        return f"in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"


POSITIVE = Interval(0, low_closed=False)
NON_NEGATIVE = Interval(0)
AT_LEAST_1 = Interval(1)
UNIT = Interval(0, 1)
BELOW_1 = Interval(0, 1, high_closed=False)
INSIDE_UNIT = Interval(0, 1, low_closed=False, high_closed=False)


@dataclass(frozen=True)
class Key:
    """One key.

    `kind` is int, float, bool, text, name (usable in a file name), choice, path, folder, paths or ints.
    A default of None makes the key optional; REQUIRED means that every config must set it. `shapes_codes`: two models
    of equal weights that differ in it give different codes. `free`: it changes nothing that a run computes, so that a
    resumed run may differ in it. `owner`: whose it is, as --help-keys and messages say it. `file`: of a path, the name
    of the file in artefact_root that None stands for, with other keys in braces (`hash_center_{nbits}.h5`). `earlier`:
    the value by which a run was made that does not name the key, if not the default.
    """

    name: str
    kind: str
    default: object
    help: str
    range: Interval | None = None
    choices: tuple[str, ...] = ()
    shapes_codes: bool = False
    free: bool = False
    owner: str = ""
    file: str = ""
    earlier: object = None

    @property
    def expects(self) -> str:
        """What a value must be, in words, as error messages say it."""
        words = {"int": "a whole number", "float": "a number", "bool": "True or False", "text": "a string",
                 "name": "a string of letters, digits and . _ + = -",
                 "choice": " or ".join(map(repr, self.choices)), "path": "a path", "folder": "a folder",
                 "paths": "a path or a list of paths", "ints": "a list of whole numbers"}[self.kind]
        words += f" {self.range}" if self.range else ""
        return words + (" or None" if self.default is None else "")


def choice(name: str, default: str, others: Iterable[str], help: str, *,
           shapes_codes: bool = False, free: bool = False, earlier: str | None = None) -> Key:
    """A key whose value is `default` or one of `others`."""
    return Key(name, "choice", default, help, choices=(default, *others), shapes_codes=shapes_codes, free=free,
               earlier=earlier)


def check_value(key: Key, value: object, origin: str) -> object:
    """`value` in the key's own type: numbers as int or float, paths as str, a single path as a list.

    Raises:
        UserError: a value of another type or out of range; the message names `origin`, the key and the value.
    """
    if value is None and key.default is None:
        return None
    try:
        return _CONVERT[key.kind](key, value)
    except Exception:  # a value may be of a class of its writer's own
        shown = safe_repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise UserError(f"{origin}: {key.name} = {shown}, expected {key.expects}.") from None


def parse_text(key: Key, text: str) -> object:
    """The value a command line means by `text`: a Python literal where the key takes one, else the text."""
    try:
        literal = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        literal = {"true": True, "false": False}.get(text.lower(), text) if key.kind == "bool" else text
    if literal is None and key.default is None:
        return None
    if key.kind in ("text", "name", "choice", "path", "folder") and not isinstance(literal, str):
        return text
    if key.kind == "paths" and not isinstance(literal, (str, list, tuple)):
        return text
    return literal


def safe_repr(value: object) -> str:
    """`repr` of a value from a config, whose own class may fail at it."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def _within(key: Key, number: float) -> float:
    if not math.isfinite(number) or (key.range is not None and number not in key.range):
        raise ValueError
    return number


def _int(key: Key, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError
    return int(_within(key, int(value)))


def _float(key: Key, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    return _within(key, float(value))


def _bool(key: Key, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(key: Key, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _name(key: Key, value: object) -> str:
    if not isinstance(value, str) or (not value and key.default != "") or value in (".", ".."):
        raise TypeError
    if not all(letter.isalnum() or letter in "._+=-" for letter in value):
        raise ValueError
    return value


def _choose(key: Key, value: object) -> str:
    if value not in key.choices:
        raise ValueError
    return str(value)


def _path(key: Key, value: object) -> str:
    path = os.fspath(value)  # type: ignore[call-overload]
    if not isinstance(path, str) or (not path and key.default != ""):
        raise TypeError
    return os.path.expanduser(path)


def _several(convert: Callable[[Key, object], object]) -> Callable[[Key, object], list]:
    def convert_all(key: Key, value: object) -> list:
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not values:
            raise ValueError
        return [convert(key, item) for item in values]
    return convert_all


_CONVERT: dict[str, Callable] = {
    "int": _int, "float": _float, "bool": _bool, "text": _text, "name": _name, "choice": _choose,
    "path": _path, "folder": _path, "paths": _several(_path), "ints": _several(_int)}
