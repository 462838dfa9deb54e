"""Networks trained on one dataset and evaluated on another: their cells, their records, and one run."""

import csv
import json
from types import SimpleNamespace

import pytest

from tables import Row, Table
from tables.grid.cells import State, evaluation, expand, missing_configs, state
from tables.grid.preparation import missing_data, provide_data
from tables.grid.published import published_records
from tables.grid.records import table_lines
from tables.grid.transfer import transfer_records
from tests.forked import fork_cells
from tests.pipeline import ROOT, message_of, own_table, run
from tests.test_reproduce import evaluated, leave_run, make_configs
from utils import registry
from utils.files.writing import write_text
from utils.registry import TABLES

CONFIGS = str(ROOT / "configs")
ABROAD = Table("Abroad", ("tiny",), (Row("S5VH", "s5vh", "S5VH"),), baselines=True, transfer={"tiny": "other"})


@pytest.fixture
def project(tmp_path):
    return make_pair(tmp_path)


def make_pair(folder):
    """A tiny project with a second dataset, whose database are the first one's queries."""
    project = make_configs(folder)
    (project.configs / "S5VH/other.py").write_text(
        "_base_ = 'tiny.py'\ndataset = 'other'\n"
        "test_feat_path, label_path = data_root + 'query.h5', data_root + 'query.mat'\n")
    return project


def abroad(project, datasets=("tiny",), **options):
    return expand("abroad", ABROAD, folder=str(project.configs), datasets=list(datasets), **options)


def leave_both(cell, here, there):
    """What a done cell leaves behind, with mAP@K `here` and `there` for each K under both tie rules."""
    def metrics(values):
        maps = {str(k): value for k, value in values.items()}
        return {"map_at": {"index": maps, "expected": maps}, "gmap": {"index": 0.1, "expected": 0.1},
                "rss_map": {"index": 0.1, "expected": 0.1}}

    leave_run(cell.config, **metrics(here))
    if cell.transferred:
        content = evaluated(cell.config, measured=cell.transferred) | metrics(there)
        write_text(f"{cell.transferred.log_path}/metrics.json", json.dumps(content))


def test_a_cell_is_done_when_both_evaluations_are(project):
    cell, = abroad(project)
    assert cell.other == f"{project.configs}/S5VH/other.py"
    assert cell.transferred.log_path == f"{cell.config.log_path}/on_other"
    assert cell.transferred.train_feat_path == cell.config.train_feat_path
    leave_run(cell.config)
    assert state(cell.config) is State.DONE
    assert state(cell.config, cell.transferred) is State.PART
    leave_both(cell, {1: 0.5, 5: 0.25}, {1: 0.4, 5: 0.2})
    assert state(cell.config, cell.transferred) is State.DONE
    assert evaluation(cell.config, cell.transferred)["map_at"]["index"] == {"1": 0.4, "5": 0.2}


def test_the_drop_is_from_the_row_trained_there(project):
    cells = abroad(project, ["tiny", "other"], num_seeds=2)
    assert [(cell.dataset, bool(cell.transferred)) for cell in cells] == 2 * [("tiny", True)] + 2 * [("other", False)]
    for cell, there in zip(cells, (0.3, 0.2, None, None), strict=True):
        leave_both(cell, {1: 0.9, 5: 0.8}, {1: there, 5: there})
    own = [{"dataset": "other", "bits": 8, "model": "S5VH", "status": "done", "mAP@1": value, "mAP@5": 0.5}
           for value in (0.3, 0.5)] + [{"dataset": "other", "bits": 8, "model": "S5VH", "status": "failed"},
                                       {"dataset": "tiny", "bits": 8, "model": "S5VH", "status": "done", "mAP@1": 9.0}]
    records = transfer_records(cells, own, baselines=False)
    assert [record["dataset"] for record in records] == 2 * ["tiny->other"]
    assert [record["drop mAP@1"] for record in records] == pytest.approx([25, 50])  # of .4, the mean
    assert [record["drop mAP@5"] for record in records] == pytest.approx([40, 60])
    line, = table_lines(records)
    assert line["drop mAP@1"] == "37.5 %"
    nothing = [{"dataset": "other", "bits": 8, "model": "S5VH", "status": "done", "mAP@1": 0.0, "mAP@5": 0.5}]
    first, _ = transfer_records(cells, nothing, baselines=False)
    assert [name for name in first if name.startswith("drop")] == ["drop mAP@5"]  # none from 0
    alone, other = transfer_records(cells, [], baselines=False)
    assert not any(name.startswith("drop") for name in alone | other)


def test_the_papers_transfer_is_compared_with():
    cell, _ = expand("transfer", TABLES.load("transfer"), folder=CONFIGS, datasets=["fcv", "yfcc"], bits=[64])
    assert cell.transferred.dataset == "yfcc"
    record, = published_records(cell, {"mAP@20": 0.2}, dataset="fcv->yfcc")
    assert (record["published mAP@20"], record["source"]) == (0.19, "VHMT paper table 2")
    assert record["difference mAP@20"] == pytest.approx(0.01)


def test_missing_configs_and_data_of_the_other_dataset_are_told(tmp_path):
    table = TABLES.load("transfer")
    assert missing_configs(table, str(tmp_path), ["fcv"]) == [f"{tmp_path}/S5VH/fcv.py", f"{tmp_path}/S5VH/yfcc.py"]
    cells = expand("transfer", table, folder=CONFIGS, datasets=["fcv"], settings={"data_root": f"{tmp_path}/"})
    lines = missing_data(cells)
    assert [line.partition(":")[0] for line in lines[:3]] == [
        f"{tmp_path}/fcv_train_feats.h5", f"{tmp_path}/fcv_test_feats.h5", f"{tmp_path}/fcv_test_labels.mat"]
    assert lines[3].startswith("data/yfcc/yfcc_test_feats_1.h5: not there; yfcc has its database features here.")
    assert f"{CONFIGS}/S5VH/yfcc.py" in lines[3]
    assert not any("yfcc_train" in line for line in lines)  # which nobody trains on


def test_sample_datasets_do_not_lie_in_one_folder(tmp_path):
    cells = expand("transfer", TABLES.load("transfer"), folder=CONFIGS, datasets=["digits", "digits_slant"],
                   settings={"data_root": f"{tmp_path}/"})
    assert "digits and digits_slant" in message_of(lambda: provide_data(cells, lambda line: None))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    project = make_pair(tmp_path_factory.mktemp("transfer"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.Registry, "load", own_table(ABROAD))
        patch.setenv("OMP_NUM_THREADS", "1")
        fork_cells(patch)
        result = run("reproduce.py", "--table", "transfer", "--configs", project.configs, "--gpu", "cpu", "--no-timing",
                     "--out", project.folder / "out", "--set", "num_epochs=1")
    return SimpleNamespace(result=result, folder=project.folder)


def test_from_training_here_to_a_table_of_there(made):
    assert made.result.code == 0, made.result.errors + made.result.output
    with open(made.folder / "out/transfer.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dataset"], row["model"]) for row in rows] == [
        (dataset, model) for dataset in ("tiny", "tiny->other")
        for model in ("S5VH", "random", "LSH, means", "PCA sign, means", "SH, means", "ITQ, means", "ITQ, 5 segments",
                      "ITQ, half-whitened")]
    metrics = json.loads((made.folder / "logs/tiny/S5VH_8bit_transfer_s5vh_seed1/on_other/metrics.json").read_text())
    assert float(rows[8]["mAP@5"]) == metrics["map_at"]["expected"]["5"] != float(rows[0]["mAP@5"])
    assert metrics["num_database"] == 10
    text = (made.folder / "out/transfer.md").read_text()
    assert "| tiny->other | S5VH | 8 | " in text
    assert ", 1 seed, torch " in text
