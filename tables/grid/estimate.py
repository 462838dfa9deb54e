"""How long training will still take, from the epochs that cells of the same table have run, else from single steps."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from model import method_class
from tables.grid.cells import Cell, other_settings
from training.logs import duration
from training.run import read_metrics
from utils.config import Config
from utils.errors import UserError


def seconds_left(cells: Iterable[Cell], probe: Callable[[Config], float] | None = None) -> dict[Cell, float]:
    """Seconds of training that each cell still needs; cells of which nothing is known are left out, and so
    are those of methods in closed form, which have neither epochs nor steps.

    The measure is a video in an epoch, at the mean of all epochs that cells of the same row have run, else of all rows.
    A dataset whose config does not say how many videos it has is compared with itself alone.

    Args:
        probe: config -> seconds of a video in an epoch, for cells unlike any that has run; asked once per row and
            dataset, and only where the config says how many videos there are.
    """
    epochs = {cell: _seconds_per_epoch(cell) for cell in cells if not method_class(cell.config).closed_form}
    rates: dict[tuple, list[float]] = {}
    for cell, seconds in epochs.items():
        for key in _keys(cell):
            rates.setdefault(key, []).extend(second / _num_videos(cell) for second in seconds)
    samples = {(cell.path, cell.row.name): cell.config for cell in epochs}
    ask = cache(lambda path, row: probe(samples[path, row]) if probe else None)
    left = {}
    for cell, seconds in epochs.items():
        rate = next((statistics.fmean(rates[key]) for key in _keys(cell) if rates[key]), None)
        if rate is None and cell.config.train_num_sample:
            rate = ask(cell.path, cell.row.name)
        if rate is not None:
            left[cell] = rate * _num_videos(cell) * (cell.config.num_epochs - len(seconds))
    return left


def total(left: Mapping[Cell, float], cells: Sequence[Cell], jobs: int) -> str:
    """What to say of the training that `cells` still need, `jobs` side by side; "" where nothing of it is known."""
    known = [left[cell] for cell in cells if cell in left]
    if not known:
        return ""
    more = f", not counting {len(cells) - len(known)} cells of unknown time" if len(known) < len(cells) else ""
    return f"about {duration(max(*known, sum(known) / jobs))} of training left{more}"


def _seconds_per_epoch(cell: Cell) -> list[float]:
    if other_settings(cell.config):
        return []
    try:
        return [epoch["seconds"] for epoch in read_metrics(cell.config.log_path) if "seconds" in epoch]
    except UserError:  # damaged
        return []


def _keys(cell: Cell) -> tuple[tuple, tuple]:
    dataset = "" if cell.config.train_num_sample else cell.dataset
    return (dataset, cell.row.name), (dataset, "")


def _num_videos(cell: Cell) -> int:
    return cell.config.train_num_sample or 1
