"""Every mistake a user can make: one clear line, exit status 2, and nothing written or lost."""

import os
import shutil
import subprocess
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from tests.pipeline import CLASSES, make_project, run, succeed


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project after preprocess and train, made once; each case works on a copy."""
    project = make_project(tmp_path_factory.mktemp("prepared"))
    succeed("preprocess.py", "--config", project.config)
    succeed("train.py", "--config", project.config)
    return project.folder


def features(project, name="train"):
    return project.data / f"{name}.h5"


def rewrite(path, change):
    with h5py.File(path, "r+") as file:
        values = change(file["feats"][:])
        del file["feats"]
        file["feats"] = values


def spoil(value):
    def change(x):
        x[3, 2, 1] = value
        return x
    return change


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


def rename_key(path, name):
    with h5py.File(path, "r+") as file:
        file.move("feats", name)


def append(project, text):
    with open(project.config, "a") as file:
        file.write(text + "\n")


def save_labels(path, **variables):
    scipy.io.savemat(path, variables)


def edit_centers(project):
    with h5py.File(project.artefacts / "hash_center_8.h5", "r+") as file:
        file["matrix"][0, 0] = 0


def forget_origin(project):
    """As if the centers had been downloaded: no record of what they were made from."""
    edit_centers(project)
    with h5py.File(project.artefacts / "hash_center_8.h5", "r+") as file:
        file.attrs.clear()


def replace_features(project):
    rewrite(features(project), lambda x: x + 1)


def edit_checkpoint(project, change):
    content = torch.load(project.checkpoint, weights_only=True)
    change(content)
    torch.save(content, project.checkpoint)


def hold_an_object(project):
    edit_checkpoint(project, lambda content: content.update(extra=SimpleNamespace(x=1)))


def other_size(project):
    edit_checkpoint(project, lambda content: content["model_state_dict"].update({"binary.weight": torch.zeros(9, 32)}))


def file_in_the_way(project):
    (project.folder / "blocked").write_text("a file")


def nothing(project):
    pass


TRAIN, EVAL, PREPROCESS = ("train.py", "--run-name", "new"), ("eval.py",), ("preprocess.py",)

# id: (script and arguments, what is wrong with the project, what the line must say)
CASES = {
    "missing config": ((*TRAIN, "--config", "no/such.py"), nothing, "no/such.py"),
    "syntax error in the config": (TRAIN, lambda p: append(p, "x = = 1"), "config.py"),
    "unknown key in the config": (TRAIN, lambda p: append(p, "nbit = 8"), "nbits"),
    "unknown key on the command line": ((*TRAIN, "--set", "nbit=8"), nothing, "nbits"),
    "unknown flag": ((*TRAIN, "--nbit", "8"), nothing, "nbits"),
    "wrong type": (TRAIN, lambda p: append(p, "nbits = 'many'"), "nbits"),
    "mask ratio 1": ((*TRAIN, "--mask-ratio", "1.0"), nothing, "mask_ratio"),
    "no bits": ((*TRAIN, "--nbits", "0"), nothing, "nbits"),
    "more clusters than videos": ((*PREPROCESS, "--nclusters", "41"), nothing, "nclusters"),
    "more clusters than videos in training": ((*TRAIN, "--nclusters", "41"), nothing, "nclusters"),
    "missing feature file": (TRAIN, lambda p: features(p).unlink(), "train.h5"),
    "not HDF5": (TRAIN, lambda p: features(p).write_text("hello"), "train.h5"),
    "truncated HDF5": (TRAIN, lambda p: truncate(features(p)), "train.h5"),
    "missing key": (TRAIN, lambda p: rename_key(features(p), "other"), "other"),
    "wrong rank": (TRAIN, lambda p: rewrite(features(p), lambda x: x[:, 0]), "train.h5"),
    "wrong feature size": (TRAIN, lambda p: rewrite(features(p), lambda x: x[:, :, :5]), "feature_size = 5"),
    "wrong number of frames": (TRAIN, lambda p: rewrite(features(p), lambda x: x[:, :4]), "max_frames = 4"),
    "NaN in preprocess": (PREPROCESS, lambda p: rewrite(features(p), spoil(np.nan)), "NaN"),
    "NaN in the queries": (EVAL, lambda p: rewrite(features(p, "query"), spoil(np.nan)), "query.h5"),
    "Inf in preprocess": (PREPROCESS, lambda p: rewrite(features(p), spoil(np.inf)), "Inf"),
    "empty split": (TRAIN, lambda p: rewrite(features(p, "database"), lambda x: x[:0]), "database.h5"),
    "label count": (EVAL, lambda p: save_labels(p.data / "query.mat", labels=np.eye(CLASSES, dtype=np.uint8)), "10"),
    "labels without the key": ((*EVAL, "--label-key", "labels"),
                               lambda p: save_labels(p.data / "query.mat", a=np.eye(10), b=np.eye(10)), "query.mat"),
    "missing pseudo-labels": (TRAIN, lambda p: (p.artefacts / "final_train_train_assit.h5").unlink(),
                              "preprocess.py --config"),
    "missing hash centers": (TRAIN, lambda p: (p.artefacts / "hash_center_8.h5").unlink(), "preprocess.py --config"),
    "centers of other bits": ((*TRAIN, "--nbits", "16", "--set", "hash_center_path={artefacts}/hash_center_8.h5"),
                              nothing, "nbits"),
    "artefact of other clusters": ((*TRAIN, "--nclusters", "3"), nothing, "nclusters"),
    "artefact of other features": (TRAIN, replace_features, "features"),
    "hash centers not +-1": (TRAIN, edit_centers, "hash_center_8.h5"),
    "downloaded hash centers not +-1": (TRAIN, forget_origin, "hash_center_8.h5"),
    "no checkpoint": ((*EVAL, "--run-name", "none"), nothing, "last.pth"),
    "checkpoint of another size": (EVAL, other_size, "binary.weight"),
    "checkpoint of another model": ((*EVAL, "--set", "S5VH_type=small"), nothing, "checkpoint"),
    "truncated checkpoint": (EVAL, lambda p: truncate(p.checkpoint), "last.pth"),
    "truncated checkpoint on resume": (("train.py", "--resume"), lambda p: truncate(p.checkpoint), "last.pth"),
    "checkpoint with a pickled object": (EVAL, hold_an_object, "last.pth"),
    "no such GPU": ((*TRAIN, "--gpu", "7"), nothing, "GPU"),
    "no such device": ((*TRAIN, "--gpu", "tpu"), nothing, "tpu"),
    "output below a file": ((*TRAIN, "--home-root", "{folder}/blocked/"), file_in_the_way, "blocked"),
    "artefacts below a file": ((*PREPROCESS, "--latent-feat-path", "{folder}/blocked/x.h5"), file_in_the_way,
                               "blocked"),
    "unknown scan engine": ((*TRAIN, "--scan-engine", "warp"), nothing, "warp"),
    "unknown optimiser": ((*TRAIN, "--optimizer-name", "SGDM"), nothing, "SGDM"),
    "unknown schedule": ((*TRAIN, "--schedule", "never"), nothing, "never"),
    "unknown mixer": ((*TRAIN, "--mixer", "mumba"), nothing, "mumba"),
    "batch of one": ((*TRAIN, "--batch-size", "1"), nothing, "batch_size"),
}


def contents(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def copy_of(prepared, folder):
    shutil.copytree(prepared, folder)
    config = folder / "config.py"
    config.write_text(config.read_text().replace(str(prepared), str(folder)))
    return SimpleNamespace(folder=folder, data=folder / "data", config=config,
                           artefacts=folder / "checkpoint/tiny/artefacts",
                           checkpoint=folder / "checkpoint/tiny/S5VH_8bit/last.pth")


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(case, prepared, tmp_path):
    (script, *arguments), spoil_project, words = CASES[case]
    project = copy_of(prepared, tmp_path / "project")
    spoil_project(project)
    before = contents(project.folder)
    arguments = [str(value).format(**vars(project)) for value in arguments]
    if "--config" not in arguments:
        arguments += ["--config", str(project.config)]
    result = run(script, *arguments)
    assert result.code == 2, result.output + result.errors
    lines = result.errors.strip().splitlines()
    assert lines[-1].startswith(("error: ", f"{script}: error: ")), result.errors
    assert len([line for line in lines if not line.startswith(("usage:", " "))]) == 1, result.errors
    assert words in lines[-1]
    assert contents(project.folder) == before


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", folder], check=False,
                                      capture_output=True).returncode:
        pytest.skip("a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("script", ["train.py", "preprocess.py"])
def test_full_disk(script, prepared, tmp_path, small_disk):
    project = copy_of(prepared, tmp_path / "project")
    if script == "train.py":
        arguments = ["--home-root", f"{small_disk}/"]
    else:
        (small_disk / "ballast").write_bytes(bytes(90 << 10))
        arguments = ["--set", *(f"{name}_path={small_disk}/{name}.h5" for name in
                                ("latent_feat", "anchor", "train_assist", "semantic_center", "hash_center"))]
    before = contents(project.folder)
    result = run(script, "--config", project.config, *arguments)
    assert result.code == 2, result.output + result.errors
    assert result.errors.count("\n") == 1
    assert result.errors.startswith(f"error: {small_disk}")
    assert contents(project.folder) == before
    assert not list(small_disk.rglob("*.part"))
    assert not list(small_disk.rglob("last.pth"))


def test_interrupt_ends_with_130(prepared, tmp_path, monkeypatch):
    import dataset.sources

    def interrupt(*_):
        raise KeyboardInterrupt

    project = copy_of(prepared, tmp_path / "project")
    monkeypatch.setattr(dataset.sources.HostResident, "batch", interrupt)
    assert run("train.py", "--config", project.config, "--restart", "--run-name", "cut").code == 130
