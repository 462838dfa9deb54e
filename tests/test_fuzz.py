"""Damaged files end in one line: a short run of the fuzzer, and that it would notice what it looks for."""

import os
import time
from types import SimpleNamespace

import pytest

from tests.fuzz import workers
from tests.fuzz.archives import canary
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.workers import run_cases
from utils.errors import UserError

# From 3.12 on Python warns of forks where other tests have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_no_damaged_file_escapes_the_readers(tmp_path):
    outcomes = list(run_cases(range(160), 1, list(KINDS), tmp_path / "all"))
    assert [outcome.number for outcome in outcomes] == list(range(160))
    assert not [outcome for outcome in outcomes if outcome.is_finding]
    assert {"accepted", "refused"} <= {outcome.verdict for outcome in outcomes}


def _refuse_in_two_lines(path):
    error = UserError("a")
    error.args = ("a\nb",)
    raise error


@pytest.mark.parametrize(("reader", "verdict"), [
    (lambda path: 1 / 0, "exception"),
    (lambda path: os._exit(3), "crash"),
    (lambda path: time.sleep(9), "hang"),
    (lambda path: [None for _ in iter(int, 1)], "hang"),
    (lambda path: len(b"x" * (1 << 28)), "memory"),
    (lambda path: canary().touch(), "code was run"),
    (_refuse_in_two_lines, "refused in many lines"),
    (lambda path: path.read_bytes(), "accepted")])
def test_each_kind_of_finding_is_found(tmp_path, monkeypatch, reader, verdict):
    samples = iter((0, 1))  # the fuzzer insists that the sample itself is accepted

    def read(path):
        if next(samples, 1):
            reader(path)

    monkeypatch.setattr(workers, "SECONDS", 1.0 if verdict == "hang" else 60.0)
    monkeypatch.setattr(workers, "MEMORY", 1 << 26)
    monkeypatch.setitem(KINDS, "own", Kind(lambda folder: (folder / "a.txt").write_text("text"), [read]))
    outcome, = run_cases([0], 1, ["own"], tmp_path / "all")
    assert outcome.verdict == verdict


def test_a_slow_start_is_no_case(tmp_path, monkeypatch):
    """As on a busy machine, where it took cases for such as could not be made, and read none."""
    monkeypatch.setattr(workers, "SECONDS", 0.5)
    slow = iter((1.0,))
    monkeypatch.setitem(KINDS, "own", Kind(lambda folder: (folder / "a.txt").write_text("text"),
                                           [lambda path: time.sleep(next(slow, 0.0))]))
    assert [outcome.verdict for outcome in run_cases([0, 1], 1, ["own"], tmp_path / "all")] == 2 * ["accepted"]


def test_a_busy_machine_hangs_nothing(tmp_path, monkeypatch):
    """The worker stands still for longer than a case may take, as where others run; it wants a processor all along."""
    answers = iter((False, True))
    receiver = SimpleNamespace(poll=lambda seconds: next(answers))
    monkeypatch.setattr(workers, "_processor_seconds", lambda pid: (3.0, "R"))
    assert workers._answers(receiver, 1)
    monkeypatch.setattr(workers, "_processor_seconds", lambda pid: (3.0, "S"))
    receiver.poll = lambda seconds: False
    assert not workers._answers(receiver, 1)
