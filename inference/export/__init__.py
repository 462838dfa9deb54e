"""Codes into a database server. The folder is the registry: a new engine is a new file like the ones here.

An engine's file has `Engine`. What it imports of its own it imports when it is used, so that nobody needs it otherwise.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from inference.code_file import CodeSet, check_unique_ids
from utils.errors import UserError
from utils.registry import EXPORTS


class Engine(Protocol):
    """A server that searches binary codes by Hamming distance; `Engine()` connects to nothing."""

    NEEDS: ClassVar[str]
    """What to pip install."""

    INDEXES: ClassVar[Mapping[str, Any]]
    """The names of the search structures it offers, the default first."""

    def store(self, codes: CodeSet, where: str, name: str, index: str, *, replace: bool) -> None:
        """Stores `codes` at the server `where` as the table or collection `name`, searched through `index`.

        Raises:
            UserError: `name` is there and not to be replaced, or the server refuses.
            ImportError: a package of NEEDS is not installed.
        """


def export(codes: CodeSet, to: str, where: str, name: str, *, index: str | None = None, replace: bool = False) -> None:
    """Stores `codes` by the engine `to`; see `Engine.store`. Without `index`, the engine's first.

    Raises:
        UserError: also where the engine, its index or a package it needs is missing, or an id occurs twice.
    """
    engine = EXPORTS.load(to)()
    index = index or next(iter(engine.INDEXES))
    if index not in engine.INDEXES:
        raise UserError(f"--index {index}: {to} has {', '.join(engine.INDEXES)}.")
    check_unique_ids(codes)
    try:
        engine.store(codes, where, name, index, replace=replace)
    except ImportError as error:
        raise UserError(f"export to {to} needs {error.name or 'a package'}, which is not installed: "
                        f"pip install {engine.NEEDS}") from error


def describe(codes: CodeSet) -> str:
    """What the server is told about the codes, in one line."""
    made_from = ", ".join(f"{name} {value}" for name, value in codes.made_from.items())
    return "; ".join(part for part in (f"{codes.num_bits} bits", made_from,
                                       codes.fingerprint and f"model {codes.fingerprint}") if part)
