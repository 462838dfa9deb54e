"""A figure of a page as a file of its own: SVG, with its legend and its colours in it, for papers."""

import re
import xml.etree.ElementTree as xml
from pathlib import Path

from inference.figures.markup import Markup, tag

STYLE = Path(__file__).with_name("figures.css").read_text(encoding="utf-8")
_LETTER, _LINE, _SWATCH = 6.2, 14, 11
_FONT = "Helvetica, Arial, sans-serif"
_MARGIN = 4  # for the last number of an axis, which reaches beyond its chart
_POINTS = 0.75  # of one pixel of the viewBox: a chart is as wide as a column of a paper and its text 7.5 points


def standalone(figure: xml.Element) -> str:
    """The chart of a `figure` of a page, in light colours, its legend above it; the text of an SVG file."""
    title, chart = figure.findtext("h3"), figure.find("svg")
    assert chart is not None
    _, _, width, height = map(float, chart.attrib["viewBox"].split())
    legend, depth = _legend([(item[0].attrib["class"], "".join(item.itertext()))
                             for item in figure.iterfind("ul/li")], width)
    inner = Markup("".join(xml.tostring(child, encoding="unicode") for child in chart))
    return tag("svg", tag("title", title), tag("style", Markup(_light_style())), legend, inner,
               xmlns="http://www.w3.org/2000/svg",
               viewBox=f"{-_MARGIN} {-depth} {width + 2 * _MARGIN:g} {height + depth:g}",
               width=f"{(width + 2 * _MARGIN) * _POINTS:g}pt", height=f"{(height + depth) * _POINTS:g}pt",
               font_family=_FONT) + "\n"


def is_standalone(content: bytes) -> bool:
    """Whether a file of this content was made here, and not changed by a program for drawings, which begins otherwise.
    """
    return content.startswith(b"<svg ") and _FONT.encode() in content[:300]


def _legend(names: list[tuple[str, str]], width: float) -> tuple[Markup | None, int]:
    """The legend above y = 0, and how far it reaches."""
    lines: list[list[tuple[float, str, str]]] = []
    right = width
    for look, name in names:
        size = _SWATCH + _LETTER * len(name) + 10
        if right + size > width:
            lines.append([])
            right = 0.0
        lines[-1].append((right, look, name))
        right += size
    marks = [tag("g", tag("rect", x=x, y=_LINE * (row - len(lines)) + 3.0, width=7, height=7),
                 tag("text", name, x=x + _SWATCH, y=_LINE * (row - len(lines)) + 10.0, class_="axis"),
                 class_=look.removeprefix("swatch ")) for row, line in enumerate(lines) for x, look, name in line]
    return (tag("g", *marks, transform="translate(0 -6)") if marks else None), (_LINE * len(lines) + 6 if marks else 0)


def _light_style() -> str:
    """The style sheet without its dark mode and its variables, which few programs but browsers know."""
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--(\w+): (#\w{6});", light))
    rules = rest.partition("\n}\n")[2]
    return re.sub(r"var\(--(\w+)\)", lambda match: colours[match[1]], rules)
