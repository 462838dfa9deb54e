"""SIGINT, SIGTERM and SIGHUP as exceptions: raised at once, or noted until the work done so far is kept."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """Signal `signum` ends the program, as Ctrl-C does."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def end_in_one_line() -> None:
    """From here on each of the signals ends the program with one line and the status that it has in `run_script`.

    For a script's first statement, as the imports take seconds, in which Ctrl-C would show a traceback and SIGTERM say
    nothing. Does nothing where another program runs the script, as the tests do.
    """
    if sys.orig_argv[-len(sys.argv):] != sys.argv:
        return
    for signum in SIGNALS:
        if signal.getsignal(signum) not in (signal.SIG_IGN, None):
            signal.signal(signum, _end)


def line_of(signum: int) -> str:
    """What a program says that a signal has ended."""
    return "interrupted" if signum == signal.SIGINT else f"ended by {signal.Signals(signum).name}"


def _end(signum: int, frame: FrameType | None) -> None:
    with suppress(OSError):  # a closed terminal
        os.write(2, f"{line_of(signum)}\n".encode())
    os._exit(128 + signum)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """A block in which each of the signals raises `Stopped`."""
    def stop(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    with _handled_by(stop):
        yield


class StopRequest:
    """A block in which the first signal is only noted, for `found`; a second Ctrl-C raises `Stopped` at once.

    Any other second signal changes nothing: it is what a parent passes on (torchrun, reproduce.py) of a signal that its
    whole group has had, or a job's manager sends after the terminal's Ctrl-C.

    Args:
        agree: gives several processes one number from that of each, 0 where none has had a signal; one alone takes
            its own.
    """

    def __init__(self, agree: Callable[[int], int] = int) -> None:
        self._agree = agree
        self._signum = 0
        self._agreed = 0
        self._at_once = False
        self._handlers = ExitStack()

    def __enter__(self) -> "StopRequest":
        self._handlers.enter_context(_handled_by(self._note))
        return self

    def __exit__(self, *exception: object) -> None:
        self._handlers.close()

    def found(self) -> bool:
        """Whether a signal has come, to any of the processes, which all ask together."""
        self._agreed = self._agree(self._signum)
        return self._agreed != 0

    def check(self) -> None:
        """Raises `Stopped` if `found` has said yes, so in all processes or in none."""
        if self._agreed:
            raise Stopped(self._agreed)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A block in which the first signal of this process, or one that has come before, raises too."""
        try:
            self._at_once = True
            if self._signum:
                raise Stopped(self._signum)
            yield
        finally:
            self._at_once = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        again = signum == self._signum == signal.SIGINT
        self._signum = self._signum or signum
        if again or self._at_once:
            raise Stopped(signum)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Sets `handler` for the signals that are not ignored (nohup ignores SIGHUP); threads but the main one cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    ours = [signum for signum in SIGNALS if before[signum] not in (signal.SIG_IGN, None)]
    try:
        for signum in ours:
            signal.signal(signum, handler)
        yield
    finally:
        for signum in ours:
            signal.signal(signum, before[signum])
