"""The README's two minutes on a tiny budget, and its Python example as it is printed."""

import re

import pytest

from dataset.digits import write_digits
from tests.pipeline import ROOT, make_project, succeed

DIGITS = ROOT / "configs/S5VH/digits.py"


def test_the_demo(tmp_path):
    """Everything `make demo` runs, with a narrow model and one epoch."""
    write_digits(str(tmp_path / "digits"))
    settings = ["--config", DIGITS, "--gpu", "cpu", "--set", f"data_root={tmp_path}/digits", f"home_root={tmp_path}",
                "hidden_size=32", "decoder_size=16", "nclusters=20", "num_epochs=1", "warm_up_epoch=0", "eval_every=0"]
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


def test_the_python_example_of_the_readme(tmp_path):
    project = make_project(tmp_path)
    succeed("preprocess.py", "--config", project.config)
    succeed("train.py", "--config", project.config, "--num-epochs", 1)
    example = re.search(r"```python\n(import torch.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    source = example.group(1).replace('"configs/S5VH/digits.py"', repr(str(project.config)))
    source = source.replace('"nbits": 16', '"nbits": 8, "num_epochs": 1')
    names = {}
    exec(compile(source, "README.md", "exec"), names)
    assert names["codes"].shape == (4, 8)
    assert names["bits"].shape == (4, 1)


@pytest.mark.parametrize("script", ["preprocess.py", "train.py", "eval.py"])
def test_help_names_every_key(script):
    output = succeed(script, "--help").output
    assert "nbits" in output
    assert "tied_bits" in output
