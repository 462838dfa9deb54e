"""The C++ kernels of this folder: compiled at their first use, loaded and called through ctypes.

The library is kept in the user's cache, see `utils.native`. `$VIDEO_HASHING_SCAN_ISA` forces an instruction set:
avx512, avx2 or plain.
"""

import ctypes
import mmap
import os
from functools import cache
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from utils.native import load_library

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
    """A (B, L, .) tensor, float32 or bfloat16, with unit stride in its last dimension, as the kernels see it."""

    _fields_ = [("data", ctypes.c_void_p), ("row", ctypes.c_int64), ("step", ctypes.c_int64)]


def unavailable() -> str | None:
    """None if the kernels can be used, else one line saying why not. The first call compiles (some seconds)."""
    library = _library(torch.float32)
    return library if isinstance(library, str) else None


def supports(frames: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels take these inputs: dense CPU tensors, float32, the first one bfloat16 if it likes."""
    return frames.dtype in (torch.float32, torch.bfloat16) and all(
        x.device.type == "cpu" and x.layout == torch.strided and (x is frames or x.dtype == torch.float32)
        for x in (frames, *others) if x is not None)


def call(name: str, dtype: torch.dtype, *structures: ctypes.Structure) -> None:
    """Runs a kernel of the library whose tensors over frames are `dtype`, float32 or bfloat16.

    Raises:
        RuntimeError: the kernels cannot be used; `unavailable()` says why.
        MemoryError: there is none for the kernel's scratch.
    """
    library = _library(dtype)
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
_HOME_PROCESS = os.getpid()  # where torch was loaded; see cpu_pool.h


def _library(dtype: torch.dtype) -> ctypes.CDLL | str:
    with _building:
        return _load(os.environ.get("VIDEO_HASHING_SCAN_ISA", ""), dtype)


@cache
def _load(forced_isa: str, dtype: torch.dtype) -> ctypes.CDLL | str:
    """The library for `forced_isa` (empty: the best this CPU has), or one line saying why there is none."""
    best = {"AVX512": "avx512", "AVX2": "avx2"}.get(torch.backends.cpu.get_cpu_capability(), "plain")
    isa = forced_isa or best
    usable = list(ISA_FLAGS)[list(ISA_FLAGS).index(best):]
    if isa not in usable:
        return f"VIDEO_HASHING_SCAN_ISA={isa}: this CPU has {', '.join(usable)}"
    half, suffix = (("-DHALF",), "_half") if dtype == torch.bfloat16 else ((), "")
    library = load_library(SOURCES, (*FLAGS, *ISA_FLAGS[isa], *half), f"cpu_scan_{isa}{suffix}", HEADERS)
    if isinstance(library, ctypes.CDLL):
        ctypes.c_int64.in_dll(library, "home_process").value = _HOME_PROCESS
    return library
