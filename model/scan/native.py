"""The C++ kernels of this folder: compiled at their first use, loaded and called through ctypes.

The library is kept in a per-user cache (`$VIDEO_HASHING_CACHE`, else `$XDG_CACHE_HOME/video-hashing`, else
`~/.cache/video-hashing`) under a name made of its sources, flags, compiler and machine. `$VIDEO_HASHING_SCAN_ISA`
forces an instruction set: avx512, avx2 or plain.
"""

import atexit
import ctypes
import hashlib
import mmap
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from utils.errors import UserError
from utils.files import whole_file

SOURCES = tuple(Path(__file__).with_name(name) for name in ("cpu_scan.cpp", "cpu_conv.cpp"))
HEADERS = tuple(Path(__file__).with_name(name) for name in ("cpu_work.h", "cpu_pool.h", "cpu_vector.h"))
# No -ffast-math: a NaN in an input has to reach the output.
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast")
ISA_FLAGS = {
    "avx512": ("-mavx512f", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
    "plain": (),
}

HUGE_PAGE = 2 << 20
ASK_FOR_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux alone has it


class Series(ctypes.Structure):
    """A (B, L, .) tensor with unit stride in its last dimension, as the kernels see it."""

    _fields_ = [("data", ctypes.c_void_p), ("row", ctypes.c_int64), ("step", ctypes.c_int64)]


def unavailable() -> str | None:
    """None if the kernels can be used, else one line saying why not. The first call compiles (some seconds)."""
    library = _library(os.environ.get("VIDEO_HASHING_SCAN_ISA", ""))
    return library if isinstance(library, str) else None


def supports(*tensors: Tensor | None) -> bool:
    """Whether the kernels take these inputs: all that are given are dense float32 CPU tensors."""
    return all(x.device.type == "cpu" and x.dtype == torch.float32 and x.layout == torch.strided
               for x in tensors if x is not None)


def call(name: str, *structures: ctypes.Structure) -> None:
    """Runs a kernel.

    Raises:
        RuntimeError: the kernels cannot be used; `unavailable()` says why.
        MemoryError: there is none for the kernel's scratch.
    """
    library = _library(os.environ.get("VIDEO_HASHING_SCAN_ISA", ""))
    if isinstance(library, str):
        raise RuntimeError(f"the C++ kernels cannot be used: {library}")
    if getattr(library, name)(*(ctypes.byref(x) for x in structures)):
        raise MemoryError(f"{name}: not enough memory for its scratch")


def address(x: Tensor | None) -> int | None:
    """Where a contiguous tensor lies; None if there is none."""
    return None if x is None else x.data_ptr()


def series(x: Tensor | None) -> Series:
    """The `Series` of a tensor; an absent one if there is none."""
    return Series() if x is None else Series(x.data_ptr(), x.stride(0), x.stride(1))


def unit_stride(x: Tensor) -> Tensor:
    """The same tensor with unit stride in its last dimension."""
    return x if x.stride(-1) == 1 else x.contiguous()


def empty_like(x: Tensor) -> Tensor:
    """A new contiguous tensor, a large one on huge pages where the system gives them when asked.

    On small ones the first touch of the outputs is a large part of the time of a scan and its gradient.
    """
    size = x.numel() * x.element_size()
    pages = round(size / HUGE_PAGE)
    if not pages or ASK_FOR_HUGE_PAGES is None:
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    memory = torch.empty(HUGE_PAGE + max(size, pages * HUGE_PAGE), dtype=torch.uint8, device=x.device)
    start = -memory.data_ptr() % HUGE_PAGE
    ctypes.CDLL(None).madvise(ctypes.c_void_p(memory.data_ptr() + start), ctypes.c_size_t(pages * HUGE_PAGE),
                              ASK_FOR_HUGE_PAGES)
    return memory[start:start + size].view(x.dtype).view(x.shape).detach()


_building = Lock()


def _library(forced_isa: str) -> ctypes.CDLL | str:
    with _building:
        return _load(forced_isa)


@cache
def _load(forced_isa: str) -> ctypes.CDLL | str:
    """The library for `forced_isa` (empty: the best this CPU has), or one line saying why there is none."""
    best = {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "plain")
    isa = forced_isa or best
    usable = list(ISA_FLAGS)[list(ISA_FLAGS).index(best):]
    if isa not in usable:
        return f"VIDEO_HASHING_SCAN_ISA={isa}: this CPU has {', '.join(usable)}"
    compiler = _compiler()
    if compiler is None:
        return "no C++ compiler found (tried $CXX, g++, c++, clang++); install g++ or put one on PATH"
    command = [*compiler, *FLAGS, *ISA_FLAGS[isa]]
    reason = ""
    for folder in _folders(compiler, command):
        try:
            return _build(command, folder / f"cpu_scan_{isa}.so")
        except (OSError, UserError, subprocess.SubprocessError) as error:
            reason = str(error).strip().partition("\n")[0]
    return f"building {SOURCES[0].name} with {compiler[0]} failed: {reason}"


def _compiler() -> list[str] | None:
    for candidate in (shlex.split(os.environ.get("CXX", "")), ["g++"], ["c++"], ["clang++"]):
        if candidate and shutil.which(candidate[0]):
            return candidate
    return None


def _folders(compiler: list[str], command: list[str]) -> Iterator[Path]:
    """Where the library may lie: the cache; a private folder if that cannot be written or loaded from."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    key = b"\0".join([*(path.read_bytes() for path in SOURCES + HEADERS), " ".join(command).encode(), version,
                      platform.machine().encode()])
    with suppress(RuntimeError):  # a user without a home
        yield _cache_folder() / f"scan-{hashlib.sha256(key).hexdigest()[:16]}"
    private = tempfile.mkdtemp(prefix="video-hashing-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    yield Path(private)


def _cache_folder() -> Path:
    chosen, shared = os.environ.get("VIDEO_HASHING_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen)
    return (Path(shared) if shared else Path.home() / ".cache") / "video-hashing"


def _build(command: list[str], path: Path) -> ctypes.CDLL:
    """Compiles to `path` unless it stands there (the rename makes racing builds safe) and loads it."""
    if not path.exists():
        with whole_file(path) as part:
            done = subprocess.run([*command, *map(str, SOURCES), "-o", str(part)], capture_output=True, text=True,
                                  check=False, timeout=300)
            if done.returncode:
                lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
                raise subprocess.SubprocessError(next((x for x in lines if "error" in x), lines[0]))
    library = ctypes.CDLL(str(path))
    for name in ("scan_forward", "scan_backward", "conv_forward", "conv_backward"):
        getattr(library, name).restype = ctypes.c_int
    return library
