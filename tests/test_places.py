"""Where artefacts lie: a folder of their own; the data folder is read, never written; configs keep theirs apart."""

import shutil

import h5py
import pytest

from artefacts.clusters import ANCHORS
from artefacts.places import candidates
from tests.pipeline import make_project, run, succeed
from utils.config import load_config

NAMES = {"final_train_latent_feats", "final_train_anchors", "final_train_train_assit", "semantic", "hash_center_8"}


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


def stems(folder):
    return {path.stem for path in folder.glob("*.h5")}


def test_they_go_beside_the_checkpoints(project):
    output = succeed("preprocess.py", "--config", project.config).output
    assert stems(project.artefacts) == NAMES
    assert f"{project.artefacts}/hash_center_8.h5: written." in output
    assert stems(project.data) == {"train", "database", "query"}
    other = project.folder / "other"
    succeed("preprocess.py", "--config", project.config, "--artefact-root", other)
    assert stems(other) == NAMES


def test_what_lies_beside_the_features_is_read_and_left_alone(project):
    """As earlier versions wrote it, then as a release has it; a file that does not fit is made elsewhere."""
    succeed("preprocess.py", "--config", project.config)
    for path in project.artefacts.glob("*.h5"):
        shutil.move(path, project.data)
    before = {path: path.read_bytes() for path in project.data.iterdir()}
    assert succeed("preprocess.py", "--config", project.config).output.count("up to date, reused") == 5
    assert not stems(project.artefacts)
    succeed("train.py", "--config", project.config, "--dry-run")
    succeed("preprocess.py", "--config", project.config, "--nclusters", 3)
    assert stems(project.artefacts) == NAMES - {"final_train_latent_feats"}
    assert {path: path.read_bytes() for path in project.data.iterdir()} == before
    succeed("train.py", "--config", project.config, "--dry-run")  # still those of four clusters
    with h5py.File(project.data / "hash_center_8.h5", "r+") as file:
        file.attrs.clear()
    shutil.rmtree(project.artefacts)
    assert "downloaded?" in succeed("preprocess.py", "--config", project.config).output
    assert "downloaded?" in succeed("train.py", "--config", project.config, "--dry-run").output
    succeed("preprocess.py", "--config", project.config, "--force")
    assert stems(project.artefacts) == NAMES
    assert "downloaded?" not in succeed("train.py", "--config", project.config, "--dry-run").output


def test_two_configs_in_one_folder_keep_apart(project):
    few = "--config", project.config, "--nclusters", 3
    succeed("preprocess.py", "--config", project.config)
    own, apart, _ = candidates(ANCHORS, load_config(project.config, {"nclusters": 3}))
    refused = run("train.py", *few)
    assert (refused.code, "_train_assit_" in refused.errors, "nclusters=3" in refused.errors) == (2, True, True)
    output = succeed("preprocess.py", *few).output
    assert f"{apart}: written." in output
    assert output.count("written.") == 4
    assert f"{own.replace('anchors', 'latent_feats')}: up to date, reused." in output
    for settings in few, ("--config", project.config):
        assert "written." not in succeed("preprocess.py", *settings).output
        succeed("train.py", *settings, "--dry-run")
    succeed("preprocess.py", *few, "--force")
    assert len(stems(project.artefacts)) == 9


def test_other_features_replace_what_was_made_of_them(project):
    succeed("preprocess.py", "--config", project.config)
    with h5py.File(project.data / "train.h5", "r+") as file:
        file["feats"][0] = 0
    output = succeed("preprocess.py", "--config", project.config).output
    assert output.count("rebuilding") == 5
    assert stems(project.artefacts) == NAMES


def test_a_path_that_a_config_names_is_taken_as_it_is(project):
    path = project.data / "final_train_anchors.h5"
    for number in 4, 3:
        output = succeed("preprocess.py", "--config", project.config, "--nclusters", number, "--anchor-path", path)
        assert f"{path}: written." in output.output
    assert f"{path}: made for other settings (nclusters was 4, now 3); rebuilding." in output.output
