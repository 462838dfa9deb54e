"""How the run came about: everything that training recorded per epoch."""

import math
from collections.abc import Mapping, Sequence

from inference.figures import Axes, Line, Markup, figure, line_chart, series_names, tag
from inference.page.subject import Subject
from inference.page.table import FEW, table
from utils.cli import counted

_NOT_DRAWN = {"epoch", "seconds"}
_CAPTIONS = {
    "loss/total": "Mean over the epoch of the weighted sum of all terms.",
    "lr": "Learning rate of every epoch.",
    "label_entropy": "Mean entropy of the pseudo-labels in nats: 0 where one-hot.",
    "bit_entropy": "Mean entropy of the database's bits: 1 where balanced.",
    "bit_correlation": "Mean absolute correlation of two bits: 0 where uncorrelated.",
    "dead_bits": "Bits that are the same for the whole database.",
    "distinct_codes": "Different codes in the database.",
}


def section(subject: Subject) -> Markup:
    """A chart per recorded quantity, folded; the mAP@K share one. What has a few points stands in a table."""
    rows = subject.training
    if not rows:
        return tag("p", "No metrics.jsonl belongs to this checkpoint, so there are no curves to show.", class_="note")
    names = [name for name in dict.fromkeys(name for row in rows for name in row)
             if name not in _NOT_DRAWN and "mAP" not in name]
    names.sort(key=lambda name: (not name.startswith("loss/"), name != "lr"))
    maps = [f"expected/mAP@{k}" for k in subject.evaluation.map_at["expected"]]
    few = [name for name in (*names, *maps) if 0 < len(_recorded(rows, name)[0]) <= FEW]
    charts = [_chart(name, rows) for name in names if name not in few]
    epochs = counted(len(rows), "epoch")
    return tag("details", tag("summary", f"{epochs}: losses, learning rate and what was tracked"),
               _numbers(few, rows) if few else None,
               tag("div", *charts, None if set(maps) & set(few) else _map_chart(subject), class_="figures"))


def _numbers(names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> Markup:
    """A table of the quantities that were recorded a few times only, a column per epoch."""
    found = {name: dict(zip(*_recorded(rows, name), strict=True)) for name in names}
    epochs = sorted({epoch for values in found.values() for epoch in values})
    return table(["quantity", *(f"epoch {epoch}" for epoch in epochs)],
                 [[_title(name), *(f"{values[epoch]:.4g}" if epoch in values else "-" for epoch in epochs)]
                  for name, values in found.items()], class_="numbers", label="training")


def _title(name: str) -> str:
    plain = name.removeprefix("loss/").removeprefix("expected/").replace("_", " ").replace("lr", "learning rate")
    if name.startswith("loss/"):
        return f"Loss: {plain}"
    return plain if plain.startswith("mAP") else plain.capitalize()


def _chart(name: str, rows: Sequence[Mapping[str, float]]) -> Markup:
    epochs, values = _recorded(rows, name)
    is_loss = name.startswith("loss/")
    caption = _CAPTIONS.get(name, "Mean of this term over the epoch, without its weight." if is_loss
                            else "As recorded after every epoch.")
    shown = f"{values[-1]:.4g} after epoch {epochs[-1]}." if values else ""
    return figure(_title(name), f"{caption} {shown}",
                  line_chart([Line(name, epochs, values)], Axes("epoch", "", x_range=_span(rows), zero=not is_loss)))


def _map_chart(subject: Subject) -> Markup | None:
    lines = [Line(f"mAP@{k}", *_recorded(subject.training, f"expected/mAP@{k}"))
             for k in subject.evaluation.map_at["expected"]]
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return None
    return figure("mAP@K", "Ties in expectation, in the epochs in which the run was evaluated.",
                  line_chart(lines, Axes("epoch", "mAP@K", x_range=_span(subject.training))), names=series_names(lines))


def _span(rows: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """The first and the last epoch, so that all charts share their axis."""
    return rows[0]["epoch"], rows[-1]["epoch"]


def _recorded(rows: Sequence[Mapping[str, float]], name: str) -> tuple[list[float], list[float]]:
    """(epochs, values) of the rows that hold a finite value of `name`."""
    kept = [(row["epoch"], row[name]) for row in rows if math.isfinite(row.get(name, math.nan))]
    return [epoch for epoch, _ in kept], [value for _, value in kept]
