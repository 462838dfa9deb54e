"""Packed codes with the ids of their items, and whether two sets of them can meet. N items, K bits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from utils.errors import UserError

MOST_BITS = 65_535  # distances are uint16


@dataclass(frozen=True)
class CodeSet:
    """`bits` uint8 (N, ceil(K/8)) from `inference.codes.pack`, `ids` (N,) of str, `num_bits` K.

    `fingerprint` tells the model that made the codes, "" where that is unknown; `made_from` tells it to people.
    `source` is what messages call this set: the path it was read from.

    Raises:
        UserError: K is above MOST_BITS.
    """

    bits: np.ndarray
    ids: np.ndarray
    num_bits: int
    fingerprint: str = ""
    made_from: Mapping[str, object] = field(default_factory=dict)
    source: str = "the codes"

    def __post_init__(self) -> None:
        if self.num_bits > MOST_BITS:
            raise UserError(f"{self.source}: codes of {self.num_bits} bits; at most {MOST_BITS} can be compared. "
                            "Encode with a model of fewer bits.")

    def __len__(self) -> int:
        return len(self.bits)

    def joined(self, other: "CodeSet", *, any_model: bool = False) -> "CodeSet":
        """These codes, then those of `other`.

        Raises:
            UserError: see `check_comparable`; or an id occurs in both.
        """
        check_comparable(other, self, any_model=any_model)
        both = np.concatenate([self.ids, other.ids])
        if len(set(both)) < len(both):
            here = set(self.ids)
            raise UserError(f"{other.source}: {_listed([item for item in other.ids if item in here])} in {self.source} "
                            "already. Name the items apart (search.py encode --ids), or remove the old ones first.")
        return replace(self, bits=np.concatenate([self.bits, other.bits]), ids=both,
                       fingerprint=self.fingerprint or other.fingerprint, made_from=self.made_from or other.made_from)

    def without(self, ids: Collection[str]) -> "CodeSet":
        """These codes but those of `ids`, in the same order.

        Raises:
            UserError: an id is not here.
        """
        return self._kept(~self._has(ids))

    def only(self, ids: Collection[str]) -> "CodeSet":
        """The codes of `ids`, in the order that they have here; errors as of `without`."""
        return self._kept(self._has(ids))

    def _has(self, ids: Collection[str]) -> np.ndarray:
        refuse_unknown(ids, self.ids, self.source)
        asked = set(ids)
        return np.array([item in asked for item in self.ids], bool)

    def _kept(self, rows: np.ndarray) -> "CodeSet":
        return replace(self, bits=self.bits[rows], ids=self.ids[rows])


def refuse_unknown(ids: Collection[str], known: Collection[str], source: str) -> None:
    """Raises UserError where one of `ids` is not among the items `known` of `source`."""
    unknown = set(ids).difference(known)
    if unknown:
        raise UserError(f"{source}: {_listed([item for item in ids if item in unknown])} not among its items; nothing "
                        "was changed.")


def check_comparable(codes: CodeSet, with_: CodeSet, *, any_model: bool = False) -> None:
    """Refuses codes whose distances to those of `with_` mean nothing.

    Raises:
        UserError: another length; or, unless `any_model`, another model. An unknown model is let through.
    """
    if codes.num_bits != with_.num_bits:
        raise UserError(f"{codes.source}: codes of {codes.num_bits} bits, {with_.source} has {with_.num_bits}. "
                        "Encode both with the same model.")
    check_model(codes.fingerprint, codes.source, with_, any_model=any_model)


def check_model(fingerprint: str, source: str, with_: CodeSet, *, any_model: bool = False) -> None:
    """Refuses a model, told by its fingerprints, that is not the one of `with_`. An unknown one is let through.

    Raises:
        UserError: another model, and not `any_model`.
    """
    known = set(fingerprint.split()), set(with_.fingerprint.split())
    if any_model or not all(known) or known[0] & known[1]:
        return
    made_from = ", ".join(str(value) for value in with_.made_from.values()) or "unknown"
    raise UserError(f"{source}: another model than that of {with_.source} ({made_from}); bits of two models do not "
                    "compare. Encode with the same checkpoint and config, or add --any-model.")


def check_unique_ids(codes: CodeSet) -> None:
    """Raises UserError where an id occurs twice."""
    seen: set[str] = set()
    for item in codes.ids:
        if item in seen:
            raise twice(codes.source, item)
        seen.add(item)


def twice(source: str, item: str) -> UserError:
    """What to raise where the id `item` occurs twice in `source`."""
    return UserError(f"{source}: the id '{item}' occurs twice. Give every item an id of its own (search.py encode "
                     "--ids).")


def check_queries(bits: np.ndarray, num_bits: int, k: int) -> np.ndarray:
    """The queries of a search for the k nearest codes of `num_bits` bits, in one piece.

    Raises:
        ValueError: bits of another width, or k < 1.
    """
    bits, width = np.ascontiguousarray(bits), -(-num_bits // 8)
    if bits.ndim != 2 or bits.dtype != np.uint8 or bits.shape[1] != width:
        raise ValueError(f"queries of {num_bits} bits are uint8 (Q, {width}), not {bits.dtype} {bits.shape}.")
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}.")
    return bits


def row_ids(num_items: int) -> np.ndarray:
    """"0", "1", ...: the ids of items that have no other, (num_items,) of str."""
    return np.array([str(row) for row in range(num_items)], object)


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(f"'{item}'" for item in ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    return f"{shown} {'is' if len(ids) == 1 else 'are'}"
