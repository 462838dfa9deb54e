"""What many videos cost in machines, hours, bytes and network: rates of a core times counts, as a table.

    python -m benchmarks.fleet_costs
    python -m benchmarks.fleet_costs --rates mine.csv --videos 1e6 1e9

The rates, benchmarks/rates.csv unless told otherwise, are lines of name, value, unit and where the value is from; some
are measured, by commands that stand there, others are assumptions, which another file may change. Work is taken to be
spread evenly; `python -m benchmarks.fleet` says what deaths and stragglers add.
"""

import argparse
import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from utils.cli import run_script
from utils.errors import UserError

RATES = Path(__file__).parent / "rates.csv"
COUNTS = (1e6, 1e8, 1e9, 1e10)
Rates = Mapping[str, float]


def code_bytes(rates: Rates, videos: float) -> float:
    """Codes in words of 64 bits; ids that are consecutive numbers take nothing."""
    return videos * 8 * math.ceil(rates["bits"] / 64)


def core_hours(rates: Rates, videos: float, rate: str) -> float:
    return videos / rates[rate] / 3600


def machines(rates: Rates, videos: float, rate: str) -> float:
    """Machines that do such work within the deadline."""
    return math.ceil(core_hours(rates, videos, rate) / rates["cores_per_machine"] / rates["deadline_hours"])


def search_seconds(rates: Rates, videos: float) -> float:
    """One machine's time for one query of a batch, against all codes."""
    return videos / rates["search"] / rates["cores_per_machine"]


def shards(rates: Rates, videos: float) -> float:
    """Machines whose memory holds all codes, and whose time for a batch is at most `batch_seconds`."""
    by_memory = code_bytes(rates, videos) / (rates["memory_per_machine"] * rates["memory_for_codes"])
    return math.ceil(max(by_memory, search_seconds(rates, videos) * rates["batch"] / rates["batch_seconds"]))


def search_machines(rates: Rates, videos: float) -> float:
    """All replicas of all shards, of which none works more than `load` of its time."""
    each = search_seconds(rates, videos) / shards(rates, videos) * rates["queries_per_second"] / rates["load"]
    return shards(rates, videos) * max(rates["replicas"], math.ceil(each))


ROWS: Sequence[tuple[str, Callable[[Rates, float], str]]] = (
    ("videos, stored", lambda r, n: told_bytes(n * r["bytes_per_video"])),
    ("features, float16", lambda r, n: told_bytes(n * 2 * r["frames"] * r["features"])),
    ("codes", lambda r, n: told_bytes(code_bytes(r, n))),
    ("decode, describe by HOG: core hours", lambda r, n: told(core_hours(r, n, "extract_hog"))),
    ("... machines for the deadline", lambda r, n: told(machines(r, n, "extract_hog"))),
    ("decode, describe by EfficientNet-Lite0: core hours", lambda r, n: told(core_hours(r, n, "extract_network"))),
    ("... machines for the deadline", lambda r, n: told(machines(r, n, "extract_network"))),
    ("network for the videos within the deadline", lambda r, n: told_bits(
        8 * n * r["bytes_per_video"] / r["deadline_hours"] / 3600)),
    ("train on a sample: core hours", lambda r, _: told(core_hours(r, r["training_videos"] * r["epochs"], "train"))),
    ("encode features: core hours", lambda r, n: told(core_hours(r, n, "encode"))),
    ("... reading them within the deadline", lambda r, n: told_bits(
        16 * n * r["frames"] * r["features"] / r["deadline_hours"] / 3600)),
    ("build the index: core hours", lambda r, n: told(core_hours(r, n, "index"))),
    ("exact search, one machine: queries a second", lambda r, n: told(1 / search_seconds(r, n))),
    ("search machines: shards", lambda r, n: told(shards(r, n))),
    ("... with replicas, for the queries", lambda r, n: told(search_machines(r, n))),
)


def table(rates: Rates, counts: Sequence[float]) -> str:
    """The table as Markdown."""
    lines = ["| | " + " | ".join(f"{told(count)} videos" for count in counts) + " |", "|-|" + "-:|" * len(counts)]
    lines += [f"| {name} | " + " | ".join(row(rates, count) for count in counts) + " |"
              for name, row in ROWS]
    return "\n".join(lines) + "\n"


def told(value: float) -> str:
    """A number with two digits that count, in words from a million on."""
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:,.2g}{word}" if value < 100 * size else f"{value / size:,.0f}{word}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value >= 0.01 else "< 0.01"


def told_bytes(value: float) -> str:
    return _scaled(value, "B")


def told_bits(value: float) -> str:
    return _scaled(value, "bit/s")


def _scaled(value: float, unit: str) -> str:
    step = max(0, min(6, int(math.log10(value) / 3))) if value >= 1 else 0
    value /= 1000**step
    return f"{value:.0f}" * (value >= 100) + f"{value:.2g}" * (value < 100) + f" {' kMGTPE'[step].strip()}{unit}"


def read_rates(path: Path) -> dict[str, float]:
    """The values by name.

    Raises:
        UserError: the file cannot be read, a value is no number above 0, or a name is missing or unknown.
    """
    needed = set(_lines(RATES))
    found = _lines(path)
    if wrong := sorted(needed ^ set(found)):
        raise UserError(f"{path}: {', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} missing or unknown. Take a "
                        f"copy of {RATES} and change its values.")
    return found


def _lines(path: Path) -> dict[str, float]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = {line["name"]: float(line["value"]) for line in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: no table of rates ({error}). Take a copy of {RATES} and change its "
                        "values.") from error
    for name, value in lines.items():
        if not 0 < value < math.inf:
            raise UserError(f"{path}: {name} is {value}, not a number above 0. Correct it.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, default=RATES, metavar="FILE", help="(default: %(default)s)")
    parser.add_argument("--videos", type=float, nargs="+", default=COUNTS, metavar="N",
                        help="(default: a million, a hundred million, a billion, ten billion)")
    arguments = parser.parse_args()
    print(table(read_rates(arguments.rates), arguments.videos), end="")


if __name__ == "__main__":
    run_script(main)
