"""`import vh` and the command `vh`, from a folder that is not the project's."""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

import vh
from inference.curves import count_distances, radius_curve
from inference.evaluation import further_metrics
from inference.metrics import evaluate
from inference.report import write_results
from tests.pipeline import ROOT, make_project, message_of, run, succeed
from training.checkpoints import read_checkpoint, write_checkpoint
from utils.config import load_config
from vh import hasher


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained tiny run and the codes of its database by search.py."""
    project = make_project(tmp_path_factory.mktemp("vh"))
    succeed("preprocess.py", "--config", project.config)
    succeed("train.py", "--config", project.config)
    succeed("search.py", "encode", "--config", project.config, "--features", project.data / "database.h5",
            "--out", project.folder / "codes.h5")
    with h5py.File(project.data / "database.h5") as file:
        videos = file["feats"][()]
    return SimpleNamespace(**vars(project), codes=project.folder / "codes.h5", videos=videos)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments, cwd, **environment):
    """The command `vh` as a child process: exit code, output, errors."""
    return subprocess.run([sys.executable, "-m", "vh", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment)


@pytest.mark.parametrize("place", ["file", "folder", "logs"])
def test_a_model_from_its_file_or_a_folder_of_its_run(trained, elsewhere, place):
    model = vh.load({"file": trained.checkpoint, "folder": trained.checkpoint.parent, "logs": trained.logs}[place])
    assert (model.bits, model.item_shape, model.epoch) == (8, (6, 8), 3)
    codes = model.encode(trained.videos)
    np.testing.assert_array_equal(codes.bits, vh.read_codes(trained.codes).bits)
    assert codes.fingerprint == vh.read_codes(trained.codes).fingerprint
    np.testing.assert_array_equal(codes.signs, np.where(np.unpackbits(codes.bits, axis=1), 1, -1))


def test_a_log_folder_that_was_moved_with_its_checkpoints(trained, tmp_path):
    values = load_config(trained.config)
    moved = tmp_path / "moved/logs/tiny" / trained.logs.name
    moved.mkdir(parents=True)
    (moved / "config.py").write_text((trained.logs / "config.py").read_text().replace(values.file_path, "gone"))
    (tmp_path / "moved/checkpoint").symlink_to(trained.checkpoint.parents[2])
    assert vh.load(moved).bits == 8
    (tmp_path / "moved/checkpoint").unlink()
    assert "no checkpoint here" in message_of(lambda: vh.load(moved))


def test_search_finds_the_nearest(trained, elsewhere):
    model = vh.load(trained.checkpoint)
    database = model.encode(torch.from_numpy(trained.videos), ids=[f"v{row}" for row in range(30)])
    ids, distances = database.search(model.encode(trained.videos[4]), k=3)  # one video, (T, F)
    assert ids.shape == distances.shape == (1, 3)
    assert distances[0, 0] == 0
    apart = (database.signs != database.signs[4]).sum(1)
    assert distances[0].tolist() == np.sort(apart)[:3].tolist()
    assert ids[0].tolist() == [f"v{row}" for row in np.argsort(apart, kind="stable")[:3]]
    database.save("kept.npz")
    again = vh.read_codes("kept.npz")
    assert again.search(database, 1)[0].shape == (30, 1)


def test_codes_of_another_model_do_not_meet(trained, elsewhere):
    model = vh.load(trained.checkpoint)
    content = read_checkpoint(trained.checkpoint)
    content["model_state_dict"]["binary.weight"] = content["model_state_dict"]["binary.weight"] * 2
    write_checkpoint("other.pth", content)
    other = vh.load("other.pth").encode(trained.videos)
    assert "another model" in message_of(lambda: model.encode(trained.videos).search(other))


def test_what_cannot_be_encoded(trained):
    model, videos = vh.load(trained.checkpoint), trained.videos.copy()
    assert "takes (N, 6, 8)" in message_of(lambda: model.encode(videos[:, :4]))
    assert "int64" in message_of(lambda: model.encode(videos.astype(int)))
    assert "2 ids for 30" in message_of(lambda: model.encode(videos, ids=["a", "b"]))
    videos[7, 1, 1] = np.nan
    assert "item 7 holds NaN" in message_of(lambda: model.encode(videos))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 8), np.uint8)
    np.testing.assert_array_equal(model.encode(pixels).bits, model.encode(pixels / 255).bits)


def test_checkpoints_that_do_not_say_what_they_are(trained, elsewhere):
    content = read_checkpoint(trained.checkpoint)
    write_checkpoint("bare.pth", {"model_state_dict": content["model_state_dict"]})
    assert "holds no config" in message_of(lambda: vh.load("bare.pth"))
    assert vh.load("bare.pth", config=trained.config).bits == 8
    Path("evil.py").write_text("raise SystemExit('executed')")
    write_checkpoint("own.pth", content | {"config": content["config"] | {"method": "evil.py"}})
    assert "not executed unless" in message_of(lambda: vh.load("own.pth"))
    assert "no checkpoint here" in message_of(lambda: vh.load("missing.pth"))


def test_one_file_is_enough_for_the_scripts(trained, elsewhere):
    result = succeed("search.py", "encode", "--checkpoint", trained.checkpoint, "--features",
                     trained.data / "database.h5", "--out", "codes.h5")
    assert "30 videos encoded" in result.output
    np.testing.assert_array_equal(vh.read_codes("codes.h5").bits, vh.read_codes(trained.codes).bits)
    before = (trained.logs / "metrics.json").read_bytes() if (trained.logs / "metrics.json").exists() else None
    assert "10 queries, 30 database videos" in succeed("eval.py", "--checkpoint", trained.checkpoint).output
    refused = run("eval.py", "--checkpoint", trained.checkpoint, "--nbits", 16)
    assert refused.code == 2
    assert "Name it with --config" in refused.errors
    assert before is None or (trained.logs / "metrics.json").exists()


def test_the_readme_example_runs_elsewhere(trained, elsewhere, monkeypatch):
    """As it stands, on another model, whose features it draws from the model's own shape."""
    snippet = re.search(r"## Your own features\n.*?```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    load = vh.load
    monkeypatch.setattr(vh, "load", lambda path: load(trained.checkpoint))
    exec(snippet, names)
    assert names["ids"].shape == names["distances"].shape == (5, 10)
    assert (names["distances"][:, 0] == 0).all()


def test_a_file_of_the_user_that_hides_a_package(tmp_path):
    (tmp_path / "utils.py").write_text("")
    call = [sys.executable, "-c", "import vh"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert "vh needs its own package 'utils'" in found.stderr
    assert "-P" in found.stderr
    call.insert(1, "-P")
    assert subprocess.run(call, cwd=tmp_path, env=environment).returncode == 0


def test_the_command_runs_the_scripts_from_anywhere(trained, tmp_path):
    done = command("eval", "--config", trained.config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mAP@5" in done.stdout
    refused = command("train", trained.config, "--nbits", "6", "--set", "run_name=x", cwd=tmp_path)
    assert refused.returncode == 2
    assert (f"python -m vh preprocess --config {trained.config} --set nbits=6 run_name=x"
            in refused.stderr), refused.stderr


def test_the_command_tells_what_it_is():
    from vh import __main__, environment

    text = environment.report()
    for part in ("torch ", "scan engine: ", "convolution engine: ", "search engine: ", "threads: "):
        assert part in text
    assert {path.stem for path in ROOT.glob("*.py")} == set(__main__.SCRIPTS)


def test_a_busy_machine_is_told_what_threads_cost(monkeypatch):
    from vh import environment

    monkeypatch.setattr("os.getloadavg", lambda: (50.0 * os.cpu_count(), 0.0, 0.0))
    for cpus, told in (2, True), (1, False):
        monkeypatch.setattr(environment, "available_cpus", lambda cpus=cpus: cpus)
        assert ("OMP_NUM_THREADS=1 may be faster" in environment.report()) is told


@pytest.mark.parametrize("method", ["s5vh", "graph-code", "vhmt"])
def test_init_writes_a_config_that_trains(trained, elsewhere, monkeypatch, capsys, method):
    """Without labels: nothing is evaluated, and the run gives codes."""
    np.save("mine.npy", np.random.default_rng(0).normal(size=(50, 6, 8)).astype(np.float32))
    assert own_command(monkeypatch, "init", "mine.npy", "--bits", 8, "--out", "mine.py", "--method", method) == 0
    told = capsys.readouterr().out
    assert "vh train --config mine.py" in told
    assert "without labels nothing is evaluated" in told
    small = ("hidden_size=32", "decoder_size=16", "num_epochs=1", "batch_size=16", "S5VH_type=mini", "student_depth=1",
             "teacher_depths=[1,1,1]")
    config = load_config("mine.py")
    overrides = [text for text in small if text.partition("=")[0] in config]
    overrides = ["--set", *overrides] if overrides and method != "graph-code" else []
    succeed("preprocess.py", "--config", "mine.py", *overrides)
    succeed("train.py", "--config", "mine.py", *overrides)
    model = vh.load(config.file_path)
    assert len(model.encode(np.load("mine.npy"))) == 50
    refused = run("eval.py", "--config", "mine.py", *overrides)
    assert "label_path is missing" in refused.errors


def own_command(monkeypatch, *arguments):
    from vh import __main__

    monkeypatch.setattr("sys.argv", ["vh", *map(str, arguments)])
    try:
        __main__.main()
    except SystemExit as end:
        return end.code or 0
    return 0


def test_init_of_pictures_learns_from_their_labels(trained, elsewhere, monkeypatch, capsys):
    """As `dataset.pack_pictures` names the command: one file has the pictures and their labels."""
    with h5py.File("pictures.h5", "w") as file:
        file["feats"] = np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), np.uint8)
        file["labels"] = np.eye(4, dtype=np.uint8)[np.arange(20) % 4]
    arguments = "init", "pictures.h5", "--labels", "pictures.h5", "--bits", 8, "--out", "mine.py"
    assert own_command(monkeypatch, *arguments) == 0
    assert "20 training items of 16 x 16 x 3, 8 bits" in capsys.readouterr().out
    config = load_config("mine.py")
    assert (config.model_name, config.small_pictures, config.ap_normaliser) == ("CSQ", True, "hits")
    small = "--set", "num_epochs=1", "backbone=resnet18", "backbone_width=0.125", "map_at=[5]"
    for script in "preprocess", "train", "eval":
        succeed(f"{script}.py", "--config", "mine.py", *small)
    apart = *arguments, "--replace", "--database", "pictures.h5", "--method", "dpsh"
    assert own_command(monkeypatch, *apart) == 2
    assert "Name them with --train-labels" in capsys.readouterr().err
    assert own_command(monkeypatch, *apart, "--train-labels", "pictures.h5") == 0
    assert load_config("mine.py").model_name == "DPSH"


def test_init_with_labels_of_another_key(trained, elsewhere, monkeypatch, capsys):
    with h5py.File("mine.h5", "w") as file:
        file["deep/x"] = np.zeros((12, 6, 8), np.float16)
    np.save("labels.npy", np.eye(12, dtype=np.uint8))
    arguments = "init", "mine.h5", "--bits", "6", "--labels", "labels.npy", "--out", "my run.py"
    assert own_command(monkeypatch, *arguments) == 0
    config = load_config("my run.py")
    assert (config.feat_key, config.max_frames, config.feature_size, config.nclusters) == ("deep/x", 6, 8, 2)
    assert "vh eval --config 'my run.py'" in capsys.readouterr().out
    for change, words in ((arguments, "exists already"),
                          ((*arguments[:5], "mine.h5", "--out", "new.py"), "Set label_key"),
                          (("init", "none.h5", "--out", "new.py"), "no such file"),
                          (("init", "mine.h5", "--out", "new"), "ends in .py"),
                          (("init", "mine.h5", "--out", "new.py", "--method", "none"), "graph-code")):
        code = own_command(monkeypatch, *change)
        error = capsys.readouterr().err
        assert code == 2
        assert words in error
        assert error.count("\n") == 1
        assert not Path("new.py").exists()


@pytest.mark.parametrize("num_epochs", [3, 4])
def test_runs_are_compared(trained, elsewhere, monkeypatch, capsys, num_epochs):
    for name in ("one", "two"):
        folder = elsewhere / "logs" / name
        folder.mkdir(parents=True)
        for row in range(1, 3 if name == "two" else num_epochs + 1):
            with open(folder / "metrics.jsonl", "a") as file:
                file.write(json.dumps({"epoch": row, "loss/total": 1 / row, "seconds": 30.0,
                                       "expected/mAP@5": row / 10}) + "\n")
    (elsewhere / "logs/one/metrics.json").write_text(json.dumps({
        "map_at": {"expected": {"5": 0.25}}, "gmap": {"expected": 0.125}, "num_bits": 8, "normaliser": "k",
        "details": {"dataset": "tiny"}, "radius_curve": {"radius": [1.0, 8.0], "precision": [0.5, 0.25],
                                                         "recall": [0.2, 1.0]}}))
    assert own_command(monkeypatch, "compare", "logs/one", "logs/two/", "--out", "c.html") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "dataset", "bits", "AP", "divided", "by", "epochs", "mAP@5", "GmAP", "minutes",
                                "of", "training"]
    assert lines[1].split() == ["one", "tiny", "8", "k", str(num_epochs), "0.2500", "0.1250", f"{num_epochs / 2:.4f}"]
    assert lines[2].split() == ["two", "-", "-", "-", "2", "-", "-", "1.0000"]
    written, following = lines[-1].split("; next: ")
    assert written == "written: c.html"
    assert following.endswith("vh eval --config logs/one/config.py --report")
    page = xml.fromstring(Path("c.html").read_text(encoding="utf-8"))
    assert [node.find("h3").text for node in page.iter("figure")] == [
        "Loss: total", "mAP@5", "Precision and recall by Hamming radius"]
    shown = [["".join(item.itertext()) for item in node.iter("li")] for node in page.iter("figure")]
    assert shown == (2 * [["one", "two"]] if num_epochs > 3 else [[], []]) + [[]]  # of one curve there is no legend
    cells = [["".join(cell.itertext()) for cell in row] for row in next(page.iter("figure")).iter("tr")]
    assert cells == ([] if num_epochs > 3 else [  # few epochs stand as numbers
        ["run", "epoch 1", "epoch 2", "epoch 3"], ["one", "1.0000", "0.5000", "0.3333"],
        ["two", "1.0000", "0.5000", "-"]])
    for folders, words in ((["logs"], "no run here"), (["logs/one", "logs/one"], "named twice")):
        assert own_command(monkeypatch, "compare", *folders) == 2
        assert words in capsys.readouterr().err
    curve = {"recall": [0.1], "precision": []}
    for damaged in ({"map_at": 1}, {"map_at": {"expected": {}}, "gmap": {"expected": 0.1}, "radius_curve": curve}):
        (elsewhere / "logs/two/metrics.json").write_text(json.dumps(damaged))
        assert own_command(monkeypatch, "compare", "logs/two") == 2
        assert "not what eval.py writes" in capsys.readouterr().err


def test_curves_of_evaluated_runs_share_a_chart(trained, elsewhere, monkeypatch, capsys):
    """Drawn from what eval.py writes, which is the curve of the report."""
    folder = elsewhere / "logs/evaluated"
    folder.mkdir(parents=True)
    codes = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (30, 4))
    labels = np.eye(3, dtype=np.uint8)[np.arange(30) % 3]
    counts = count_distances(codes[:5], codes, labels[:5], labels)
    found = evaluate(codes[:5], codes, labels[:5], labels, map_at=[5])
    write_results(folder, found, further=further_metrics(found, counts), about="", details={"dataset": "tiny"})
    curve = json.loads((folder / "metrics.json").read_text())["radius_curve"]
    np.testing.assert_allclose([curve["precision"], curve["recall"]], radius_curve(counts))
    assert curve["radius"] == [0, 1, 2, 3, 4]
    shutil.copytree(folder, elsewhere / "logs/again")
    assert own_command(monkeypatch, "compare", "logs/evaluated", "logs/again", "--out", "c.html") == 0
    page = xml.fromstring(Path("c.html").read_text(encoding="utf-8"))
    assert [["".join(item.itertext()) for item in node.iter("li")] for node in page.iter("figure")] == [
        ["evaluated", "again"]]


def test_the_api_does_not_import_torch_before_it_is_used():
    program = "import sys, vh, vh.__main__; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
    assert hasher.Codes.__doc__
