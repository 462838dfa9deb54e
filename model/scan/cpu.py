"""The selective scan on CPUs: `cpu_scan.cpp`, compiled at its first use and called through ctypes.

B batch, L steps, D channels, N states. Inputs are float32 on the CPU; the compiled library is kept in a
per-user cache (`$VIDEO_HASHING_CACHE`, else `$XDG_CACHE_HOME/video-hashing`, else `~/.cache/video-hashing`)
under a name made of its source, flags, compiler and machine. `$VIDEO_HASHING_SCAN_ISA` forces an instruction
set: avx512, avx2 or plain.
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
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from utils.errors import UserError
from utils.files import whole_file

SOURCE = Path(__file__).with_name("cpu_scan.cpp")
# No -ffast-math: a NaN in an input has to reach the output.
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast")
ISA_FLAGS = {
    "avx512": ("-mavx512f", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
    "plain": (),
}


def unavailable() -> str | None:
    """None if the engine can be used, else one line saying why not. The first call compiles (about 2 s)."""
    library = _library(os.environ.get("VIDEO_HASHING_SCAN_ISA", ""))
    return library if isinstance(library, str) else None


def supports(*tensors: Tensor | None) -> bool:
    """Whether the engine takes these inputs: all that are given are dense float32 CPU tensors."""
    return all(x.device.type == "cpu" and x.dtype == torch.float32 and x.layout == torch.strided
               for x in tensors if x is not None)


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, Bm: Tensor, C: Tensor, D_skip: Tensor | None = None,
                   z: Tensor | None = None, delta_bias: Tensor | None = None,
                   delta_softplus: bool = True) -> Tensor:
    """y (B, L, D), float32, of the selective scan (Gu & Dao 2023, arXiv 2312.00752), differentiable once.

    dt = softplus(delta + delta_bias); h_t = exp(dt_t A) h_(t-1) + dt_t B_t u_t from h = 0;
    y_t = (sum_n C_t[n] h_t[:, n] + D_skip u_t) * SiLU(z_t). Uses up to `torch.get_num_threads()` threads;
    their number changes no bit of the outputs or gradients. A NaN in an input reaches the output.

    Args:
        u, delta, z: (B, L, D); z may be None. Strides of the first two dimensions are free.
        A: (D, N), negative. Bm, C: (B, L, N). D_skip, delta_bias: (D) or None.
        delta_softplus: without it dt = delta + delta_bias.

    Raises:
        ValueError: shapes that do not fit together, or tensors that are not float32 on the CPU.
        RuntimeError: the engine cannot be used; `unavailable()` says why.
    """
    _check(u, delta, A, Bm, C, D_skip, z, delta_bias)
    return CpuScan.apply(u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus)


class CpuScan(torch.autograd.Function):
    """The scan and its gradient; backward recomputes the states, so only the inputs are kept."""

    @staticmethod
    def forward(ctx, u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus):
        inputs = _ready(u, delta, A, Bm, C, D_skip, z, delta_bias)
        y = _empty_like(u)
        if y.numel():
            scan = _scan(*inputs, delta_softplus)
            scan.y = _series(y)
            _run("scan_forward", scan)
        ctx.save_for_backward(*inputs)
        ctx.delta_softplus = delta_softplus
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        inputs = ctx.saved_tensors
        u, delta, A, Bm, C, D_skip, z, delta_bias = inputs
        dy = _unit_stride(dy)
        du, ddelta, dA, dB, dC = (_empty_like(x) for x in (u, delta, A, Bm, C))
        dz = None if z is None else _empty_like(z)
        dskip, dbias = _empty_like(A[:, 0]), _empty_like(A[:, 0])
        if u.numel() and A.numel():
            scan = _scan(*inputs, ctx.delta_softplus)
            _run("scan_backward", scan, _Gradient(*map(_series, (dy, du, ddelta, dz, dB, dC)),
                                                  *map(_address, (dA, dskip, dbias))))
        else:
            for x in (dA, dB, dC, dskip, dbias):
                x.zero_()
        return (du, ddelta, dA, dB, dC, None if D_skip is None else dskip, dz,
                None if delta_bias is None else dbias, None)


def _check(u, delta, A, Bm, C, D_skip, z, delta_bias) -> None:
    if u.dim() != 3 or A.dim() != 2:
        raise ValueError(f"selective_scan: u is {tuple(u.shape)} and A {tuple(A.shape)}; "
                         "expected (B, L, D) and (D, N)")
    wanted = {"delta": (delta, u.shape), "z": (z, u.shape), "A": (A, (u.shape[2], A.shape[1])),
              "Bm": (Bm, (*u.shape[:2], A.shape[1])), "C": (C, (*u.shape[:2], A.shape[1])),
              "D_skip": (D_skip, u.shape[2:]), "delta_bias": (delta_bias, u.shape[2:])}
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tensor.shape != torch.Size(shape):
            raise ValueError(f"selective_scan: {name} is {tuple(tensor.shape)}; expected {tuple(shape)} "
                             f"beside u {tuple(u.shape)} and A {tuple(A.shape)}")
    if not A.shape[1]:
        raise ValueError("selective_scan: A has no states; expected (D, N) with N at least 1")
    if not supports(u, delta, A, Bm, C, D_skip, z, delta_bias):
        raise ValueError("selective_scan: this engine takes float32 tensors on the CPU only")


def _empty_like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _unit_stride(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _ready(u, delta, A, Bm, C, D_skip, z, delta_bias) -> tuple[Tensor | None, ...]:
    """The same tensors with unit stride in the last dimension; parameters contiguous."""
    u, delta, Bm, C, z = (None if x is None else _unit_stride(x) for x in (u, delta, Bm, C, z))
    A, D_skip, delta_bias = (None if x is None else x.contiguous() for x in (A, D_skip, delta_bias))
    return u, delta, A, Bm, C, D_skip, z, delta_bias


class _Series(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("row", ctypes.c_int64), ("step", ctypes.c_int64)]


class _Scan(ctypes.Structure):
    _fields_ = [*((name, _Series) for name in ("u", "delta", "z", "B", "C", "y")),
                *((name, ctypes.c_void_p) for name in ("A", "skip", "bias")),
                *((name, ctypes.c_int64) for name in ("rows", "length", "channels", "states", "softplus",
                                                      "threads"))]


class _Gradient(ctypes.Structure):
    _fields_ = [*((name, _Series) for name in ("dy", "du", "ddelta", "dz", "dB", "dC")),
                *((name, ctypes.c_void_p) for name in ("dA", "dskip", "dbias"))]


def _address(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _series(x: Tensor | None) -> _Series:
    return _Series() if x is None else _Series(x.data_ptr(), x.stride(0), x.stride(1))


def _scan(u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus) -> _Scan:
    return _Scan(*map(_series, (u, delta, z, Bm, C, None)), *map(_address, (A, D_skip, delta_bias)),
                 *u.shape, A.shape[1], bool(delta_softplus), torch.get_num_threads())


def _run(name: str, *structures: ctypes.Structure) -> None:
    library = _library(os.environ.get("VIDEO_HASHING_SCAN_ISA", ""))
    if isinstance(library, str):
        raise RuntimeError(f"the C++ selective scan cannot be used: {library}")
    if getattr(library, name)(*(ctypes.byref(x) for x in structures)):
        raise MemoryError(f"{name}: not enough memory for its scratch")


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
    return f"building {SOURCE.name} with {compiler[0]} failed: {reason}"


def _compiler() -> list[str] | None:
    for candidate in (shlex.split(os.environ.get("CXX", "")), ["g++"], ["c++"], ["clang++"]):
        if candidate and shutil.which(candidate[0]):
            return candidate
    return None


def _folders(compiler: list[str], command: list[str]) -> Iterator[Path]:
    """Where the library may lie: the cache; a private folder if that cannot be written or loaded from."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    key = b"\0".join([SOURCE.read_bytes(), " ".join(command).encode(), version,
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
            done = subprocess.run([*command, str(SOURCE), "-o", str(part)], capture_output=True, text=True,
                                  check=False, timeout=300)
            if done.returncode:
                lines = done.stderr.splitlines() or [f"exit status {done.returncode}"]
                raise subprocess.SubprocessError(next((x for x in lines if "error" in x), lines[0]))
    library = ctypes.CDLL(str(path))
    for name in ("scan_forward", "scan_backward"):
        getattr(library, name).restype = ctypes.c_int
    return library
