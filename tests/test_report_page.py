"""report.html, from eval.py --report on the tiny project: complete, well-formed, self-contained, readable."""

import html
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from inference.page import quality, training
from inference.page.embedding import embed
from inference.page.files import write_figures
from inference.page.headline import headline
from inference.page.rankings import mosaic
from tables.grid.page import page_text as table_page
from tables.grid.page import retrieval_figures
from tables.grid.records import table_lines
from tests.pipeline import CLASSES, ROOT, make_project, message_of, run, succeed
from tests.test_figures import decode
from utils.config import load_config

NAMES = ["<b>bold</b>", "salt & pepper", '"quoted"', "a'b", "plain"]
assert len(NAMES) == CLASSES


def report(folder, *settings):
    """The tiny project, trained and evaluated with --report under `settings`."""
    project = make_project(folder)
    (project.data / "classes.txt").write_text("\n".join(NAMES), encoding="utf-8")
    settings = ("--config", project.config, "--gpu", "cpu", "--set", *settings)
    succeed("preprocess.py", *settings)
    succeed("train.py", *settings)
    succeed("eval.py", *settings, "--report", "--baselines")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a & <b>")
    return report(folder, "frame_shape=[2,4]", f"class_name_path={folder}/data/classes.txt")


@pytest.fixture(scope="module")
def text(project):
    return (project.logs / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    assert text.startswith("<!DOCTYPE html>\n")
    return xml.fromstring(text)


def words(node):
    return " ".join("".join(node.itertext()).split())


def section(page, key):
    return next(node for node in page.iter("section") if node.get("id") == key)


def test_every_section_and_figure_is_there(page):
    assert [node.get("id") for node in page.iter("section")] == ["retrieval", "training", "codes", "rankings", "config"]
    titles = {words(node) for node in page.iter("h3")}
    assert titles >= {
        "mAP@K under both tie rules", "Precision and recall by Hamming radius", "Precision@N", "Recall@N",
        "Distances of relevant and irrelevant pairs", "Beside shallow codes of the same length",
        "mAP@1 beside shallow codes of the same length", "Map of codes", "Bit balance", "Bit correlation", "Code usage",
        "Distances of hash centers", "Most frequent codes"}
    figures = [*page.iter("figure")]
    assert len(figures) >= 11
    for node in figures:
        assert node.find("h3").text
        assert node.find("svg").get("role") == "img"
        assert words(node.find("figcaption")).endswith(".")


def test_links_stay_on_the_page(page, text):
    ids = {node.get("id") for node in page.iter()}
    links = [node.get(key) for node in page.iter() for key in ("href", "src") if node.get(key)]
    assert len(links) > 10
    for link in links:
        assert link.startswith("data:image/png;base64,") or link.removeprefix("#") in ids, link
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert not {"script", "link", "iframe", "object"} & {node.tag for node in page.iter()}


def test_text_is_escaped(project, page, text):
    assert "<b>bold</b>" not in text
    shown = words(page)
    for name in NAMES:
        assert name in shown
    assert str(project.folder) in shown  # its path holds & and <
    config = load_config(project.config, {"frame_shape": "[2,4]", "class_name_path": f"{project.data}/classes.txt"})
    assert next(page.iter("pre")).text == config.as_text()


def test_key_figures_are_those_of_metrics_json(project, page):
    metrics = json.loads((project.logs / "metrics.json").read_text())
    table = next(section(page, "retrieval").find("details").iter("table"))
    rows = {words(row[0]): [words(cell) for cell in row[1:]] for row in table.find("tbody")}
    assert list(rows) == ["mAP@1", "mAP@5", "GmAP", "rss_mAP", "mAP@all"]
    for k in ("1", "5"):
        index, expected, interval, bounds = rows[f"mAP@{k}"]
        assert (index, expected) == tuple(f"{metrics['map_at'][ties][k]:.4f}" for ties in ("index", "expected"))
        low, high = metrics["confidence"]["map_at"]["expected"][k]
        assert interval == f"{low:.4f} – {high:.4f}"
        worst, best = map(float, bounds.split(" – "))
        assert worst <= float(expected) <= best
        assert low <= metrics["map_at"]["expected"][k] <= high
    assert rows["GmAP"][1] == f"{metrics['gmap']['expected']:.4f}"
    assert rows["mAP@all"][1] == f"{metrics['map_all']['expected']:.4f}"
    confidence = metrics["confidence"]
    assert (confidence["level"], confidence["resamples"], confidence["seed"]) == (0.95, 1000, 1)
    low, high = confidence["map_all"]["expected"]
    assert low < metrics["map_all"]["expected"] < high


def test_metrics_json_keeps_what_it_held(project):
    metrics = json.loads((project.logs / "metrics.json").read_text())
    assert list(metrics) == ["map_at", "precision_at", "recall_at", "normaliser", "num_queries", "num_database",
                             "num_bits", "num_without_relevant", "queries_are_database", "include_self", "gmap",
                             "rss_map", "details", "map_all", "radius_curve", "confidence"]
    assert metrics["details"].keys() == {"model_name", "dataset", "checkpoint", "epoch", "unfinished", "extended_from",
                                        "config_sha256", "codes", "baselines"}


def test_the_headline_is_the_first_metric_and_what_it_is_worth(project, page):
    metrics = json.loads((project.logs / "metrics.json").read_text())
    rows = [row for row in metrics["details"]["baselines"] if row["ties"] == "expected"]
    own, best = rows[-1], max(rows[:-1], key=lambda row: row["mAP@1"])
    text = words(next(node for node in page.iter("div") if node.get("class") == "headline"))
    low, high = metrics["confidence"]["map_at"]["expected"]["1"]
    difference = f"{own['mAP@1'] - best['mAP@1']:+.4f}".replace("-", "−")
    assert text.startswith(f"mAP@1{own['mAP@1']:.4f}")
    assert f"95% interval {low:.4f} to {high:.4f}" in text
    assert difference in text
    assert f"the best shallow code of the same length, {best['method']} ({best['mAP@1']:.4f})" in text
    within = low <= best["mAP@1"] <= high
    assert text.endswith("), which is within the interval") == within
    assert ("over the best" if difference.startswith("+") else "below the best") in text
    for row in metrics["details"]["baselines"]:
        for k in ("1", "5"):
            assert row["intervals"][k][0] <= row[f"mAP@{k}"] <= row["intervals"][k][1]


@pytest.mark.parametrize(("best", "look", "said"), [
    (0.30, "gain", "+0.2000 over the best shallow code of the same length, ITQ (0.3000)"),
    (0.45, "level", "+0.0500 over the best shallow code of the same length, ITQ (0.4500), which is within the "
                    "interval"),
    (0.70, "loss", "−0.2000 below the best shallow code of the same length, ITQ (0.7000)")])
def test_a_difference_within_the_interval_is_no_gain(best, look, said):
    rows = [{"method": name, "ties": "expected", "mAP@5": value}
            for name, value in (("a", 0.1), ("ITQ", best), ("own", 0.5))]
    subject = SimpleNamespace(baselines=rows, evaluation=SimpleNamespace(map_at={"expected": {5: 0.5}}),
                              further={"confidence": {"level": 0.95, "map_at": {"expected": {5: (0.4, 0.6)}}}})
    *_, line = xml.fromstring(headline(subject))
    assert (line.get("class"), words(line)) == (look, said)


def test_each_method_has_a_row_under_either_tie_rule(project, page):
    metrics = json.loads((project.logs / "metrics.json").read_text())
    switch = next(node for node in page.iter("div") if node.get("class") == "switch")
    assert [(node.get("id"), node.get("checked")) for node in switch.iter("input")] == [
        ("ties-expected", "checked"), ("ties-index", None)]
    for rule in ("expected", "index"):
        rows = [row for row in metrics["details"]["baselines"] if row["ties"] == rule]
        body = next(node for node in switch if node.get("class") == f"of-{rule}").find(".//tbody")
        assert [words(row[0]) for row in body] == [row["method"] for row in rows]
        assert [row.get("class") for row in body] == [None] * (len(rows) - 1) + ["own"]
        for column, name in enumerate(("mAP@1", "mAP@5", "GmAP"), 1):
            best = max(row[name] for row in rows)
            assert [words(row[column]) for row in body] == [f"{row[name]:.4f}" for row in rows]
            assert [row[column].find("b") is not None for row in body] == [row[name] == best for row in rows]


def test_the_first_chart_compares_all_methods(page):
    chart = next(section(page, "retrieval").iter("figure"))
    rows = [node for node in chart.iter("g") if node.get("class").startswith("row")]
    values = [float(re.search(r": ([\d.]+)", node.find("g/title").text).group(1)) for node in rows]
    assert values == sorted(values, reverse=True)
    assert [node.get("class") for node in rows].count("row s0") == 1
    own = next(node for node in rows if node.get("class") == "row s0")
    assert own.find("g/title").text.startswith("S5VH: ")


def test_the_best_shallow_codes_are_in_the_curves(project, page):
    metrics = json.loads((project.logs / "metrics.json").read_text())
    *shallow, own = [row for row in metrics["details"]["baselines"] if row["ties"] == "expected"]
    rows = [own, *sorted(shallow, key=lambda row: -row["mAP@1"])[:3]]
    figures = {node.find("h3").text: node for node in section(page, "retrieval").iter("figure")}
    chart = figures["Precision and recall by Hamming radius"]
    assert [words(node) for node in chart.iter("li")] == [row["method"] for row in rows]
    assert "the 3 shallow codes of the highest mAP@1" in words(chart.find("figcaption"))
    ends = [[node.text for node in group.iter("title")][-1] for group in chart.iter("g")]
    assert len(ends) == 4
    assert {end.rpartition(": ")[2] for end in ends} == {"0.2 at 1"}  # all pairs, of which a fifth is relevant
    assert "mAP@K" not in figures  # of two K


def test_a_curve_of_map_shows_the_same_codes():
    def row(method, first):
        return {"method": method, "ties": "expected", **{f"mAP@{k}": first / k for k in (1, 2, 4, 5)}, "GmAP": 0.0}

    subject = SimpleNamespace(baselines=[row("a", 0.1), row("b", 0.4), row("c", 0.3), row("d", 0.2), row("own", 0.25)],
                              evaluation=SimpleNamespace(map_at={"expected": dict.fromkeys((1, 2, 4, 5))}))
    chart = xml.fromstring(quality.map_curves(subject))
    assert [words(node) for node in chart.iter("li")] == ["own", "b", "c", "d"]
    assert [node.text for node in chart.iter("title")][:5] == [
        "own: 0.25 at 1", "own: 0.125 at 2", "own: 0.0625 at 4", "own: 0.05 at 5", "b: 0.4 at 1"]


def test_the_first_chart_says_how_far_ties_reach(project, page):
    rows = {words(row[0]): words(row[4]) for row in section(page, "retrieval").find("details").iter("tr")}
    low, high = rows["mAP@1"].split(" – ")
    caption = words(next(section(page, "retrieval").iter("figure")).find("figcaption"))
    assert f"over all orders of equal distances lies from {low} to {high}." in caption


def test_rankings_are_in_order_and_their_hits_share_the_class(page):
    grids = list(section(page, "rankings").iter("article"))
    assert len(grids) == 10
    found = set()
    for query, *results in grids:
        assert len(results) == 10
        assert query.get("class") == "query"
        assert all(cell.find("label/img") is not None for cell in (query, *results))
        distances = [int(re.search(r"d (\d+)", words(cell.find("b"))).group(1)) for cell in results]
        assert all(a <= b for a, b in pairwise(distances))
        assert len({words(cell.find("i")) for cell in results}) == 10
        for cell in results:
            hit = words(cell.find("span")) == words(query.find("span"))
            assert cell.get("class") == ("hit" if hit else "miss")
            assert words(cell.find("b")).startswith("✓") == hit
            assert cell.find("label/input").get("aria-label") == f"enlarge video {words(cell.find('i'))[1:]}"
            found.add(hit)
    assert found == {True, False}


def test_a_mosaic_has_the_frames_in_reading_order():
    video = np.arange(8, dtype=np.float32).repeat(6).reshape(8, 6) / 255
    pixels = mosaic(video, [2, 3])
    assert pixels.shape == (5, 7)
    assert (pixels[0, 0], pixels[0, 4], pixels[3, 0], pixels[3, 4]) == (0, 2, 5, 7)
    assert (pixels[2] == 128).all()
    assert (pixels[:, 3] == 128).all()


def test_a_picture_is_shown_as_it_is_and_large_ones_thinned():
    grey, large = np.arange(12, dtype=np.uint8).reshape(3, 4, 1), np.zeros((300, 200, 3), np.uint8)
    assert mosaic(grey, None).tolist() == grey[..., 0].tolist()
    assert mosaic(large, None).shape == (100, 67, 3)


def test_training_stands_folded_and_few_epochs_as_numbers(project, page):
    details, = section(page, "training").findall("details")
    assert details.get("open") is None
    rows = {words(row[0]): [words(cell) for cell in row[1:]] for row in details.find(".//tbody")}
    assert {"Loss: total", "Loss: center", "Learning rate", "Label entropy", "mAP@1"} <= rows.keys()
    recorded = [json.loads(line) for line in (project.logs / "metrics.jsonl").read_text().splitlines()]
    assert rows["Loss: total"] == [f"{row['loss/total']:.4g}" for row in recorded]
    assert rows["mAP@1"] == ["-", *(f"{row['expected/mAP@1']:.4g}" for row in recorded[1:])]
    assert not [*details.iter("figure")]


def test_training_curves_show_every_epoch(project, page):
    rows = [{"epoch": epoch, "loss/total": 1 / epoch, "lr": 0.1} for epoch in range(1, 6)]
    subject = SimpleNamespace(training=rows, evaluation=SimpleNamespace(map_at={"expected": {}}))
    figures = {node.find("h3").text: node for node in xml.fromstring(training.section(subject)).iter("figure")}
    assert [title.text.partition(" at ")[2] for title in figures["Loss: total"].iter("title")] == [*"12345"]
    assert "Learning rate" in figures


def test_the_page_of_a_foreign_checkpoint(project, tmp_path):
    """No curves of a run that the checkpoint is not of; class numbers without names; no strips without pictures."""
    copy = tmp_path / "copy.pth"
    shutil.copy(project.checkpoint, copy)
    folder = tmp_path / "logs"
    succeed("eval.py", "--config", project.config, "--report", "--checkpoint", copy, "--set", f"log_path={folder}")
    page, = folder.glob("of_*_copy/report.html")
    page = xml.fromstring(page.read_text(encoding="utf-8"))
    assert "No metrics.jsonl" in words(section(page, "training"))
    assert not [*page.iter("img")]
    spans = {words(node) for node in section(page, "rankings").iter("span")}
    assert spans == {"0", "1", "2", "3", "4"}
    assert "Beside shallow codes of the same length" not in words(page)


def test_every_figure_is_a_file_too(project, page):
    figures = project.logs / "figures"
    assert len([*figures.glob("*.svg")]) == len([*page.iter("figure")])
    curve = xml.fromstring((figures / "retrieval_recall_n.svg").read_text(encoding="utf-8"))
    assert curve.find("{http://www.w3.org/2000/svg}title").text == "Recall@N"
    if not importlib.util.find_spec("cairosvg"):
        assert not [*figures.glob("*.pdf")]


def test_figures_are_pdf_where_cairosvg_is(page, text, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setitem(sys.modules, "cairosvg", SimpleNamespace(
        svg2pdf=lambda bytestring: drawn.append(bytestring) or b"%PDF-1.5 of " + bytestring[:4]))
    assert write_figures(tmp_path / "figures", text) == [tmp_path / "figures"]
    paths = sorted((tmp_path / "figures").glob("*.pdf"))
    assert len(paths) == len(drawn) == len([*page.iter("figure")])
    assert {path.read_bytes() for path in paths} == {b"%PDF-1.5 of <svg"}


def test_figures_of_an_earlier_page_go_and_those_of_others_stay(text, tmp_path):
    write_figures(tmp_path, text.replace("Recall@N</h3>", "Earlier</h3>"))
    assert (tmp_path / "retrieval_earlier.svg").exists()
    (tmp_path / "retrieval_earlier.pdf").touch()
    (tmp_path / "mine.svg").write_text("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")
    write_figures(tmp_path, text)
    assert not [*tmp_path.glob("retrieval_earlier.*")]
    assert (tmp_path / "mine.svg").exists()
    assert (tmp_path / "retrieval_recall_n.svg").exists()
    assert write_figures(tmp_path / "none", "<html><section id='a' /></html>") == []
    assert not (tmp_path / "none").exists()


def test_the_table_of_methods_is_latex_too(project, page):
    switch = next(node for node in page.iter("div") if node.get("class") == "of-expected")
    lines = (project.logs / "report.tex").read_text(encoding="utf-8").splitlines()
    for row in switch.find(".//tbody"):
        cells = [rf"\textbf{{{words(cell)}}}" if cell.find("b") is not None else words(cell) for cell in row]
        assert rf"{' & '.join(cells)} \\" in lines
    assert "AP divided by k, ties in expectation." in lines


def test_the_picture_frames_hits_in_green(project, page):
    pixels = decode((project.logs / "figures/hits.png").read_bytes())
    side = 2 * 12 + 6, 4 * 4 * 12 + 6  # frames of 2 x 4, each pixel as 12, four in a strip; borders of 3
    assert pixels.shape == (4 * side[0] + 30, 5 * side[1] + 40, 3)
    corners = pixels[::side[0] + 10, ::side[1] + 10].tolist()
    grids = [*section(page, "rankings").iter("article")][:4]
    green, grey = [10, 150, 110], [185, 192, 200]
    assert corners == [[[15, 134, 214], *(green if cell.get("class") == "hit" else grey for cell in [*grid][1:5])]
                       for grid in grids]
    assert any(green in row for row in corners)


def test_what_only_the_page_reads_does_not_hinder_a_resume(project):
    assert "finished" in succeed("train.py", "--config", project.config, "--resume").output


def test_no_page_without_the_flag(project, tmp_path):
    succeed("eval.py", "--config", project.config, "--set", f"log_path={tmp_path}/logs")
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["map.txt", "metrics.json"]


def test_queries_that_are_the_database_and_half_distances(tmp_path):
    """The release's codes with zeros, every query left out of its own ranking."""
    project = report(tmp_path, "query_feat_path=None", "query_label_path=None", "self_retrieval=False",
                     "tied_bits=zero", "num_epochs=1", "frame_shape=[4,2]")
    page = xml.fromstring((project.logs / "report.html").read_text(encoding="utf-8"))
    assert "30, each left out of its own ranking" in words(page.find("body/header"))
    rows = [*section(page, "rankings").iter("article")]
    shown = [re.search(r"d ([\d.]+)", words(cell.find("b"))).group(1) for row in rows for cell in row[1:]]
    assert any(distance.endswith(".5") for distance in shown)
    assert all(float(distance) <= 8 for distance in shown)
    for row in rows:
        own, *found = (cell.find("label/img").get("src") for cell in row)
        assert own not in found


@pytest.mark.parametrize(("content", "said"), [
    (b"one\ntwo\n", "2 names, but the labels have 5 classes"), (b"\xff\xfe", "cannot be read as names")])
def test_wrong_class_names_end_in_one_line(project, tmp_path, content, said):
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    arguments = ("--config", project.config, "--set", f"class_name_path={path}", f"log_path={tmp_path}/logs")
    result = run("eval.py", "--report", *arguments)
    assert result.code == 2
    assert said in result.errors
    assert "class_name_path" in result.errors
    path.unlink()
    assert "No such file" in run("eval.py", "--report", *arguments).errors
    succeed("eval.py", *arguments)


@pytest.mark.parametrize("shape", ["[2, 3]", "[8]", "[2, 2, 2]", "[1, 2, 2, 2]"])
def test_frame_shapes_that_are_no_pictures(tmp_path, shape):
    project = make_project(tmp_path)
    message = message_of(lambda: load_config(project.config, {"frame_shape": shape}))
    assert "feature_size = 8" in message
    assert load_config(project.config, {"frame_shape": "[4, 2]"}).frame_shape == [4, 2]


def test_codes_of_one_class_lie_together_and_the_map_is_reproducible():
    rng = np.random.default_rng(0)
    centers = rng.choice([-1, 1], (3, 24)).astype(np.int8)
    classes = np.arange(90) % 3
    code = centers[classes] * rng.choice([-1, 1], (90, 24), p=[0.05, 0.95]).astype(np.int8)
    places = embed(code, seed=1)
    assert places.shape == (90, 2)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    same = classes[:, None] == classes
    assert distances[same].max() < distances[~same].min()
    np.testing.assert_array_equal(embed(code, seed=1), places)


@pytest.mark.parametrize("code", [np.ones((9, 4), np.int8), np.ones((3, 4), np.int8) - 2 * np.eye(3, 4, dtype=np.int8)])
def test_no_map_of_too_few_codes(code):
    assert embed(code, seed=1) is None


def test_a_map_of_one_bit():
    assert np.isfinite(embed(np.resize(np.int8([1, -1, 1]), (12, 1)), seed=1)).all()


MODES = (ROOT / "inference/figures/figures.css").read_text().split("prefers-color-scheme: dark")
SERIES = ("s0", "s1", "s2", "s3", "s4", "s5")
# What is left of linear RGB without the middle or the long wavelengths (Machado, Oliveira & Fernandes, TVCG 2009).
VIEWERS = {
    "typical": np.eye(3),
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


def colours_of(mode):
    """{name: linear RGB} of one mode of the style sheet."""
    colours = dict(re.findall(r"--(\w+): #(\w{6});", mode))
    assert len(colours) == 16
    values = {name: np.array(list(bytes.fromhex(colour))) / 255 for name, colour in colours.items()}
    return {name: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) for name, v in values.items()}


@pytest.mark.parametrize("mode", MODES, ids=["light", "dark"])
def test_colours_stand_out_from_the_page(mode):
    """By the contrast that WCAG 2.2 asks for: 4.5 for text, 3 for what is drawn."""
    colours = colours_of(mode)
    luminance = {name: float(colour @ [0.2126, 0.7152, 0.0722]) + 0.05 for name, colour in colours.items()}
    for name in ("text", "soft", "link", "hit", *SERIES):
        for ground in ("page",) if name in SERIES else ("page", "raised"):
            ratio = luminance[name] / luminance[ground]
            assert max(ratio, 1 / ratio) >= (3 if name in SERIES else 4.5), (name, ground)


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize("mode", MODES, ids=["light", "dark"])
def test_series_can_be_told_apart_by_the_colour_blind(mode, viewer):
    """CIE76 differences in Lab of at least 20."""
    rgb = np.clip([np.asarray(VIEWERS[viewer]) @ colours_of(mode)[name] for name in SERIES], 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = rgb @ np.transpose(to_xyz) / [0.9505, 1, 1.089]
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root.T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    distances = np.linalg.norm(lab[:, None] - lab, axis=2)
    assert distances[np.triu_indices(len(SERIES), 1)].min() >= 20


FRAME = """<!DOCTYPE html><iframe style="border: 0; width: {width}px; height: 30000px" srcdoc="{page}"></iframe>
<script>{axe}</script><script>onload = async () => {{
  const page = document.querySelector("iframe").contentWindow, root = page.document.documentElement;
  console.log(`${{root.scrollWidth}} of ${{root.clientWidth}}, ${{root.querySelectorAll("svg").length}} charts`);
  if (!window.axe) return;
  const script = page.document.createElement("script");
  script.textContent = document.querySelector("script").textContent;
  root.append(script);
  const found = await page.axe.run();
  for (const rule of found.violations) console.log(rule.id, rule.nodes[0].html.replaceAll('"', "'"));
  for (const rule of found.incomplete) for (const node of rule.nodes)
    console.log("unsure", rule.id, node.any[0]?.data?.messageKey);
  console.log(`${{found.passes.find(rule => rule.id == "color-contrast").nodes.length > 20}}`);
}}</script>"""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
         "--dump-dom", "--window-size=1400,900", "--virtual-time-budget=60000"]
AXE = ROOT / "node_modules/axe-core/axe.min.js"  # of `npm install --no-save axe-core`
# What axe does not judge: text of charts, whose colours a test above holds against the page, and single signs.
NOT_JUDGED = {f"unsure color-contrast {key}" for key in ("imgNode", "shortTextContent", "bgOverlap")}


def shown(text, width, folder, axe=""):
    """What a browser says in its console of a page in a frame, since a window cannot be as narrow as a phone."""
    path = folder / "frame.html"
    path.write_text(FRAME.format(width=width, page=html.escape(text), axe=axe), encoding="utf-8")
    result = subprocess.run(["chromium", *FLAGS, f"--user-data-dir={folder}/profile", path.as_uri()],
                            capture_output=True, text=True, timeout=100, check=True)
    return re.findall(r'CONSOLE.*?\] "(.*)", source', result.stderr)


@pytest.fixture(scope="module")
def pages(text):
    """The report, and the page of a table."""
    records = [{"dataset": "act", "model": model, "bits": bits, "seed": seed, "status": "done", "mAP@5": seed / bits,
                "mAP@20": 0.1, "GmAP": 0.1, "encoder_params": 1e6, "all_params": 2e6, "untrained": 0.1, "config": "c"}
               for bits in (16, 32) for model in ("A network of a long name", "b") for seed in (1, 2)]
    return {"report": text, "table": table_page("Title", "python reproduce.py " + 9 * "--long ", "today",
                                                table_lines(records), ["note"], records, retrieval_figures)}


@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("name", ["report", "table"])
def test_a_browser_shows_it_without_error_or_sideways_scrolling(pages, name, tmp_path, width):
    num_charts = len([*xml.fromstring(pages[name]).iter("svg")])
    assert shown(pages[name], width, tmp_path) == [f"{width} of {width}, {num_charts} charts"]  # and no error beside it


@pytest.mark.skipif(not shutil.which("chromium") or not AXE.exists(), reason="no chromium or no axe-core here")
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "table"])
def test_axe_finds_nothing_that_hinders_a_reader(pages, name, tmp_path, mode, width):
    """Contrast of text, names of regions, headings of tables; without the shadows at the edges of tables."""
    text = pages[name].replace("</style>", ".scroll { background: none; }</style>")
    if mode == "dark":
        text = text.replace("@media (prefers-color-scheme: dark)", "@media all").replace("light dark", "dark")
    _, *said, judged = shown(text, width, tmp_path, AXE.read_text(encoding="utf-8"))
    assert judged == "true"
    hidden = set() if width > 1000 else {"unsure color-contrast elmPartiallyObscured"}  # what a table scrolls to
    assert set(said) <= NOT_JUDGED | hidden
