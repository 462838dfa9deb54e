"""A search index that is mapped, not read. N items, Q queries, K bits, W words of 64 bits in a code."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from inference.code_set import CodeSet, check_comparable, check_queries, refuse_unknown, twice
from inference.nearest_codes import words
from inference.segments.ids import Consecutive, Ids, Texts, concatenate, ids_of
from inference.segments.manifest import Manifest, is_mapped_index, read_manifest
from inference.segments.search import nearest, texts_of
from inference.segments.segment import MOST_ITEMS, Segment, write_segment
from utils.errors import UserError
from utils.files.lock import lock_beside
from utils.files.writing import make_folder

QUERIES_AT_ONCE = 1024


class MappedIndex:
    """One state of the index in a folder; changes by this object or by others need `load` to be seen by others.

    A change is made by one process at a time, within `MappedIndex.writing`, and is there when its method returns,
    whatever happens to the process afterwards; before that, nothing of it is.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest

    @classmethod
    def load(cls, path: str | os.PathLike) -> "MappedIndex":
        """The index in the folder `path`. Raises UserError where there is none, or a damaged one."""
        if not is_mapped_index(path):
            raise UserError(f"{path}: no mapped index. Make one with search.py index --mapped.")
        return cls(read_manifest(path))

    @classmethod
    @contextmanager
    def writing(cls, path: str | os.PathLike, wait: Callable[[str], object],
                new: CodeSet | None = None) -> Iterator["MappedIndex"]:
        """A block in which no other process changes the index in `path`; what killed writers left there is removed.

        Args:
            wait: called with a line where another process has to be waited for.
            new: if no index is there, it is one of codes of this length and model, and begins with the first change.

        Raises:
            UserError: there is no index at `path`, or it cannot be locked or made.
        """
        if new is None:
            cls.load(path)
        with lock_beside(path, wait=wait):
            if new is None or is_mapped_index(path):
                index = cls.load(path)
            elif os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
                raise UserError(f"{path}: exists, and is no mapped index. Name another folder.")
            else:
                index = cls(Manifest(make_folder(path), new.num_bits, new.fingerprint, dict(new.made_from)))
            index._manifest.remove_strangers()
            try:
                yield index
            finally:
                index._manifest.remove_strangers()
                if not is_mapped_index(path):
                    Path(path).rmdir()

    def __len__(self) -> int:
        return sum(segment.num_live for segment in self._manifest.segments)

    @property
    def num_segments(self) -> int:
        return len(self._manifest.segments)

    @property
    def about(self) -> CodeSet:
        """Length, model and source of the codes, without the codes."""
        here = self._manifest
        return CodeSet(np.empty((0, -(-here.num_bits // 8)), np.uint8), np.empty(0, object), here.num_bits,
                       here.fingerprint, here.made_from, str(here.folder))

    def add(self, codes: Iterable[CodeSet], *, any_model: bool = False, fresh: bool = False) -> None:
        """Puts sets of codes behind those here, or, if `fresh`, in their place; all of them or none.

        Raises:
            UserError: codes of another length or, unless `any_model`, of another model; an id is here already or
                occurs twice; the operating system refused to write.
        """
        now = self._manifest
        for given in codes:
            if fresh:
                now, fresh = replace(now, num_bits=given.num_bits, fingerprint=given.fingerprint,
                                     made_from=dict(given.made_from), segments=()), False
            check_comparable(given, MappedIndex(now).about, any_model=any_model)
            now = self._with(now, words(given.bits), ids_of(given.ids.tolist()), given.source)
        self._swap(now)

    def add_numbered(self, codes: Iterable[np.ndarray], first: int) -> None:
        """Puts codes, uint64 (n, W) each, behind those here, all or none; their ids are the numbers from `first` on."""
        now = self._manifest
        for block in codes:
            now, first = self._with(now, block, Consecutive(first, len(block)), "the codes"), first + len(block)
        self._swap(now)

    def remove(self, ids: Collection[str]) -> None:
        """Takes items out. Raises UserError where one is not here; nothing is removed then."""
        here, number = self._manifest, self._manifest.generation + 1  # that of the state which `_swap` makes
        segments = tuple(segment.without(items, number) if len(items) else segment
                         for segment, items in zip(here.segments, self._find(ids), strict=True))
        self._swap(replace(here, segments=segments))

    def compact(self) -> None:
        """Writes what is left of segments with removed items, and of small ones side by side, into new segments."""
        here, kept, waiting = self._manifest, list[Segment](), list[Segment]()
        named = here.named
        for segment in (*here.segments, None):
            whole = segment is None or (not len(segment.removed) and 2 * segment.count > MOST_ITEMS)
            full = segment and sum(part.num_live for part in (*waiting, segment)) > MOST_ITEMS
            if (whole or full) and waiting:
                merged, named = self._merged(waiting, named)
                kept += merged
                waiting = []
            if segment:
                (kept if whole else waiting).append(segment)
        if kept != list(here.segments):
            self._swap(replace(here, segments=tuple(kept), named=named))

    def search(self, bits: np.ndarray, k: int, within: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """As `inference.index.Index.search`, exactly.

        Args:
            within: ids; only these items are searched. Unknown ones are refused.
        """
        here, asked = self._manifest.segments, None
        bits = check_queries(bits, self._manifest.num_bits, k)
        if within is not None:
            asked = self._find(within)
        total = len(self) if asked is None else sum(map(len, asked))
        found = [nearest(here, words(bits[start:start + QUERIES_AT_ONCE]).view(np.uint8), min(k, total), asked)
                 for start in range(0, len(bits), QUERIES_AT_ONCE)]
        if not found or not total:
            shape = len(bits), min(k, total)
            return np.empty(shape, object), np.empty(shape, np.uint16)
        items, distances = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return texts_of(here, items), distances.astype(np.uint16)

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that are here."""
        given = list(ids)
        return [given[at] for at in np.flatnonzero(~self._look_up(given)[1])]

    def below(self, folder: str) -> list[str]:
        """The ids that begin with `folder`, in the order that they have here."""
        return [item for segment in self._manifest.segments if isinstance(segment.ids, Texts)
                for item in segment.ids.texts(np.flatnonzero(segment.ids.begin_with(folder) & segment.live()))]

    def code(self, item: str) -> np.ndarray | None:
        """As `inference.index.Index.code`."""
        for segment, items in zip(self._manifest.segments, self._look_up([item])[0], strict=True):
            if len(items):
                return segment.rows(items)[:, :self.about.bits.shape[1]]
        return None

    def names(self, start: int, count: int) -> list[str]:
        """As `inference.index.Index.names`."""
        found: list[str] = []
        for segment in self._manifest.segments:
            if start < segment.num_live and len(found) < count:
                found += segment.ids.texts(np.flatnonzero(segment.live())[start:start + count - len(found)])
            start = max(0, start - segment.num_live)
        return found

    @property
    def codes(self) -> CodeSet:
        """All that is left here, read into memory."""
        here, about = self._manifest.segments, self.about
        bits = [segment.rows(segment.live())[:, : about.bits.shape[1]] for segment in here]
        ids = [item for segment in here for item in segment.ids.texts(np.flatnonzero(segment.live()))]
        return replace(about, bits=np.concatenate([about.bits, *bits]), ids=np.array(ids, object))

    def damage(self) -> str | None:
        """Reads everything: the name of a file that is not what was written, or None."""
        return next((name for segment in self._manifest.segments if (name := segment.damage())), None)

    def _swap(self, now: Manifest) -> None:
        if now is not self._manifest:
            replace(now, generation=self._manifest.generation + 1).swap_in()
            self._manifest = read_manifest(now.folder)

    def _with(self, now: Manifest, codes: np.ndarray, ids: Ids, source: str) -> Manifest:
        """The state `now` with more items, whose segments are written."""
        if not len(codes):
            return now
        _refuse_known(now.segments, ids, source, str(now.folder))
        segments, named = list(now.segments), now.named
        for start in range(0, len(codes), MOST_ITEMS):
            stop, named = min(start + MOST_ITEMS, len(codes)), named + 1
            segments.append(write_segment(now.folder, f"{named:08d}", codes[start:stop], ids.part(start, stop)))
        return replace(now, segments=tuple(segments), named=named)

    def _merged(self, parts: Sequence[Segment], named: int) -> tuple[list[Segment], int]:
        parts = [part for part in parts if part.num_live]
        if not parts or (len(parts) == 1 and not len(parts[0].removed)):
            return list(parts), named
        live = [part.live() for part in parts]
        codes = np.concatenate([part.rows(rows).view(np.uint64) for part, rows in zip(parts, live, strict=True)])
        ids = concatenate([part.ids.kept(rows) for part, rows in zip(parts, live, strict=True)])
        return [write_segment(self._manifest.folder, f"{named + 1:08d}", codes, ids)], named + 1

    def _find(self, ids: Iterable[str]) -> list[np.ndarray]:
        """Of each segment the items `ids`, ascending. Raises UserError where one is not here."""
        given = list(ids)
        found, unknown = self._look_up(given)
        refuse_unknown([given[at] for at in np.flatnonzero(unknown)], (), str(self._manifest.folder))
        return found

    def _look_up(self, given: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Of each segment the items `given`, ascending; and which of them are not here, bool."""
        ids, unknown = ids_of(given), np.ones(len(given), bool)
        keys = ids.keys()
        order = keys.argsort()
        keys = keys[order]
        found = [segment.find(keys, ids, order) for segment in self._manifest.segments]
        for which, _ in found:
            unknown[order[which]] = False
        items = [np.sort(items) for _, items in found]
        return [part[np.diff(part, prepend=-1) > 0] for part in items], unknown  # each once


def _refuse_known(segments: Sequence[Segment], ids: Ids, source: str, here: str) -> None:
    """Raises UserError where one of `ids` occurs twice, or is an item of `segments`."""
    if isinstance(ids, Consecutive):
        _refuse_met(segments, ids, source, here)
        return
    keys = ids.keys()
    order = keys.argsort(kind="stable")
    keys = keys[order]
    for at in np.flatnonzero(keys[1:] == keys[:-1]).tolist():
        first, second = ids.texts(order[at:at + 2])
        if first == second:
            raise twice(source, first)
    for segment in segments:
        which, _ = segment.find(keys, ids, order)
        if len(which):
            _refuse(ids.texts(order[which[:1]])[0], source, here)


def _refuse_met(segments: Sequence[Segment], ids: Consecutive, source: str, here: str) -> None:
    last = ids.first + ids.count - 1
    for segment in segments:
        low, high = max(segment.lowest, ids.first), min(segment.highest, last)
        if low > high:
            continue
        met = Consecutive(low, high - low + 1)
        which, _ = segment.find(met.keys(), met, np.arange(len(met)))
        if len(which):
            _refuse(met.texts(which[:1])[0], source, here)


def _refuse(item: str, source: str, here: str) -> None:
    raise UserError(f"{source}: '{item}' is in {here} already. Name the items apart (search.py encode --ids), or "
                    "remove the old ones first.")
