"""The table for people (plain text, Markdown) and its records for programs (CSV)."""

import csv
import io
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from tables.grid.cells import Cell
from tables.grid.published import DIFFERENCE
from tables.grid.records import DROP, Record
from utils.cli import counted
from utils.files.writing import write_text


def describe_columns(cells: Sequence[Cell], records: Sequence[Record], num_threads: int) -> list[str]:
    """What the columns of the table mean; `num_threads` are those that the times were taken with."""
    names = {name for record in records for name in record}
    normalisers = " or ".join(dict.fromkeys(cell.config.ap_normaliser for cell in cells))
    lines = [f"mAP@K, GmAP: ties in expectation, AP divided by {normalisers}; `by index`: ties in database order."]
    if any(one > 1 for one in (*(cell.seed for cell in cells), *(record.get("seed", 1) for record in records))):
        lines.append("±: standard deviation over the seeds (n - 1); untrained: the mean.")
    if "source" in names:
        ours = "; in brackets ours, ties by index, minus it" if any(DIFFERENCE in name for name in names) else ""
        lines.append(f"published: what the source says, AP divided as ours{ours}. "
                     "Its rankings break ties in an order of their own; its epoch may have been chosen on the test "
                     "split.")
    if "published rss_mAP" in names:
        lines.append("rss_mAP: the root of the sum of the squared mAP@K, which VHMT calls GmAP (eq. 29).")
    if any(name.startswith(f"{DROP} ") for name in names):
        lines.append("A->B: trained on A, evaluated on B. drop: what is missing there from the same row trained on B.")
    if "untrained" in names:
        lines += ["untrained: the first mAP@K of the same network, drawn from the same seed, before any training.",
                  "encoder params: those that the gradient of the codes reaches; all params: all that the method "
                  "learns, the decoder included."]
    if "step_ms" in names:
        lines.append("train step, encode: the time of a training step and of encoding one video over that of the first "
                     "row; medians of interleaved rounds in one process, random features, the config's batch size, "
                     f"{counted(num_threads, 'thread')}.")
    return lines


def circumstances(device: torch.device, num_threads: int, num_seeds: int | None = None) -> str:
    """When, over how many seeds (None: no matter), with what and on what the table was made; threads are a cell's."""
    seeds = [] if num_seeds is None else [counted(num_seeds, "seed")]
    return ", ".join([date.today().isoformat(), *seeds, f"torch {torch.__version__}",
                      f"{counted(num_threads, 'thread')} per cell", _hardware(device)])


def markdown(title: str, command: str, made: str, lines: Sequence[Mapping[str, str]],
             notes: Sequence[str]) -> str:
    """The whole document: heading, command, circumstances, table, notes."""
    columns = list(lines[0])
    table = markdown_table(columns, [[line[column] for column in columns] for line in lines])
    return "\n".join([f"# {title}", "", f"    {command}", "", f"{made}.", "", table,
                      *(f"- {note}" for note in notes), ""])


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The lines of a table, the last one ended."""
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
                   for cells in (columns, ["-"] * len(columns), *rows))


def write_csv(path: str | os.PathLike, records: Sequence[Record]) -> None:
    """Writes all records, one line each, a column for every key that any of them has."""
    names = list(dict.fromkeys(name for record in records for name in record))
    table = io.StringIO()
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(path, table.getvalue())


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
