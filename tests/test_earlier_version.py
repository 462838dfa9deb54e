"""What version 0.1 left (commit cdceb72, the project of `tests.pipeline`) is read, gone on with and searched."""

import shutil

import h5py
import numpy as np
import pytest
import torch

from tests.pipeline import ROOT, make_project, run, succeed

EARLIER = ROOT / "tests/golden/v0.1"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("earlier"))
    for path in (EARLIER / "data").iterdir():
        shutil.copy(path, project.data)
    for name, run_name in (("unfinished", "cut"), ("finished", "whole")):
        folder = project.folder / f"checkpoint/tiny/S5VH_8bit_{run_name}"
        folder.mkdir(parents=True)
        shutil.copy(EARLIER / f"{name}.pth", folder / "last.pth")
    return project


def test_its_artefacts_are_fresh(project):
    assert succeed("preprocess.py", "--config", project.config).output.count("up to date, reused") == 5


def test_an_unfinished_run_goes_on(project):
    output = succeed("train.py", "--config", project.config, "--resume", "--run_name", "cut").output
    assert "resuming after epoch 1 of 3 and 2 steps of the next" in output
    assert torch.load(project.folder / "checkpoint/tiny/S5VH_8bit_cut/last.pth", weights_only=True)["finished"]


def test_another_setting_is_still_another_run(project):
    for setting, words in (("lr=1", "lr 0.0005 -> 1.0"), ("mixer=lstm", "mixer 'mamba' -> 'lstm'"),
                           ("d_state=8", "d_state 16 -> 8")):
        result = run("train.py", "--config", project.config, "--resume", "--run_name", "whole", "--set",
                     f"file_path={project.folder}/checkpoint/tiny/S5VH_8bit", setting)
        assert (result.code, words in result.errors) == (2, True), result.errors


def test_a_finished_run_is_evaluated(project):
    output = succeed("train.py", "--config", project.config, "--resume", "--run_name", "whole").output
    assert "nothing to do" in output
    assert "mAP@5" in succeed("eval.py", "--config", project.config, "--run_name", "whole").output


def test_its_codes_and_index_meet_the_same_model_and_no_other(project):
    index, codes = project.folder / "all.index", project.folder / "new.h5"
    shutil.copy(EARLIER / "all.index", index)
    model = "--config", project.config, "--run_name", "whole"
    query = "search.py", "query", "--index", index, "--topk", 1, "--features", project.data / "query.h5"
    assert len(succeed(*query, *model).output.splitlines()) == 11
    succeed("search.py", "encode", "--features", project.data / "database.h5", "--out", codes, *model)
    with h5py.File(codes) as ours, h5py.File(EARLIER / "codes.h5") as theirs:
        assert np.unpackbits(ours["codes"][()] ^ theirs["codes"][()]).mean() < 0.02  # other machines round otherwise
    ids = project.folder / "ids.txt"
    ids.write_text("".join(f"new_{row}\n" for row in range(30)))
    succeed("search.py", "encode", "--features", project.data / "database.h5", "--ids", ids, "--out", codes, *model)
    assert "60 codes" in succeed("search.py", "index", "--codes", codes, "--add", index).output
    result = run(*query, "--config", project.config, "--run_name", "cut")
    assert (result.code, "another model" in result.errors) == (2, True)
