"""Locks between processes, held through a file and gone with the process that held them."""

import errno
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from utils.errors import UserError
from utils.files.writing import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BUSY = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
log = logging.getLogger("lock")


def lock_beside(path: str | os.PathLike, advice: str = "", wait: Callable[[str], object] | None = None) -> "Lock":
    """The `Lock` of who writes the file `path`, or what a symbolic link of this name leads to."""
    target = Path(os.path.realpath(path))
    return Lock(target.with_name(f".{target.name}.lock"), advice, wait)


class Lock:
    """The only one of its `path` among all processes, until `release` or the end of this process.

    The file at `path` says who holds it. It is removed by `release`; one that a killed process left holds nothing.
    Nothing is locked where the system has no flock (Windows) or the file system refuses it (some network shares,
    which is told in one line). On NFS the lock keeps other hosts out as well.

    Args:
        path: a file of its own for the lock; its folder is made.
        advice: ends the message to a second process.
        wait: if given, the lock is waited for, after a call with a line that names its holder.

    Raises:
        UserError: another process holds it, which the message names, or the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike, advice: str = "", wait: Callable[[str], object] | None = None):
        self.path = Path(path)
        make_folder(self.path.parent)
        self._descriptor: int | None = None
        if fcntl is not None:
            self._acquire(advice, wait)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Lets others in; once is enough."""
        if self._descriptor is None:
            return
        if self._is_ours(self._descriptor):
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def check(self) -> None:
        """Does nothing while the file is there.

        Raises:
            UserError: its folder has vanished or been replaced since (unmounted, deleted, renamed).
        """
        if self._descriptor is not None and not self._is_ours(self._descriptor):
            raise UserError(f"{self.path.parent}: this folder has vanished or been replaced since the run began, so "
                            "nothing more is written into it. Bring it back (mount it again?) and continue with "
                            "--resume.")

    def _acquire(self, advice: str, wait: Callable[[str], object] | None) -> None:
        while self._descriptor is None:
            descriptor = self._open()
            try:
                if not self._lock(descriptor, blocking=False):
                    holder = f"{self.path.parent}: in use by {self._holder()}."
                    if wait is None:
                        raise UserError(f"{holder} {advice}".rstrip())
                    wait(f"{holder} Waiting for it.")
                    self._lock(descriptor, blocking=True)
                if self._is_ours(descriptor):  # else its holder has removed the file meanwhile
                    self._descriptor = descriptor
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                log.warning("%s: this file system keeps no locks (%s); do not start a second process here",
                            self.path.parent, error.strerror)
                return
            finally:
                if self._descriptor is None:
                    os.close(descriptor)
        self._sign(self._descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"{self.path}: cannot write ({error.strerror}). Free some space or name another output "
                            "folder in the config.") from error

    def _lock(self, descriptor: int, blocking: bool) -> bool:
        """Whether it is ours now."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return True

    def _is_ours(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except OSError:
            return False

    def _sign(self, descriptor: int) -> None:
        text = f"process {os.getpid()} on {socket.gethostname()} ({shlex.join(sys.argv)})"
        with suppress(OSError):  # a full disk: nobody will learn our name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode(errors="replace"))

    def _holder(self) -> str:
        try:
            return " ".join(self.path.read_text(encoding="utf-8", errors="replace").split()) or "another process"
        except OSError:
            return "another process"
