"""A table in the parts that its page and its LaTeX show: by dataset and code length, quality apart from cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tables.grid.records import stands_apart

_QUALITY = ("mAP@", "GmAP", "rss_mAP")
_COST = ("encoder params", "all params", "train step", "encode")
_HEADED = ("dataset", "bits")  # what the heading of a part says, so that its rows need not


@dataclass(frozen=True)
class Part:
    """Rows of equal dataset and length. `best`: the places (row, column) of the highest value in a column of quality,
    ties in expectation, where more than one row has any.
    """

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Collection[tuple[int, int]]


def parts(lines: Sequence[Mapping[str, str]], dataset: str) -> list[Part]:
    """The parts of one dataset among the `lines` of a table, which name theirs only where there are several."""
    own = [line for line in lines if line.get("dataset", dataset) == dataset]
    found = []
    for bits in dict.fromkeys(line.get("bits", "") for line in own):
        rows = [line for line in own if line.get("bits", "") == bits]
        columns = [name for name in rows[0] if name not in _HEADED]
        quality = [name for name in columns if name not in _COST]
        heading = f"{bits} bits" if bits else ""
        if not any(name.startswith(_QUALITY) for name in columns):  # a table of costs alone
            found.append(_part(heading, columns, rows))
            continue
        found.append(_part(heading, quality, rows))
        cost = [name for name in columns if name in _COST]
        costing = [line for line in rows if any(line[name] != "-" for name in cost)]
        if costing:
            found.append(_part(f"Cost, {bits} bits", ["model", *cost], costing))
    return found


def _part(heading: str, columns: Sequence[str], lines: Sequence[Mapping[str, str]]) -> Part:
    best = set()
    for place, name in enumerate(columns):
        values = {row: float(line[name].split()[0]) for row, line in enumerate(lines)
                  if name.startswith(_QUALITY) and line[name] != "-" and not stands_apart(line)}
        best |= {(row, place) for row, value in values.items() if len(values) > 1 and value == max(values.values())}
    return Part(heading, columns, [[line[name] for name in columns] for line in lines], best)
