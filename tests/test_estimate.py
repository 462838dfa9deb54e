"""How long the training that is left will take."""

import json

import pytest
import torch

from tables import Row, Table
from tables.grid import timing
from tables.grid.cells import expand
from tables.grid.estimate import seconds_left, total
from tests.pipeline import ROOT
from training.logs import duration
from utils.config import load_config
from utils.files.writing import write_text
from utils.registry import TABLES

CONFIGS = str(ROOT / "configs")


def epochs_of(cell, *seconds):
    """What the run of `cell` leaves behind after as many epochs, as far as estimates read it."""
    cell.config.dump(f"{cell.config.log_path}/config.py")
    rows = [json.dumps({"epoch": epoch, "seconds": second}) for epoch, second in enumerate(seconds)]
    write_text(f"{cell.config.log_path}/metrics.jsonl", "\n".join(rows) + "\n")


def test_the_time_left_is_that_of_the_videos_left(tmp_path):
    table = Table("", (), (Row("a", "a", "S5VH", {"alpha": 1}), Row("b", "b", "S5VH", {"alpha": 2})))
    settings = {"home_root": f"{tmp_path}/", "num_epochs": "10"}
    first, second, third, fourth = expand("t", table, folder=CONFIGS, datasets=["act", "hmdb"], settings=settings)
    assert seconds_left([first, second]) == {}
    assert total({}, [first, second], 1) == ""
    epochs_of(first, 9722 * 0.01, 9722 * 0.03)  # .02 s a video in the mean
    left = seconds_left([first, second, third, fourth])
    assert left == pytest.approx({first: 8 * 9722 * 0.02, second: 10 * 9722 * 0.02, third: 10 * 3570 * 0.02,
                                  fourth: 10 * 3570 * 0.02})
    epochs_of(fourth, 3570 * 0.1)
    left = seconds_left([first, second, third, fourth])
    assert left[third] == pytest.approx(10 * 3570 * 0.02)  # of its own row
    assert left[second] == pytest.approx(10 * 9722 * 0.1)
    assert total(left, [third], 2) == "about 12 min of training left"  # one cell is not divided
    assert total(left, 4 * [third], 2) == "about 24 min of training left"
    other = expand("t", table, folder=CONFIGS, datasets=["act"], settings=settings | {"batch_size": "4"})
    assert seconds_left(other) == {}  # what is there was made with other settings


def test_datasets_of_unknown_size_stand_for_themselves(tmp_path):
    settings = {"home_root": f"{tmp_path}/", "num_epochs": "4", "train_num_sample": "None"}
    act, hmdb = expand("main", TABLES.load("main"), folder=CONFIGS, datasets=["act", "hmdb"], bits=[16],
                       settings=settings)
    epochs_of(act, 7.0)
    left = seconds_left([act, hmdb])
    assert left == {act: 21.0}
    assert total(left, [act, hmdb], 1) == "about 21 s of training left, not counting 1 cells of unknown time"


def test_what_has_not_run_is_asked_of_a_probe(tmp_path):
    table = Table("", (), (Row("a", "a", "S5VH", {"alpha": 1}), Row("b", "b", "S5VH", {"alpha": 2})))
    settings = {"home_root": f"{tmp_path}/", "num_epochs": "10"}
    cells = expand("t", table, folder=CONFIGS, datasets=["act"], bits=[16, 32], num_seeds=2, settings=settings)
    asked = []

    def probe(config):
        asked.append(config.alpha)
        return config.alpha / 100

    left = seconds_left(cells, probe)
    assert [left[cell] / 9722 for cell in cells] == pytest.approx([cell.config.alpha / 10 for cell in cells])
    assert asked == [1, 2]  # once for a row, whatever its lengths and seeds
    epochs_of(cells[0], 9722 * 0.5)
    assert seconds_left(cells, probe)[cells[-1]] == pytest.approx(10 * 9722 * 0.5)
    assert asked == [1, 2]
    unknown = expand("t", table, folder=CONFIGS, datasets=["hmdb"], settings=settings | {"train_num_sample": "None"})
    assert seconds_left(unknown, probe) == {}


def test_a_closed_form_has_no_steps_to_time(tmp_path):
    table = Table("", (), (Row("a", "a", "GraphCode"), Row("b", "b", "S5VH")))
    settings = {"home_root": f"{tmp_path}/", "num_epochs": "10"}
    fitted, trained = expand("t", table, folder=CONFIGS, datasets=["watch"], settings=settings)
    epochs_of(fitted, 5.0)
    left = seconds_left([fitted, trained], lambda config: 0.5 if config.method == "s5vh" else float("nan"))
    assert left == {trained: 10 * 1620 * 0.5}  # nor does the fit say how long an epoch of another row takes
    assert total(left, [fitted, trained], 1) == "about 2.2 h of training left, not counting 1 cells of unknown time"
    assert total({}, [fitted], 1) == ""


def test_a_step_is_timed_for_each_of_its_videos(monkeypatch):
    config = load_config(f"{CONFIGS}/S5VH/digits.py", {"hidden_size": "32", "decoder_size": "16"})
    threads = torch.get_num_threads()
    assert 0 < timing.training_seconds(config, torch.device("cpu"), threads + 1) < 10
    assert torch.get_num_threads() == threads
    monkeypatch.setattr(timing._Subject, "step", lambda self: 3200.0)
    assert timing.training_seconds(config, torch.device("cpu"), 1) == pytest.approx(0.2)


@pytest.mark.parametrize(("seconds", "text"), [(89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text
