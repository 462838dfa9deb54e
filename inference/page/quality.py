"""The figures that count: mAP under every tie rule, and curves over the whole ranking."""

from collections.abc import Mapping, Sequence

import numpy as np

from inference.curves import log_ranks, radius_curve, rank_curve
from inference.figures import Axes, Bars, Line, Markup, bar_chart, figure, join, line_chart, series_names, tag
from inference.page.headline import drawn, first_map, methods
from inference.page.subject import Subject
from inference.page.table import FEW, number, table


def section(subject: Subject) -> Markup:
    """The model beside shallow codes, key figures and curves."""
    charts = [map_curves(subject), _precision_recall(subject), *_ranks(subject), _distances(subject)]
    figures = tag("div", tag("div", _key_figures(subject)), _map_bars(subject), class_="lead")
    if not subject.baselines:
        return join([figures, tag("div", *charts, class_="figures halves")])
    return join([tag("div", *methods(subject), class_="lead"),
                 tag("details", tag("summary", "All figures of this model, with intervals and the bounds of ties"),
                     figures), tag("div", *charts, class_="figures halves")])


def _key_figures(subject: Subject) -> Markup:
    evaluation, bounds = subject.evaluation, subject.bounds.map_at
    confidence = subject.further["confidence"]
    intervals = confidence["map_at"]["expected"]
    maps = evaluation.map_at
    rows = [[f"mAP@{k}", *map(number, (maps["index"][k], value)), _span(*intervals[k]),
             _span(bounds["worst"][k], bounds["best"][k])] for k, value in maps["expected"].items()]
    rows += [[name, number(values["index"]), number(values["expected"]), "-",
              _span(getattr(subject.bounds, key)["worst"], getattr(subject.bounds, key)["best"])]
             for name, key in (("GmAP", "gmap"), ("rss_mAP", "rss_map")) for values in [getattr(evaluation, key)]]
    rows.append(["mAP@all", "-", number(subject.further["map_all"]["expected"]),
                 _span(*confidence["map_all"]["expected"]), "-"])
    share = f"{confidence['level']:.0%}"
    note = (f"Interval: {share} percentile bootstrap of the expected value, {confidence['resamples']:,} resamples of "
            "the queries. Worst to best: over all orders of equal distances. mAP@all: the mean of the precision at "
            "every relevant item of the whole ranking.")
    return join([table(["metric", "ties by index", "ties expected", f"{share} interval", "worst to best ties"], rows,
                       class_="numbers", label="all figures"), tag("p", note, class_="note")])


def _map_bars(subject: Subject) -> Markup:
    maps, bounds = subject.evaluation.map_at, subject.bounds.map_at
    low, high = list(bounds["worst"].values()), list(bounds["best"].values())
    bars = [Bars(f"ties {'by index' if rule == 'index' else rule}", list(values.values()), low, high)
            for rule, values in maps.items()]
    chart = bar_chart([str(k) for k in maps["expected"]], bars, Axes("K", "mAP@K"))
    return figure("mAP@K under both tie rules", "Whiskers reach from the worst to the best order of equal distances.",
                  chart, names=series_names(bars))


def map_curves(subject: Subject) -> Markup | None:
    """mAP@K of the model and the best shallow codes over K; None without these, or where few K are no curve."""
    rows = drawn(subject.baselines)
    if not rows or len(subject.evaluation.map_at["expected"]) <= FEW:  # the table says it
        return None
    lines = [Line(row["method"], *zip(*((int(name[4:]), row[name]) for name in row if name.startswith("mAP@")),
                                      strict=True)) for row in rows]
    return figure("mAP@K", f"Ties in expectation, {_beside(rows)}.", line_chart(lines, Axes("K", "mAP@K")),
                  names=series_names(lines))


def _precision_recall(subject: Subject) -> Markup:
    precision, recall = radius_curve(subject.counts)
    radii = subject.counts.radii
    rows = drawn(subject.baselines)
    lines = [Line(subject.name, recall, precision)]
    lines += [Line(row["method"], *radius_curve(subject.shallow_counts[row["method"]])[::-1]) for row in rows[1:]]
    chart = line_chart(lines, Axes("recall", "precision", x_range=(0, 1), level=precision[-1]))
    inner = int(np.argmax(recall >= 0.5))
    return figure("Precision and recall by Hamming radius",
                  f"A point per radius from 0 to {radii[-1]:g}, over all pairs of a query and an item; half of the "
                  f"relevant pairs lie within radius {radii[inner]:g}; dashed: chance, the share of relevant pairs"
                  f"{f'; {_beside(rows)}' if rows else ''}.", chart, names=series_names(lines))


def _beside(rows: Sequence[Mapping]) -> str:
    return f"beside the {len(rows) - 1} shallow codes of the highest {first_map(rows[0])}"


def _ranks(subject: Subject) -> list[Markup]:
    at = log_ranks(subject.counts.num_items)
    precision, recall = rank_curve(subject.counts, at)
    return [
        figure("Precision@N", "Share of relevant items among the first N, mean over queries, ties in expectation.",
               line_chart([Line("precision@N", at, precision)], Axes("N", "precision@N", log_x=True))),
        figure("Recall@N", "Share of a query's relevant items that are among the first N, mean over queries.",
               line_chart([Line("recall@N", at, recall)], Axes("N", "recall@N", log_x=True)))]


def _distances(subject: Subject) -> Markup:
    items, hits = subject.counts.items.sum(axis=0), subject.counts.hits.sum(axis=0)
    radii = subject.counts.radii
    shares = {name: count / max(1, count.sum())
              for name, count in (("relevant pairs", hits), ("irrelevant pairs", items - hits))}
    lines = [Line(name, radii, share) for name, share in shares.items()]
    means = [float(radii @ share) for share in shares.values()]
    return figure("Distances of relevant and irrelevant pairs",
                  f"Share of each kind of pair at every Hamming distance; the means are {means[0]:.2f} and "
                  f"{means[1]:.2f} bits.",
                  line_chart(lines, Axes("Hamming distance", "share of pairs", fill=True)), names=series_names(lines))


def _span(low: float, high: float) -> str:
    return f"{low:.4f} – {high:.4f}"
