"""Damaged files of a run end in one line, and what is not the run's own never stands for it."""

import json
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.pipeline import make_project, run, succeed, write_features
from tests.test_s5vh import make, make_batch
from training.checkpoints import check_resumable, write_checkpoint
from utils.config import load_config


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("preprocessed"))
    succeed("preprocess.py", "--config", project.config)
    return project


@pytest.fixture(scope="module")
def run_of_two_epochs(preprocessed, tmp_path_factory):
    project = copy_of(preprocessed, tmp_path_factory.mktemp("trained"))
    succeed("train.py", "--config", project.config, "--num_epochs", 2)
    return project


@pytest.fixture
def project(preprocessed, tmp_path):
    return copy_of(preprocessed, tmp_path / "project")


@pytest.fixture
def trained(run_of_two_epochs, tmp_path):
    return copy_of(run_of_two_epochs, tmp_path / "project")


def copy_of(project, folder):
    """The same project in another folder, with all that it has made."""
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    config = folder / "config.py"
    config.write_text(config.read_text().replace(str(project.folder), str(folder)))
    places = {name: folder / path.relative_to(project.folder) for name, path in vars(project).items()}
    return SimpleNamespace(**places)


def refused(*command, words):
    result = run(*command)
    assert (result.code, result.errors.count("\n")) == (2, 1), result.errors
    assert words in result.errors


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"epoch": "1"}', '{"seconds": 1}', '{"epoch": 1, "lr": "x"}',
                                  "\xff", "[" * 100_000])
def test_damaged_metrics(trained, line):
    path = trained.logs / "metrics.jsonl"
    path.write_bytes(path.read_bytes().splitlines()[0] + b"\n" + line.encode("latin-1") + b"\n")
    for command in (("train.py", "--resume"), ("eval.py", "--report")):
        refused(*command, "--config", trained.config, "--num_epochs", 2, words="metrics.jsonl: line 2 is damaged")
    path.unlink()
    succeed("train.py", "--resume", "--config", trained.config, "--num_epochs", 2)


MUTATIONS = [(name, value) for name in ("features", "best", "stale", "finished", "config", "optimizer_state_dict")
             for value in (..., None, [], "x", 1.5)
             if (name, value) not in (("features", "x"), ("best", 1.5))]


@pytest.mark.parametrize(("name", "value"), MUTATIONS)
def test_a_checkpoint_with_a_damaged_entry(trained, name, value):
    content = torch.load(trained.checkpoint, weights_only=True)
    content.pop(name) if value is ... else content.update({name: value})
    write_checkpoint(trained.checkpoint, content)
    refused("train.py", "--resume", "--config", trained.config, "--num_epochs", 2, words="last.pth: ")


@pytest.mark.parametrize("change", [
    lambda state: state["state"].pop(0), lambda state: state["state"][0].pop("exp_avg"),
    lambda state: state["state"][1].update(exp_avg_sq=torch.zeros(3)), lambda state: state.pop("param_groups"),
    lambda state: state["param_groups"][0].update(lr="fast"), lambda state: state["param_groups"].append({}),
    lambda state: state["state"].update({999: {}}), lambda state: state["param_groups"][0]["params"].append(0),
    lambda state: state["param_groups"][0]["params"].__setitem__(-1, 0),  # whose moments are of another shape
    lambda state: state["param_groups"][0]["params"].__setitem__(0, torch.tensor(0))])
def test_an_optimiser_of_another_shape(trained, change):
    content = torch.load(trained.checkpoint, weights_only=True)
    change(content["optimizer_state_dict"])
    write_checkpoint(trained.checkpoint, content)
    refused("train.py", "--resume", "--config", trained.config, "--num_epochs", 2, words="optimiser state does not fit")


@pytest.mark.parametrize("change", [
    lambda weights: weights.popitem(), lambda weights: weights.update(more=torch.zeros(2)),
    lambda weights: weights.update({"ln.weight": torch.zeros(3)}), lambda weights: weights.pop("pseudo_labels")])
def test_weights_of_another_shape(trained, change):
    content = torch.load(trained.checkpoint, weights_only=True)
    change(content["model_state_dict"])
    write_checkpoint(trained.checkpoint, content)
    refused("train.py", "--resume", "--config", trained.config, "--num_epochs", 2, words="last.pth: ")


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("order", None), ("generators", {}), ("sums", {"total": 1})])
def test_an_epoch_cut_short_with_a_damaged_entry(name, value, tmp_path):
    unfinished = {"steps": 1, "order": "x", "seconds": 1.0, "generators": {"cpu": torch.zeros(1)}, "sums": {}}
    state = {"config": {}, "features": "x", "best": 0.0, "stale": 0, "finished": False, "epoch": 0}
    check_resumable(state | {"unfinished": unfinished}, tmp_path)
    with pytest.raises(ValueError, match=f"its entry '{name}' is damaged"):
        check_resumable(state | {"unfinished": unfinished | {name: value}}, tmp_path)


def test_a_warm_start_keeps_its_own_labels_and_centers(trained):
    """Also on a training set of another size, from which the labels come."""
    start = "--start_from", trained.checkpoint, "--num_epochs", 1, "--lr", "1e-9", "--min_lr", 0
    succeed("train.py", "--config", trained.config, *start, "--run_name", "same", "--warm_up_epoch", 1)
    with h5py.File(trained.artefacts / "final_train_train_assit.h5") as file:
        labels = np.eye(4, dtype=np.float32)[file["pos"][:, 0]]
    path = trained.folder / "checkpoint/tiny/S5VH_8bit_same/last.pth"
    weights = torch.load(path, weights_only=True)["model_state_dict"]
    np.testing.assert_array_equal(weights["pseudo_labels"].numpy(), labels)  # fresh, not those that training moved
    write_features(trained.data / "more.h5", (64, 6, 8), seed=5)
    other = ("--config", trained.config, "--set", f"train_feat_path={trained.data}/more.h5", "dataset=more",
             f"data_root={trained.data}/more/", *(f"{name}={trained.data}/{file}" for name, file in (
                 ("test_feat_path", "database.h5"), ("label_path", "database.mat"), ("query_feat_path", "query.h5"),
                 ("query_label_path", "query.mat"))))
    succeed("preprocess.py", *other)
    succeed("train.py", *other, f"start_from={trained.checkpoint}", "num_epochs=1")
    assert "more/S5VH_8bit/last.pth" in succeed("eval.py", *other, f"start_from={trained.checkpoint}").output


def test_another_checkpoints_evaluation_has_a_folder_of_its_own(trained):
    succeed("eval.py", "--config", trained.config)
    own = (trained.logs / "map.txt").read_text(), (trained.logs / "metrics.json").read_text()
    copy = trained.folder / "elsewhere/copy.pth"
    copy.parent.mkdir()
    copy.write_bytes(trained.checkpoint.read_bytes())
    output = succeed("eval.py", "--config", trained.config, "--checkpoint", copy).output
    assert "of_elsewhere_copy/map.txt" in output
    details = json.loads((trained.logs / "of_elsewhere_copy/metrics.json").read_text())["details"]
    assert details["checkpoint"] == str(copy)
    assert ((trained.logs / "map.txt").read_text(), (trained.logs / "metrics.json").read_text()) == own


def test_baselines_on_other_data_are_fit_on_the_training_features(trained, tmp_path):
    with h5py.File(trained.data / "renamed.h5", "w") as file, h5py.File(trained.data / "query.h5") as query:
        file["other"] = query["feats"][()]
    scipy.io.savemat(trained.data / "renamed.mat", {"labels": np.eye(5, dtype=np.uint8)[np.arange(10) % 5]})
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = {str(trained.config)!r}\ndataset, feat_key = 'other', 'other'\n"
                     "test_feat_path, label_path = data_root + 'renamed.h5', data_root + 'renamed.mat'\n"
                     "query_feat_path = query_label_path = None\n")
    assert "ITQ" in succeed("eval.py", "--config", trained.config, "--on", other, "--baselines").output


def test_a_checkpoint_to_share_has_no_labels_of_the_training_set(project):
    succeed("train.py", "--config", project.config, "--select", "best_on_test")
    best = torch.load(project.checkpoint.with_name("best.pth"), weights_only=True)["model_state_dict"]
    assert "pseudo_labels" not in best
    assert "hash_centers" in best
    succeed("eval.py", "--config", project.config, "--select", "best_on_test")


def test_a_constant_rate_has_no_least_one(project):
    config = load_config(project.config, {"schedule": "constant", "lr": 1e-6})
    assert config.min_lr > config.lr
    succeed("train.py", "--config", project.config, "--set", "schedule=constant", "lr=1e-6", "num_epochs=1")


def test_a_restart_leaves_no_curves_of_the_run_before(trained):
    events = trained.logs / "events.out.tfevents.1.host"
    events.write_bytes(b"old")
    succeed("train.py", "--config", trained.config, "--restart", "--num_epochs", 1)
    assert not events.exists()


def test_center_logits_are_not_rounded_to_bfloat16():
    model, batch = make(nbits=300, nclusters=6), make_batch()
    model.hash_centers.fill_(1)
    model.binary.bias.data.fill_(9.0)  # all bits 1: inner products of 300, which bfloat16 rounds
    model.ln.weight.data.zero_()
    model.ln.bias.data.fill_(1.0)
    model.ln.bias.data[0] = -1.0
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.views(batch.items, batch.masks).center_logits
    assert logits.dtype == torch.float32
    assert (logits == 298).all()
