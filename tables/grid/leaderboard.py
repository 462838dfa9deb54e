"""Writes the methods side by side into a document, dataset by dataset, with a reading of their differences.

    python -m tables.grid.leaderboard [--results results/methods.csv] [--into docs/leaderboard.md]

The records are those of `reproduce.py --table methods`. Everything between the document's two marks is made of them.
"""

import argparse
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import ttest_ind

from tables.grid.collect import between_marks
from tables.grid.merge import read_records
from tables.grid.published import PUBLISHED
from tables.grid.records import BY_INDEX, DONE, Record, spread
from tables.grid.report import markdown_table
from utils.cli import run_script
from utils.errors import UserError
from utils.files.writing import write_text

MAIN = "mAP@5"
SHOWN = (MAIN, "mAP@20", "mAP@100")
LEVEL = 0.05  # of the test that tells two methods apart


@dataclass(frozen=True)
class Entry:
    """A method on one dataset at one code length: its records, one a seed. Shallow codes have no configuration."""

    records: Sequence[Record]

    @property
    def name(self) -> str:
        return self.records[0]["model"]

    @property
    def shallow(self) -> bool:
        return "config" not in self.records[0]

    def values(self, metric: str) -> list[float]:
        return [record[metric] for record in self.records]

    def mean(self, metric: str = MAIN) -> float:
        return statistics.fmean(self.values(metric))

    def like(self, other: "Entry") -> bool | None:
        """Whether Welch's t-test does not tell the two apart; None: a seed is too few to say."""
        if min(len(self.records), len(other.records)) < 2:
            return None
        if statistics.pstdev(self.values(MAIN)) == statistics.pstdev(other.values(MAIN)) == 0:
            return self.mean() == other.mean()
        return bool(ttest_ind(self.values(MAIN), other.values(MAIN), equal_var=False).pvalue >= LEVEL)


def leaderboard(records: Iterable[Record]) -> str:
    """Markdown: for every dataset and length a table, the best first, and what may be said of it; then all in one.

    Raises:
        UserError: no record is done.
    """
    groups: dict[tuple[str, int], dict[str, list[Record]]] = {}
    for record in records:
        if record["status"] == DONE:
            group = groups.setdefault((record["dataset"], record["bits"]), {})
            group.setdefault(record["model"], []).append(record)
    if not groups:
        raise UserError("no record of a finished cell is there. Make them with reproduce.py --table methods.")
    boards = {place: sorted(map(Entry, group.values()), key=lambda entry: -entry.mean())
              for place, group in groups.items()}
    parts = [f"### {dataset}, {bits} bits\n\n{_table(entries)}\n{_reading(entries)}\n"
             for (dataset, bits), entries in boards.items()]
    return "\n".join([_overview(boards, MAIN), _overview(boards, SHOWN[-1]), *parts])


def _overview(boards: dict[tuple[str, int], list[Entry]], metric: str) -> str:
    """`metric` over that of the best shallow code, a column for every dataset and length, and the geometric mean."""
    ratios: dict[str, dict[tuple[str, int], float]] = {}
    for place, entries in boards.items():
        best = _best_shallow(entries, metric)
        for entry in entries:
            if best and not entry.shallow:
                ratios.setdefault(entry.name, {})[place] = entry.mean(metric) / best.mean(metric)
    rows = sorted(ratios.items(), key=lambda row: (-len(row[1]), -statistics.geometric_mean(row[1].values())))
    heads = ["method", *(f"{dataset}, {bits}" for dataset, bits in boards), "geometric mean"]
    lines = [[name, *(f"{row[place]:.2f}" if place in row else "-" for place in boards),
              f"{statistics.geometric_mean(row.values()):.2f}" if len(row) == len(boards) else "-"]
             for name, row in rows]
    above = [name for name, row in rows if len(row) == len(boards) and min(row.values()) > 1]
    said = (f"Above the best shallow code everywhere: {_listed(above)}." if above else
            "No method is above the best shallow code everywhere.")
    return f"### {metric} over that of the best shallow code\n\n{markdown_table(heads, lines)}\n{said}\n"


def _table(entries: Sequence[Entry]) -> str:
    timed = any("step_ratio" in entry.records[0] for entry in entries)
    heads = ["method", "seeds", *SHOWN, f"{MAIN}{BY_INDEX}", "untrained", "encoder params", "epochs",
             *(["training time", "encode"] if timed else [])]
    lines = []
    for entry in entries:
        one = entry.records[0]
        name = f"**{entry.name}**" if entry is entries[0] else entry.name
        lines.append([name, str(len(entry.records)), *(spread(entry.values(metric)) for metric in SHOWN),
                      spread(entry.values(f"{MAIN}{BY_INDEX}")),
                      f"{statistics.fmean(entry.values('untrained')):.4f}" if "untrained" in one else "-",
                      f"{one['encoder_params'] / 1e6:.2f} M" if "encoder_params" in one else "-",
                      str(one.get("epochs") or "-"), *(_times(entries, one) if timed else [])])
    return markdown_table(heads, lines)


def _times(entries: Sequence[Entry], record: Record) -> list[str]:
    """Training and encoding time over those of the method that the times were taken beside."""
    if "step_ratio" not in record:
        return ["-", "-"]
    first = next(entry.records[0] for entry in entries if entry.records[0].get("step_ratio") == 1)
    training = record["step_ratio"] * record["epochs"] / first["epochs"]
    return [f"{training:.2f}", f"{record['encode_ratio']:.2f}"]


def _reading(entries: Sequence[Entry]) -> str:
    """Who leads, what the test does not tell from it, who is above the best shallow code and who has not learned."""
    first, best = entries[0], _best_shallow(entries, MAIN)
    said = [f"{first.name} leads" + (f", {first.mean() / best.mean():.2f} times {best.name}, the best shallow code."
                                     if best and best is not first else ".")]
    for like, what in ((False, "Below it by more than the seeds differ"), (True, "Not told apart from it"),
                       (None, "Too few seeds to say")):
        names = [entry.name for entry in entries[1:] if not entry.shallow and first.like(entry) is like]
        said += [f"{what}: {_listed(names)}."] if names else []
    if best:
        below = [entry.name for entry in entries if not entry.shallow and entry.mean() <= best.mean()]
        said.append(f"Not above {best.name}: {_listed(below)}." if below else "All methods are above it.")
    idle = [entry.name for entry in entries if "untrained" in entry.records[0]
            and entry.mean() < 1.2 * statistics.fmean(entry.values("untrained"))]
    if idle:
        said.append(f"Less than 1.2 times their untrained start: {_listed(idle)}.")
    return " ".join(said)


def _best_shallow(entries: Iterable[Entry], metric: str) -> Entry | None:
    return max((entry for entry in entries if entry.shallow), key=lambda entry: entry.mean(metric), default=None)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tables.grid.leaderboard", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="results/methods.csv", metavar="FILE",
                        help="records of reproduce.py (default: %(default)s)")
    parser.add_argument("--into", default="docs/leaderboard.md", metavar="FILE",
                        help="the document (default: %(default)s)")
    arguments = parser.parse_args()
    path, target = Path(arguments.results), Path(arguments.into)
    if not path.exists():
        raise UserError(f"{path}: not there. Make it with reproduce.py --table methods, or name another by --results.")
    records = [record for record in read_records(path) if record["status"] != PUBLISHED]
    text = target.read_text(encoding="utf-8")
    write_text(target, between_marks(text, "\n" + leaderboard(records) + "\n", str(target)))
    print(f"{target}: {len(records)} records from {path}")


if __name__ == "__main__":
    run_script(main)
