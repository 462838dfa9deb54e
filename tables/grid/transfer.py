"""What networks, and shallow codes, are worth on another dataset than the one they were trained on."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from tables.grid.cells import Cell
from tables.grid.networks import shallow_codes
from tables.grid.published import published_records
from tables.grid.records import DONE, DROP, Record, baseline_records, by_index, cell_record, rows_of


def transfer_records(cells: Sequence[Cell], own: Sequence[Record], *, baselines: bool) -> list[Record]:
    """Of cells that are evaluated elsewhere too: their records there, what is published of them, the shallow codes.

    `drop mAP@K` is what is missing, in %, from the same row trained on the dataset it is evaluated on, the mean
    over its seeds; `own`, the records of all cells on their own datasets, has that where the table has both.
    There is no drop from a mean of 0.
    """
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        if cell.transferred is not None:
            groups.setdefault(cell.group, []).append(cell)
    records = []
    for group in groups.values():
        for seeds in rows_of(group):
            found = [_record(cell, own) for cell in seeds]
            records += found + published_records(seeds[0], by_index(found), dataset=_name(seeds[0]))
        if baselines and group[0].transferred:
            shallow = baseline_records(group[0], shallow_codes(group[0].transferred))
            records += [record | {"dataset": _name(group[0])} for record in shallow]
    return records


def _record(cell: Cell, own: Sequence[Record]) -> Record:
    record = cell_record(cell, None, None, cell.transferred) | {"dataset": _name(cell)}
    native = [other for other in own if other["status"] == DONE and (other["dataset"], other["bits"], other["model"])
              == (_other(cell), cell.bits, cell.row.label)]
    there = {name: statistics.fmean(other[name] for other in native)
             for name in record if native and name.startswith("mAP@") and name in native[0]}
    return record | {f"{DROP} {name}": 100 * (1 - record[name] / mean) for name, mean in there.items() if mean}


def _other(cell: Cell) -> str:
    return Path(cell.other or "").stem


def _name(cell: Cell) -> str:
    """As published.csv has it."""
    return f"{cell.dataset}->{_other(cell)}"
