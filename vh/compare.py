"""Several runs side by side: one table, and their curves on one page."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.figures import Axes, Line, Markup, figure, line_chart, series_names, tag
from inference.page.document import html_page
from inference.page.table import FEW, number, table
from inference.report import format_table
from training.run import read_metrics
from utils.cli import vh_command
from utils.errors import UserError
from utils.files.writing import write_text

MOST_LINES = 6  # as many colours as there are
_ALIKE = "dataset", "bits", "AP divided by"  # columns that are shown where runs differ in them


def compare(folders: Sequence[str | os.PathLike], out: str | os.PathLike) -> str:
    """A table of the runs whose logs are in `folders`, as text; the page with it and their curves goes to `out`.

    A run that was not evaluated has its training curves alone.

    Raises:
        UserError: a folder holds no run, a file in it is damaged, or `out` cannot be written.
    """
    runs = {name: _run(Path(folder)) for name, folder in zip(_names(folders), folders, strict=True)}
    rows = [_row(name, run) for name, run in runs.items()]
    columns = [name for name in dict.fromkeys(name for row in rows for name in row)
               if name not in _ALIKE or len({row.get(name) for row in rows}) > 1]
    notes = [f"mAP@K, GmAP: ties in expectation. {_alike(rows, columns)}".strip()]
    write_text(out, html_page("Runs compared", tag("header", tag("h1", "Runs compared")), tag(
        "main", table(columns, [[number(row.get(name)) for name in columns] for row in rows], class_="numbers"),
        *(tag("p", note, class_="note") for note in notes), tag("div", *_charts(runs), class_="figures halves"))))
    best = max(range(len(rows)), key=lambda place: next(
        (value for name, value in rows[place].items() if name.startswith("mAP@")), -1.0))
    told = vh_command("eval", "--config", str(Path(folders[best], "config.py")), "--report")
    return "\n".join([format_table(rows, columns), *notes, f"written: {out}; next: {told}"])


def _run(folder: Path) -> dict[str, Any]:
    """What a run has left in its log folder: `epochs`, the rows of metrics.jsonl, and `result`, metrics.json or {}."""
    epochs = read_metrics(folder)
    try:
        path = folder / "metrics.json"
        result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Make it anew with eval.py.") from error
    if not epochs and not result:
        raise UserError(f"{folder}: no run here. Name folders of logs, logs/<dataset>/<run>.")
    return {"epochs": epochs, "result": result}


def _names(folders: Sequence[str | os.PathLike]) -> list[str]:
    """What tells the folders apart: their last parts, as many as it takes."""
    parts = [Path(folder).absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts))):
        names = [os.path.join(*one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError("one run is named twice. Name each once.")


def _row(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    result, epochs = run["result"], run["epochs"]
    details = result.get("details", {})
    row = {"run": name, "dataset": details.get("dataset"), "bits": result.get("num_bits"),
           "AP divided by": result.get("normaliser"), "epochs": epochs[-1]["epoch"] if epochs else None}
    try:
        row |= {f"mAP@{k}": value for k, value in result["map_at"]["expected"].items()} if result else {}
        row |= {"GmAP": result["gmap"]["expected"]} if result else {}
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{name}: its metrics.json is not what eval.py writes. Make it anew with eval.py.") from None
    return row | {"minutes of training": sum(epoch.get("seconds", 0.0) for epoch in epochs) / 60 if epochs else None}


def _alike(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    same = [f"{name} {rows[0][name]}" for name in _ALIKE if name not in columns and rows[0][name] is not None]
    return f"All: {', '.join(same)}." if same else ""


def _charts(runs: Mapping[str, Mapping[str, Any]]) -> list:
    """The loss, every mAP@K that was recorded, precision over recall, of all runs on common axes; six to a chart."""
    names = dict.fromkeys(name for run in runs.values() for row in run["epochs"] for name in row
                          if name == "loss/total" or name.startswith("expected/mAP@"))
    charts: list[Markup] = []
    for name in names:
        lines = [Line(run, *zip(*points, strict=True)) for run, found in runs.items()
                 if (points := [(row["epoch"], row[name]) for row in found["epochs"] if name in row])]
        title = "Loss: total" if name == "loss/total" else name.removeprefix("expected/")
        caption = "Mean over the epoch." if name == "loss/total" else "Ties in expectation."
        few = all(len(line.x) <= FEW for line in lines)
        charts += [_numbers(title, caption, lines)] if few else _figures(title, caption, lines, Axes("epoch", title))
    lines = [_precision_recall(run, found["result"]["radius_curve"]) for run, found in runs.items()
             if "radius_curve" in found["result"]]
    return charts + _figures("Precision and recall by Hamming radius", "A point per radius, over all pairs of a query "
                             "and an item.", lines, Axes("recall", "precision", x_range=(0, 1)))


def _numbers(title: str, caption: str, lines: Sequence[Line]) -> Markup:
    """A table of curves that have a few points each, a column per epoch."""
    epochs = sorted({epoch for line in lines for epoch in line.x})
    found = [(line.name, dict(zip(line.x, line.y, strict=True))) for line in lines]
    rows = [[name, *(number(values.get(epoch)) for epoch in epochs)] for name, values in found]
    return figure(title, caption, table(["run", *(f"epoch {epoch}" for epoch in epochs)], rows, class_="numbers",
                                        label=title))


def _precision_recall(run: str, curve: Mapping[str, Any]) -> Line:
    try:
        recall, precision = np.array([curve["recall"], curve["precision"]], float)
        if not len(recall) or not np.isfinite([recall, precision]).all():
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{run}: its metrics.json is not what eval.py writes. Make it anew with eval.py.") from None
    return Line(run, recall, precision)


def _figures(title: str, caption: str, lines: Sequence[Line], axes: Axes) -> list:
    parts = [lines[start:start + MOST_LINES] for start in range(0, len(lines), MOST_LINES)]
    return [figure(title, caption, line_chart(part, axes), names=series_names(part)) for part in parts]
