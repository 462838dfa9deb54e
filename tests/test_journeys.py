"""Three users, from their first command on; each does what the last message said.

One has a laptop and the sample data, one the release's configs and files, one feature files of his own.
"""

import os
import re
import shlex

import numpy as np
import pytest
import scipy.io
import torch

from dataset import digits
from inference.code_file import read_codes
from tests.forked import fork_cells
from tests.pipeline import CLASSES, ROOT, run, succeed, write_features
from utils.config import load_config

SMALL = ("S5VH_type=mini", "hidden_size=16", "decoder_size=16", "nclusters=6", "latent_dim_pca=6", "num_epochs=1",
         "warm_up_epoch=1", "batch_size=128", "eval_every=0")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the user works: not in the project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(command):
    """The script of a command that a message names, and its arguments, as `run` takes them."""
    python, script, *arguments = shlex.split(command)
    assert python == "python"
    return [os.path.basename(script), *arguments]


def following(result, **fill):
    """The command that the last line names, with values for its placeholders."""
    words = words_of(result.output.splitlines()[-1].rpartition("next: ")[2])
    return [fill.get(word, word) for word in words]


def advised(result):
    """The command that a refusal names; one line, exit status 2."""
    assert (result.code, result.errors.count("\n")) == (2, 1), result.errors
    return re.search(r"`(python [^`]+)`", result.errors)[1]


def test_on_a_laptop_with_the_sample_data(folder):
    """From a config whose data are not there, each refusal and each last line leads on, up to results of a search."""
    settings = ["--config", str(ROOT / "configs/S5VH/digits.py"), "--gpu", "cpu", "--set", f"data_root={folder}/d/",
                *SMALL]
    command = advised(run("train.py", *settings))
    assert command == f"python -m dataset.digits --out {folder}/d/"
    digits.main(shlex.split(command)[3:])
    refused = run("train.py", *settings)
    assert refused.errors.startswith("error: checkpoint/digits/artefacts/final_train_train_assit.h5: not there. ")
    made = succeed(*words_of(advised(refused)))
    trained = succeed(*following(made))
    assert "checkpoint/digits/S5VH_16bit/last.pth" in trained.output.splitlines()[-1]
    evaluated = succeed(*following(trained))
    assert "600 queries, 2040 database videos" in evaluated.output
    data = {"FILE": f"{folder}/d/digits_test_feats.h5"}
    encoded = succeed(*following(evaluated, **data))
    found = succeed(*following(succeed(*following(encoded)), **data))
    assert len(found.output.splitlines()) == 1 + 600 * 10
    assert sorted(path.name for path in (folder / "d").iterdir()) == [
        "classes.txt", "digits_test_feats.h5", "digits_test_labels.mat", "digits_train_feats.h5",
        "digits_train_labels.mat"]


def write_split(folder, name, num_videos, seed):
    classes = write_features(folder / f"{name}_feats.h5", (num_videos, 6, 8), seed)
    scipy.io.savemat(folder / f"{name}_labels.mat", {"labels": np.eye(CLASSES, dtype=np.uint8)[classes]})


def test_with_the_releases_configs_and_files(folder, monkeypatch):
    """All that is missing is told with its link; tiny files in its place run through, and stay as they are."""
    fork_cells(monkeypatch)
    tiny = ("feature_size=8", "max_frames=6", "train_num_sample=None", "test_num_sample=None", "query_num_sample=None",
            "home_root=out/", *SMALL)
    config = ROOT / "configs/S5VH_release/ucf.py"
    missing = run("train.py", "--config", config)
    names = ["ucf_train_feats.h5", "ucf_test_feats.h5", "ucf_train_labels.mat", "ucf_test_labels.mat"]
    assert sorted(re.findall(r"^error: data/ucf/(\S+): not there", missing.errors, re.MULTILINE)) == sorted(names)
    assert all("Download it (http" in line for line in missing.errors.splitlines())
    table = ("reproduce.py", "--table", "main", "--profile", "release", "--datasets", "ucf", "--bits", "16",
             "--gpu", "cpu", "--no-timing", "--configs", ROOT / "configs", "--set", *tiny)
    planned = run(*table, "--dry-run")
    assert (planned.code, planned.output.count("\nmissing ")) == (0, 1)
    assert all(f"data/ucf/{name}: not there" in planned.errors for name in names)
    assert run(*table).errors.count("error: data/ucf/") == 4
    data = folder / "data/ucf"
    data.mkdir(parents=True)
    write_split(data, "ucf_train", 40, 1)
    write_split(data, "ucf_test", 10, 2)
    before = {path: path.read_bytes() for path in data.iterdir()}
    assert len(before) == 4
    done = run(*table)
    assert done.code == 0, done.errors + done.output
    assert re.search(r"^No difference to what is published is given, as --set changes .*num_epochs", done.output,
                     re.MULTILINE)
    assert "published" in done.output
    assert "difference" not in (folder / "results/main_release.csv").read_text()
    assert {path: path.read_bytes() for path in data.iterdir()} == before
    assert (folder / "out/checkpoint/ucf/artefacts/final_train_anchors.h5").exists()
    assert succeed(*following(done)[:-2], "--dry-run").output.startswith("state")
    (folder / "ucf.py").write_text(f"_base_ = {str(config)!r}\n" + "".join(
        f"{name} = {value if re.fullmatch('[0-9]+|None', value) else repr(value)}\n"
        for name, value in (text.split("=") for text in tiny)))
    own = succeed("reproduce.py", "--table", "main", "--config", "ucf.py", "--bits", 16, "--gpu", "cpu", "--no-timing")
    assert "main: 1 of 1 cells are done" in own.output
    assert "No difference to what is published is given, as --config is no published one." in own.output


def test_with_feature_files_of_ones_own(folder, monkeypatch, capsys):
    """vh init says what comes next; what it names is followed to the end, then extended and compared."""
    from vh import __main__

    for name, num_videos, seed in (("train", 60, 1), ("query", 10, 2)):
        write_split(folder, name, num_videos, seed)

    def vh(*arguments):
        monkeypatch.setattr("sys.argv", ["vh", *map(str, arguments)])
        __main__.main()
        return capsys.readouterr().out

    told = vh("init", "train_feats.h5", "--bits", 8, "--labels", "train_labels.mat", "--queries", "query_feats.h5",
              "--query-labels", "query_labels.mat", "--out", "mine.py")
    assert told.startswith("written: mine.py, 60 training items of 6 x 8, 8 bits\nnext:\n")
    steps = [shlex.split(line)[1:] for line in told.splitlines()[2:]]
    assert [step[0] for step in steps] == ["preprocess", "train", "eval", "search"]
    small = "--set", *(text for text in SMALL if not text.startswith("nclusters")), "map_at=[1,5]"
    results = [succeed(f"{script}.py", *(word.replace("FILE", "query_feats.h5") for word in words), *small)
               for script, *words in steps]
    assert "epoch 1/1" in results[1].output
    assert "10 queries, 60 database videos" in results[2].output
    assert (folder / "logs/mine/S5VH_8bit/report.html").exists()
    codes = read_codes("codes.h5")
    assert (len(codes), codes.num_bits) == (10, 8)
    assert load_config("mine.py").train_feat_path == [f"{folder}/train_feats.h5"]
    again = run("train.py", "--config", "mine.py", *small)
    assert (again.code, "--resume" in again.errors, "--restart" in again.errors) == (2, True, True)
    succeed("train.py", "--config", "mine.py", "--resume", "--num_epochs", 2, *small[:1], *(
        text for text in small[1:] if not text.startswith("num_epochs")))
    assert torch.load("checkpoint/mine/S5VH_8bit/last.pth", weights_only=True)["extended_from"] == [1]
    assert "written: both.html" in vh("compare", "logs/mine/S5VH_8bit", "--out", "both.html")
    planned = run("reproduce.py", "--table", "backbones", "--config", "mine.py", "--dry-run", "--gpu", "cpu", "--set",
                  "num_epochs=1", "hidden_size=16", "decoder_size=16")
    assert planned.output.count(" mine.py ") == 7
