"""What others published of a row: tables/published.csv of videos and published_images.csv, each source by itself.

tables/sources.csv says what each divides AP by. Their rankings break ties by whatever order a sort leaves,
so that ours by index are the nearest. README, logs and figures of one paper differ and are never merged.
"""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tables.grid.cells import Cell

PUBLISHED = "published"  # the status of such a record, and what stands before its metrics
DIFFERENCE = "difference"  # before a metric: ours minus the published value
FILES = "published.csv", "published_images.csv"
_OURS = {"GmAP (root sum of squares)": "rss_mAP"}  # names of the files that are not ours; mAP@all is at N
_RSS_AT = [5, 20, 40, 60, 80, 100]  # the K of VHMT's eq. 29


class Result(NamedTuple):
    """One published number."""

    method: str
    backbone: str
    dataset: str
    bits: int
    metric: str
    value: float
    source: str

    @property
    def normaliser(self) -> str:
        """What AP is divided by, as `ap_normaliser` has it: see tables/sources.csv."""
        return _normalisers()[self.source]


@cache
def published_results() -> tuple[Result, ...]:
    """Every line of the files, in their order."""
    found: list[Result] = []
    for name in FILES:
        with open(Path(__file__).parents[1] / name, encoding="utf-8", newline="") as file:
            found += [Result(line["method"], line["backbone"], line["dataset"], int(line["bits"]), line["metric"],
                             float(line["value"]), line["source"]) for line in csv.DictReader(file)]
    return tuple(found)


@cache
def _normalisers() -> dict[str, str]:
    with open(Path(__file__).parents[1] / "sources.csv", encoding="utf-8", newline="") as file:
        return {line["source"]: line["ap_normaliser"] for line in csv.DictReader(file)}


def without_differences(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`records` for a table made under other settings than the published ones, which it cannot be held against."""
    return [{name: value for name, value in record.items() if not name.startswith(DIFFERENCE)} for record in records]


def published_records(cell: Cell, ours: Mapping[str, float], dataset: str = "") -> list[dict[str, Any]]:
    """A record for each source that published the cell's row, on its dataset, or on `dataset`, and at its bits.

    It holds `published mAP@K` for the K of the config, `published rss_mAP` where they are the usual six, and
    `difference mAP@K` or `difference rss_mAP` for those that `ours` has: the row's own, ties by index. Nothing is
    comparable, and none given, where AP is divided by something else than the source divides it by.
    """
    config = cell.config
    if cell.row.published is None:
        return []
    method, backbone = cell.row.published
    dataset = dataset or cell.dataset
    whole = f"mAP@{config.test_num_sample}"
    metrics = {f"mAP@{k}" for k in config.map_at} | ({"rss_mAP"} if config.map_at == _RSS_AT else set())
    records: dict[str, dict[str, Any]] = {}
    for result in published_results():
        metric = whole if result.metric == "mAP@all" else _OURS.get(result.metric, result.metric)
        if (result.method, result.dataset, result.bits) != (method, dataset, cell.bits) or metric not in metrics:
            continue
        if result.normaliser != config.ap_normaliser or result.backbone not in (backbone, ""):  # "": it names none
            continue
        record = records.setdefault(result.source, {"dataset": dataset, "model": cell.row.label,
                                                    "bits": cell.bits, "status": PUBLISHED, "source": result.source})
        record[f"{PUBLISHED} {metric}"] = result.value
        if metric in ours:
            record[f"{DIFFERENCE} {metric}"] = ours[metric] - result.value
    return list(records.values())
