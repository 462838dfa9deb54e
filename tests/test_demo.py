"""The README's two minutes on a tiny budget, and the help of every script."""

import re

import pytest

from dataset.digits import write_digits
from tests.pipeline import ROOT, succeed

DIGITS = ROOT / "configs/S5VH/digits.py"


def test_the_demo(tmp_path):
    """Everything `make demo` runs, with a narrow model and one epoch."""
    write_digits(str(tmp_path / "digits"))
    settings = ["--config", DIGITS, "--gpu", "cpu", "--set", f"data_root={tmp_path}/digits", f"home_root={tmp_path}",
                "hidden_size=32", "decoder_size=16", "num_epochs=1", "warm_up_epoch=0", "eval_every=0"]
    assert "written" in succeed("preprocess.py", *settings).output
    assert "reused" in succeed("preprocess.py", *settings).output
    assert "epoch 1/1" in succeed("train.py", *settings, "--resume").output
    table = succeed("eval.py", *settings, "--baselines").output
    for row in ("random", "PCA sign, means", "ITQ, means", "ITQ, 5 segments", "S5VH"):
        assert len(re.findall(rf"^{row} .*(?:index|expected) ", table, re.MULTILINE)) == 2, row


def test_the_makefile_runs_the_commands_of_the_readme():
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    steps = re.findall(r"^\.venv/bin/python (.+)$", readme, re.MULTILINE)
    assert len(steps) == 5
    for step in steps:
        assert step.replace("configs/S5VH/digits.py", "$(DIGITS)") in makefile


def test_paths_that_the_readme_names_exist():
    readme = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([\w./]+)\)|--config (configs/[\w/]+\.py)", readme):
        assert (ROOT / "".join(path)).exists(), path


@pytest.mark.parametrize("script", ["preprocess.py", "train.py", "eval.py", "search.py", "reproduce.py"])
def test_help_is_short(script):
    words = ["encode"] if script == "search.py" else []
    assert succeed(script, *words, "--help").output.count("\n") < 60


def test_the_readme_is_short_and_every_guide_is_in_the_index():
    assert len((ROOT / "README.md").read_text().split()) <= 1000
    index = (ROOT / "docs/README.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name
