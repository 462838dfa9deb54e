"""What networks cost to encode with, before any training and without data: operations, time, memory.

All networks of a comparison are measured side by side in this process, on random features. F is their number.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.autograd.profiler import profile
from tqdm import tqdm

from inference.encode import frames_at_once, items_at_once
from inference.figures import Axes, Line, Markup, figure, line_chart, series_names
from inference.page.table import FEW
from model import build_model
from model.costs.summary import encode_flops, random_items
from tables.grid.cells import Cell
from tables.grid.networks import count_parameters
from utils.cli import counted

Record = dict[str, Any]
MIN_ROUNDS, MAX_ROUNDS = 3, 25
LARGEST_BATCH = 128


def cost_records(cells: Sequence[Cell], device: torch.device, seconds: float) -> list[Record]:
    """The costs of each cell's network, raw, one record per cell; those of one dataset and length side by side.

    After a round for warming up there are 3 to 25 rounds of timing, fewer where `seconds`, for all cells together,
    have passed.
    """
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    records = []
    with tqdm(total=len(cells), desc="networks", leave=False, disable=None) as bar:
        for group in groups.values():
            subjects = []
            for cell in group:
                subjects.append(_Subject(cell, device))
                bar.update()
            fastest = _fastest(subjects, seconds / len(groups))
            records += [subject.record(*times) for subject, times in zip(subjects, fastest, strict=True)]
    return records


def peak_memory(action: Callable[[], object], device: torch.device) -> int:
    """Bytes that torch has allocated at the peak of `action`, beside those allocated before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with _no_stderr(), profile(use_kineto=False, profile_memory=True) as profiler:
        action()
    changes = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        held += change.nbytes()
        peak = max(peak, held)
    return peak


def cost_lines(records: Sequence[Record]) -> list[dict[str, str]]:
    """The printed table: a line for every record."""
    several = {key for key in ("dataset", "bits") if len({record[key] for record in records}) > 1}
    return [_line(record, several) for record in records]


def describe_costs(device: torch.device, num_threads: int) -> list[str]:
    """What the columns of the table mean, measured on `device` with `num_threads`."""
    return [
        "Nothing was trained: all of this is known of a network from its config.",
        "encoder params: those that the gradient of the codes reaches; all params: all that the method learns, the "
        "decoder included.",
        "MFLOP: floating-point operations of encoding one video, counted on the readable scan.",
        f"ms: to encode one video of random features alone, and one of a batch as evaluation makes them, at most "
        f"{LARGEST_BATCH} videos and {frames_at_once(device):,} frames; "
        f"{counted(num_threads, 'thread')}; the fastest of interleaved rounds in one process. us a frame: in a batch; "
        "it stays level where time grows as the length does. bits/s: of codes, in a batch.",
        "MiB: what torch has allocated at the peak of encoding one video, and the batch, beside model and features.",
    ]


def cost_figures(records: Sequence[Record]) -> list[Markup]:
    """Of one dataset: time and memory of a video over its number of frames, where there are more than a table shows."""
    if len({record["frames"] for record in records}) <= FEW:
        return []
    charts = (("Time to encode a video", "One of a batch.", "batch_ms", "ms"),
              ("Memory to encode a video", "Alone, at the peak.", "single_mib", "MiB"))
    return [figure(title, caption, line_chart(lines, Axes("frames", unit)), names=series_names(lines))
            for title, caption, key, unit in charts for lines in [_by_frames(records, key)]]


class _Subject:
    """A cell's network, with random items to encode."""

    def __init__(self, cell: Cell, device: torch.device):
        self.cell, config = cell, cell.config
        torch.manual_seed(config.seed)
        self.model = build_model(config).to(device)
        self.batch = min(LARGEST_BATCH, items_at_once(config.item_shape, device))
        self.items = random_items(config.item_shape, self.batch).to(device)
        self.encoder_params, self.all_params = count_parameters(self.model, config, device)
        self.flops = encode_flops(config)
        self.encode(1)  # so that what is loaded or compiled on first use is not counted
        self.single_bytes, self.batch_bytes = (peak_memory(partial(self.encode, size), device)
                                               for size in (1, self.batch))

    @torch.inference_mode()
    def encode(self, num_items: int) -> None:
        self.model.encode(self.items[:num_items])

    def times(self) -> tuple[float, float]:
        """Milliseconds of a video encoded alone, and of one in a batch."""
        return self._milliseconds(1), self._milliseconds(self.batch) / self.batch

    def record(self, single: float, batch: float) -> Record:
        config = self.cell.config
        return {"dataset": self.cell.dataset, "model": self.cell.row.label, "bits": config.nbits,
                "frames": config.max_frames or 1, "item_shape": list(config.item_shape),
                "encoder_params": self.encoder_params, "all_params": self.all_params, "encode_flops": self.flops,
                "single_ms": single, "batch_ms": batch, "batch": self.batch,
                "bits_per_second": 1000 * config.nbits / batch,
                "single_mib": self.single_bytes / 2**20, "batch_mib": self.batch_bytes / 2**20,
                "config": self.cell.path, "overrides": " ".join(self.cell.settings)}

    def _milliseconds(self, num_videos: int) -> float:
        self._wait()
        started = time.perf_counter()
        self.encode(num_videos)
        self._wait()
        return 1000 * (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.items.is_cuda:
            torch.cuda.synchronize(self.items.device)


def _fastest(subjects: Sequence[_Subject], seconds: float) -> list[tuple[float, float]]:
    rounds: list[list[tuple[float, float]]] = []
    started = time.perf_counter()
    with tqdm(total=1 + MAX_ROUNDS, desc="rounds", leave=False, disable=None) as bar:
        while len(rounds) <= MIN_ROUNDS or (len(rounds) <= MAX_ROUNDS and time.perf_counter() - started < seconds):
            rounds.append([subject.times() for subject in subjects])
            bar.update()
    return [(min(single), min(batch))
            for single, batch in (zip(*each, strict=True) for each in zip(*rounds[1:], strict=True))]


def _line(record: Mapping[str, Any], several: set[str]) -> dict[str, str]:
    millions = {name: f"{record[key] / 1e6:.2f} M"
                for name, key in (("encoder params", "encoder_params"), ("all params", "all_params"))}
    return {key: str(record[key]) for key in ("dataset", "bits") if key in several} | {
        "model": record["model"], "frames": str(record["frames"]), **millions,
        "MFLOP": _short(record["encode_flops"] / 1e6), "ms alone": _short(record["single_ms"]),
        "ms in a batch": f"{_short(record['batch_ms'])} (of {record['batch']})",
        "us a frame": _short(1000 * record["batch_ms"] / record["frames"]),
        "bits/s": _short(record["bits_per_second"]), "MiB alone": _short(record["single_mib"]),
        "MiB of a batch": _short(record["batch_mib"])}


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _by_frames(records: Sequence[Record], key: str) -> list[Line]:
    points: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        points.setdefault(f"{record['model']}, {record['bits']} bits", []).append((record["frames"], record[key]))
    return [Line(name, [x for x, _ in sorted(own)], [y for _, y in sorted(own)]) for name, own in points.items()]


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Without what C++ code writes to stderr: some builds of torch's profiler announce themselves there."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
