"""HTML and SVG as text, well-formed as XML too."""

from collections.abc import Iterable
from html import escape

_VOID = {"img", "input", "meta"}


class Markup(str):
    """Text that is markup already and goes into other markup as it is."""


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """`<name ...>children</name>`; children and attribute values that are not `Markup` are escaped.

    None, as a child or a value, is left out. In attribute names `_` becomes `-`, and one at the end goes
    (`class_`). Floats are written to two decimals: they are coordinates.
    """
    words = [name, *(f'{key.rstrip("_").replace("_", "-")}="{_text(value)}"'
                     for key, value in attributes.items() if value is not None)]
    if name in _VOID:
        return Markup(f"<{' '.join(words)} />")
    return Markup(f"<{' '.join(words)}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Markup:
    """`children` one after another, escaped unless `Markup`; None is left out."""
    return Markup("".join(_text(child) for child in children if child is not None))


def _text(value: object) -> str:
    if isinstance(value, Markup):
        return value
    return _decimal(value) if isinstance(value, float) else escape(str(value))


def _decimal(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
