"""C++ files compiled at their first use and called through ctypes, with a cache that survives and many processes.

The compiled libraries are kept in the user's cache (`utils.files.cache`), in a folder named after source, flags,
compiler and machine, each under a name that holds the SHA-256 of its content: what is loaded is a regular file of this
user's own, in a folder closed to others, as it was compiled. What is not is made again. Where the cache cannot be
written or loaded from, or others own it, a private folder serves for the life of the process.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from utils.errors import UserError
from utils.files.cache import is_ours, private_folder

BUILD_SECONDS = 300
_VERSION_SECONDS = 30


def load_library(sources: Sequence[Path], flags: Sequence[str], name: str,
                 headers: Sequence[Path] = ()) -> ctypes.CDLL | str:
    """The library that `sources` compile to, or one line that says why there is none.

    Args:
        flags: of the compiler, beside the sources and the output.
        name: of the library file, without ending.
        headers: what the sources include of ours.
    """
    try:
        compiler = find_compiler()
    except UserError as error:
        return str(error)
    if compiler is None:
        return "no C++ compiler found (tried $CXX, g++, c++, clang++); install g++ or put one on PATH"
    command, reason = [*compiler, *flags], ""
    try:
        for folder in _folders([*sources, *headers], compiler, command):
            try:
                return _load(folder, name) or _build(sources, command, folder, name)
            except (OSError, subprocess.SubprocessError) as error:
                reason = str(error)
    except (OSError, subprocess.SubprocessError) as error:  # the compiler does not even tell its version
        reason = str(error)
    return f"building {sources[0].name} with {compiler[0]} failed: {reason.strip().partition(chr(10))[0]}"


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler: $CXX, g++, c++ or clang++, the first that is there; None without one.

    Raises:
        UserError: $CXX is no command line.
    """
    given = os.environ.get("CXX", "")
    try:
        chosen = shlex.split(given)
    except ValueError as error:
        raise UserError(f"CXX={given}: no command line ({error}). Correct or unset it.") from error
    for candidate in (chosen, ["g++"], ["c++"], ["clang++"]):
        if candidate and shutil.which(candidate[0]):
            return candidate
    return None


def _folders(files: Sequence[Path], compiler: list[str], command: list[str]) -> Iterator[Path]:
    """Where the library may lie: the cache, then a private folder."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False,
                             timeout=_VERSION_SECONDS).stdout
    key = b"\0".join([*(path.read_bytes() for path in files), shlex.join(command).encode(), version,
                      platform.machine().encode()])
    kept = private_folder(f"{files[0].stem}-{hashlib.sha256(key).hexdigest()[:16]}")
    if kept is not None:
        yield kept
    private = tempfile.mkdtemp(prefix="video-hashing-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    yield Path(private)


def _load(folder: Path, name: str) -> ctypes.CDLL | None:
    """The library `name` of `folder`, or None without a sound one; others are removed."""
    for path in sorted(folder.glob(f"{name}.*.so")):
        if _digest_of(path) == path.name.split(".")[-2]:
            return ctypes.CDLL(str(path))
        path.unlink()
    return None


def _digest_of(path: Path) -> str:
    """The SHA-256 of a regular file of this user's own; "" for anything else, which is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return ""
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        sound = stat.S_ISREG(status.st_mode) and is_ours(status)
        return hashlib.file_digest(file, "sha256").hexdigest() if sound else ""


def _build(sources: Sequence[Path], command: list[str], folder: Path, name: str) -> ctypes.CDLL:
    """Compiles to a file of `folder`, under its name only when it is complete, and loads it."""
    _remove_old_parts(folder)
    handle, part = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=folder)
    os.close(handle)
    try:
        done = subprocess.run([*command, *map(str, sources), "-o", part], capture_output=True, text=True, check=False,
                              timeout=BUILD_SECONDS)
        if done.returncode:
            lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
            raise subprocess.SubprocessError(next((x for x in lines if "error" in x), lines[0]))
        os.chmod(part, 0o700)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, folder / f"{name}.{_digest_of(Path(part))}.so")
    finally:
        Path(part).unlink(missing_ok=True)
    library = _load(folder, name)
    if library is None:
        raise OSError(f"{folder}: the library written there is not the one read back")
    return library


def _remove_old_parts(folder: Path) -> None:
    """What killed builds have left."""
    for part in folder.glob("*.part"):
        with suppress(OSError):
            if part.stat().st_mtime < time.time() - 2 * BUILD_SECONDS:
                part.unlink()
