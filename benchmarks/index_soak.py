"""Two writers and a reader on one index, killed at random moments, and what is checked after every one.

    python -m benchmarks.index_soak --rounds 200
    python -m benchmarks.index_soak --rounds 200 --seed 3
    python -m benchmarks.index_soak --rounds 200 --mapped

In each round two processes change the index, each by `search.py index --add` or `search.py remove`, for a mapped index
now and then by `search.py compact`, while a third reads and searches it again and again; SIGKILL ends any of them at a
random moment, in one round of four none. A change is acknowledged where its process ended with status 0. After the
round every acknowledged change must be there, one that was killed there as a whole or not at all, no item twice and
every code that of its id; the reader must have found the same of all that was acknowledged before the round. At the
end no lock and no half-written file may be left. Exit status 1 if anything was lost.

A life is a fork of this process, which has started no thread. Linux and macOS only.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import search
from inference.code_file import write_codes
from inference.code_set import CodeSet
from inference.index import Index, load_index
from inference.segments.index import MappedIndex
from inference.segments.manifest import is_mapped_index
from utils.cli import run_script

ITEMS = 3  # of a change
NUM_BITS = 64
_LIFE = 0.1  # seconds, at most, until a kill
_KILLED = -signal.SIGKILL


class LostError(Exception):
    """What a kill, or another writer, has cost."""


@dataclass(frozen=True)
class Change:
    """Items that a writer adds to the index, or takes out of it; none: it compacts the index."""

    ids: tuple[str, ...]
    adds: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the changes and the moments")
    parser.add_argument("--mapped", action="store_true", help="a mapped index in place of a file")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="index_soak_") as folder:
        soak = Soak(Path(folder), random.Random(arguments.seed), mapped=arguments.mapped)
        try:
            soak.run(arguments.rounds)
        except LostError as error:
            print(f"LOST in round {soak.round}: {error}", file=sys.stderr)
            raise SystemExit(1) from None
    print(soak.report(), f"{time.perf_counter() - begun:.0f} s", sep="\n")


class Soak:
    """An index in `folder`, the items that it must hold, and rounds of changes to it; `draws` are their moments."""

    def __init__(self, folder: Path, draws: random.Random, *, mapped: bool = False) -> None:
        self._folder, self._draws, self._mapped = folder, draws, mapped
        self.index = folder / "videos.index"
        self.items = {f"base{number}" for number in range(20)}
        self.round = 0
        self.counts: Counter[str] = Counter()
        first = _codes(sorted(self.items))
        if mapped:
            with MappedIndex.writing(self.index, print, first) as index:
                index.add([first])
        else:
            Index(first).save(self.index)

    def run(self, num_rounds: int) -> None:
        """Raises LostError where anything is not as it must be."""
        for self.round in range(1, num_rounds + 1):
            self._round()
        last = self._change(9)
        self._settle([last], [_reap(_life(lambda: self._apply(last)))])
        if len(left := [path.name for path in self._folder.rglob(".*")]):
            raise LostError(f"left behind: {', '.join(left)}")

    def report(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))

    def _round(self) -> None:
        changes = [self._change(0), self._change(1)]
        in_question = {item for change in changes for item in change.ids}
        reader = _life(lambda: self._read_on(self.items - in_question, changes))
        writers = [_life(partial(self._apply, change)) for change in changes]
        victims = [process for process in (*writers, reader) if self._draws.random() < 0.6]
        if self._draws.random() < 0.25:
            victims = []
        for process in victims:
            time.sleep(self._draws.uniform(0, _LIFE / len(victims)))
            os.kill(process, signal.SIGKILL)
        statuses = [_reap(process) for process in writers]
        os.kill(reader, signal.SIGTERM)
        if _reap(reader) not in (_KILLED, 0):
            raise LostError("the reader has found the index otherwise than it must be, see above")
        self._settle(changes, statuses)

    def _change(self, writer: int) -> Change:
        """New items, or some that this writer has added before."""
        if self._mapped and self._draws.random() < 0.2:
            return Change(())
        own = sorted({item.rpartition("_")[0] for item in self.items if item.startswith(f"w{writer}_")})
        if own and self._draws.random() < 0.4:
            batch, adds = self._draws.choice(own), False
        else:
            batch, adds = f"w{writer}_{self.round}", True
        change = Change(tuple(f"{batch}_{number}" for number in range(ITEMS)), adds)
        if adds:
            write_codes(self._codes_of(change), _codes(change.ids))
        return change

    def _codes_of(self, change: Change) -> Path:
        return self._folder / f"{change.ids[0]}.h5"

    def _apply(self, change: Change) -> None:
        """As a user does it, by a command."""
        if change.adds:
            command = ["index", "--codes", str(self._codes_of(change)), "--add", str(self.index)]
        elif not change.ids:
            command = ["compact", "--index", str(self.index)]
        else:
            command = ["remove", "--index", str(self.index), "--ids", *change.ids]
        sys.argv = ["search.py", *command]
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            run_script(search.main)

    def _read_on(self, certain: set[str], changes: list[Change]) -> None:
        """Reads until SIGTERM comes."""
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
        while not stopped:
            _check(self.index, certain, changes)

    def _settle(self, changes: list[Change], statuses: list[int]) -> None:
        """Looks at what has become of the changes and takes it as what must be there from now on."""
        found = _check(self.index, self.items - {item for change in changes for item in change.ids}, changes)
        for change, status in zip(changes, statuses, strict=True):
            if status not in (0, _KILLED):
                raise LostError(f"a writer ended with status {status}")
            if status == 0 and change.ids and (change.ids[0] in found) != change.adds:
                raise LostError(f"acknowledged, but not there: {change}")
            what = "add" if change.adds else "remove" if change.ids else "compact"
            self.counts[f"{what}, {'acknowledged' if status == 0 else 'killed'}"] += 1
        self.items = found


def _check(path: Path, certain: set[str], changes: list[Change]) -> set[str]:
    """The ids in the index; LostError unless they are `certain` and, whole or not at all, those of `changes`."""
    index = MappedIndex.load(path) if is_mapped_index(path) else load_index(path)
    codes = index.codes
    found = set(codes.ids)
    if len(found) != len(codes):
        raise LostError("an item is there twice")
    if not np.array_equal(codes.bits, _codes(codes.ids).bits):
        raise LostError("a code is not that of its id")
    nearest, distances = index.search(codes.bits[::7], 1)
    if nearest[:, 0].tolist() != codes.ids[::7].tolist() or distances.any():
        raise LostError("a search does not find an item by its own code")
    for change in changes:
        if len(found.intersection(change.ids)) not in (0, len(change.ids)):
            raise LostError(f"half there: {change}")
        found -= set(change.ids)
    if found != certain:
        raise LostError(f"missing {sorted(certain - found)}, too many {sorted(found - certain)}")
    return set(codes.ids)


def _codes(ids: Iterable[str]) -> CodeSet:
    """Codes that tell what id they belong to."""
    ids = list(ids)
    bits = [np.random.default_rng(list(item.encode())).integers(0, 256, NUM_BITS // 8, np.uint8) for item in ids]
    return CodeSet(np.array(bits), np.array(ids, object), NUM_BITS)


def _life(action: Callable[[], object]) -> int:
    """The number of a fork that does `action` and ends with status 0, or that of its SystemExit, or 70 for the rest."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        action()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _reap(process: int) -> int:
    """Waits for its end; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    main()
