"""The tables of the paper: their cells, what is published beside them, data that are not there, and one run."""

import csv
import hashlib
import os
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

import tables
from dataset.digits import VARIANTS
from tables import Row, Table
from tables.grid.artefacts import artefacts_of
from tables.grid.cells import State, expand
from tables.grid.networks import untrained_network
from tables.grid.page import page_text, retrieval_figures
from tables.grid.parts import parts
from tables.grid.preparation import missing_data, preprocess
from tables.grid.published import FILES as PUBLISHED_FILES
from tables.grid.published import published_records, published_results
from tables.grid.records import by_index, table_lines
from tables.grid.runner import Runner
from tests.forked import fork_cells
from tests.pipeline import ROOT, make_project, run, write_features
from utils.config import load_config
from utils.config.schema import known_keys
from utils.registry import TABLES

CONFIGS = str(ROOT / "configs")
FILES = ("train_feats.h5", "test_feats.h5", "query_feats.h5", "re_label.mat", "q_label.mat")


def cells_of(name, datasets, **options):
    return expand(name, TABLES.load(name), folder=CONFIGS, datasets=datasets, **options)


def only(name, row):
    """The table `name` with one of its rows alone."""
    return replace(TABLES.load(name), rows=tuple(each for each in TABLES.load(name).rows if each.name == row))


# the cells

OF_PICTURES = "image-methods", "mambahash", "shc"
TRAINED = [name for name in TABLES.names() if TABLES.load(name).trained]


@pytest.mark.parametrize("name", TRAINED)
def test_every_table_expands_and_every_cell_has_files_of_its_own(name):
    datasets = TABLES.load(name).datasets if name in OF_PICTURES else ["digits", "act"]
    cells = cells_of(name, datasets, num_seeds=2)
    num_lengths = len(TABLES.load(name).bits) or 1
    num_equal = {"centres": 1}.get(name, 0)  # C = 100 on act is what its config has
    assert len(cells) == 2 * num_lengths * (len(datasets) * len(TABLES.load(name).rows) - num_equal)
    assert len({cell.config.file_path for cell in cells}) == len({cell.config.log_path for cell in cells}) == len(cells)
    owners = {}
    for cell in cells:
        for path, made_from in artefacts_of(cell.config).items():
            assert owners.setdefault(path, made_from) == made_from, f"{cell}: {path}"


def test_run_folders_of_different_tables_differ():
    folders = [cell.config.file_path for name in TRAINED if name not in OF_PICTURES
               for cell in cells_of(name, ["act"], bits=[16])]
    assert len(set(folders)) == len(folders)


def test_the_main_table_is_the_papers():
    table = TABLES.load("main")
    assert table.datasets == ("act", "fcv", "ucf", "hmdb")
    cells = cells_of("main", table.datasets)
    assert [cell.group for cell in cells] == [(name, bits) for name in table.datasets for bits in (16, 32, 64)]
    assert [cell.bits for cell in cells_of("main", ["act"], bits=[8])] == [8]


def test_rows_that_need_other_artefacts_get_paths_of_their_own():
    cells = {cell.row.name: cell.config for cell in cells_of("centres", ["digits"])}
    plain, few, semantic = cells["fixed"], cells["c25"], cells["semantic"]
    assert plain.hash_center_path == "checkpoint/digits/artefacts/hash_center_16.h5"
    assert cells["learned"].hash_center_path == plain.hash_center_path
    assert semantic.hash_center_path == "checkpoint/digits/artefacts/hash_center_16_hash_center_assign=semantic.h5"
    assert semantic.anchor_path == plain.anchor_path
    assert few.latent_feat_path == plain.latent_feat_path
    for key in ("anchor_path", "train_assist_path", "semantic_center_path", "hash_center_path"):
        assert few[key] == plain[key].replace(".h5", "_nclusters=25.h5")


@pytest.mark.parametrize(("dataset", "left_out"), [("digits", set()), ("act", {"c100"}), ("hmdb", {"c100"}),
                                                   ("ucf", set()), ("fcv", set())])
def test_a_row_that_repeats_the_configured_one_is_left_out(dataset, left_out):
    rows = {row.name for row in TABLES.load("centres").rows}
    assert rows - {cell.row.name for cell in cells_of("centres", [dataset])} == left_out
    alone = expand("centres", only("centres", "c100"), folder=CONFIGS, datasets=[dataset])
    assert [cell.row.name for cell in alone] == ["c100"]


def test_what_is_said_of_the_configured_centers_is_so():
    note, = TABLES.load("centres").notes
    said = {name: int(number) for number, names in re.findall(r"(\d+) on ((?:\w+(?: and )?)+)", note)
            for name in names.split(" and ")}
    assert said == {name: load_config(f"{CONFIGS}/S5VH/{name}.py").nclusters for name in said}
    assert len(said) == 5
    assert (known_keys()["rho"].default, round(known_keys()["gamma"].default, 3)) == (5e-5, 1.618)


def test_a_row_that_names_its_paths_keeps_them():
    row = Row("few", "few", "S5VH", {"nclusters": 25, "anchor_path": "mine.h5"})
    cell, = expand("mine", Table("", (), (row,)), folder=CONFIGS, datasets=["digits"])
    assert cell.config.anchor_path == "mine.h5"
    assert cell.config.hash_center_path == "checkpoint/digits/artefacts/hash_center_16_nclusters=25.h5"


def test_only_the_rows_asked_for():
    arguments = "reproduce.py", "--table", "centres", "--configs", CONFIGS, "--dry-run", "--rows"
    result = run(*arguments, "c200", "fixed")
    assert re.findall(r"run_name=(\w+)", result.output) == ["centres_fixed_seed1", "centres_c200_seed1"]
    refused = run(*arguments, "c300")
    assert refused.code == 2
    assert "--rows c300" in refused.errors
    assert "learned" in refused.errors


def test_artefacts_of_rows_stand_side_by_side(tmp_path, monkeypatch):
    """Preprocessing and training each row of different centers, whichever comes first."""
    fork_cells(monkeypatch)
    project = make_project(tmp_path)
    (tmp_path / "configs/S5VH").mkdir(parents=True)
    project.config.rename(tmp_path / "configs/S5VH/tiny.py")
    table = Table("", (), (Row("", "own", "S5VH"), Row("", "few", "S5VH", {"nclusters": 3}),
                           Row("", "random", "S5VH", {"initWithCSQ": False})))
    cells = expand("t", table, folder=str(tmp_path / "configs"), datasets=["tiny"], settings={"num_epochs": "1"})
    with Runner(1, "cpu") as runner:
        preprocess(dict.fromkeys(cells, State.MISSING), runner, lambda line: None)
    assert [len(untrained_network(cell).model.hash_centers) for cell in cells] == [4, 3, 4]
    assert {path.name for path in project.artefacts.glob("*cluster*")} == {
        "final_train_anchors_nclusters=3.h5", "final_train_train_assit_nclusters=3.h5", "semantic_nclusters=3.h5",
        "hash_center_8_nclusters=3.h5"}
    assert len(list(project.artefacts.glob("hash_center_8*"))) == 3


# what is published

def test_the_published_numbers_are_all_there():
    results = published_results()
    assert len(results) == 1437 + 270
    assert len({(*result[:5], result.source) for result in results}) == len(results)  # no number has two values
    assert all(result.bits in (16, 32, 64) and result.source for result in results)
    assert all(result.value > 0 or result.metric == "min_center_distance" for result in results)
    sums = [hashlib.sha256((ROOT / "tables" / name).read_bytes()).hexdigest() for name in PUBLISHED_FILES]
    assert sums == ["8fd96f045e58da61ab1e74f92586e58bff046ac815a344a1715a91541c38cd69",
                    "39d791ddd109c7f6e036fed83e2d8e5b1d61a9b3a0065e1bafc03098710c110a"]


def test_rows_answer_to_something_published():
    known = {result[:2] for result in published_results()}
    rows = [row for name in TABLES.names() for row in TABLES.load(name).rows if row.published]
    assert len(rows) >= 5
    assert {row.published for row in rows} <= known


def test_published_columns_are_those_of_the_file():
    with open(ROOT / "tables/published.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["method"] == "S5VH" and line["backbone"] == "mamba"]
    num_compared = 0
    for cell in cells_of("main", ["act", "fcv", "ucf", "hmdb"]):
        for record in published_records(cell, {"mAP@5": 0.5}):
            expected = {f"published {line['metric']}": float(line["value"]) for line in lines
                        if (line["dataset"], int(line["bits"]), line["source"]) == (*cell.group, record["source"])}
            assert {name: value for name, value in record.items() if name.startswith("published ")} == expected
            assert record["difference mAP@5"] == 0.5 - expected["published mAP@5"]
            assert "difference mAP@20" not in record
            num_compared += len(expected)
    assert num_compared == len(lines)


def test_methods_of_pictures_are_compared_with_what_shcs_paper_says():
    """mAP@all is that at the number of items in the database."""
    for cell in cells_of("shc", TABLES.load("shc").datasets):
        found = {name: value for record in published_records(cell, {}) for name, value in record.items()
                 if name.startswith("published ")}
        whole = f"published mAP@{cell.config.test_num_sample}"
        if cell.row.published:
            assert found.keys() == {"published mAP@100", "published mAP@1000", whole}
            known = {(result.method, result.dataset, result.bits): result.value for result in published_results()
                     if result.metric == "mAP@all"}
            assert found[whole] == known[cell.row.model, *cell.group]


def test_sources_are_not_merged():
    cell = cells_of("main", ["act"], bits=[16])[0]
    found = {record["source"]: record["published mAP@5"] for record in published_records(cell, {})}
    assert found == {"S5VH README": 0.18, "S5VH released logs": 0.18,
                     "AutoSSVH repository issue 2 (author's figure data)": 0.207,
                     "BPG-FNSC repository (S5VH paper figure 3 data as posted)": 0.207}


def test_vhmt_is_compared_by_its_own_normaliser_and_metric():
    """Its paper divides AP by min(k, relevant); its table 3 has the root of the sum of squares alone."""
    full = next(cell for cell in cells_of("vhmt-losses", ["fcv"], bits=[64]) if cell.row.name == "VII")
    record, = published_records(full, {"mAP@5": 0.5})
    assert record["published mAP@100"] == 0.26
    assert record["difference mAP@5"] == pytest.approx(-0.03)
    assert "published rss_mAP" not in record
    deep, = published_records(cells_of("vhmt-network", ["fcv"], bits=[64])[2], {"rss_mAP": 0.9})
    assert {name: value for name, value in deep.items() if "rss_mAP" in name} == {
        "published rss_mAP": 0.8681, "difference rss_mAP": pytest.approx(0.0319)}
    assert not [name for name in deep if "mAP@" in name or "ms" in name]
    by_k, = cells_of("vhmt-losses", ["fcv"], bits=[64], settings={"ap_normaliser": "k"})[6:7]
    assert published_records(by_k, {}) == []
    few = cells_of("vhmt-network", ["fcv"], bits=[64], settings={"map_at": "[5, 20]"})[2]
    assert not [name for record in published_records(few, {}) for name in record if "rss_mAP" in name]


def test_every_row_of_vhmts_tables_is_published_or_ours():
    """The rows of tables 3 to 5 are all there, each with what the paper says of it on FCVID at 64 bits."""
    for name, num_rows, metric in (("vhmt-network", 10, "rss_mAP"), ("vhmt-tam", 5, "mAP@5"),
                                   ("vhmt-losses", 7, "mAP@5")):
        published = [record for cell in cells_of(name, ["fcv"], bits=[64]) for record in published_records(cell, {})]
        assert len(published) == num_rows
        assert len({record[f"published {metric}"] for record in published}) == num_rows


def test_the_networks_of_table_3_are_built_as_it_says():
    rows = {row.name: row.settings for row in TABLES.load("vhmt-network").rows}
    for result in published_results():
        found = re.fullmatch(r"VHMT \[(\w+) \{([\d,]+)\}/(\d+)/(\d+)/(\d+) haar\]", result.method)
        if found:
            number, teacher, *depths = found.groups()
            settings = rows[number]
            assert settings["teacher_depths"] == [int(depth) for depth in teacher.split(",")]
            assert [settings[key] for key in ("teacher_decoder_depth", "student_depth", "student_decoder_depth")] == [
                int(depth) for depth in depths]
            assert settings["teacher_halving"] == "haar"


def test_the_root_of_squares_has_a_column_where_it_is_published():
    cell = cells_of("vhmt-network", ["fcv"], bits=[64])[2]
    own = {"dataset": "fcv", "model": cell.row.label, "bits": 64, "seed": 1, "status": "done", "mAP@5": 0.5,
           "GmAP": 0.3, "rss_mAP": 0.8, "mAP@5 by index": 0.5, "GmAP by index": 0.3, "rss_mAP by index": 0.79}
    records = [own, *published_records(cell, by_index([own]))]
    assert [line["rss_mAP"] for line in table_lines(records)] == ["0.8000", "0.7900", "0.8681 (-0.0781)"]
    assert "rss_mAP" not in table_lines([own])[0]
    assert "by index" in page_text("", "", "", table_lines(records), [], records, retrieval_figures)


def test_what_cannot_be_compared_is_not():
    hits, = cells_of("main", ["act"], bits=[16], settings={"ap_normaliser": "hits"})
    assert published_records(hits, {}) == []
    assert published_records(cells_of("main", ["digits"], bits=[16])[0], {}) == []
    other = SimpleNamespace(row=Row("", "a", "S5VH"), group=hits.group, config=SimpleNamespace(ap_normaliser="k"))
    assert published_records(other, {}) == []


def test_published_lines_stand_below_ours():
    def ours(model, seed, value):
        return {"dataset": "act", "model": model, "bits": 16, "seed": seed, "status": "done", "mAP@5": value + 0.01,
                "mAP@20": 0.1, "GmAP": 0.1, "mAP@5 by index": value, "mAP@20 by index": 0.1, "GmAP by index": 0.1}

    own = [ours("S5VH", 1, 0.1), ours("S5VH", 2, 0.2)]
    assert by_index(own) == pytest.approx({"mAP@5": 0.15, "mAP@20": 0.1})
    cell = cells_of("main", ["act"], bits=[16], settings={"map_at": "[5, 20, 60]"})[0]
    lines = table_lines([*own, *published_records(cell, by_index(own)), ours("B", 1, 0.3)])
    assert [(line["model"], line["mAP@5"], line["mAP@20"]) for line in lines] == [
        ("S5VH", "0.1600 ± .0707", "0.1000 ± .0000"), ("S5VH, ties by index", "0.1500 ± .0707", "0.1000 ± .0000"),
        ("S5VH, published: S5VH README", "0.180 (-0.0300)", "0.097 (+0.0030)"),
        ("S5VH, published: S5VH released logs", "0.180 (-0.0300)", "0.0965 (+0.0035)"),
        ("S5VH, published: AutoSSVH repository issue 2 (author's figure data)", "0.207 (-0.0570)", "0.117 (-0.0170)"),
        ("S5VH, published: BPG-FNSC repository (S5VH paper figure 3 data as posted)", "0.207 (-0.0570)",
         "0.117 (-0.0170)"),
        ("B", "0.3100", "0.1000")]
    failed = {"dataset": "act", "model": "S5VH", "bits": 16, "seed": 1, "status": "failed"}
    lines = table_lines([failed, *published_records(cell, by_index([failed])), ours("B", 1, 0.3)])
    assert [line["mAP@5"] for line in lines] == ["-", "0.180", "0.180", "0.207", "0.207", "0.3100"]


# data that are not there

def test_all_missing_files_are_told_before_anything_runs(tmp_path):
    result = run("reproduce.py", "--table", "main", "--datasets", "act", "hmdb", "--out", tmp_path / "out",
                 "--set", f"data_root={tmp_path}/", f"home_root={tmp_path}/")
    assert (result.code, result.output) == (2, "")
    lines = result.errors.splitlines()
    assert [line.split(": ")[1] for line in lines] == [str(tmp_path / name) for name in (
        *FILES, "hmdb_train_feats.h5", "hmdb_test_feats.h5", "hmdb_train_labels.mat", "hmdb_test_labels.mat")]
    places = [re.search(r"pan.baidu.com/s/1(\w{4}).* under (\w+),", line).groups() for line in lines]
    assert places == 5 * [("cDJ0", "ActivityNet")] + 4 * [("su2S", "HMDB51")]
    assert not os.listdir(tmp_path)


def test_only_what_is_missing_is_told(tmp_path):
    for name in FILES[1:]:
        (tmp_path / name).touch()
    cells = cells_of("main", ["act"], settings={"data_root": f"{tmp_path}/"})
    assert missing_data(cells) == [
        f"{tmp_path}/train_feats.h5: not there; act has its training features here. Download it "
        "(https://pan.baidu.com/s/1cDJ0-6T2-AOeLgp5rBihfA?pwd=0000, which the README of the S5VH release lists under "
        "ActivityNet, Video Features) or set data_root."]


def test_sample_data_are_never_missing(tmp_path):
    assert missing_data(cells_of("backbones", ["digits"], settings={"data_root": f"{tmp_path}/"})) == []


# all of it, on data laid out as ActivityNet's

@pytest.fixture(scope="module")
def activitynet(tmp_path_factory):
    """A folder with ActivityNet's files, of few videos, and the result of the main table on them."""
    folder = tmp_path_factory.mktemp("activitynet")
    for name, label, key, num_videos in (("train", None, "", 48), ("test", "re_label", "re_label", 30),
                                         ("query", "q_label", "q_label", 12)):
        classes = write_features(folder / f"{name}_feats.h5", (num_videos, 30, 2048), seed=num_videos)
        if label:
            scipy.io.savemat(folder / f"{label}.mat", {key: np.eye(5, dtype=np.uint8)[classes]})
    settings = [f"data_root={folder}/", f"home_root={folder}/", "S5VH_type=mini", "num_epochs=1", "batch_size=16",
                "hidden_size=32", "decoder_size=16", "nclusters=4", "latent_dim_pca=8", "train_num_sample=48",
                "test_num_sample=30", "query_num_sample=12", "map_at=[5, 20]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        fork_cells(patch)
        result = run("reproduce.py", "--table", "main", "--datasets", "act", "--bits", "16", "--no-timing",
                     "--configs", CONFIGS, "--out", folder / "results", "--gpu", "cpu", "--set", *settings)
    return SimpleNamespace(folder=folder, result=result, settings=settings)


def test_activitynet_from_features_to_published_columns(activitynet):
    assert activitynet.result.code == 0, activitynet.result.errors + activitynet.result.output
    with open(activitynet.folder / "results/main.csv", newline="") as file:
        ours, *published = [row for row in csv.DictReader(file) if row["model"] == "S5VH"]
    assert [row["source"] for row in published] == ["S5VH README", "S5VH released logs",
                                                    "AutoSSVH repository issue 2 (author's figure data)",
                                                    "BPG-FNSC repository (S5VH paper figure 3 data as posted)"]
    assert [float(row["published mAP@5"]) for row in published] == [0.18, 0.18, 0.207, 0.207]
    assert 0 <= float(ours["mAP@5 by index"]) <= 1
    assert "difference mAP@5" not in ours  # as the settings are not the published ones
    text = (activitynet.folder / "results/main.md").read_text()
    assert "| S5VH, published: S5VH README | 16 | 0.180 |" in text
    assert "--set changes S5VH_type, num_epochs, batch_size" in text


def test_the_page_has_the_table_and_its_charts(activitynet):
    text = (activitynet.folder / "results/main.html").read_text(encoding="utf-8")
    page = xml.fromstring(text)
    assert "http" not in text.replace("http://www.w3.org", "")
    assert not {"script", "link", "img", "iframe"} & {node.tag for node in page.iter()}
    with open(activitynet.folder / "results/main.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    quality, cost = page.iter("table")
    shown = ["".join(node.itertext()) for node in quality.iter("th") if node.get("scope") == "row"]
    assert shown[:6] == ["S5VH", "S5VH, ties by index", *(f"S5VH, published: {row['source']}" for row in rows[1:5])]
    assert ["".join(node.itertext()) for node in cost.iter("th")] == ["model", "encoder params", "all params", "S5VH"]
    assert [node.text for node in page.iter("h3")][-2:] == ["16 bits", "Cost, 16 bits"]
    figures = {node.find("h3").text: node for node in page.iter("figure")}
    assert list(figures) == ["mAP@5", "mAP@20", "mAP@5 of S5VH beside what is published"]
    points = {node.text for node in figures["mAP@5"].iter("title")}
    assert f"S5VH, 16 bits: {float(rows[0]['mAP@5']):.4f}" in points
    published = {node.text for node in figures["mAP@5 of S5VH beside what is published"].iter("title")}
    assert published == {f"here, ties by index, 16 bits: {float(rows[0]['mAP@5 by index']):.4f}",
                         *(f"{row['source']}, 16 bits: {float(row['published mAP@5']):.4f}" for row in rows[1:5])}


def test_tables_and_figures_for_papers(activitynet):
    results = activitynet.folder / "results"
    text = (results / "main.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{table}") == 2
    assert r"S5VH, published: S5VH README & 0.180 &" in text
    assert "main.tex" in activitynet.result.output
    figures = sorted(path.name for path in (results / "main_figures").glob("*.svg"))
    assert figures == ["act_map_20.svg", "act_map_5.svg", "act_map_5_of_s5vh_beside_what_is_published.svg"]


def test_rows_are_dots_with_deviations_a_colour_for_each_length():
    def record(model, bits, seed, value):
        return {"dataset": "act", "model": model, "bits": bits, "seed": seed, "status": "done", "mAP@5": value,
                "mAP@20": value / 2, "GmAP": value, "mAP@5 by index": 0.0, "config": "c"}

    records = [record(model, bits, seed, bits / 100 + place / 10 + seed / 50) for bits in (16, 32)
               for place, model in enumerate("ab") for seed in (1, 2)]
    records.append({"dataset": "act", "model": "gone", "bits": 32, "seed": 1, "status": "failed"})
    lines = table_lines(records)
    page = xml.fromstring(page_text("A <title>", "python", "today", lines, ["note"], records, retrieval_figures))
    figures = {figure.find("h3").text: figure for figure in page.iter("figure")}
    assert list(figures) == ["mAP@5", "mAP@20"]
    assert ["".join(node.itertext()) for node in figures["mAP@5"].iter("li")] == ["16 bits", "32 bits"]
    rows = [node for node in figures["mAP@5"].iter("g") if node.get("class") == "row"]
    assert [row.find("text").text for row in rows] == ["b", "a"]  # the best of the longest codes first
    assert [node.text for node in rows[1].iter("title")] == [  # .18 and .20; .34 and .36
        "a, 16 bits: 0.1900 (0.1759 to 0.2041)", "a, 32 bits: 0.3500 (0.3359 to 0.3641)"]
    assert [node.get("class") for node in rows[1].findall("g")] == ["s0", "s1"]


def test_parts_keep_lengths_and_costs_apart_and_mark_the_best():
    lines = [{"model": model, "bits": bits, "mAP@5": value, "encode": cost} for model, bits, value, cost in (
        ("a", "16", "0.2000 ± .0100", "1.00 (2 ms)"), ("a, ties by index", "16", "0.9000", "-"),
        ("a, published: README", "16", "0.900 (+0.0100)", "-"), ("b", "16", "0.1000", "-"), ("a", "32", "0.5000", "-"))]
    first, cost, second = parts(lines, "act")
    assert (first.heading, first.columns, first.best) == ("16 bits", ["model", "mAP@5"], {(0, 1)})
    assert [row[0] for row in first.rows] == ["a", "a, ties by index", "a, published: README", "b"]
    assert (cost.heading, cost.rows) == ("Cost, 16 bits", [["a", "1.00 (2 ms)"]])
    assert (second.heading, second.rows, second.best) == ("32 bits", [["a", "0.5000"]], set())
    costs = [{"model": "a", "frames": "25", "ms alone": "1.2"}]
    assert [(part.heading, part.columns) for part in parts(costs, "act")] == [("", ["model", "frames", "ms alone"])]


def test_the_release_profile_takes_the_releases_configs():
    for name, models in (("main", ["S5VH_release"]), ("backbones", 3 * ["S5VH_release"] + ["LSTM", "RetNet", "RWKV",
                                                                                           "Transformer"])):
        table = tables.in_profile(TABLES.load(name), "release")
        assert [row.model for row in table.rows] == models
    cells = expand("main", tables.in_profile(TABLES.load("main"), "release"), folder=CONFIGS, datasets=["act"])
    assert {cell.path for cell in cells} == {f"{CONFIGS}/S5VH_release/act.py"}
    assert {cell.config.select for cell in cells} == {"best_on_test"}
    assert not {cell.config.file_path for cell in cells} & {cell.config.file_path for cell in cells_of("main", ["act"])}


def test_the_release_profile_names_its_missing_configs(tmp_path):
    result = run("reproduce.py", "--table", "main", "--datasets", "digits", "--profile", "release", "--out", tmp_path)
    assert result.code == 2
    assert "S5VH_release/digits.py: no such config" in result.errors


def test_a_dry_run_tells_what_is_left(activitynet):
    result = run("reproduce.py", "--table", "main", "--datasets", "act", "--bits", "16", "32", "--configs", CONFIGS,
                 "--dry-run", "--set", *activitynet.settings)
    assert result.code == 0
    assert re.search(r"^done +- +act +16 ", result.output, re.MULTILINE)
    assert re.search(r"^missing +\d+ s +act +32 ", result.output, re.MULTILINE)
    left, following = result.errors.splitlines()
    assert re.fullmatch(r"about \d+ s of training left", left)
    assert following.startswith("next: python ")
    assert "--dry-run" not in following


def test_make_tables_makes_them_all():
    makefile = (ROOT / "Makefile").read_text()
    listed = re.search(r"^TABLES := (.*)$", makefile, re.MULTILINE)[1].split()
    more = "methods", "winners", *OF_PICTURES  # that need a package more
    assert sorted([*listed, "main", *more]) == TABLES.names()
    cells = cells_of("main", ["digits"], bits=[16, 32, 64], num_seeds=3)
    for name in listed:
        table = TABLES.load(name)
        cells += cells_of(name, table.datasets, bits=[16]) if table.trained else []
    assert f"{len(cells)} cells" in makefile
    assert all(cell.dataset in VARIANTS for cell in cells)  # nothing to download


def test_rows_of_the_centers_are_what_they_are_called_in_either_profile():
    for profile in tables.PROFILES:
        table = tables.in_profile(TABLES.load("centres"), profile)
        for cell in expand("centres", table, folder=CONFIGS, datasets=["act"]):
            assert cell.row.label.startswith(cell.config.hash_center_mode)
