"""Cases in a forked worker, under a limit of memory and of time, and what became of every one."""

import contextlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import h5py
import scipy.io

from tests.fuzz.archives import canary
from tests.fuzz.kinds import KINDS, Kind, mutate
from utils.errors import UserError
from utils.files.hdf5 import check_sound

SECONDS = 10.0  # of a processor, or of sleep
ADDRESSES, MEMORY = 1 << 32, 1 << 29  # bytes that a case may ask for and may use, beyond what the worker holds before
LONGEST_LINE = 2000
# Not made: HDF5 crashed as it damaged the file. Library: HDF5 or scipy alone crashes, hangs or fills the memory as it
# reads the file (lengths of strings, say, which only it sees).
FINE = ("accepted", "refused", "not made", "library")


@dataclass(frozen=True)
class Outcome:
    """What became of a case: one of FINE, or a finding, which `detail` describes."""

    number: int
    kind: str
    verdict: str
    detail: str = ""

    @property
    def is_finding(self) -> bool:
        return self.verdict not in FINE


def run_cases(numbers: Sequence[int], seed: int, kinds: Sequence[str], folder: Path) -> Iterator[Outcome]:
    """The outcome of every case; case i is of the kind i modulo their number.

    `folder` must not exist; the file of a finding stays in it, alone in the folder case<i>.
    """
    context = multiprocessing.get_context("fork")
    maker = context.Process(target=_make_samples, args=(folder, kinds))  # apart, as threads do not survive a fork
    maker.start()
    maker.join()
    assert maker.exitcode == 0
    pending = list(numbers)
    while pending:
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(sender, pending, seed, kinds, folder))
        worker.start()
        sender.close()
        try:
            for outcome in _outcomes_of(worker, receiver, pending[0], kinds):
                pending.pop(0)
                place = folder / f"case{outcome.number}"
                if outcome.verdict in ("crash", "hang", "memory") and _fails_plainly(context, place):
                    outcome = replace(outcome, verdict="library", detail=outcome.verdict)
                yield outcome
        finally:
            worker.kill()
            worker.join()


def _outcomes_of(worker, receiver: Connection, first: int, kinds: Sequence[str]) -> Iterator[Outcome]:
    """What the worker tells of its cases, and at last the finding that ended it, if one did."""
    receiver.recv()  # ready, after seconds that are no case's
    number, being_read = first, False
    while number is not None:
        name = kind_of(number, kinds)
        try:
            if not _answers(receiver, worker.pid):
                free = KINDS[name].program or not being_read
                yield Outcome(number, name, "not made" if free else "hang")
                return
            told = receiver.recv()
        except EOFError:
            worker.join()
            yield Outcome(number, name, "crash" if being_read else "not made", f"exit status {worker.exitcode}")
            return
        if told is None:
            being_read = True
        else:
            outcome, number = told
            being_read = False
            yield outcome


def _answers(receiver: Connection, pid: int) -> bool:
    """Whether the worker says something within SECONDS, of its own where others hold the processors."""
    begin, clock = _processor_seconds(pid)[0], SECONDS
    while not receiver.poll(clock):
        used, state = _processor_seconds(pid)
        clock = SECONDS - (used - begin)
        if state not in "RD" or clock <= 0:  # it sleeps, or has had its time
            return False
    return True


def _processor_seconds(pid: int) -> tuple[float, str]:
    """What the process has used of the processors, and its state as /proc names it."""
    state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(numbers[10]) + int(numbers[11])) / os.sysconf("SC_CLK_TCK"), state


def _fails_plainly(context, place: Path) -> bool:
    """Whether h5py or scipy alone crashes, hangs or fills the memory at the file in `place` as well."""
    process = context.Process(target=_read_plainly, args=(next(place.glob('case.*')),))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    return process.exitcode < 0


def _read_plainly(path: Path) -> None:
    before = _status("VmRSS:")

    def visit(name: str, node: h5py.HLObject) -> None:
        with contextlib.suppress(Exception):
            for key in node.attrs:
                node.attrs[key]
        with contextlib.suppress(Exception):
            check_sound(node, path)  # beyond these the project reads on
            node[()]

    with contextlib.suppress(Exception), h5py.File(path, "r") as file:
        visit("/", file)
        file.visititems(visit)
    with contextlib.suppress(Exception):
        scipy.io.loadmat(path)
    if _status("VmHWM:") - before > MEMORY:
        os.abort()


def case_file(number: int, seed: int, kinds: Sequence[str], folder: Path) -> Path:
    """Makes the file of a case, alone in a folder, which becomes the current one, and returns it."""
    rng = random.Random(f"{seed}/{number}")
    name = kind_of(number, kinds)
    samples = sorted((folder / name).iterdir())
    place = folder / f"case{number}"
    shutil.rmtree(place, ignore_errors=True)  # of a worker that died while making it
    place.mkdir()
    os.chdir(place)
    path = place / f"case{rng.choice(samples).suffix}"
    with warnings.catch_warnings(action="ignore"):
        mutate(KINDS[name], samples, path, rng)
    return path


def kind_of(number: int, kinds: Sequence[str]) -> str:
    return kinds[number % len(kinds)]


def _make_samples(folder: Path, kinds: Sequence[str]) -> None:
    for name in kinds:
        (folder / name).mkdir(parents=True)
        KINDS[name].make(folder / name)


def _work(sender: Connection, numbers: Sequence[int], seed: int, kinds: Sequence[str], folder: Path) -> None:
    """Sends None when ready, and None when a case is made, then its outcome with the number of the next."""
    _warm_up(folder, kinds)
    sender.send(None)
    limit = _status("VmSize:") + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        name = kind_of(number, kinds)
        path = case_file(number, seed, kinds, folder)
        sender.send(None)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS:")
        verdict, detail = _judge(KINDS[name], path)
        grown = _status("VmHWM:") - before
        if verdict in FINE and grown > MEMORY:
            verdict, detail = "memory", f"{grown / 2**20:.0f} MiB"
        if verdict in FINE:
            shutil.rmtree(path.parent)
        sender.send((Outcome(number, name, verdict, detail), following))


def _status(name: str) -> int:
    """Bytes that /proc tells of this process under `name`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def _warm_up(folder: Path, kinds: Sequence[str]) -> None:
    """Reads every sample, which must be accepted, so that what is loaded at first use is there."""
    for name in kinds:
        for path in sorted((folder / name).iterdir()):
            copy = folder / "samples" / path.name
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(path, copy)
            verdict, detail = _judge(KINDS[name], copy)
            assert verdict == "accepted", (path, verdict, detail)


def _judge(kind: Kind, path: Path) -> tuple[str, str]:
    verdicts = [_judge_reader(kind, reader, path) for reader in kind.readers]
    if canary().exists():
        return "code was run", ""
    findings = [verdict for verdict in verdicts if verdict[0] not in FINE]
    return min(findings or verdicts)


def _judge_reader(kind: Kind, reader: Callable[[Path], object], path: Path) -> tuple[str, str]:
    said = io.StringIO()
    try:
        with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(said):
            warnings.simplefilter("always")
            reader(path)
    except UserError as error:
        line = str(error)
        if len(line.splitlines()) != 1 or len(line) > LONGEST_LINE:
            return "refused in many lines", f"{len(line)} characters: {line[:300]!r}"
        return "refused", ""
    except SystemExit:
        if kind.program:
            return "accepted", ""
        return "exit", ""
    except BaseException as error:
        return "exception", _describe(error)
    if warned and not kind.program:
        return "warning", str(warned[0].message)
    return "accepted", ""


def _describe(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/tests/fuzz/" not in frame.filename]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames if "site-packages" not in
              frame.filename][-2:] + [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-1:]]
    return f"{type(error).__name__}: {str(error)[:200]!r} at {' > '.join(places)}"
