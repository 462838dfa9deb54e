"""Files that appear whole or not at all, and scratch files that never appear."""

import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path

import numpy as np

from utils.errors import UserError

SCRATCH_IN_MEMORY = 1 << 28


def make_folder(path: str | os.PathLike) -> Path:
    """`path` as a folder that exists.

    Raises:
        UserError: it cannot be made (a file stands in the way, no permission).
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot make this folder ({error.strerror}). "
                        "Name another output folder in the config.") from error
    return folder


@contextmanager
def whole_file(path: str | os.PathLike, like: str | os.PathLike | None = None) -> Iterator[Path]:
    """A temporary path beside `path`; on a clean exit it is synced to disk and renamed to `path`.

    If the block or the sync fails the temporary file is removed and `path` stays as it was. Where `path` is a symbolic
    link, the file that it leads to is replaced. Owner and permissions are those of the file `like`, where it is named,
    else of the file that is replaced, if there is one.

    Raises:
        UserError: the operating system refused to write (disk full, read-only folder), or `path` is no file.
    """
    target = _followed(path)
    make_folder(target.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror}). Free some space or name another "
                        "output folder in the config.") from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        _take_access(part, target if like is None else Path(like))
        os.replace(part, target)
        _sync_folder(target.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)) and _is_write_failure(error):
            raise UserError(f"{path}: cannot write ({error}). Free some space or name another output "
                            "folder in the config; nothing was changed.") from error
        raise


def remove_parts(path: str | os.PathLike) -> None:
    """Removes what killed writers of `path` left beside it; only for who knows that nobody is writing it."""
    target = Path(os.path.realpath(path))
    for part in target.parent.glob(f".{escape(target.name)}.*.part"):
        part.unlink(missing_ok=True)


def keep_as(path: str | os.PathLike, second: str | os.PathLike) -> None:
    """Gives the file at `path`, if there is one, a second name, whatever had that before; both hold at every moment.

    A copy where the file system has no hard links.

    Raises:
        UserError: the operating system refused to write.
    """
    source, target = Path(path), Path(second)
    if not source.exists() or (target.exists() and source.samefile(target)):  # renaming would leave the part there
        return
    with whole_file(target, like=source) as part:
        part.unlink()
        try:
            os.link(os.path.realpath(source), part)  # a link to a link would change with what it leads to
        except OSError:
            shutil.copyfile(source, part)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` (UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def scratch_array(shape: tuple[int, ...], folder: str | os.PathLike) -> Iterator[np.ndarray]:
    """A float64 array to fill, in memory while it is small, else in a nameless file in `folder` that ends with it.

    Raises:
        UserError: there is no room for the file.
    """
    size = math.prod(shape) * 8
    if size <= SCRATCH_IN_MEMORY:
        yield np.empty(shape)
        return
    place = make_folder(folder)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=place))
            _reserve(file.fileno(), size)
        except OSError as error:
            raise UserError(f"{place}: cannot keep {size / 2**30:.1f} GiB of intermediate results here "
                            f"({error.strerror}). Free some space or set artefact_root to another folder.") from error
        yield np.memmap(file, np.float64, "r+", shape=shape)


def _reserve(descriptor: int, size: int) -> None:
    """Makes a file that long, its room taken where the system can: a mapped file that finds the disk full kills us."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def _is_write_failure(error: BaseException) -> bool:
    """Libraries wrap ENOSPC in errors of their own; torch and HDF5 raise RuntimeError for it."""
    if isinstance(error, OSError):
        return True
    text = str(error).lower()
    return any(word in text for word in ("no space", "write failed", "unable to write", "file write",
                                         "unexpected pos", "errno = 28"))


def _followed(path: str | os.PathLike) -> Path:
    """The file that `path` leads to, there or not. Raises UserError where it is something else: a folder, a device."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise UserError(f"{path}: cannot write (not a file, and so not to be replaced). Name another output.")
    return target


def _take_access(part: Path, like: Path) -> None:
    """Gives `part` the owner, where that is allowed, and permissions of `like`, or those of a new file without it."""
    try:
        status = os.stat(like)
    except FileNotFoundError:
        os.chmod(part, 0o666 & ~_umask())
        return
    if os.name == "posix" and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        with suppress(OSError):  # only root may give files away
            os.chown(part, status.st_uid, status.st_gid)
    os.chmod(part, stat.S_IMODE(status.st_mode))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
