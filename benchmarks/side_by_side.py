"""What the benchmarks of a model share: the model and its batch, times taken in turn, memory, the machine."""

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from dataset.batches import Batch
from dataset.views import EpochDraws
from model import build_model
from model.contract import HashingMethod, Step
from model.costs.summary import random_batch
from model.methods import s5vh
from model.mixers import mamba
from utils.config import load_config
from utils.errors import UserError
from utils.registry import method_class, mixer_class

CLOCKS = {False: time.perf_counter, True: time.process_time}


def parse(doc: str, add: Callable[[argparse.ArgumentParser], object] = lambda parser: None):
    """The options that all of them take and those that `add` adds; and the config that they name.

    Raises:
        UserError: the config is not of S5VH on the mamba mixer.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/S5VH/act.py", help="one of S5VH on the mamba mixer")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true",
                        help="CPU seconds instead of the clock's: steadier on one thread of a busy machine")
    add(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = load_config(args.config, {"batch_size": args.batch, "directions": "tied"})
    if (method_class(config), mixer_class(config)) != (s5vh.Method, mamba.Mixer):
        raise UserError(f"{args.config}: the literal form is of S5VH on the mamba mixer alone. Name such a config.")
    print(f"torch {torch.__version__}, {args.threads} threads, {torch.backends.cpu.get_cpu_capability()}; "
          f"GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')!r} "
          f"THP_MEM_ALLOC_ENABLE={os.environ.get('THP_MEM_ALLOC_ENABLE', '')!r}")
    print(f"{args.config}: {config.S5VH_type}, batch {args.batch}, {config.max_frames} x {config.feature_size}, "
          f"mask {config.mask_ratio}, median of {args.repeats}, {'CPU ' if args.cpu_time else ''}seconds", flush=True)
    return args, config


def make(config, device: str = "cpu") -> tuple[HashingMethod, Batch]:
    """The config's model in training mode and a batch of random features, on `device`."""
    torch.manual_seed(config.seed)
    num_videos = config.batch_size
    centers = torch.where(torch.rand(config.nclusters, config.nbits) < 0.5, -1, 1).to(torch.int8)
    model = build_model(config, num_videos, pseudo_labels=torch.arange(num_videos) % config.nclusters,
                        hash_centers=centers).train()
    batch = random_batch(config, EpochDraws(config.seed, 0, num_videos, model.draws()), torch.default_generator)
    return model.to(device), batch.to(device)


def step_in(epoch: int) -> Step:
    """The first step of an epoch."""
    return Step(epoch, epoch + 1, torch.tensor(0), 1)


def take_turns(forms: Mapping[str, Callable[[], object]], repeats: int,
               clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Seconds of every form in every repeat, one after the other in each, so that a busy machine slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            started = clock()
            form()
            times[name].append(clock() - started)
    return times


def report(what: str, repeats: int, forms: Mapping[str, Callable[[], object]],
           clock: Callable[[], float] = time.perf_counter) -> None:
    """Prints the median seconds of every form and the median of its gain over the first; all but that are warmed up."""
    for form in list(forms.values())[1:]:
        form()
    times = take_turns(forms, repeats, clock)
    first = next(iter(times.values()))
    cells = []
    for name, each in times.items():
        ratio = statistics.median(a / b for a, b in zip(first, each, strict=True))
        median = statistics.median(each)
        cells.append(f"{name} {f'{median:.2f}' if median > 0.05 else f'{1000 * median:.2f} ms'} ({ratio:.1f}x)")
    print(f"{what:<14} " + "   ".join(cells), flush=True)


def peak_memory(form: Callable[[], object]) -> float | None:
    """MB by which the peak of resident memory rises while `form` runs once; None where the system does not tell.

    Where CUDA has been used, of what torch allocates there.
    """
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        form()
        return (torch.cuda.max_memory_allocated() - held) / 1e6
    if not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = _resident("VmRSS")
    form()
    return _resident("VmHWM") - before


def print_memory(what: str, forms: Mapping[str, Callable[[], object]]) -> None:
    """One line with the `peak_memory` of every form; nothing where the system does not tell."""
    peaks = {name: peak_memory(form) for name, form in forms.items()}
    if None not in peaks.values():
        print(f"{what:<14} " + "   ".join(f"{name} {peak:.0f} MB" for name, peak in peaks.items()), flush=True)


def _resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1000
