"""What a reader wants first: how good the codes are, how sure that is, and against what."""

from collections.abc import Mapping, Sequence

from inference.figures import Dots, Markup, dot_chart, figure, tag
from inference.latex import PREAMBLE, latex_table
from inference.page.subject import Subject
from inference.page.table import number, table

_MOST_SHALLOW = 3
_RULES = {"expected": "ties in expectation", "index": "ties by database index"}


def headline(subject: Subject) -> Markup:
    """The first mAP@K with its interval, and what that is over the best shallow code, for the head of the page."""
    k, value = next(iter(subject.evaluation.map_at["expected"].items()))
    confidence = subject.further["confidence"]
    low, high = confidence["map_at"]["expected"][k]
    lines = [tag("p", tag("span", f"mAP@{k}", class_="of"), tag("strong", f"{value:.4f}"), class_="score"),
             tag("p", f"{confidence['level']:.0%} interval {low:.4f} to {high:.4f} over the choice of queries; "
                      "equal distances in expectation", class_="note")]
    shallow = _of(subject.baselines, "expected")[:-1]
    if shallow:
        best = max(shallow, key=lambda row: row[f"mAP@{k}"])
        lines.append(_against(value, best, k, low <= best[f"mAP@{k}"] <= high))
    else:
        lines.append(tag("p", "Not compared with shallow codes: eval.py --baselines does.", class_="note"))
    return tag("div", *lines, class_="headline")


def drawn(baselines: Sequence[Mapping]) -> list[Mapping]:
    """The rows of those methods that curves show, ties in expectation: the model's own, then the best shallow codes."""
    *shallow, own = _of(baselines, "expected") or [{}]
    return [own, *sorted(shallow, key=lambda row: -row[first_map(own)])[:_MOST_SHALLOW]] if shallow else []


def first_map(row: Mapping) -> str:
    """The name of a row's first mAP@K."""
    return next(name for name in row if name.startswith("mAP@"))


def methods(subject: Subject) -> tuple[Markup, Markup]:
    """The model beside shallow codes: a chart with intervals, and a row per method under either tie rule."""
    return _chart(subject), _switched_tables(subject)


def _against(value: float, best: Mapping, k: int, within: bool) -> Markup:
    """What the model is over the best shallow code; `within`: that lies in the model's interval."""
    difference = f"{value - best[f'mAP@{k}']:+.4f}".replace("-", "−")
    gains = difference.startswith("+")
    return tag("p", tag("b", difference), f" {'over' if gains else 'below'} the best shallow code of the same length, "
               f"{best['method']} ({best[f'mAP@{k}']:.4f}){', which is within the interval' if within else ''}",
               class_="level" if within else "gain" if gains else "loss")


def _chart(subject: Subject) -> Markup:
    k = next(iter(subject.evaluation.map_at["expected"]))
    own, rows = _own(subject.baselines, "expected"), _of(subject.baselines, "expected")
    rows = sorted(rows, key=lambda row: -row[f"mAP@{k}"])
    chart = dot_chart([row["method"] for row in rows], [Dots("", [row[f"mAP@{k}"] for row in rows],
                                                     *zip(*(row["intervals"][k] for row in rows), strict=True))],
                      axis=f"mAP@{k}", marked={rows.index(own)})
    return figure(f"mAP@{k} beside shallow codes of the same length",
                  "Ties in expectation; lines are 95 % bootstrap intervals over the queries. In colour: this model, "
                  f"whose mAP@{k} over all orders of equal distances lies from {subject.bounds.map_at['worst'][k]:.4f} "
                  f"to {subject.bounds.map_at['best'][k]:.4f}.", chart)


def _switched_tables(subject: Subject) -> Markup:
    """A table per tie rule; two buttons choose which is shown, without a script."""
    buttons: list[Markup] = []
    for place, (rule, name) in enumerate(_RULES.items()):
        buttons += [tag("input", type="radio", name="ties", id=f"ties-{rule}", checked=None if place else "checked"),
                    tag("label", name, for_=f"ties-{rule}")]
    tables = [tag("div", _table(subject.baselines, rule), class_=f"of-{rule}") for rule in _RULES]
    return tag("div", tag("h3", "Beside shallow codes of the same length"), *buttons, *tables, class_="switch")


def methods_as_latex(subject: Subject) -> str:
    """The table of methods, ties in expectation, for a paper."""
    columns, cells, best = _cells(subject.baselines, "expected")
    caption = f"{subject.config.dataset}, {subject.config.nbits} bits"
    return PREAMBLE + latex_table(caption, columns, cells, best, [
        f"AP divided by {subject.evaluation.normaliser}, {_RULES['expected']}."])


def _table(baselines: Sequence[Mapping], rule: str) -> Markup:
    columns, rows, best = _cells(baselines, rule)
    cells = [[tag("b", cell) if (place, column) in best else cell for column, cell in enumerate(row)]
             for place, row in enumerate(rows)]
    return table(columns, cells, class_="numbers", marked=len(rows) - 1, label=f"methods, {_RULES[rule]}")


def _cells(baselines: Sequence[Mapping], rule: str) -> tuple[list[str], list[list[str]], set[tuple[int, int]]]:
    """The columns, the cells of each row, and the places (row, column) of the highest values."""
    rows, own = _of(baselines, rule), _own(baselines, rule)
    columns = [name for name in own if name.startswith("mAP@") or name == "GmAP"]
    highest = [max(row[name] for row in rows) for name in columns]
    best = {(place, column) for place, row in enumerate(rows) for column, name in enumerate(columns, 1)
            if row[name] == highest[column - 1]}
    return ["method", *columns], [[row["method"], *(number(row[name]) for name in columns)] for row in rows], best


def _of(baselines: Sequence[Mapping], rule: str) -> list[Mapping]:
    return [row for row in baselines if row["ties"] == rule]


def _own(baselines: Sequence[Mapping], rule: str) -> Mapping:
    """The model's own row, which is the last."""
    return _of(baselines, rule)[-1]
