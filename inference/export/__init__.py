"""Codes into a database server. The folder is the registry: a new engine is a new file like the ones here.

An engine's file has `Engine`. What it imports of its own it imports when it is used, so that nobody needs it otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import numpy as np

from inference.code_set import CodeSet, check_comparable, check_unique_ids
from utils.errors import UserError
from utils.registry import EXPORTS


class Engine(Protocol):
    """A server that searches binary codes by Hamming distance; `Engine()` connects to nothing."""

    NEEDS: ClassVar[str]
    """What to pip install."""

    INDEXES: ClassVar[Mapping[str, Any]]
    """The names of the search structures it offers, the default first."""

    def store(self, codes: CodeSet, where: str, name: str, index: str, *, replace: bool, partitions: int) -> None:
        """Stores `codes` at the server `where` as the table or collection `name`, searched through `index`, in so many
        `partitions`, 1 for none.

        Raises:
            UserError: `name` is there and not to be replaced, the server refuses, or knows no partitions.
            ImportError: a package of NEEDS is not installed.
        """

    def upsert(self, codes: CodeSet, where: str, name: str, check: Callable[[str], None]) -> None:
        """Puts `codes` into what is there, in place of those of the same ids, once `check` has seen its description.

        Raises: as `store`; nothing is changed where `check` raises.
        """

    def delete(self, ids: Sequence[str], where: str, name: str) -> None:
        """Takes the items `ids` out.

        Raises: as `store`; also a UserError where an id is not there, and nothing is removed.
        """


def export(codes: CodeSet, to: str, where: str, name: str, *, index: str | None = None, replace: bool = False,
           upsert: bool = False, any_model: bool = False, partitions: int = 1) -> None:
    """Stores `codes` by the engine `to`; see `Engine.store`. Without `index`, the engine's first.

    Args:
        upsert: put them into what is there; see `Engine.upsert`. any_model: even if another model made that.

    Raises:
        UserError: also where the engine, its index or a package it needs is missing, or an id occurs twice.
    """
    engine = EXPORTS.load(to)()
    if upsert and (index or partitions > 1):
        option, kept = (f"--index {index}", "index") if index else (f"--partitions {partitions}", "partitions")
        raise UserError(f"{option}: what is there keeps its {kept}. Leave {option.split()[0]} out, or --upsert.")
    index = index or next(iter(engine.INDEXES))
    if index not in engine.INDEXES:
        raise UserError(f"--index {index}: {to} has {', '.join(engine.INDEXES)}.")
    check_unique_ids(codes)
    with _needing_packages(to, engine):
        if upsert:
            engine.upsert(codes, where, name, lambda text: _check_described(codes, text, name, any_model))
        else:
            engine.store(codes, where, name, index, replace=replace, partitions=partitions)


def delete(ids: Sequence[str], to: str, where: str, name: str) -> None:
    """Takes the items `ids` out of what the engine `to` has stored; see `Engine.delete`.

    Raises:
        UserError: also where the engine or a package it needs is missing.
    """
    engine = EXPORTS.load(to)()
    with _needing_packages(to, engine):
        engine.delete(list(dict.fromkeys(ids)), where, name)


@contextmanager
def _needing_packages(to: str, engine: Engine) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UserError(f"export to {to} needs {error.name or 'a package'}, which is not installed: "
                        f"pip install {engine.NEEDS}") from error


def describe(codes: CodeSet) -> str:
    """What the server is told about the codes, in one line."""
    made_from = ", ".join(f"{name} {value}" for name, value in codes.made_from.items())
    return "; ".join(part for part in (f"{codes.num_bits} bits", made_from,
                                       codes.fingerprint and f"model {codes.fingerprint}") if part)


def not_there(name: str) -> UserError:
    """What to raise where there is nothing called `name` to change."""
    return UserError(f"{name}: not there. Correct the name, or make it with search.py export, without --upsert.")


def _check_described(codes: CodeSet, text: str, name: str, any_model: bool) -> None:
    """Refuses `codes` that do not compare with those that `describe` has told so; other text tells nothing."""
    found = re.fullmatch(r"(\d+) bits(?:; (.*?))??(?:; model ([0-9a-f ]+))?", text)
    if found:
        num_bits, made_from, fingerprint = int(found[1]), found[2] or "unknown", found[3] or ""
        check_comparable(codes, CodeSet(np.empty((0, 0), np.uint8), np.empty(0, object), num_bits, fingerprint,
                                        {"": made_from}, name), any_model=any_model)
