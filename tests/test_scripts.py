"""preprocess, train and eval from the command line: what they leave, resume exactly, and reproduce."""

import json
import os
import random
import signal
import sys
import time

import pytest
import torch

from tests.forked import Script
from tests.pipeline import ROOT, assert_same_tensors, checkpoint_tensors, make_project, run, succeed
from utils.config import load_config


@pytest.fixture
def project(tmp_path):
    project = make_project(tmp_path)
    succeed("preprocess.py", "--config", project.config, "--gpu", "cpu")
    return project


def test_from_features_to_map(project):
    succeed("train.py", "--config", project.config)
    rows = [json.loads(line) for line in (project.logs / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss/total"] < rows[0]["loss/total"]
    assert {"mAP@1", "expected/mAP@5", "GmAP", "bit_entropy", "dead_bits", "bit_correlation"} <= rows[1].keys()
    assert "mAP@1" not in rows[0]
    assert (project.logs / "metrics.csv").read_text().count("\n") == 4
    assert "epoch 3/3" in (project.logs / "log.txt").read_text()
    assert load_config(project.logs / "config.py") == load_config(project.config)
    succeed("train.py", "--config", project.config, "--run-name", "named", "--num-epochs", 1)
    saved = load_config(project.logs.with_name("S5VH_8bit_named") / "config.py")
    assert saved == load_config(project.config, {"run_name": "named", "num_epochs": 1})

    result = succeed("eval.py", "--config", project.config, "--baselines")
    for word in ("S5VH", "random", "PCA sign, means", "ITQ, means", "ITQ, 5 segments", "mAP@5", "GmAP", "expected"):
        assert word in result.output
    metrics = json.loads((project.logs / "metrics.json").read_text())
    assert metrics["map_at"]["index"]["5"] == pytest.approx(rows[-1]["mAP@5"])
    assert metrics["map_at"]["index"]["5"] > 0.3  # chance is .2
    assert "mAP@5" in (project.logs / "map.txt").read_text()


def test_a_run_is_reproducible(project):
    for name, rate in (("a", 0.5), ("b", 0.5), ("c", 0.2)):
        succeed("train.py", "--config", project.config, "--run-name", name, "--mask-ratio", rate)
    folder = project.folder / "checkpoint/tiny"
    assert_same_tensors(folder / "S5VH_8bit_a/last.pth", folder / "S5VH_8bit_b/last.pth")
    weight = "/model_state_dict/binary.weight"
    first, third = (checkpoint_tensors(folder / f"S5VH_8bit_{name}/last.pth") for name in "ac")
    assert not torch.equal(first[weight], third[weight])


def test_an_existing_run_is_neither_overwritten_nor_mixed(project):
    succeed("train.py", "--config", project.config)
    before = project.checkpoint.read_bytes()
    again = run("train.py", "--config", project.config)
    assert again.code == 2
    assert "--resume" in again.errors
    other = run("train.py", "--config", project.config, "--resume", "--lr", "1e-3")
    assert other.code == 2
    assert "lr 0.0005 -> 0.001" in other.errors
    assert project.checkpoint.read_bytes() == before
    finished = succeed("train.py", "--config", project.config, "--resume")
    assert "finished" in finished.output
    assert project.checkpoint.read_bytes() == before
    succeed("train.py", "--config", project.config, "--restart", "--lr", "1e-3")
    assert project.checkpoint.read_bytes() != before


def test_a_run_killed_five_times_ends_as_if_it_never_was(project):
    """SIGKILL at random moments; the checkpoint is byte-equal in every tensor, the metrics are complete."""
    arguments = ["--config", project.config, "--num-epochs", "30", "--eval-every", "20"]
    succeed("train.py", *arguments, "--run-name", "whole")
    command = [sys.executable, ROOT / "train.py", *arguments, "--run-name", "killed", "--resume"]
    killed = project.folder / "checkpoint/tiny/S5VH_8bit_killed/last.pth"
    moments = random.Random(int(os.environ.get("KILL_SEED", "1")))
    kills = 0
    for _ in range(5):
        process = Script(command)
        start = killed.stat().st_mtime_ns if killed.exists() else None
        while process.poll() is None and (not killed.exists() or killed.stat().st_mtime_ns == start):
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.1))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 5
    succeed("train.py", *arguments, "--run-name", "killed", "--resume")
    assert_same_tensors(killed, killed.parent.parent / "S5VH_8bit_whole/last.pth")
    rows = (project.folder / "logs/tiny/S5VH_8bit_killed/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, 31))


def test_dry_run_writes_nothing(project):
    before = sorted(project.folder.rglob("*"))
    result = succeed("train.py", "--config", project.config, "--dry-run")
    assert "one step: total" in result.output
    assert "peak memory" in result.output
    assert "database: 30 x 6 x 8" in result.output
    assert result.output.endswith(f"train.py --config {project.config}\n")
    assert sorted(project.folder.rglob("*")) == before


@pytest.mark.parametrize("batch", [15, 16, 30, 64])
def test_evaluation_does_not_depend_on_the_batch(project, batch):
    if not project.checkpoint.exists():
        succeed("train.py", "--config", project.config)
    succeed("eval.py", "--config", project.config)
    metrics = json.loads((project.logs / "metrics.json").read_text())["map_at"]
    succeed("eval.py", "--config", project.config, "--test-batch-size", batch)
    assert json.loads((project.logs / "metrics.json").read_text())["map_at"] == metrics


def test_best_epoch_only_as_a_declared_switch(project):
    succeed("train.py", "--config", project.config)
    assert not (project.checkpoint.parent / "best.pth").exists()
    result = succeed("train.py", "--config", project.config, "--run-name", "best", "--select", "best_on_test")
    assert "optimistic" in result.output
    best = project.folder / "checkpoint/tiny/S5VH_8bit_best/best.pth"
    assert set(torch.load(best, weights_only=True)) == {"model_state_dict", "epoch", "config", "features"}
    evaluated = succeed("eval.py", "--config", project.config, "--run-name", "best", "--select", "best_on_test")
    assert "best.pth" in evaluated.output


def test_early_stop(project):
    result = succeed("train.py", "--config", project.config, "--num-epochs", 50, "--eval-every", 1, "--early-stop", 2,
                     "--lr", "1e-7", "--min-lr", 0)
    assert "stopping early" in result.output
    assert "finished" in succeed("train.py", "--config", project.config, "--num-epochs", 50, "--eval-every", 1,
                                 "--early-stop", 2, "--lr", "1e-7", "--min-lr", 0, "--resume").output


def test_bf16_and_clipping_train(project):
    succeed("train.py", "--config", project.config, "--amp", "bf16", "--grad-clip", "0.5")
    rows = [json.loads(line) for line in (project.logs / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss/total"] < rows[0]["loss/total"]


def test_use_checkpoint_starts_from_given_weights(project):
    succeed("train.py", "--config", project.config)
    result = succeed("train.py", "--config", project.config, "--run-name", "tuned", "--use-checkpoint",
                     project.checkpoint, "--lr", "1e-9", "--min-lr", 0, "--num-epochs", 1)
    assert result.code == 0
    first = torch.load(project.checkpoint, weights_only=True)["model_state_dict"]
    second = torch.load(project.folder / "checkpoint/tiny/S5VH_8bit_tuned/last.pth", weights_only=True)
    for name, value in first.items():
        if "pseudo_labels" not in name:
            torch.testing.assert_close(value, second["model_state_dict"][name], rtol=1e-5, atol=1e-6)


def test_a_release_checkpoint_is_evaluated_and_trained_on(tmp_path):
    """Both from a file with the release's names, backward mixer and unused layers included."""
    project = make_project(tmp_path, num_frames=10, num_features=48)
    release = ROOT / "tests/golden/mini16/release_checkpoint.pth"
    settings = ["--config", project.config, "--nbits", 16, "--set", "hidden_size=64", "decoder_size=192"]
    succeed("preprocess.py", *settings)
    assert "release_checkpoint.pth" in succeed("eval.py", *settings, "--checkpoint", release).output
    folder = tmp_path / "checkpoint/tiny/S5VH_16bit"
    folder.mkdir(parents=True)
    (folder / "tiny_16.pth").write_bytes(release.read_bytes())
    assert "tiny_16.pth" in succeed("eval.py", *settings).output  # the release's own place and name
    quirks = ("hash_center_mode=learned", "nclusters=12", "num_epochs=1")
    for extra in (), quirks:
        succeed("preprocess.py", *settings, *extra)
        succeed("train.py", *settings, *extra, f"use_checkpoint={release}", f"run_name=from{len(extra)}")


def test_the_queries_can_be_the_database(project):
    arguments = ("--set", "query_feat_path=None", "query_label_path=None")
    succeed("train.py", "--config", project.config, *arguments)
    kept = succeed("eval.py", "--config", project.config, *arguments)
    left_out = succeed("eval.py", "--config", project.config, *arguments, "self_retrieval=False")
    assert "30 queries, 30 database videos" in kept.output
    assert kept.output != left_out.output


def test_other_bits_need_their_own_hash_centers(project):
    refused = run("train.py", "--config", project.config, "--nbits", "16")
    assert refused.code == 2
    assert "hash_center_16.h5" in refused.errors
    assert f"preprocess.py --config {project.config}" in refused.errors
    succeed("preprocess.py", "--config", project.config, "--nbits", "16")
    succeed("train.py", "--config", project.config, "--nbits", "16")
    assert (project.folder / "checkpoint/tiny/S5VH_16bit/last.pth").exists()


def test_transfer_to_another_dataset(project, tmp_path):
    """The same model on another dataset's database and queries; its results do not touch its own."""
    succeed("train.py", "--config", project.config, "--num-epochs", "1")
    succeed("eval.py", "--config", project.config)
    own = (project.logs / "metrics.json").read_text()
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = {str(project.config)!r}\ndataset = 'other'\n"
                     "test_feat_path, label_path = data_root + 'query.h5', data_root + 'query.mat'\n")
    result = succeed("eval.py", "--config", project.config, "--on", other, "--baselines")
    assert "other: 10 queries, 10 database videos" in result.output
    assert "ITQ" in result.output
    metrics = json.loads((project.logs / "on_other/metrics.json").read_text())
    assert metrics["details"]["dataset"] == "other"
    assert metrics["num_database"] == 10
    assert (project.logs / "metrics.json").read_text() == own


def test_transfer_needs_features_of_the_same_size(project, tmp_path):
    other = tmp_path / "other.py"
    for line, word in (("feature_size = 3", "feature_size = 3"), ("max_frames = 40", "max_frames = 40")):
        other.write_text(f"_base_ = {str(project.config)!r}\n{line}\n")
        result = run("eval.py", "--config", project.config, "--on", other)
        assert result.code == 2
        assert word in result.errors
        assert result.errors.count("\n") == 1
