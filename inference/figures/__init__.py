"""Figures for a page: charts as SVG, pixels as PNG, text that is escaped. Knows nothing of codes or metrics."""

from inference.figures.charts import (
    Axes,
    Bars,
    Dots,
    Line,
    bar_chart,
    dot_chart,
    figure,
    heat_map,
    line_chart,
    point_class,
    scatter,
    series_names,
)
from inference.figures.markup import Markup, join, tag
from inference.figures.png import png_bytes, png_uri
from inference.figures.standalone import STYLE, is_standalone, standalone

__all__ = ["STYLE", "Axes", "Bars", "Dots", "Line", "Markup", "bar_chart", "dot_chart", "figure", "heat_map",
           "is_standalone", "join", "line_chart", "png_bytes", "png_uri", "point_class", "scatter", "series_names",
           "standalone", "tag"]
