"""Results for people (map.txt, tables) and for programs (metrics.json)."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from inference.metrics import Evaluation
from utils.files.writing import make_folder, write_text


def format_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """`rows` as an aligned plain-text table with a heading, one line per row, ending in a newline.

    Fractional numbers get four decimals, numbers are right-aligned, and a cell a row lacks (or None) is "-".
    """
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    numeric = [all(isinstance(row.get(name), (Real, type(None))) for row in rows) for name in columns]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = []
    for line in [columns, *cells]:
        padded = [text.rjust(width) if right else text.ljust(width)
                  for text, width, right in zip(line, widths, numeric, strict=True)]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def metric_row(evaluation: Evaluation, ties: str) -> dict[str, float]:
    """One table row: {"mAP@k": ..., "GmAP": ...} under the tie rule `ties`."""
    row = {f"mAP@{k}": value for k, value in evaluation.map_at[ties].items()}
    return row | {"GmAP": evaluation.gmap[ties]}


def write_results(folder: str | os.PathLike, evaluation: Evaluation, *,
                  details: Mapping[str, object] | None = None, further: Mapping[str, object] | None = None,
                  about: str = "") -> list[Path]:
    """Writes `map.txt` and `metrics.json` into `folder`, each whole or not at all; their paths.

    map.txt has a line per tie rule and metric: mAP@k, GmAP (geometric mean) and rss_mAP (VHMT eq. 29).
    metrics.json is strict JSON; NaN and infinities in `details` become null.

    Args:
        details: what else the reader needs (method, dataset, code statistics), nested as JSON allows.
        further: metrics beside those of `evaluation`, under keys of their own.
        about: what was evaluated, for the head of map.txt.

    Raises:
        UserError: the folder or a file cannot be written.
        TypeError: `details` holds something that JSON cannot.
    """
    folder = make_folder(folder)
    content = _as_dict(evaluation) | {"details": dict(details or {})}
    assert not content.keys() & (further or {}).keys()
    metrics = json.dumps(_strict(content | dict(further or {})), indent=2, allow_nan=False)
    write_text(folder / "map.txt", (f"{about}\n" if about else "") + _map_text(evaluation))
    write_text(folder / "metrics.json", metrics + "\n")
    return [folder / "map.txt", folder / "metrics.json"]


def _map_text(evaluation: Evaluation) -> str:
    rows = []
    for ties in evaluation.map_at:
        metrics = metric_row(evaluation, ties) | {"rss_mAP": evaluation.rss_map[ties]}
        rows += [{"ties": ties, "metric": metric, "value": value} for metric, value in metrics.items()]
    heading = (f"{evaluation.num_bits} bits, {evaluation.num_queries} queries, "
               f"{evaluation.num_database} database items, AP normaliser {evaluation.normaliser}")
    if evaluation.queries_are_database:
        heading += f", each query {'in' if evaluation.include_self else 'left out of'} its own ranking"
    if evaluation.num_without_relevant:
        heading += f", {evaluation.num_without_relevant} queries with nothing relevant"
    return heading + "\n" + format_table(rows, ("ties", "metric", "value"))


def _as_dict(evaluation: Evaluation) -> dict[str, object]:
    values = {name: value for name, value in vars(evaluation).items() if name != "ap"}
    return values | {"gmap": evaluation.gmap, "rss_map": evaluation.rss_map}


def _strict(value: object) -> object:
    """`value` in types that JSON holds exactly: str keys, Python numbers, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    raise TypeError(f"metrics.json cannot hold a {type(value).__name__}.")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.4f}"
    return str(value)
