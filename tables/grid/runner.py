"""The project's scripts as child processes: one after another within a cell, several cells side by side."""

import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from tables.grid.cells import Cell, State, state
from tables.grid.estimate import seconds_left, total
from utils.cpus import available_cpus
from utils.errors import UserError
from utils.files.writing import make_folder
from utils.memory import available_memory
from utils.signals import SIGNALS, Stopped

ROOT = Path(__file__).resolve().parents[2]
LOG = "cell.log"
BYTES_PER_CELL = 2 << 30  # beside the features
_SIGNALLED = {status: signum for signum in SIGNALS for status in (128 + signum, -signum)}
_GRACE_SECONDS = 1.0
_CHECKPOINT_SECONDS = 60.0  # a step in progress, and a checkpoint after it


class Runner:
    """Runs scripts until it is stopped, at the latest at the end of its `with` block.

    Args:
        num_threads: of each script.
        gpu: what --gpu said, for every script.
        folder: where the scripts are.
    """

    def __init__(self, num_threads: int, gpu: str | None = None, folder: Path = ROOT):
        self.flags = [] if gpu is None else ["--gpu", gpu]
        self.folder = folder
        self._environment = os.environ | {"OMP_NUM_THREADS": str(num_threads), "PYTHONUNBUFFERED": "1"}
        self._lock = threading.Lock()
        self._live: set[subprocess.Popen] = set()
        self._stopped: signal.Signals | None = None

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def run(self, script: str, cell: Cell, *flags: str) -> str | None:
        """None where `script` did `cell` well, else the last line that it wrote.

        All it writes is added to cell.log in the cell's log folder.

        Raises:
            KeyboardInterrupt: the runner is stopped, or a signal ended the script; nothing more starts then.
        """
        self._check()
        arguments = [script, "--config", cell.path, *self.flags, *flags, "--set", *cell.settings]
        log = make_folder(cell.log_path) / LOG
        with open(log, "ab") as file:
            file.write(f"$ python {shlex.join(arguments)}\n".encode())
            file.flush()
            start = file.tell()
            process = self._start([sys.executable, str(self.folder / script), *arguments[1:]], file)
        status = process.wait()
        with self._lock:
            self._live.discard(process)
            self._stopped = self._stopped or _SIGNALLED.get(status)
            self._check()
        return None if status == 0 else _last_line(log, start) or f"ended with status {status}"

    def stop(self) -> None:
        """Starts nothing more and ends what runs by SIGTERM, so that it can keep its work; a second interrupt kills it.

        A moment later, as the terminal's Ctrl-C reaches children too.
        """
        with self._lock:
            self._stopped = self._stopped or signal.SIGINT
            live = list(self._live)
        try:
            live = _still_running(live, _GRACE_SECONDS)
            for process in live:
                process.terminate()
            live = _still_running(live, _CHECKPOINT_SECONDS)
        finally:
            for process in live:
                process.kill()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped(self._stopped)

    def _start(self, command: Sequence[str], output) -> subprocess.Popen:
        with self._lock:  # so that stop() sees every process, or it is not started
            self._check()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       env=self._environment)
            self._live.add(process)
        return process


def run_cells(cells: Mapping[Cell, State], runner: Runner, jobs: int, say: Callable[[str], object]) -> dict[Cell, str]:
    """Trains and evaluates the cells that are not done; of those that failed, the last line of output.

    A cell made with other settings is discarded, one cut short continues. An interrupt ends the children.
    """
    pending = [cell for cell, found in cells.items() if found is not State.DONE]
    failures: dict[Cell, str] = {}
    pool = ThreadPoolExecutor(jobs)
    with tqdm(total=len(cells), initial=len(cells) - len(pending), desc="cells", disable=None) as bar:
        try:
            futures = {pool.submit(_run_cell, cell, cells[cell], runner, say): cell for cell in pending}
            for future in as_completed(futures):
                if failure := future.result():
                    failures[futures[future]] = failure
                bar.update()
                unfinished = [cell for other, cell in futures.items() if not other.done()]
                if left := total(seconds_left(cells), unfinished, jobs):
                    say(f"{len(cells) - len(unfinished)} of {len(cells)} cells are through, {left}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # before a worker is free to take the next cell
            runner.stop()
            raise
        finally:
            pool.shutdown()
    return failures


def side_by_side(cells: Collection[Cell], device: torch.device) -> int:
    """How many of `cells` train at once: one on a GPU; on a CPU one per processor, as far as there are cells and the
    memory holds their features.

    Two cells of one thread each are through sooner than one after the other on two threads.
    """
    if device.type != "cpu" or not cells:
        return 1
    need = max(4 * (config.train_num_sample or 0) * math.prod(config.item_shape)
               for config in (cell.config for cell in cells)) + BYTES_PER_CELL
    memory = available_memory()
    fitting = len(cells) if memory is None else memory // need
    return max(1, min(len(cells), available_cpus(), fitting))


def threads_per_cell(jobs: int) -> int:
    """The threads of each of `jobs` cells: its share of the CPUs."""
    return max(1, available_cpus() // jobs)


def timed(what: str, say: Callable[[str], object], action: Callable[..., str | None], *arguments: str) -> str | None:
    """The failure, or None, that `action` returns; `say` gets one line about it."""
    started = time.perf_counter()
    failure = action(*arguments)
    seconds = time.perf_counter() - started
    say(f"{what} {seconds:.1f} s" if failure is None else f"{what} failed after {seconds:.1f} s: {failure}")
    return failure


def _run_cell(cell: Cell, found: State, runner: Runner, say: Callable[[str], object]) -> str | None:
    begin = "--restart" if found is State.OTHER else "--resume"
    try:
        for config in filter(None, (cell.config, cell.transferred)):  # would speak of another run, were this cut short
            Path(config.log_path, "metrics.json").unlink(missing_ok=True)
        stages = [("train", begin), ("eval",), *([("eval", "--on", cell.other)] if cell.other else [])]
        for stage, *flags in stages:
            failure = timed(f"{cell}: {stage}", say, partial(runner.run, f"{stage}.py", cell), *flags)
            if failure is not None:
                return failure
    except (UserError, OSError) as error:
        say(f"{cell}: {error}")
        return str(error)
    done = state(cell.config, cell.transferred) is State.DONE
    return None if done else "metrics.json is not that of the finished run"


def _last_line(log: Path, start: int) -> str:
    with open(log, "rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _still_running(processes: Sequence[subprocess.Popen], seconds: float) -> list[subprocess.Popen]:
    """Those that have not ended after so long."""
    deadline = time.monotonic() + seconds
    return [process for process in processes if not _ends(process, deadline)]


def _ends(process: subprocess.Popen, deadline: float) -> bool:
    """Whether the child has ended by `deadline` (of the monotonic clock)."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True
