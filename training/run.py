"""A run's folders: the log, the metrics of every epoch, the resolved config, the checkpoints.

`last.pth` holds the method's whole state, that of the optimiser, and the epoch. No generator's state is needed between
epochs, as every draw is a function of (seed, epoch, video). A run is not overwritten without --restart, and not
continued under other settings than those that are free to change (`Key.free`), but for more epochs. docs/faults.md
says, row by row with its test, what becomes of a run that is stopped, killed or disturbed.
"""

import csv
import io
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch

from training.checkpoints import (
    BEST,
    LAST,
    MODEL,
    PREVIOUS,
    check_resumable,
    read_checkpoint,
    write_checkpoint,
)
from training.distributed import from_rank_zero, rank
from training.logs import LogFile
from training.trackers import Tracker, open_tracker
from utils.config.schema import schema_of
from utils.errors import UserError
from utils.files.lock import Lock
from utils.files.writing import make_folder, remove_parts, write_text
from utils.registry import chosen_names

log = logging.getLogger("run")

# With eval.py's, which would speak of another run.
_LOGS = ("metrics.jsonl", "metrics.csv", "log.txt", "metrics.json", "map.txt", "report.html")
_WRITTEN_HERE = ("metrics.jsonl", "metrics.csv", "config.py")  # of the log folder, and not by eval.py
_IN_USE = "Wait until it is done or end it, or set run_name to begin another run."


class Run:
    """The folders of one training run, opened fresh or to continue, and locked until `close`; use it as a context.

    Args:
        config: the resolved configuration.
        resume: continue from the last checkpoint if there is one.
        restart: discard a run that is there already.

    Raises:
        UserError: the folders hold a run and neither flag is set, that run was made with other settings, or another
            process is at work in them.
    """

    def __init__(self, config, *, resume: bool = False, restart: bool = False):
        self.config = config
        self.checkpoints = make_folder(config.file_path)
        self.logs = make_folder(config.log_path)
        with ExitStack() as held:
            folders = {os.path.realpath(path): path for path in (self.checkpoints, self.logs)}
            self._locks = [held.enter_context(Lock(path / ".lock", _IN_USE)) for path in folders.values()]
            self._open(resume, restart)
            self._held = held.pop_all()
        self._tracker: Tracker | None = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def first_epoch(self) -> int:
        """The epoch to begin with: 0, or the one after the last that the checkpoint has whole."""
        return self.state["epoch"] + 1 if self.state else 0

    def unfinished(self, epoch: int) -> dict | None:
        """What the checkpoint has of `epoch`, where it was written within that."""
        return self.state.get("unfinished") if self.state and epoch == self.first_epoch else None

    def begin(self) -> None:
        """Opens log.txt, writes config.py, says where the run goes and what it runs on; tells the tracker of it."""
        handler = LogFile(self.logs / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logging.getLogger().addHandler(handler)
        self._held.callback(handler.close)
        self._held.callback(logging.getLogger().removeHandler, handler)
        self.config.dump(self.logs / "config.py")
        log.info("logs %s, checkpoints %s; python %s, torch %s, %d threads", self.logs, self.checkpoints,
                 platform.python_version(), torch.__version__, torch.get_num_threads())
        if self.state:
            within = self.state.get("unfinished")
            log.info("resuming after epoch %d of %d%s", self.first_epoch, self.config.num_epochs,
                     f" and {within['steps']} steps of the next" if within else "")
            if planned := self._noted.get("extended_from"):
                log.info("extended from %d epochs: the learning rate follows the longer schedule from here on, so that "
                         "the result is not that of a run begun with %d", planned[-1], self.config.num_epochs)
        finished = self.state is not None and self.state.get("finished")
        self._tracker = None if finished else open_tracker(self.config, self.logs, self._rows)
        if self._tracker:
            self._held.callback(self._tracker.close)

    def record(self, row: dict[str, float]) -> None:
        """Adds one epoch's metrics to metrics.jsonl, metrics.csv and what the key `tracker` names."""
        self._rows.append(row)
        write_text(self.logs / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self._rows))
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.logs / "metrics.csv", table.getvalue())
        if self._tracker:
            self._tracker.record(row)

    def save(self, content: dict, name: str = LAST) -> None:
        """Writes last.pth (everything that a resume needs), best.pth or model.pth (the model alone).

        The last.pth before it is kept as previous.pth.

        Raises:
            UserError: the weights hold NaN or Inf, nothing can be written, or the folder is not what it was.
        """
        for lock in self._locks:
            lock.check()
        write_checkpoint(self.checkpoints / name, content | self._noted,
                         previous=self.checkpoints / PREVIOUS if name == LAST else None)

    def written(self) -> list[Path]:
        """The files of the run that are there."""
        files = [*(self.checkpoints / name for name in (LAST, BEST, MODEL)), self.logs / "log.txt",
                 *(self.logs / name for name in _WRITTEN_HERE)]
        return [path for path in files if path.exists()]

    def close(self) -> None:
        """Ends the log and lets other processes into the folders."""
        self._held.close()

    def _open(self, resume: bool, restart: bool) -> None:
        last = self.checkpoints / LAST
        if last.exists() and not resume and not restart:
            raise UserError(f"{last}: this run exists already. Add --resume to continue it (with a higher num_epochs "
                            "to extend it), --restart to discard "
                            "it, or set run_name to begin another.")
        files = [last, *(self.checkpoints / name for name in (BEST, MODEL, PREVIOUS))]
        for path in (*files, *(self.logs / name for name in _WRITTEN_HERE)):
            remove_parts(path)
        if restart:
            for path in (*files, *(self.logs / name for name in _LOGS), *self.logs.glob("events.out.tfevents.*")):
                path.unlink(missing_ok=True)
        self.state = self._read_last(last) if last.exists() else None
        self._extend()
        self._check_settings(last)
        self._rows = self._read_rows()

    def _read_last(self, last: Path) -> dict:
        try:
            return read_checkpoint(last)
        except UserError as error:
            previous = self.checkpoints / PREVIOUS
            try:
                epoch = read_checkpoint(previous)["epoch"] + 1
            except (UserError, KeyError):
                raise error from None
            raise UserError(f"{error} The checkpoint before it, {previous}, is sound (after epoch {epoch}): move it to "
                            f"{last} and resume again, to the same result.") from error

    def _read_rows(self) -> list[dict]:
        """The recorded epochs up to the checkpoint; rows past it will be made again."""
        rows = read_metrics(self.logs) if self.state else []
        return [row for row in rows if row["epoch"] <= self.first_epoch]

    def _extend(self) -> None:
        """Takes more epochs than the run was begun for as its continuation, which every later checkpoint says."""
        state = self.state or {}
        self._noted = {"extended_from": state["extended_from"]} if state.get("extended_from") else {}
        settings = state.get("config")
        planned = settings.get("num_epochs") if isinstance(settings, dict) else None
        if isinstance(settings, dict) and isinstance(planned, int) and self.config.num_epochs > planned:
            self._noted = {"extended_from": [*(state.get("extended_from") or ()), planned]}
            state |= {"config": settings | {"num_epochs": self.config.num_epochs}, "finished": False}

    def _check_settings(self, path: Path) -> None:
        if not self.state:
            return
        check_resumable(self.state, path)
        if text := changed_settings(self.state["config"], self.config):
            raise UserError(f"{path}: this run was made with other settings ({text}). Resume with its own "
                            "settings, or set run_name to begin another run.")


class ReadOnlyRun(Run):
    """The run as every process but the first has it: the state to begin from; its folders are left alone."""

    def __init__(self, config, state: dict | None):
        self.config, self.state = config, state
        self.checkpoints, self.logs = Path(config.file_path), Path(config.log_path)  # for messages

    def begin(self) -> None:
        pass

    def record(self, row: dict[str, float]) -> None:
        pass

    def save(self, content: dict, name: str = LAST) -> None:
        pass

    def close(self) -> None:
        pass


def open_run(config, *, resume: bool = False, restart: bool = False) -> Run:
    """The `Run` of the first process; the others' `ReadOnlyRun` with the checkpoint that the first has read."""
    run = Run(config, resume=resume, restart=restart) if rank() == 0 else None
    state = from_rank_zero(lambda: run.state if run else None)
    return run or ReadOnlyRun(config, state)


def read_metrics(folder: str | os.PathLike) -> list[dict]:
    """The rows of the metrics.jsonl that a run left in `folder`, one per epoch; none where there is no such file.

    Raises:
        UserError: a line of it is no such row.
    """
    return read_rows(Path(folder) / "metrics.jsonl")


def read_rows(path: Path) -> list[dict]:
    """The rows in the file `path`, as `read_metrics`."""
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or type(row.get("epoch")) is not int or not all(
                isinstance(value, int | float) for value in row.values()):
            raise UserError(f"{path}: line {number} is damaged. Restore the file, or delete it: the curves then lack "
                            "the epochs before.")
        rows.append(row)
    return rows


def changed_settings(before: Mapping[str, object], config) -> str:
    """Up to four settings in which a run made under `before` cannot be continued under `config`; "" if none."""
    schema = schema_of(config)
    changed = [(name, then, now) for name, then, now in differing_settings(before, config) if not schema[name].free]
    return ", ".join(f"{name} {then!r} -> {now!r}" for name, then, now in changed[:4])


def differing_settings(before: Mapping[str, object], config) -> list[tuple[str, object, object]]:
    """(name, then, now) of every key of `config` whose value is not as in `before`.

    A key that `before` lacks, since it is of an older version, counts as what that did: its default, or `Key.earlier`.
    """
    now, schema = plain_settings(config), schema_of(config)
    then = {name: before.get(name, schema[name].default if schema[name].earlier is None else schema[name].earlier)
            for name in now}
    then["method"], then["mixer"] = chosen_names(before.get)
    if "item_shape" not in before:
        then["item_shape"] = [before.get("max_frames"), before.get("feature_size")]
    return [(name, then[name], now[name]) for name in now if now[name] != then[name]]


def plain_settings(config) -> dict:
    """The config as a dict of plain values, fit for a checkpoint."""
    return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in config.items()}


def peak_memory() -> float:
    """The most resident memory this process has had so far, in MiB; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    units_per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mib

