"""Codes under ids that can be searched, extended, thinned out and kept in one file. N items, Q queries, K bits."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import h5py
import numpy as np

from inference import index_kinds
from inference.code_file import check_sum, put_codes, reading, take_codes
from inference.code_set import CodeSet, check_queries, check_unique_ids
from inference.ranking import top_k
from utils.errors import UserError
from utils.files.hdf5 import read_whole
from utils.files.lock import lock_beside
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import remove_parts, whole_file
from utils.registry import INDEX_KINDS


class Index:
    """A search index over `codes`, whose ids are unique.

    Args:
        kind: a file of `inference/index_kinds/`.
        settings: of that kind's KEYS, those that are not to be as by default.

    Raises:
        UserError: an id occurs twice, no code at all, or settings that the kind refuses.
    """

    _rows_of: CodeSet | None = None  # whose rows are known by id

    def __init__(self, codes: CodeSet, kind: str = "flat", settings: Mapping[str, int | str] | None = None) -> None:
        check_unique_ids(codes)
        if not len(codes):
            raise UserError(f"{codes.source}: no codes to build an index of.")
        self._set(codes, kind, settings or {}, state=None, num_learned=len(codes))

    @classmethod
    def _restored(cls, codes: CodeSet, kind: str, settings: Mapping[str, int | str],
                  state: Mapping[str, np.ndarray], num_learned: int) -> "Index":
        index = cls.__new__(cls)
        index._set(codes, kind, settings, state, num_learned)
        return index

    def _set(self, codes: CodeSet, kind: str, settings: Mapping[str, int | str],
             state: Mapping[str, np.ndarray] | None, num_learned: int) -> None:
        make = INDEX_KINDS.load(kind)
        defaults = {key.name: key.default for key in make.KEYS}
        self.codes, self.kind, self.settings, self._num_learned = codes, kind, dict(settings), num_learned
        self._structure = make(codes.bits, codes.num_bits, defaults | self.settings, state)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def about(self) -> CodeSet:
        """Length, model and source of the codes."""
        return self.codes

    def code(self, item: str) -> np.ndarray | None:
        """The packed code of an item, uint8 (1, ceil(K/8)); None where it is not here."""
        if self._rows_of is not self.codes:
            self._rows, self._rows_of = {name: row for row, name in enumerate(self.codes.ids)}, self.codes
        row = self._rows.get(item)
        return None if row is None else self.codes.bits[row:row + 1]

    def names(self, start: int, count: int) -> list[str]:
        """The ids of `count` items from the one at `start` on, in the order of insertion."""
        return list(self.codes.ids[start:start + count])

    @property
    def exact(self) -> bool:
        """Whether `search` always finds the true nearest codes."""
        return self._structure.exact

    def add(self, codes: CodeSet, *, any_model: bool = False) -> None:
        """Puts `codes` behind those here. What was learned from N codes is learned anew beyond 2 N.

        Raises:
            UserError: codes of another length or, unless `any_model`, of another model; an id is here already.
        """
        check_unique_ids(codes)
        joined = self.codes.joined(codes, any_model=any_model)
        if len(joined) > 2 * self._num_learned:
            self._set(joined, self.kind, self.settings, state=None, num_learned=len(joined))
        else:
            self.codes = joined
            self._structure.extend(joined.bits, len(codes))

    def remove(self, ids: Collection[str]) -> None:
        """Takes the items `ids` out; the others keep their order.

        Raises:
            UserError: an id is not here; nothing is removed then.
        """
        self.codes = self.codes.without(ids)
        self._structure.replace(self.codes.bits)

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that are here."""
        here = set(self.codes.ids)
        return [item for item in ids if item in here]

    def below(self, folder: str) -> list[str]:
        """The ids that begin with `folder`, in the order that they have here."""
        return [item for item in self.codes.ids if item.startswith(folder)]

    def search(self, bits: np.ndarray, k: int, within: Collection[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Ids (Q, min(k, N)) of str and distances, uint16 of the same shape, of the nearest codes found.

        Nearest first, ties by order of insertion. An approximate kind may miss codes; a query for which it finds fewer
        than k is searched exactly.

        Args:
            bits: uint8 (Q, ceil(K/8)), from `inference.codes.pack`.
            within: ids; only these items are searched, exactly.

        Raises:
            UserError: an id of `within` is not here.
            ValueError: bits of another width, or k < 1.
        """
        bits = check_queries(bits, self.codes.num_bits, k)
        if within is not None:
            part = self.codes.only(within)
            return Index(part).search(bits, k) if len(part) else (
                np.empty((len(bits), 0), object), np.empty((len(bits), 0), np.uint16))
        k = min(k, len(self))
        if not len(bits) or not k:
            return np.empty((len(bits), k), object), np.empty((len(bits), k), np.uint16)
        items, distances = self._structure.search(bits, k)
        items, distances = np.array(items), distances.astype(np.uint16)
        short = (items < 0).any(axis=1)
        if short.any():
            items[short], distances[short] = top_k(bits[short], self.codes.bits, k)
        order = np.lexsort((items, distances), axis=1)
        items, distances = np.take_along_axis(items, order, 1), np.take_along_axis(distances, order, 1)
        return self.codes.ids[items], distances

    def save(self, path: str | os.PathLike) -> None:
        """Writes the index to one HDF5 file, whole or not at all: the codes and ids, kind, settings, what was learned.

        Who changes a file that others may change does it within `sole_writer`.

        Raises:
            UserError: the operating system refused to write.
        """
        with whole_file(path) as part, NewHdf5(part) as file:
            put_codes(file, self.codes)
            about = {"kind": self.kind, "settings": json.dumps(self.settings), "num_learned": self._num_learned}
            state = self._structure.state
            file.attrs.update({**about, "index_checksum": _checksum(about, state)})
            for name, array in state.items():
                file[f"state/{name}"] = array


@contextmanager
def sole_writer(path: str | os.PathLike, wait: Callable[[str], object], *, changes: bool = True) -> Iterator[None]:
    """A block in which no other process is in such a block for the index file `path`.

    It is waited for, and `wait` told of it in a line. What killed writers have left beside the file is removed.

    Args:
        changes: whether the file is to be there already.

    Raises:
        UserError: it is not, or the lock cannot be written.
    """
    if changes:
        with reading(path):
            os.stat(path)
    with lock_beside(path, wait=wait):
        remove_parts(path)
        yield


def load_index(path: str | os.PathLike) -> Index:
    """The index in a file of `Index.save`.

    Raises:
        UserError: missing, truncated, damaged, with an id twice, or no index.
    """
    with reading(path):
        if os.path.exists(path) and not h5py.is_hdf5(path):
            raise UserError(f"{path}: no index file, or a truncated one. Make it with search.py index.")
        with h5py.File(path, "r") as file:
            codes = take_codes(file, str(path))
            if "kind" not in file.attrs:
                raise UserError(f"{path}: a file of codes, not an index. Make one of it with search.py index.")
            check_unique_ids(codes)
            state = {name: read_whole(array, path) for name, array in file.get("state", {}).items()}
            check_sum(str(path), file.attrs, "index_checksum", _checksum(file.attrs, state))
            kind = str(file.attrs["kind"])
            settings = index_kinds.stored_settings(kind, json.loads(file.attrs["settings"]))
            return Index._restored(codes, kind, settings, state, int(file.attrs["num_learned"]))


def _checksum(about: Mapping, state: Mapping[str, np.ndarray]) -> str:
    """SHA-256 (hex) of what an index file holds besides its codes."""
    told = [str(about["kind"]), str(about["settings"]), int(about["num_learned"])]
    digest = hashlib.sha256(json.dumps(told).encode())
    for name in sorted(state):
        array = np.asarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
