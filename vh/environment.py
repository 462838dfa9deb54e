"""What computes on this machine, for `vh env`."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from inference import nearest_codes
from model.kernels.conv import ENGINES
from model.kernels.scan.dispatch import explain
from utils.cli import choose_device
from utils.cpus import available_cpus
from vh import ROOT, __version__

PACKAGES = ("torch", "numpy", "scipy", "h5py", "scikit-learn", "numba", "faiss-cpu", "triton", "mamba-ssm",
            "tensorboard", "wandb", "mlflow")


def report() -> str:
    """Versions, the device that is used where none is named, engines with the reason for each, threads; a line each."""
    device = choose_device(None)
    return "\n".join([
        f"vh {__version__} in {ROOT}",
        f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}",
        "packages: " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"device: {torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU, as torch finds no GPU'}",
        explain("auto", device),
        f"convolution engine: {_convolution(device)}",
        f"search engine: {_reasoned('compiled', 'NumPy', nearest_codes.unavailable())}",
        _threads()])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def _convolution(device: torch.device) -> str:
    u, weight, bias = (torch.zeros(shape, device=device) for shape in ((1, 4, 8), (8, 4), (8,)))
    fitting = [engine for engine in ENGINES if engine.supports(u, weight, bias)]
    found = next((engine for engine in fitting if engine.unavailable() is None), None)
    if found is not None:
        return found.__name__.rpartition(".")[2]
    return _reasoned("", "PyTorch", fitting[0].unavailable() if fitting else "no other takes this device")


def _reasoned(wanted: str, other: str, reason: str | None) -> str:
    return wanted if reason is None else f"{other} ({reason})"


def _threads() -> str:
    cpus, load = available_cpus(), getattr(os, "getloadavg", lambda: (0.0,))()[0]
    text = (f"threads: {torch.get_num_threads()}, of {os.cpu_count()} CPUs; OMP_NUM_THREADS "
            f"{os.environ.get('OMP_NUM_THREADS', 'is not set')}; {load:.1f} programs ran at once in the last minute")
    busy = load > (os.cpu_count() or 1) and cpus > 1
    return text + ("\nother work keeps the CPUs busy: threads then wait for each other, and OMP_NUM_THREADS=1 may be "
                   "faster" if busy else "")
