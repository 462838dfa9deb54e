"""Where the lines of a log go: a run's file, and the console."""

import logging
import sys
from contextlib import suppress

from utils.errors import UserError


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
