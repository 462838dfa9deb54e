"""A table that grows: records of earlier runs of reproduce.py stay in it when a part of it is made anew."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tables.grid.published import PUBLISHED
from tables.grid.records import DONE, Record
from utils.errors import UserError

SHARED = "set"  # the column that has the overrides of --set: records under others do not stand in one table
_TEXTS = {"dataset", "model", "status", "source", "config", "overrides", SHARED}
_WHOLE = {"bits", "seed", "epochs", "encoder_params", "all_params"}


def merged(path: Path, records: Sequence[Record], shared: str) -> tuple[list[Record], int]:
    """`records`, each marked with `shared`, among those in the CSV file at `path` that none of them replaces, by
    dataset, length, model and seed; and how many these are.

    Failed ones and those made under other overrides are left out.

    Raises:
        UserError: the file is no table of records.
    """
    new = [{**record, SHARED: shared} for record in records]
    replaced = set(map(_identity, new))
    kept = [record for record in read_records(path) if record.get(SHARED) == shared
            and _identity(record) not in replaced and record["status"] in (DONE, PUBLISHED)]
    both = [*kept, *new]
    datasets, models = ([*dict.fromkeys(record[key] for record in both)] for key in ("dataset", "model"))
    both.sort(key=lambda record: (datasets.index(record["dataset"]), record["bits"], models.index(record["model"]),
                                  record["status"] == PUBLISHED, record.get("seed", 0)))
    return both, len(kept)


def _identity(record: Record) -> tuple:
    return tuple(record.get(key) for key in ("dataset", "bits", "model", "seed", "source"))


def read_records(path: Path) -> list[Record]:
    """The records in a file of `tables.grid.report.write_csv`; none where there is no file."""
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if rows and SHARED not in rows[0]:
            return []  # of an earlier version: under which overrides is not known
        return [{name: _value(name, text) for name, text in row.items() if text or name == SHARED} for row in rows]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: no table of reproduce.py ({error}). Move it away, or name another folder with "
                        "--out.") from error


def _value(name: str, text: str) -> Any:
    return text if name in _TEXTS else int(text) if name in _WHOLE else float(text)
