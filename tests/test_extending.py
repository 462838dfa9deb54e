"""The examples of docs/extending.md, plugged in from a folder of their own and trained through the scripts."""

import re
import signal
import sys
import time

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.forked import Script, fork_cells, run_side_by_side
from tests.pipeline import CLASSES, ROOT, checkpoint_tensors, make_project, run, succeed
from training import steps

EXAMPLES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", (ROOT / "docs/extending.md").read_text(),
                           re.MULTILINE | re.DOTALL))
GUIDED = "method={0}/guided.py", "model_name=Guided"


@pytest.fixture(scope="module")
def plugged(tmp_path_factory):
    """A folder with data, the examples, and their config; `overrides` are what --set takes, {0} the folder."""
    project = make_project(tmp_path_factory.mktemp("plugged"))
    for name, text in EXAMPLES.items():
        text = text.replace("/path/to/this/repository", str(ROOT)).replace("/path/to/data", str(project.data))
        (project.folder / name).write_text(text)
    with open(project.folder / "mine.py", "a") as file:
        file.write(f"home_root = '{project.folder}/'\n")
    project.config, project.artefacts = project.folder / "mine.py", project.folder / "checkpoint/mine/artefacts"
    project.shaped = lambda overrides: [text.format(project.folder) for text in overrides]
    succeed("preprocess.py", "--config", project.config, "--set", *project.shaped(GUIDED))
    return project


def train(plugged, *overrides, run_name):
    succeed("train.py", "--config", plugged.config, "--gpu", "cpu", "--set", *plugged.shaped(overrides),
            f"run_name={run_name}")
    return checkpoint(plugged, run_name)


def checkpoint(plugged, run_name):
    path, = (plugged.folder / "checkpoint/mine").glob(f"*_{run_name}/last.pth")
    return path


def stop_after(patch, number, signum):
    """Has a signal come in the step of that number, from 1."""
    plain, seen = steps.training_step, []

    def step(*arguments, **settings):
        seen.append(plain(*arguments, **settings))
        if len(seen) == number:
            signal.raise_signal(signum)
        return seen[-1]

    patch.setattr(steps, "training_step", step)


def test_every_example_is_run_here():
    assert EXAMPLES.keys() == {"mine.py", "average.py", "uniformity.py", "guide.py", "guided.py", "pca.py", "stages.py",
                               "classifier.py", "fadings.py"}


def test_a_mixer_with_a_setting(plugged):
    succeed("preprocess.py", "--config", plugged.config)
    settings = "mixer={0}/average.py", "model_name=Average"
    first, second = (train(plugged, *settings, f"fading={fading}", run_name=f"fading{fading}")
                     for fading in (0.9, 0.5))
    name = "/model_state_dict/encoder.blocks.0.average1.scale"
    assert (checkpoint_tensors(first)[name] != checkpoint_tensors(second)[name]).any()  # the setting takes part
    result = run("train.py", "--config", plugged.config, "--set", *plugged.shaped(settings), "fading=2")
    assert (result.code, "fading = 2, expected a number in [0, 1]" in result.errors) == (2, True)
    result = run("train.py", "--config", plugged.config, "--set", *plugged.shaped(settings), "fade=.5")
    assert "did you mean 'fading' (mixer average)?" in result.errors


@pytest.fixture(scope="module")
def guided(plugged):
    """The last checkpoint of the whole run of the example method."""
    return train(plugged, *GUIDED, run_name="whole")


def test_the_artefact_trains_a_network_once(plugged):
    with h5py.File(plugged.artefacts / "guides_8.h5") as file:
        assert file["codes"].shape == (40, 8)
        assert np.ptp(file["codes"][()], axis=0).min() > 0
    assert (plugged.artefacts / "guides_8.h5.run/last.pth").exists()
    again = succeed("preprocess.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED))
    assert again.output.count("reused") == 1
    other = succeed("preprocess.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), "guide_epochs=1",
                    f"guide_path={plugged.folder}/other.h5")
    assert "epoch 1/1" in other.output
    refused = run("train.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), "guide_epochs=3",
                  f"guide_path={plugged.folder}/other.h5")
    assert (refused.code, "guide_epochs was 1, now 3" in refused.errors) == (2, True)


def test_an_artefact_cut_short_goes_on(plugged, monkeypatch):
    """A signal within the network's training keeps its steps; preprocess then ends with the same bits."""
    path, plain, seen = plugged.folder / "resumed.h5", steps.training_step, []
    command = ("preprocess.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), f"guide_path={path}")
    with monkeypatch.context() as patch:
        stop_after(patch, 4, signal.SIGTERM)  # the first of the second epoch
        assert run(*command).code == 143
    assert not path.exists()
    monkeypatch.setattr(steps, "training_step", lambda *arguments, **settings: seen.append(1) or plain(
        *arguments, **settings))
    succeed(*command)
    assert len(seen) == 2  # of the second epoch's three steps
    with h5py.File(path) as ours, h5py.File(plugged.artefacts / "guides_8.h5") as theirs:
        assert ours["codes"][()].tobytes() == theirs["codes"][()].tobytes()


def test_settings_labels_teacher_groups_and_clusters_take_part(plugged, guided):
    state = torch.load(guided, weights_only=True)
    weights = state["model_state_dict"]
    assert not torch.equal(weights["student.weight"], weights["teacher.weight"])
    assert weights["centers"].abs().sum() > 0
    assert [group["lr"] for optimizer in state["optimizer_state_dict"]["optimizers"]
            for group in optimizer["param_groups"]][1] == 1e-2
    for number, setting in enumerate(("momentum=0.1", "num_groups=2")):
        other = train(plugged, *GUIDED, setting, run_name=f"set{number}")
        assert not torch.equal(torch.load(other, weights_only=True)["model_state_dict"]["student.weight"],
                               weights["student.weight"])
    without = run("train.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), "train_label_path=None",
                  "run_name=without")
    assert (without.code, "train_label_path is missing" in without.errors) == (2, True)
    losses = [line.split(" total ")[1].split()[0] for line in succeed(
        "train.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), "num_epochs=8", "run_name=long"
    ).output.splitlines() if " total " in line]
    assert float(losses[-1]) < float(losses[0])


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(plugged, guided):
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(plugged.config), "--gpu", "cpu", "--set",
               *plugged.shaped(GUIDED), "run_name=killed"]
    logs = plugged.folder / "logs/mine/Guided_8bit_killed/metrics.jsonl"
    process = Script(command)
    while process.poll() is None and not logs.exists():
        time.sleep(0.002)
    process.kill()
    process.wait()
    succeed("train.py", *command[2:-1], "run_name=killed", "num_epochs=3", "--resume")
    same_run(checkpoint(plugged, "killed"), guided)


@pytest.mark.parametrize("number", [2, 4, 8])
def test_stopped_within_an_epoch_it_goes_on_to_the_same_bits(plugged, guided, number, monkeypatch):
    command = ("train.py", "--config", plugged.config, "--set", *plugged.shaped(GUIDED), f"run_name=cut{number}")
    with monkeypatch.context() as patch:
        stop_after(patch, number, signal.SIGINT)
        assert run(*command).code == 130
    succeed(*command, "--resume")
    same_run(checkpoint(plugged, f"cut{number}"), guided)


def test_two_processes_train_what_one_does(plugged, guided, tmp_path):
    done = run_side_by_side(2, tmp_path, ROOT / "train.py", "--config", plugged.config, "--gpu", "cpu", "--set",
                            *plugged.shaped(GUIDED), "run_name=two")
    assert done.codes == [0, 0], done.output
    ours, theirs = (torch.load(path, weights_only=True)["model_state_dict"]
                    for path in (checkpoint(plugged, "two"), guided))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=5e-5, atol=1e-6)


def same_run(ours, theirs):
    ours, theirs = checkpoint_tensors(ours), checkpoint_tensors(theirs)
    assert ours.keys() == theirs.keys()
    assert all(value.numpy().tobytes() == theirs[name].numpy().tobytes() for name, value in ours.items())


def test_its_codes_are_searched_as_any_others(plugged, guided):
    config = "--config", plugged.config, "--set", *plugged.shaped(GUIDED), "run_name=whole"
    codes = plugged.folder / "codes.h5"
    succeed("search.py", "encode", "--features", plugged.data / "database.h5", "--out", codes, *config)
    succeed("search.py", "index", "--codes", codes, "--out", plugged.folder / "all.index")
    lines = succeed("search.py", "query", "--index", plugged.folder / "all.index", "--features",
                    plugged.data / "query.h5", "--topk", 1, *config).output.splitlines()
    assert len([line for line in lines if re.match(r"\d+,1,\d+,", line)]) == 10
    assert "mAP@5" in succeed("eval.py", *config).output


def test_a_method_in_closed_form(plugged, tmp_path):
    path = train(plugged, "method={0}/pca.py", run_name="pca")
    state = torch.load(path, weights_only=True)
    assert state["finished"]
    with h5py.File(plugged.data / "train.h5") as file:
        means = file["feats"][()].mean(1)
    axes = np.linalg.svd(means - means.mean(0), full_matrices=False)[2][:8].T
    np.testing.assert_allclose(np.abs(state["model_state_dict"]["axes"].numpy()), np.abs(axes), atol=1e-4)
    settings = ("--config", plugged.config, "--set", *plugged.shaped(["method={0}/pca.py"]), "run_name=pca")
    assert "nothing to do" in succeed("train.py", *settings, "--resume").output
    assert "PCA" in succeed("eval.py", *settings).output
    two = run_side_by_side(2, tmp_path, ROOT / "train.py", "--gpu", "cpu", *settings[:-1], "run_name=pca2")
    assert two.codes == [0, 0], two.output
    same_run(checkpoint(plugged, "pca2"), path)


def test_pictures_are_items_like_any_other(plugged):
    generator = np.random.default_rng(0)
    for name, count in (("train", 40), ("database", 30), ("query", 10)):
        with h5py.File(plugged.folder / f"{name}_pictures.h5", "w") as file:
            file["feats"] = generator.integers(0, 256, (count, 4, 5, 3), np.uint8)
    config = plugged.folder / "pictures.py"
    files = {"train_feat_path": "train", "test_feat_path": "database", "query_feat_path": "query"}
    config.write_text("_base_ = 'mine.py'\nfeature_size = max_frames = None\nitem_shape = [4, 5, 3]\n"
                      f"dataset = 'pictures'\nmethod = '{plugged.folder}/pca.py'\n" + "".join(
                          f"{key} = ['{plugged.folder}/{name}_pictures.h5']\n" for key, name in files.items()))
    for source in ("host", "file"):
        succeed("train.py", "--config", config, "--set", f"batch_source={source}", f"run_name={source}")
    first, second = sorted((plugged.folder / "checkpoint/pictures").glob("*/last.pth"))
    same_run(first, second)
    assert "ITQ" in succeed("eval.py", "--config", config, "--run_name", "host", "--baselines").output
    refused = run("train.py", "--config", config, "--set", "method=s5vh", "run_name=x")
    assert (refused.code, "s5vh hashes videos" in refused.errors) == (2, True)


def test_a_method_in_three_stages(plugged):
    settings = "--config", plugged.config, "--set", *plugged.shaped(["method={0}/stages.py"])
    made = succeed("preprocess.py", *settings).output
    assert made.index("similarity.h5: written") < made.index("class_centers_8.h5: written")
    with h5py.File(plugged.artefacts / "similarity.h5") as file:
        assert file["matrix"].shape == (CLASSES, CLASSES)
    path = train(plugged, "method={0}/stages.py", run_name="stages")
    assert "/model_state_dict/net.weight" in checkpoint_tensors(path)
    labels = np.eye(CLASSES, dtype=np.uint8)[np.arange(40)[::-1] % CLASSES]
    scipy.io.savemat(plugged.folder / "other.mat", {"labels": labels})
    refused = run("train.py", *settings, f"train_label_path={plugged.folder}/other.mat")
    assert (refused.code, "labels was" in refused.errors) == (2, True)


def test_a_table(plugged, monkeypatch):
    fork_cells(monkeypatch)
    configs = plugged.folder / "my_configs/Average"
    configs.mkdir(parents=True)
    (configs / "mine.py").write_text(f"_base_ = '{plugged.config}'\nmodel_name = 'Average'\n"
                                     f"mixer = '{plugged.folder}/average.py'\nnum_epochs = 1\n")
    result = succeed("reproduce.py", "--table", plugged.folder / "fadings.py", "--configs", configs.parent,
                     "--no-timing", "--jobs", 1, "--gpu", "cpu", "--out", plugged.folder / "results")
    assert "fading 0.5" in result.output
    assert (plugged.folder / "results/fadings.md").exists()


def test_what_is_wrong_with_a_file_is_told_in_one_line(plugged):
    cases = {"absent.py": "no such file", "broken.py": "cannot be imported (ZeroDivisionError",
             "empty.py": "does not define Method"}
    (plugged.folder / "broken.py").write_text("1 / 0\n")
    (plugged.folder / "empty.py").write_text("x = 1\n")
    for name, words in cases.items():
        result = run("train.py", "--config", plugged.config, "--set", f"method={plugged.folder}/{name}")
        assert (result.code, words in result.errors, result.errors.count("\n")) == (2, True, 1), result.errors
