"""The README's two minutes on a tiny budget, and the help of every script."""

import re

import pytest

from dataset.digits import write_digits
from tests.forked import fork_cells
from tests.pipeline import ROOT, make_project, run, succeed

DIGITS = ROOT / "configs/S5VH/digits.py"
SHALLOW = ["LSH, means", "PCA sign, means", "SH, means", "ITQ, means", "ITQ, 5 segments", "ITQ, half-whitened"]


def test_the_demo(tmp_path):
    """The scripts that `make demo` runs, with a narrow model and one epoch."""
    write_digits(str(tmp_path / "digits"), train_per_class=8, test_per_class=2)
    settings = ["--config", DIGITS, "--gpu", "cpu", "--set", f"data_root={tmp_path}/digits", f"home_root={tmp_path}",
                "hidden_size=32", "decoder_size=16", "nclusters=20", "num_epochs=1", "warm_up_epoch=0", "eval_every=0",
                "train_num_sample=480", "test_num_sample=480", "query_num_sample=120"]
    assert "written" in succeed("preprocess.py", *settings).output
    assert "reused" in succeed("preprocess.py", *settings).output
    assert "epoch 1/1" in succeed("train.py", *settings, "--resume").output
    table = succeed("eval.py", *settings, "--baselines").output
    for row in ("random", *SHALLOW, "S5VH"):
        assert len(re.findall(rf"^{row} .*(?:index|expected) ", table, re.MULTILINE)) == 2, row


def test_the_demo_ends_with_a_table_of_each_dataset(tmp_path, monkeypatch):
    """Two datasets, the second of other videos of the first's size; tests/test_reproduce.py has networks in a table."""
    fork_cells(monkeypatch)
    for name in ("watch", "digits"):
        project = make_project(tmp_path / name)
        text = project.config.read_text().replace("dataset = 'tiny'", f"dataset = 'tiny_{name}'")
        folder = tmp_path / "configs/GraphCode"
        folder.mkdir(parents=True, exist_ok=True)
        own = text.replace("model_name = 'S5VH'", "model_name = 'GraphCode'") + "method = 'graph_code'\n"
        (folder / f"tiny_{name}.py").write_text(own)
    done = run("reproduce.py", "--table", "winners", "--configs", tmp_path / "configs", "--datasets", "tiny_watch",
               "tiny_digits", "--rows", "graphcode", "--bits", 8, "--no-timing",
               "--out", tmp_path / "results", "--gpu", "cpu")
    assert done.code == 0, done.errors
    blocks = [block for block in done.output.split("\n\n") if block.startswith("dataset ")]
    assert len(blocks) == 2
    for block, name in zip(blocks, ("tiny_watch", "tiny_digits"), strict=True):
        rows = [re.split(r" {2,}", line) for line in block.splitlines()[1:]]
        assert {row[0] for row in rows} == {name}
        assert [row[1] for row in rows] == ["GraphCode", "random", *SHALLOW]


def test_the_makefile_runs_the_commands_of_the_readme():
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    steps = re.findall(r"^\.venv/bin/python (.+)$", readme, re.MULTILINE)
    assert len(steps) == 5
    for step in steps:
        assert step.replace("pip install", "pip install --quiet --disable-pip-version-check") in makefile


def test_paths_that_the_readme_names_exist():
    readme = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([\w./]+)\)|--config (configs/[\w/]+\.py)", readme):
        assert (ROOT / "".join(path)).exists(), path


@pytest.mark.parametrize("script", ["extract.py", "preprocess.py", "train.py", "eval.py", "search.py", "reproduce.py"])
def test_help_is_short(script):
    words = ["encode"] if script == "search.py" else []
    assert succeed(script, *words, "--help").output.count("\n") < 60


def test_the_readme_is_short_and_every_guide_is_in_the_index():
    assert len((ROOT / "README.md").read_text().split()) <= 1000
    index = (ROOT / "docs/README.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name
