"""What others published of a row: tables/published.csv, each source by itself.

These numbers divide AP by K, and their rankings break ties by whatever order a sort leaves, so that ours by index are
the nearest. README, logs and figures of one paper differ and are never merged.
"""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tables.grid.cells import Cell

PUBLISHED = "published"  # the status of such a record, and what stands before its metrics
DIFFERENCE = "difference"  # before a metric: ours minus the published value
_NORMALISER = "k"


class Result(NamedTuple):
    """One published number."""

    method: str
    backbone: str
    dataset: str
    bits: int
    metric: str
    value: float
    source: str


@cache
def published_results() -> tuple[Result, ...]:
    """Every line of published.csv, in its order."""
    with open(Path(__file__).parents[1] / "published.csv", encoding="utf-8", newline="") as file:
        return tuple(Result(line["method"], line["backbone"], line["dataset"], int(line["bits"]), line["metric"],
                            float(line["value"]), line["source"]) for line in csv.DictReader(file))


def published_records(cell: Cell, ours: Mapping[str, float], dataset: str = "") -> list[dict[str, Any]]:
    """A record for each source that published the cell's row, on its dataset, or on `dataset`, and at its bits.

    It holds `published mAP@K` for the K of the config, and `difference mAP@K` for those that `ours` has: the row's own
    mAP@K, ties by index. Nothing is comparable, and none given, where AP is not divided by K.
    """
    config = cell.config
    if cell.row.published is None or config.ap_normaliser != _NORMALISER:
        return []
    method, backbone = cell.row.published
    dataset, metrics = dataset or cell.dataset, {f"mAP@{k}" for k in config.map_at}
    records: dict[str, dict[str, Any]] = {}
    for result in published_results():
        if (result.method, result.dataset, result.bits) != (method, dataset, cell.bits) or result.metric not in metrics:
            continue
        if result.backbone not in (backbone, ""):  # "": the source does not name it
            continue
        record = records.setdefault(result.source, {"dataset": dataset, "model": cell.row.label,
                                                    "bits": cell.bits, "status": PUBLISHED, "source": result.source})
        record[f"{PUBLISHED} {result.metric}"] = result.value
        if result.metric in ours:
            record[f"{DIFFERENCE} {result.metric}"] = ours[result.metric] - result.value
    return list(records.values())
