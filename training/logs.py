"""Where the lines of a log go: a run's file, and the console."""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress

from utils.errors import UserError

WIDTH = 120


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    units = (90, 1, "s", 0), (5400, 60, "min", 0), (float("inf"), 3600, "h", 1)
    return next(f"{seconds / size:.{digits}f} {unit}" for limit, size, unit, digits in units if seconds < limit)


def epoch_line(row: Mapping[str, float], num_epochs: int, seconds_left: float | None = None) -> str:
    """What the log says of an epoch, in at most `WIDTH` characters; metrics.csv has the rest of `row`.

    Args:
        row: as `training.run.Run.record` takes it. seconds_left: of the whole run.
    """
    metrics = {name: value for name, value in row.items() if name.startswith(("mAP@", "GmAP"))}
    losses = {name.removeprefix("loss/"): value for name, value in row.items() if name.startswith("loss/")}
    first = {name: values[name] for values in (losses, metrics) for name in list(values)[:1]}
    line = f"epoch {row['epoch']}/{num_epochs}" + (f", {duration(seconds_left)} left:" if seconds_left else "")
    for name, value in (first | losses | {"lr": row.get("lr"), "seconds": row.get("seconds")} | metrics).items():
        word = f" {name} {value:.4g}" if value is not None else ""
        line += word if len(line) + len(word) <= WIDTH else ""
    return line


class LogFile(logging.FileHandler):
    """A log whose failure to write is the user's to know, once, and not a traceback for every line."""

    def close(self) -> None:
        with suppress(OSError):  # of lines that were told to be lost already
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        raise UserError(f"{self.baseFilename}: cannot write ({error.strerror}). Mend that (free some space?) and "
                        "continue with --resume.") from error


class _Console(logging.StreamHandler):
    """Lines whose reader has gone (`| head`) end the program as any other output does, instead of a traceback each."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, BrokenPipeError):
            super().handleError(record)
            return
        raise error


def log_to_console() -> None:
    """Sends the log's lines to standard output as well."""
    handler = _Console(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
