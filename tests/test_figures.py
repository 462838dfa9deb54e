"""The figures of a page: text escaped, ticks round, pixels exact, nothing drawn where there is nothing."""

import base64
import struct
import xml.etree.ElementTree as xml
import zlib

import numpy as np
import pytest

from inference.figures import (
    Axes,
    Bars,
    Dots,
    Line,
    bar_chart,
    dot_chart,
    figure,
    heat_map,
    join,
    line_chart,
    png_uri,
    scatter,
    series_names,
    standalone,
    tag,
)
from inference.figures.png import png_bytes
from inference.figures.scale import label, linear, logarithmic


def texts(svg):
    return ["".join(node.itertext()) for node in xml.fromstring(svg).iter("text")]


def decode(data):
    """Pixels of a PNG whose rows are unfiltered, with every chunk's checksum verified."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        size, = struct.unpack_from(">I", data, at)
        name, body = data[at + 4:at + 8], data[at + 8:at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(name + body)
        chunks[name], at = body, at + 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colours = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 0).all()
    return rows[:, 1:].reshape(height, width, {0: 1, 2: 3, 6: 4}[colours])


def test_markup_escapes_text_and_values_but_not_markup():
    inner = tag("b", "1 < 2 & \"3\"")
    assert inner == "<b>1 &lt; 2 &amp; &quot;3&quot;</b>"
    assert tag("p", inner, None, "<", class_="a&b", data_x=1.5, id=None) == (
        f'<p class="a&amp;b" data-x="1.5">{inner}&lt;</p>')
    assert tag("img", alt="") == '<img alt="" />'
    assert join(["<", tag("i")]) == "&lt;<i></i>"
    assert xml.fromstring(tag("p", "<script>", title="'\">")).attrib == {"title": "'\">"}


@pytest.mark.parametrize(("values", "zero", "ticks"), [
    ([0, 0.15], True, (0, 0.05, 0.1, 0.15)), ([0.16, 0.29], False, (0.15, 0.2, 0.25, 0.3)),
    ([3, 4], True, (0, 1, 2, 3, 4)), ([0, 0], True, (0, 1)), ([-0.2, 0.3], True, (-0.2, 0, 0.2, 0.4)),
    ([np.nan, np.inf], False, (0, 1)), ([2.5, 2.5], False, (1, 2, 3, 4)), ([1, 1200], True, (0, 500, 1000, 1500))])
def test_linear_ticks_are_round_and_hold_the_values(values, zero, ticks):
    scale = linear(values, 100, 0, zero=zero, most=4)
    assert scale.ticks == pytest.approx(ticks)
    assert scale(scale.low) == 100
    assert scale(scale.high) == 0
    finite = [value for value in values if np.isfinite(value)]
    assert all(scale.low <= value <= scale.high for value in finite)


@pytest.mark.parametrize(("low", "high"), [(-1e-7, 3e-7), (0.9999, 1.0001), (1e9, 1e9 + 5), (-5, -4.2), (7, 7)])
def test_linear_ticks_are_few_at_any_size(low, high):
    ticks = linear([low, high], 0, 100).ticks
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert ticks[-1] >= high


def test_logarithmic_scale():
    scale = logarithmic(1, 2040, 0, 100)
    assert scale.ticks == (1, 10, 100, 1000)
    assert scale(1) == 0
    assert scale(2040) == pytest.approx(100)
    assert scale(np.array([10.0]))[0] == pytest.approx(100 * np.log(10) / np.log(2040))


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (0.05, "0.05"), (0.1 + 0.2, "0.3"), (2e-5, "2e-5"), (2.5e-5, "2.5e-5"), (2000, "2,000"), (12.0, "12")])
def test_labels_have_sensible_digits(value, text):
    assert label(value) == text


def test_line_chart_places_points_and_leaves_out_what_is_not_finite():
    chart = line_chart([Line("a<b", [0, 1, 2, 3], [0, np.nan, 4, 2])], Axes("x & y", "height"))
    root = xml.fromstring(chart)
    path, = (node.get("d") for node in root.iter("path") if node.get("class") == "line")
    assert path.count("L") == 2
    points = [tuple(map(float, point.split())) for point in path[1:].split("L")]
    assert points[0][1] > points[2][1] > points[1][1]  # downwards in pixels
    assert points[1][0] - points[0][0] == pytest.approx(2 * (points[2][0] - points[1][0]), abs=0.11)
    assert [node.text for node in root.iter("title")] == ["a<b: 0 at 0", "a<b: 4 at 2", "a<b: 2 at 3"]
    assert {"x & y", "height", "0", "4"} <= set(texts(chart))


@pytest.mark.parametrize("values", [[], [np.nan], [1.0]])
@pytest.mark.parametrize("log_x", [False, True])
def test_line_chart_of_next_to_nothing(values, log_x):
    chart = line_chart([Line("a", [1] * len(values), values)], Axes("x", "y", log_x=log_x, fill=True))
    assert len([*xml.fromstring(chart).iter("title")]) == sum(np.isfinite(values))


def test_bars_stand_on_zero_with_their_whiskers():
    bars = [Bars("one", [1, 2], [0.5, 1], [3, 4]), Bars("two", [2, 1])]
    root = xml.fromstring(bar_chart(["5", "20"], bars, Axes("K", "mAP")))
    rects = [{key: float(node.get(key)) for key in ("x", "y", "width", "height")} for node in root.iter("rect")]
    assert len(rects) == 4
    base = {round(rect["y"] + rect["height"], 1) for rect in rects}
    assert len(base) == 1
    assert rects[1]["height"] == pytest.approx(2 * rects[0]["height"], abs=0.02)
    assert all(a["x"] + a["width"] <= b["x"] for a, b in zip(*[sorted(rects, key=lambda r: r["x"])[i:] for i in (0, 1)],
                                                            strict=False))
    assert len([node for node in root.iter("path") if node.get("class") == "whisker"]) == 2


def test_labels_of_many_bars_are_thinned_until_they_fit():
    shown = texts(bar_chart([str(i) for i in range(64)], [Bars("bit", np.ones(64))], Axes("bit", "")))
    assert shown.count("0") >= 1
    assert "10" in shown
    assert "1" in shown  # the tick of the y axis
    assert not {"3", "7", "63"} & set(shown)


def test_heat_map_is_transparent_at_zero_and_where_nothing_is_known():
    matrix = np.array([[np.nan, 0.25], [-0.5, 0.0]])
    image = next(xml.fromstring(heat_map(matrix, "bit")).iter("image"))
    pixels = decode(base64.b64decode(image.get("href").partition(",")[2]))
    assert pixels[..., 3].tolist() == [[0, 128], [255, 0]]
    blue, orange = pixels[0, 1], pixels[1, 0]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    heat_map(np.full((1, 1), np.nan), "bit")  # one bit has no other


def test_scatter_draws_every_point_once():
    rng = np.random.default_rng(0)
    groups = [("other", rng.normal(size=(5, 2))), *((f"<{i}>", rng.normal(size=(i + 1, 2))) for i in range(10))]
    root = xml.fromstring(scatter(groups, num_background=1))
    paths = [*root.iter("path")]
    assert [path.get("d").count("M") for path in paths] == [5, *range(1, 11)]
    assert [path.get("class") for path in paths][:3] == ["points other", "points s0 round", "points s1 round"]
    assert paths[6].get("class") == "points s5 round"
    assert paths[1].find("title").text == "<0>"
    scatter([("one", np.zeros((2, 2)))])  # all in one place


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (2, 1, 4)])
def test_png_holds_the_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decode(png_bytes(pixels)).reshape(shape), pixels)
    assert png_uri(pixels).startswith("data:image/png;base64,iVBORw0KGgo")


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)])
def test_png_refuses_other_pixels(pixels):
    with pytest.raises(ValueError, match="uint8"):
        png_bytes(pixels)


def test_a_figure_has_title_caption_and_legend():
    root = xml.fromstring(figure("T <1>", "what & why", tag("svg"), names=[("s0", "a"), ("s1", "b")]))
    assert root.find("h3").text == "T <1>"
    assert root.find("figcaption").text == "what & why"
    assert [item.find("span").tail for item in root.iter("li")] == ["a", "b"]
    assert xml.fromstring(figure("T", "c", tag("svg"), names=[("s0", "alone")])).find("ul") is None


def test_a_row_of_dots_shows_its_value_or_a_dot_of_every_series():
    one = dot_chart(["a", "b" * 40], [Dots("", [0.5, 0.25], [0.4, 0.25], [0.6, 0.25])], axis="mAP@5", marked={1})
    assert texts(one)[-5:] == ["a", "0.5000", "b" * 29 + "…", "0.2500", "mAP@5"]
    rows = [node for node in xml.fromstring(one).iter("g") if node.get("class", "").startswith("row")]
    assert [node.get("class") for node in rows] == ["row s5", "row s0"]
    assert [node.find("g/title").text for node in rows] == ["a: 0.5000 (0.4000 to 0.6000)", "b" * 40 + ": 0.2500"]
    several = [Dots("16 bits", [0.5, np.nan], [0.5, np.nan], [0.5, np.nan]), Dots("32 bits", *[[0.6, 0.7]] * 3)]
    two = xml.fromstring(dot_chart(["a", "b"], several, axis="mAP@5"))
    titles = [node.text for node in two.iter("title")]
    assert titles == ["a, 16 bits: 0.5000", "a, 32 bits: 0.6000", "b, 32 bits: 0.7000"]
    assert [node.get("class") for node in two.iter("g") if node.find("title") is not None] == ["s0", "s1", "s1"]


def test_a_figure_stands_alone_with_its_legend_and_its_colours():
    lines = [Line("a & b", [1, 2], [0.1, 0.2]), Line("c", [1, 2], [0.2, 0.1])]
    chart = line_chart(lines, Axes("x", "y"))
    text = standalone(xml.fromstring(figure("A <title>", "Caption.", chart, names=series_names(lines))))
    assert "var(" not in text
    assert "@media" not in text
    name = "{http://www.w3.org/2000/svg}"
    picture = xml.fromstring(text)
    assert picture.find(f"{name}title").text == "A <title>"
    rules = picture.find(f"{name}style").text
    assert ".s0 { color: #0f86d6; }" in rules  # of the light mode
    legend = picture.find(f"{name}g")
    assert [(node.get("class"), node.find(f"{name}text").text) for node in legend] == [("s0", "a & b"), ("s1", "c")]
    left, top, width, height = map(float, picture.get("viewBox").split())
    _, _, inner, below = map(float, xml.fromstring(chart).get("viewBox").split())
    assert top < 0
    assert left < 0  # there and on the right is room for what numbers reach beyond the chart
    assert (width + 2 * left, height + top) == (inner, below)
    assert len([*picture.iter(f"{name}path")]) == len([*xml.fromstring(chart).iter("path")])
