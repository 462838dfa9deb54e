"""From finished cells to raw records, one per cell, and from these to the lines of a table, one per row."""

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from inference.baselines import YARDSTICK
from model import method_class
from tables.grid.cells import Cell, evaluation
from tables.grid.networks import before_training, shallow_codes, untrained_network
from tables.grid.published import DIFFERENCE, PUBLISHED, published_records
from tables.grid.timing import Times, measure_times
from utils.config import Config

Record = dict[str, Any]
DONE, FAILED = "done", "failed"
DROP = "drop"  # before a metric: what is lost, in %, by training on another dataset
_BY_INDEX_LINE = ", ties by index"
BY_INDEX = " by index"  # after a metric whose ties are in database order; without it, in expectation


def collect(cells: Sequence[Cell], failed: Collection[Cell], device: torch.device, *, baselines: bool,
            timing_seconds: float) -> list[Record]:
    """The records of all cells, group by group of equal dataset and bits.

    Below each row stands what is published of it, below each group the shallow codes, or the one to beat alone.

    Args:
        baselines: all shallow codes are shown.
        failed: those of `cells` that are not done.
        timing_seconds: for all groups together, beside their fewest rounds; 0: nothing is timed.
    """
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    records = []
    for group in groups.values():
        done = [cell for cell in group if cell not in failed]
        networks = [cell for cell in done if not method_class(cell.config).closed_form]
        untrained = {cell: before_training(cell, device)
                     for cell in tqdm(networks, desc="untrained networks", leave=False, disable=None)}
        times = _times(networks, device, timing_seconds / len(groups)) if timing_seconds and networks else {}
        for seeds in rows_of(group):
            own = [cell_record(cell, untrained.get(cell), times.get(cell.row.name)) for cell in seeds]
            records += own + published_records(seeds[0], by_index(own))
        shallow = baseline_records(group[0], shallow_codes(group[0].config))
        records += [record for record in shallow if baselines or record["model"] == YARDSTICK]
    return records


def cell_record(cell: Cell, untrained: Mapping[str, Any] | None, times: Times | None,
                transferred: Config | None = None) -> Record:
    """Everything about one cell, raw, its metrics on the data of `transferred` where that is given; without metrics
    where it is not done, `untrained` then being None.
    """
    record: Record = {"dataset": cell.dataset, "model": cell.row.label, "bits": cell.bits, "seed": cell.seed,
                      "status": FAILED}
    metrics = evaluation(cell.config, transferred)
    if metrics is not None:
        record["status"] = DONE
        for ties, ending in (("expected", ""), ("index", BY_INDEX)):
            record |= {f"mAP@{k}{ending}": metrics["map_at"][ties][str(k)] for k in cell.config.map_at}
            record[f"GmAP{ending}"], record[f"rss_mAP{ending}"] = metrics["gmap"][ties], metrics["rss_map"][ties]
    if untrained is not None:
        record |= {"untrained": untrained[f"mAP@{cell.config.map_at[0]}"],
                   "encoder_params": untrained["encoder_params"], "all_params": untrained["all_params"],
                   "epochs": cell.config.num_epochs}
    if times is not None:
        record |= {"step_ms": times.step, "step_ratio": times.step_ratio, "encode_ms": times.encode,
                   "encode_ratio": times.encode_ratio}
    return record | {"config": cell.path, "overrides": " ".join(cell.settings)}


def baseline_records(cell: Cell, rows: Iterable[Mapping[str, Any]]) -> list[Record]:
    """The records of the shallow codes `rows` (`inference.baselines.baseline_table`) on the cell's data."""
    records: dict[str, Record] = {}
    for row in rows:
        record = records.setdefault(row["method"], {"dataset": cell.dataset, "model": row["method"], "bits": cell.bits,
                                                    "seed": cell.seed, "status": DONE})
        ending = {"expected": "", "index": BY_INDEX}[row["ties"]]
        record |= {f"{name}{ending}": value for name, value in row.items() if name.startswith(("mAP@", "GmAP"))}
    return list(records.values())


def by_index(records: Iterable[Record]) -> dict[str, float]:
    """mAP@K and rss_mAP with ties by index, the mean over those `records` of a row that are done."""
    done = [record for record in records if record["status"] == DONE]
    names = [name for name in (done[0] if done else ())
             if name.startswith(("mAP@", "rss_mAP")) and name.endswith(BY_INDEX)]
    return {name.removesuffix(BY_INDEX): statistics.fmean(record[name] for record in done) for name in names}


def table_lines(records: Sequence[Record]) -> list[dict[str, str]]:
    """The printed table: a line for every dataset, length and model, in the order in which the records name them.

    A line maps every column to its text: `0.0502 ± .0027` is mean and standard deviation (n - 1) over the seeds. A
    model of which something is published has its ties by index in a line of their own, and a line for each source:
    `0.180 (-0.0120)` is the published value and ours by index minus it.
    """
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        key = record["dataset"], record["bits"], record["model"], record.get("source")
        groups.setdefault(key, []).append(record)
    compared = {key[:3] for key in groups if key[3]}
    lines = []
    for key, group in groups.items():
        lines.append(_published_line(group[0]) if key[3] else _line(group))
        if key[:3] in compared and not key[3] and by_index(group):
            lines.append(_by_index_line(group))
    columns = _columns(records, several_seeds=any(len(group) > 1 for group in groups.values()))
    return [{column: line.get(column, "-") for column in columns} for line in lines]


def stands_apart(line: Mapping[str, str]) -> bool:
    """Whether a line of `table_lines` has other ties than the rest: published, or by index."""
    return f", {PUBLISHED}: " in line["model"] or line["model"].endswith(_BY_INDEX_LINE)


def rows_of(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells of each row, which differ in their seeds."""
    rows: dict[str, list[Cell]] = {}
    for cell in cells:
        rows.setdefault(cell.row.name, []).append(cell)
    return list(rows.values())


def spread(values: Sequence[float]) -> str:
    """`0.0502 ± .0027`, mean and sample standard deviation; of one value the value, of none `-`."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} ± {f'{statistics.stdev(values):.4f}'.removeprefix('0')}"


def _times(done: Sequence[Cell], device: torch.device, seconds: float) -> dict[str, Times]:
    """The times of every row, whatever its seeds, side by side."""
    of_rows: dict[str, Cell] = {}
    for cell in done:
        of_rows.setdefault(cell.row.name, cell)
    networks = [untrained_network(cell) for cell in of_rows.values()]
    return dict(zip(of_rows, measure_times(networks, device, seconds), strict=True))


def _columns(records: Sequence[Record], several_seeds: bool) -> list[str]:
    names = list(dict.fromkeys(name for record in records for name in record))
    maps = [name for name in names if name.startswith("mAP@")]
    expected = [name for name in maps if not name.endswith(BY_INDEX)]
    columns = ["dataset"] if len({record["dataset"] for record in records}) > 1 else []
    columns += ["model", "bits", *(["seeds"] if several_seeds else []), *expected, "GmAP"]
    columns += ["rss_mAP"] if f"{PUBLISHED} rss_mAP" in names else []
    columns += [name for name in maps if name.endswith(BY_INDEX)][:1]
    columns += [_shown_drop(names)] if _shown_drop(names) else []
    columns += ["untrained", "encoder params", "all params"] if "untrained" in names else []
    return columns + (["train step", "encode"] if "step_ms" in names else [])


def _shown_drop(names: Iterable[str]) -> str:
    """The name of the one drop that the table shows: that at 20, which the papers give, else the first; "" of none."""
    drops = [name for name in names if name.startswith(f"{DROP} ") and not name.endswith(BY_INDEX)]
    return next((name for name in drops if name.endswith("@20")), drops[0] if drops else "")


def _published_line(record: Record) -> dict[str, str]:
    line = {"dataset": record["dataset"], "bits": str(record["bits"]),
            "model": f"{record['model']}, {PUBLISHED}: {record['source']}"}
    for name, value in record.items():
        metric = name.removeprefix(f"{PUBLISHED} ")
        if metric != name:
            difference = record.get(f"{DIFFERENCE} {metric}")
            line[metric] = _published(value) + ("" if difference is None else f" ({difference:+.4f})")
    return line


def _published(value: float) -> str:
    """To three decimals, as papers have it, unless it has more."""
    return f"{value:.3f}" if round(value, 3) == value else f"{value:.4f}"


def _by_index_line(group: Sequence[Record]) -> dict[str, str]:
    first, done = group[0], [record for record in group if record["status"] == DONE]
    return {"dataset": first["dataset"], "model": f"{first['model']}{_BY_INDEX_LINE}", "bits": str(first["bits"])} | {
        metric: spread([record[f"{metric}{BY_INDEX}"] for record in done]) for metric in by_index(group)}


def _line(group: Sequence[Record]) -> dict[str, str]:
    first, done = group[0], [record for record in group if record["status"] == DONE]
    num_failed = len(group) - len(done)
    line = {"dataset": first["dataset"], "model": first["model"], "bits": str(first["bits"]),
            "seeds": str(len(done)) + (f" ({num_failed} {FAILED})" if num_failed else "")}
    if not done:
        return line | {"model": f"{first['model']}: {FAILED}"}
    shown = done[0]
    line |= {name: spread([record[name] for record in done]) for name in shown
             if name.startswith(("mAP@", "GmAP", "rss_mAP"))}
    if drop := _shown_drop(shown):
        line[drop] = f"{statistics.fmean(record[drop] for record in done):.1f} %"
    if "untrained" in shown:
        line["untrained"] = f"{statistics.fmean(record['untrained'] for record in done):.4f}"
        line["encoder params"], line["all params"] = (f"{shown[name] / 1e6:.2f} M"
                                                      for name in ("encoder_params", "all_params"))
    if "step_ms" in shown:
        line["train step"] = f"{shown['step_ratio']:.2f} ({_milliseconds(shown['step_ms'])})"
        line["encode"] = f"{shown['encode_ratio']:.2f} ({_milliseconds(shown['encode_ms'])})"
    return line


def _milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value >= 100 else f"{value:.2g} ms" if value < 10 else f"{value:.1f} ms"
