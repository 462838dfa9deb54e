"""C++ files compiled at their first use and called through ctypes, with a cache that survives and many processes.

The compiled libraries are kept in a per-user cache (`$VIDEO_HASHING_CACHE`, else `$XDG_CACHE_HOME/video-hashing`, else
`~/.cache/video-hashing`) under a name made of source, flags, compiler and machine. Where that cannot be written or
loaded from, a private folder serves for the life of the process.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from utils.errors import UserError
from utils.files.writing import whole_file

BUILD_SECONDS = 300


def load_library(sources: Sequence[Path], flags: Sequence[str], name: str,
                 headers: Sequence[Path] = ()) -> ctypes.CDLL | str:
    """The library that `sources` compile to, or one line that says why there is none.

    Args:
        flags: of the compiler, beside the sources and the output.
        name: of the library file, without ending.
        headers: what the sources include of ours.
    """
    compiler = find_compiler()
    if compiler is None:
        return "no C++ compiler found (tried $CXX, g++, c++, clang++); install g++ or put one on PATH"
    command = [*compiler, *flags]
    reason = ""
    for folder in _folders([*sources, *headers], compiler, command):
        try:
            return _build(sources, command, folder / f"{name}.so")
        except (OSError, UserError, subprocess.SubprocessError) as error:
            reason = str(error).strip().partition("\n")[0]
    return f"building {sources[0].name} with {compiler[0]} failed: {reason}"


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler: $CXX, g++, c++ or clang++, the first that is there; None without one."""
    for candidate in (shlex.split(os.environ.get("CXX", "")), ["g++"], ["c++"], ["clang++"]):
        if candidate and shutil.which(candidate[0]):
            return candidate
    return None


def _folders(files: Sequence[Path], compiler: list[str], command: list[str]) -> Iterator[Path]:
    """Where the library may lie: the cache, then a private folder."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    key = b"\0".join([*(path.read_bytes() for path in files), shlex.join(command).encode(), version,
                      platform.machine().encode()])
    with suppress(RuntimeError):  # a user without a home
        yield _cache_folder() / f"{files[0].stem}-{hashlib.sha256(key).hexdigest()[:16]}"
    private = tempfile.mkdtemp(prefix="video-hashing-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    yield Path(private)


def _cache_folder() -> Path:
    chosen, shared = os.environ.get("VIDEO_HASHING_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(shared) if shared else Path.home() / ".cache") / "video-hashing"


def _build(sources: Sequence[Path], command: list[str], path: Path) -> ctypes.CDLL:
    """Compiles to `path` unless it stands there (the rename makes racing builds safe) and loads it."""
    if not path.exists():
        with whole_file(path) as part:
            done = subprocess.run([*command, *map(str, sources), "-o", str(part)], capture_output=True, text=True,
                                  check=False, timeout=BUILD_SECONDS)
            if done.returncode:
                lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
                raise subprocess.SubprocessError(next((x for x in lines if "error" in x), lines[0]))
    return ctypes.CDLL(str(path))
