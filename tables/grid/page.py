"""The table as one page that loads nothing: charts, the table and what its columns mean; and the table as LaTeX."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from inference.figures import Dots, Markup, dot_chart, figure, join, series_names, tag
from inference.latex import PREAMBLE, latex_table
from inference.page.document import html_page
from inference.page.table import table
from tables.grid.parts import Part, parts
from tables.grid.published import PUBLISHED
from tables.grid.records import BY_INDEX, DONE, Record, by_index


def page_text(title: str, command: str, made: str, lines: Sequence[Mapping[str, str]], notes: Sequence[str],
              records: Sequence[Record], draw: Callable[[Sequence[Record]], list[Markup]]) -> str:
    """The whole page: heading, command, circumstances; each dataset's lines of the table and what `draw` makes of its
    raw `records`; notes.
    """
    sections = [tag("section", tag("h2", dataset), tag("div", *draw(of_dataset), class_="figures halves"),
                    *(_table(part, dataset) for part in parts(lines, dataset)), id=dataset)
                for dataset, of_dataset in _split(records, "dataset")]
    return html_page(title, tag("header", tag("h1", title), tag("pre", command, tabindex="0"),
                                tag("p", f"{made}.", class_="note")),
                     tag("main", *sections, tag("section", tag("h2", "Columns"),
                                                *(tag("p", note, class_="note") for note in notes))))


def latex_text(title: str, command: str, made: str, lines: Sequence[Mapping[str, str]], notes: Sequence[str],
               records: Sequence[Record]) -> str:
    """The same tables for a paper, one for each part, best values in bold."""
    return f"% {command}\n% {made}\n{PREAMBLE}" + "".join(
        latex_table(", ".join(filter(None, (title, dataset, part.heading))), part.columns, part.rows, part.best,
                    notes) for dataset, _ in _split(records, "dataset") for part in parts(lines, dataset))


def _table(part: Part, dataset: str) -> Markup:
    spread = any("±" in cell for row in part.rows for cell in row)  # values line up to the left, as all begin alike
    rows = [[_cell(cell, (place, column) in part.best) for column, cell in enumerate(row)]
            for place, row in enumerate(part.rows)]
    label = ", ".join(filter(None, (dataset, part.heading)))
    return join([tag("h3", part.heading) if part.heading else None,
                 table(part.columns, rows, class_=None if spread else "numbers", label=label)])


def _cell(text: str, best: bool) -> Markup:
    value, sign, deviation = text.partition(" ±")
    return join([tag("b", value) if best else value, tag("small", sign + deviation) if sign else None])


def retrieval_figures(records: Sequence[Record]) -> list[Markup]:
    """Of one dataset: the first and the last mAP@K of every row, and the first beside what is published of a row."""
    metrics = dict.fromkeys(name for record in records for name in record
                            if name.startswith("mAP@") and not name.endswith(BY_INDEX))
    rows = _split((record for record in records if record["status"] == DONE), "model")
    figures = [_dots(metric, [(model, own, metric) for model, own in rows],
                     "Ties in expectation. ")
               for metric in dict.fromkeys([*metrics][:1] + [*metrics][-1:])]
    for model, own in _split(records, "model"):
        sources = _split((record for record in own if record["status"] == PUBLISHED), "source")
        if sources and by_index(own):
            metric = next(iter(metrics))
            ours = [record for record in own if record["status"] == DONE]
            figures.append(_dots(f"{metric} of {model} beside what is published",
                                 [("here, ties by index", ours, metric + BY_INDEX),
                                  *((source, found, f"{PUBLISHED} {metric}") for source, found in sources)],
                                 "Each source by itself. "))
    return [one for one in figures if one]


def _dots(title: str, rows: Sequence[tuple[str, Sequence[Record], str]], caption: str) -> Markup | None:
    """A chart of rows, each of a name, its records and the metric to show; a colour per code length."""
    lengths = sorted({record["bits"] for _, records, _ in rows for record in records})
    found = [(name, [[record[metric] for record in records if record["bits"] == bits and metric in record]
                     for bits in lengths], any("config" in record for record in records))
             for name, records, metric in rows]
    found = [row for row in found if any(row[1])]
    if not found:
        return None
    found.sort(key=lambda row: -statistics.fmean(next(filter(None, reversed(row[1])))))  # by the longest codes
    series = []
    for place, bits in enumerate(lengths):
        values = [row[1][place] for row in found]
        means = [statistics.fmean(one) if one else float("nan") for one in values]
        reach = [statistics.stdev(one) if len(one) > 1 else 0.0 for one in values]
        series.append(Dots(f"{bits} bits", means, [m - r for m, r in zip(means, reach, strict=True)],
                           [m + r for m, r in zip(means, reach, strict=True)]))
    own = {place for place, row in enumerate(found) if row[2]}
    spread = any(high > mean for dots in series for mean, high in zip(dots.values, dots.high, strict=True))
    caption += "Dots: the mean over the seeds, lines: their standard deviation. " if spread else ""
    about = "" if len(lengths) > 1 else f"{lengths[0]} bits. " + ("In colour: the rows of this table." if own else "")
    return figure(title, f"{caption}{about}".strip(), dot_chart(
        [row[0] for row in found], series, axis=title.partition(" ")[0], marked=own), names=series_names(series))


def _split(records: Iterable[Record], key: str) -> list[tuple]:
    groups: dict = {}
    for record in records:
        groups.setdefault(record[key], []).append(record)
    return list(groups.items())
