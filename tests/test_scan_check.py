"""`python -m model.kernels.scan --check` at a tiny size."""

from types import SimpleNamespace

import pytest

from model.kernels.scan import ENGINES, reference
from model.kernels.scan.__main__ import main

TINY = ["--check", "--batch", "2", "--length", "3", "--channels", "4", "--states", "2", "--repeats", "1"]


def lines_by_engine(printed):
    return {line.split()[0]: line for line in printed.splitlines()[2:]}


def test_every_engine_has_a_line(capsys):
    assert main(TINY) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["engine", "device", "output", "gradients", "speed"]
    lines = lines_by_engine(printed)
    assert list(lines) == list(ENGINES)
    for name in ("pytorch", "reference"):
        assert lines[name].endswith("agrees")
    assert lines["pytorch"].split()[1] == "cpu"


def test_an_unavailable_engine_is_no_failure(capsys, monkeypatch):
    monkeypatch.setitem(ENGINES, "absent", SimpleNamespace(unavailable=lambda: "not today"))
    assert main(TINY) == 0
    assert lines_by_engine(capsys.readouterr().out)["absent"].endswith("not available: not today")


def test_a_wrong_engine_fails_the_check(capsys, monkeypatch):
    def almost(*inputs):
        return 1.001 * reference.selective_scan(*inputs)

    def broken(*inputs):
        raise RuntimeError("no such instruction\nand more")

    monkeypatch.setitem(ENGINES, "almost", SimpleNamespace(selective_scan=almost))
    assert main(TINY) == 1
    assert lines_by_engine(capsys.readouterr().out)["almost"].endswith("WRONG: an error above 1e-04")
    monkeypatch.setitem(ENGINES, "almost", SimpleNamespace(selective_scan=broken))
    assert main(TINY) == 1
    assert lines_by_engine(capsys.readouterr().out)["almost"].endswith("WRONG: RuntimeError: no such instruction")


def test_without_the_flag_it_says_what_it_wants(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "--check" in capsys.readouterr().err
