"""The table as one page that loads nothing: charts, the table and what its columns mean."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from inference.figures import Axes, Line, Markup, figure, line_chart, series_names, tag
from inference.page.document import html_page
from inference.page.table import table
from tables.grid.published import PUBLISHED
from tables.grid.records import BY_INDEX, DONE, Record, by_index

_PER_CHART = 6  # as many colours and markers as there are


def page_text(title: str, command: str, made: str, lines: Sequence[Mapping[str, str]], notes: Sequence[str],
              records: Sequence[Record], draw: Callable[[Sequence[Record]], list[Markup]]) -> str:
    """The whole page: heading, command, circumstances; each dataset's lines of the table and what `draw` makes of its
    raw `records`; notes.
    """
    sections = [tag("section", tag("h2", dataset), _table(lines, dataset),
                    tag("div", *draw(of_dataset), class_="figures halves"))
                for dataset, of_dataset in _split(records, "dataset")]
    return html_page(title, tag("header", tag("h1", title), tag("pre", command, tabindex="0"),
                                tag("p", f"{made}.", class_="note")),
                     tag("main", *sections, tag("section", tag("h2", "Columns"),
                                                *(tag("p", note, class_="note") for note in notes))))


def _table(lines: Sequence[Mapping[str, str]], dataset: str) -> Markup:
    """The lines of one dataset, which the heading names already; where there is but one, lines do not name it."""
    columns = [column for column in lines[0] if column != "dataset"]
    rows = [[line[column] for column in columns] for line in lines if line.get("dataset", dataset) == dataset]
    return table(columns, rows, class_="numbers")


def retrieval_figures(records: Sequence[Record]) -> list[Markup]:
    """Of one dataset: GmAP over the code lengths, then mAP@K of each length, and beside what is published."""
    lengths = _split(records, "bits")
    figures = []
    if len(lengths) > 1:
        gmap = [_means(model, ((record["bits"], record["GmAP"]) for record in own if record["status"] == DONE))
                for model, own in _split(records, "model")]
        figures += _charts("GmAP by code length", "Ties in expectation, the mean over the seeds.", gmap,
                           Axes("bits", "GmAP"))
    for bits, of_length in lengths:
        axes, models = Axes("K", "mAP@K"), _split(of_length, "model")
        figures += _charts(f"mAP@K, {bits} bits", "Ties in expectation, the mean over the seeds.",
                           [_curve(model, own) for model, own in models], axes)
        for model, own in models:
            sources = [_published(record) for record in own if record["status"] == PUBLISHED]
            if sources and (ours := by_index(own)):
                line = _means(f"{model}, ties by index", ((_k(name), value) for name, value in ours.items()
                                                          if name.startswith("mAP@")))
                figures += _charts(f"{model} beside what is published, {bits} bits",
                                   "Ties by index; each source by itself.", [line, *sources], axes)
    return figures


def _charts(title: str, caption: str, lines: Sequence[Line], axes: Axes) -> list[Markup]:
    """As many figures as the lines need; the first line is drawn again in each, to compare with."""
    lines = [line for line in lines if len(line.x)]
    first, others = lines[:1], lines[1:]
    parts = [others[start:start + _PER_CHART - 1] for start in range(0, max(1, len(others)), _PER_CHART - 1)]
    return [figure(f"{title} ({place} of {len(parts)})" if len(parts) > 1 else title, caption,
                   line_chart([*first, *part], axes), names=series_names([*first, *part]))
            for place, part in enumerate(parts, 1) if lines]


def _curve(model: str, records: Sequence[Record]) -> Line:
    return _means(model, ((_k(name), value) for record in records for name, value in record.items()
                          if name.startswith("mAP@") and not name.endswith(BY_INDEX)))


def _published(record: Record) -> Line:
    return _means(record["source"], ((_k(name), value) for name, value in record.items()
                                     if name.startswith(f"{PUBLISHED} mAP@")))


def _means(name: str, points: Iterable[tuple[int, float]]) -> Line:
    values: dict[int, list[float]] = {}
    for x, y in points:
        values.setdefault(x, []).append(y)
    return Line(name, sorted(values), [statistics.fmean(values[x]) for x in sorted(values)])


def _k(metric: str) -> int:
    return int(metric.partition("@")[2])


def _split(records: Iterable[Record], key: str) -> list[tuple]:
    parts: dict = {}
    for record in records:
        parts.setdefault(record[key], []).append(record)
    return list(parts.items())
