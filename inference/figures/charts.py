"""Charts as SVG: lines, bars, points, a matrix. Colours are classes of the page's style sheet (`s0`, `s1`, ...), so
that they follow its light and dark mode. Pixels are those of the viewBox; the page scales it to the column.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from inference.figures.markup import Markup, tag
from inference.figures.png import png_uri
from inference.figures.scale import Scale, label, linear, logarithmic

WIDTH, HEIGHT = 360, 216
NUM_COLOURS = 6

_TOP, _RIGHT, _BOTTOM = 22, 12, 34
_PAD, _ROW, _DODGE = 6, 19, 7  # of a dot chart: above its rows, the height of one, and between the dots in it
_LONGEST = 30  # letters of a row's name
_LETTER, _BOLD = 5.6, 6.2  # the width of a digit in a tick label, of a letter in bold
_MARKED = 60  # lines of more points go without markers
_NUMBERED = 10  # more bars than these go without their values
# Outlines about (0, 0): the second way, beside colour, to tell series apart.
_MARKERS = ("M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "M-2.7-2.7h5.4v5.4h-5.4z", "M0-3.5L3.4 2.6H-3.4z",
            "M0-3.7L3.7 0L0 3.7L-3.7 0z", "M-3.4-2.6H3.4L0 3.5z", "M-3.6-1.2h7.2v2.4h-7.2z")


@dataclass(frozen=True)
class Line:
    """A curve through (x, y); points whose y is not finite are left out."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Bars:
    """A bar per category. `low` and `high`, where given, are the ends of a whisker on each."""

    name: str
    values: Sequence[float] | np.ndarray
    low: Sequence[float] | np.ndarray | None = None
    high: Sequence[float] | np.ndarray | None = None


@dataclass(frozen=True)
class Dots:
    """A dot per category on a line from `low` to `high`; NaN: none."""

    name: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Axes:
    """The titles of the axes; whether x is logarithmic and how far it reaches at least; whether y holds 0; a level
    drawn across; whether what lies under a line is shaded.
    """

    x: str
    y: str
    log_x: bool = False
    x_range: tuple[float, ...] = ()
    zero: bool = True
    level: float | None = None
    fill: bool = False


def line_chart(lines: Sequence[Line], axes: Axes) -> Markup:
    """The `lines` on common axes."""
    xs = np.concatenate([np.asarray(line.x, float) for line in lines])
    ys = np.concatenate([np.asarray(line.y, float) for line in lines])
    y = _y_scale(ys, axes)
    left = _left(y)
    x = _x_scale([*xs[np.isfinite(ys)], *axes.x_range], left, axes)
    marks = [_line(line, i, x, y, fill=axes.fill) for i, line in enumerate(lines)]
    return _svg(axes, x, y, [(x(tick), label(tick)) for tick in x.ticks], marks)


def bar_chart(categories: Sequence[str], bars: Sequence[Bars], axes: Axes) -> Markup:
    """Groups of bars, one group per category; labels are thinned until they fit."""
    heights = [np.asarray(values, float) for bar in bars for values in (bar.values, bar.low, bar.high)
               if values is not None]
    y = _y_scale(np.concatenate(heights), axes)
    left = _left(y)
    x = Scale(-0.5, len(categories) - 0.5, left, WIDTH - _RIGHT, ())
    every = _thinning(categories, x(1) - x(0))
    ticks = [(x(i), name) for i, name in enumerate(categories) if i % every == 0]
    marks = [_bar_group(categories, bars, place, x, y) for place in range(len(bars))]
    if len(bars) == 1 and len(categories) <= _NUMBERED:
        marks += [tag("text", label(float(f"{value:.3g}")), x=x(i), y=float(y(value) - 4), class_="tick middle")
                  for i, value in enumerate(bars[0].values)]
    return _svg(axes, x, y, ticks, marks)


def dot_chart(names: Sequence[str], series: Sequence[Dots], *, axis: str, marked: Collection[int] = ()) -> Markup:
    """A row per name, in it a dot of every series. A single series has its values beside it, and only the rows at
    `marked` are coloured; several have a colour each.
    """
    shown = [name if len(name) <= _LONGEST else f"{name[:_LONGEST - 1]}…" for name in names]
    left, right = 12 + _BOLD * max(map(len, shown)), WIDTH - _RIGHT - (40 if len(series) == 1 else 0)
    x = linear([end for dots in series for end in (*dots.low, *dots.high)], left, right, zero=True, most=3)
    height = max(_ROW, _DODGE * (len(series) + 1))
    bottom = _PAD + height * len(names)
    marks = [tag("path", d=f"M{x(tick):.1f} {_PAD}V{bottom}", class_="grid") for tick in x.ticks]
    marks += [tag("text", label(tick), x=float(x(tick)), y=bottom + 14, class_="tick middle") for tick in x.ticks]
    for row, name in enumerate(names):
        y = _PAD + height * (row + 0.5)
        alone = ("s0" if row in marked else "s5") if len(series) == 1 else ""
        words = [tag("text", shown[row], x=left - 8, y=y + 3.5, class_="tick end")]
        if alone:
            words.append(tag("text", f"{series[0].values[row]:.4f}", x=WIDTH - _RIGHT, y=y + 3.5, class_="tick end"))
        dots = [_dot(f"{name}, {one.name}" if one.name else name, one, row, place, x,
                     float(y + _DODGE * (place - (len(series) - 1) / 2)), alone) for place, one in enumerate(series)]
        marks.append(tag("g", *words, *dots, class_=f"row {alone}".strip()))
    return tag("svg", *marks, tag("text", axis, x=(left + right) / 2, y=bottom + 29, class_="axis middle"),
               viewBox=f"0 0 {WIDTH} {bottom + 34}", role="img", aria_label=f"{axis} of {len(names)} rows")


def _dot(name: str, dots: Dots, row: int, place: int, x: Scale, y: float, colour: str) -> Markup | None:
    value, low, high = dots.values[row], dots.low[row], dots.high[row]
    if not np.isfinite(value):
        return None
    reach = f" ({low:.4f} to {high:.4f})" if high > low else ""
    return tag("g", tag("title", f"{name}: {value:.4f}{reach}"),
               tag("path", d=f"M{x(low):.1f} {y:.1f}H{x(high):.1f}", class_="line"),
               tag("path", d=_MARKERS[place % len(_MARKERS)], transform=f"translate({x(value):.1f} {y:.1f})",
                   class_="marker"), class_=colour or f"s{place % NUM_COLOURS}")


def scatter(groups: Sequence[tuple[str, np.ndarray]], num_background: int = 0) -> Markup:
    """Points (n, 2) of named groups without axes; the first `num_background` groups are grey and lie below.

    The first six groups in front are round, in six colours; more would be square in the same.
    """
    everything = np.concatenate([points for _, points in groups])
    low, span = everything.min(axis=0), np.ptp(everything, axis=0).max() or 1.0
    side = WIDTH - 16
    marks = []
    for i, (name, points) in enumerate(groups):
        place = (points - low) / span * side + 8
        path = "".join(f"M{px:.1f} {py:.1f}h0" for px, py in place)
        marks.append(tag("path", tag("title", name), d=path, class_=f"points {point_class(i - num_background)}"))
    height = round(np.ptp(everything[:, 1]) / span * side) + 16
    return tag("svg", *marks, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label="points in the plane")


def point_class(place: int) -> str:
    """The classes of the group at `place` in a scatter chart; negative: background."""
    return "other" if place < 0 else f"s{place % NUM_COLOURS} {'round' if place < NUM_COLOURS else 'square'}"


def heat_map(matrix: np.ndarray, axis: str) -> Markup:
    """A square matrix (K, K), blue above 0 and orange below, the stronger the farther; NaN is left blank.

    The range is +-max |value|, as the scale below it says. Zero is transparent: the page shows through.
    """
    num_rows = len(matrix)
    most = float(np.nanmax(np.abs(matrix), initial=0.0)) or 1.0
    left, top, side = 30, 8, WIDTH - 60
    x = Scale(-0.5, num_rows - 0.5, left, left + side, ())
    every = _thinning([str(num_rows)] * num_rows, x(1) - x(0))
    ticks = [tag("text", str(i), x=x(i), y=top + side + 13, class_="tick middle") for i in range(0, num_rows, every)]
    ticks += [tag("text", str(i), x=left - 5, y=x(i) - left + top + 3.5, class_="tick end")
              for i in range(0, num_rows, every)]
    legend_y = top + side + 40
    ramp = np.linspace(-1, 1, 101)[None]
    return tag(
        "svg", _picture(matrix / most, left, top, side, side),
        tag("rect", x=left, y=top, width=side, height=side, class_="frame"), *ticks,
        tag("text", axis, x=left + side / 2, y=top + side + 27, class_="tick middle"),
        _picture(ramp, left + side / 4, legend_y, side / 2, 10),
        tag("text", label(round(-most, 3)), x=left + side / 4 - 6, y=legend_y + 9, class_="tick end"),
        tag("text", label(round(most, 3)), x=left + 3 * side / 4 + 6, y=legend_y + 9, class_="tick"),
        viewBox=f"0 0 {WIDTH} {legend_y + 16}", role="img", aria_label=f"matrix over {axis}")


def legend(names: Sequence[tuple[str, str]]) -> Markup | None:
    """A list of (class of the swatch, name); None where a single name needs no telling apart."""
    if len(names) < 2:
        return None
    return tag("ul", *(tag("li", tag("span", class_=f"swatch {mark}"), name) for mark, name in names), class_="legend")


def figure(title: str, caption: str, body: Markup, *, names: Sequence[tuple[str, str]] = ()) -> Markup:
    """`body` under its title and legend (`names`, as `series_names` gives them) and over its caption."""
    return tag("figure", tag("h3", title), legend(names), body, tag("figcaption", caption))


def series_names(series: Sequence[Line | Bars | Dots]) -> list[tuple[str, str]]:
    """What `legend` takes, for the lines or bars of a chart."""
    return [(f"s{i % NUM_COLOURS}", one.name) for i, one in enumerate(series)]


def _svg(axes: Axes, x: Scale, y: Scale, x_ticks: Sequence[tuple[float, str]], marks: Sequence[Markup]) -> Markup:
    bottom = HEIGHT - _BOTTOM
    grid = [tag("path", d=f"M{x.start:.1f} {y(tick):.1f}H{x.end:.1f}", class_="base" if tick == 0 else "grid")
            for tick in y.ticks]
    texts = [tag("text", label(tick), x=x.start - 5, y=float(y(tick) + 3.5), class_="tick end") for tick in y.ticks]
    texts += [tag("text", name, x=float(place), y=bottom + 14, class_="tick middle") for place, name in x_ticks]
    level = None if axes.level is None else tag("path", d=f"M{x.start:.1f} {y(axes.level):.1f}H{x.end:.1f}",
                                                class_="level")
    titles = [tag("text", axes.y, x=0, y=10, class_="axis"),
              tag("text", axes.x, x=(x.start + x.end) / 2, y=HEIGHT - 4, class_="axis middle")]
    return tag("svg", *grid, *texts, *titles, *marks, level, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
               aria_label=f"{axes.y} by {axes.x}")


def _y_scale(values: np.ndarray, axes: Axes) -> Scale:
    levels = [] if axes.level is None else [axes.level]
    return linear([*values, *levels], HEIGHT - _BOTTOM, _TOP, zero=axes.zero, most=4)


def _x_scale(values: Sequence[float], left: float, axes: Axes) -> Scale:
    end = WIDTH - _RIGHT
    low, high = float(min(values, default=1)), float(max(values, default=1))
    if axes.log_x:
        return logarithmic(low, max(high, 2 * low), left, end)
    ticks = linear(values, left, end).ticks
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return Scale(low, high, left, end, tuple(tick for tick in ticks if low <= tick <= high))


def _left(y: Scale) -> float:
    return 10 + _LETTER * max(len(label(tick)) for tick in y.ticks)


def _line(line: Line, place: int, x: Scale, y: Scale, *, fill: bool) -> Markup:
    kept = np.isfinite(np.asarray(line.y, float))
    xs, ys = np.asarray(line.x, float)[kept], np.asarray(line.y, float)[kept]
    points = [f"{px:.1f} {py:.1f}" for px, py in zip(x(xs), y(ys), strict=True)]
    if not points:
        return Markup()
    path = "M" + "L".join(points)
    area = fill and tag("path", d=f"{path}V{y(0):.1f}H{x(xs[0]):.1f}Z", class_="area")
    few = len(points) <= _MARKED
    marks = [tag("path", tag("title", f"{line.name}: {label(float(f'{value:.4g}'))} at {label(at)}"),
                 d=_MARKERS[place % len(_MARKERS)], transform=f"translate({point})", class_="marker")
             for point, at, value in zip(points, xs, ys, strict=True)] if few else []
    return tag("g", area or None, tag("path", d=path, class_="line"), *marks, class_=f"s{place % NUM_COLOURS}")


def _bar_group(categories: Sequence[str], bars: Sequence[Bars], place: int, x: Scale, y: Scale) -> Markup:
    """The bars of one series in every category."""
    one = bars[place]
    pitch = x(1) - x(0)
    gap = min(pitch * 0.15, 8)
    width = (pitch - gap) / len(bars)
    marks = []
    for i, value in enumerate(np.asarray(one.values, float)):
        left = x(i) - pitch / 2 + gap / 2 + place * width
        top = y(max(value, 0.0))
        name = f"{one.name}, {categories[i]}: {label(float(f'{value:.4g}'))}"
        marks.append(tag("rect", tag("title", name), x=left, y=float(top), width=width * 0.94,
                         height=float(abs(y(0) - y(value)))))
        if one.low is not None and one.high is not None:
            reach = f"M{left + width * 0.47:.1f} {y(one.low[i]):.1f}V{y(one.high[i]):.1f}"
            marks += [tag("path", d=reach, class_=look) for look in ("halo", "whisker")]
    return tag("g", *marks, class_=f"s{place % NUM_COLOURS}")


def _thinning(names: Sequence[str], pitch: float) -> int:
    """Every how many categories one can be labelled: 1, 2, 5, 10, ..."""
    longest = max(len(name) for name in names) * _LETTER + 6
    return next(every for power in (1, 10, 100, 1000, 10000) for every in (power, 2 * power, 5 * power)
                if every * pitch >= longest or every >= len(names))


def _picture(values: np.ndarray, x: float, y: float, width: float, height: float) -> Markup:
    """`values` in [-1, 1] as pixels of two hues, their strength as opacity."""
    strength = np.nan_to_num(np.abs(values))
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((np.nan_to_num(values) >= 0)[..., None], (42, 130, 200), (222, 110, 30))
    pixels[..., 3] = np.rint(255 * strength)
    return tag("image", href=Markup(png_uri(pixels)), x=float(x), y=float(y), width=float(width), height=float(height),
               preserveAspectRatio="none", class_="pixels")
