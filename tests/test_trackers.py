"""Trackers of runs: each is told every epoch, where it is asked for and there; stand-ins for their packages."""

import sys
from types import ModuleType

import pytest

from tests.pipeline import make_project, run, succeed
from training.trackers import open_tracker

ROWS = [{"epoch": 1, "loss/total": 2.0}, {"epoch": 2, "loss/total": 1.0, "mAP@5": 0.5}]


def module(monkeypatch, name, **content):
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


class Recorder:
    """Takes note of every call, and is what each gives."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *values, **named: self.calls.append((name, values, named)) or self

    def named(self, name):
        return [(values, named) for called, values, named in self.calls if called == name]


@pytest.fixture
def project(tmp_path):
    project = make_project(tmp_path)
    succeed("preprocess.py", "--config", project.config)
    return project


class Settings(dict):
    def __getattr__(self, name):
        return self[name]


def settings(tracker):
    return Settings(dataset="tiny", nbits=8, tracker=tracker)


def test_wandb_is_told_every_epoch_offline(monkeypatch, tmp_path):
    seen = Recorder()
    module(monkeypatch, "wandb", init=seen.init, Settings=dict)
    tracker = open_tracker(settings("wandb"), tmp_path / "S5VH_8bit", ROWS[:1])
    tracker.record(ROWS[1])
    tracker.close()
    (_, begun), = seen.named("init")
    assert (begun["mode"], begun["project"], begun["name"]) == ("offline", "tiny", "S5VH_8bit")
    assert begun["dir"] == tmp_path / "S5VH_8bit"
    assert begun["config"]["nbits"] == 8
    assert seen.named("log") == [((row,), {"step": row["epoch"]}) for row in ROWS]  # a resumed run's earlier ones too
    assert [name for name, *_ in seen.calls] == ["init", "log", "log", "finish"]
    monkeypatch.setenv("WANDB_MODE", "online")
    open_tracker(settings("wandb"), tmp_path, [])
    assert seen.named("init")[1][1]["mode"] == "online"


def test_mlflow_is_told_every_epoch_in_the_log_folder(monkeypatch, tmp_path):
    seen = Recorder()
    names = "set_tracking_uri", "set_experiment", "start_run", "log_params", "log_metrics", "end_run"
    module(monkeypatch, "mlflow", **{name: getattr(seen, name) for name in names})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = open_tracker(settings("mlflow"), tmp_path / "run", ROWS[:1])
    tracker.record(ROWS[1])
    tracker.close()
    assert seen.named("set_tracking_uri") == [((f"sqlite:///{tmp_path}/run/mlflow.db",), {})]
    assert seen.named("start_run") == [((), {"run_name": "run"})]
    assert seen.named("log_params") == [(({"dataset": "tiny", "nbits": "8", "tracker": "mlflow"},), {})]
    assert seen.named("log_metrics")[1] == (({"epoch": 2, "loss/total": 1.0, "mAP_at_5": 0.5},), {"step": 2})
    assert seen.calls[-1][0] == "end_run"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    open_tracker(settings("mlflow"), tmp_path, [])
    assert len(seen.named("set_tracking_uri")) == 1


def test_a_run_tells_tensorboard_and_ends_it(monkeypatch, project):
    seen = Recorder()
    module(monkeypatch, "torch.utils.tensorboard", SummaryWriter=lambda folder: seen.opened(folder))
    succeed("train.py", "--config", project.config)
    assert seen.named("opened") == [((project.logs,), {})]
    epochs = [values[2] for values, _ in seen.named("add_scalar") if values[0] == "loss/total"]
    assert epochs == [1, 2, 3]
    assert seen.calls[-1][0] == "close"
    calls = len(seen.calls)
    succeed("train.py", "--config", project.config, "--resume")  # a finished run is not told again
    assert len(seen.calls) == calls


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_told_in_a_line(tracker, monkeypatch, project):
    monkeypatch.setitem(sys.modules, tracker, None)
    refused = run("train.py", "--config", project.config, "--tracker", tracker)
    assert (refused.code, refused.errors.count("\n")) == (2, 1)
    assert f"tracker = '{tracker}': it is not installed" in refused.errors
    assert f"pip install {tracker}" in refused.errors
    assert not project.checkpoint.exists()


def test_a_tracker_that_fails_is_told_in_a_line(monkeypatch, project):
    def fail(**_):
        raise RuntimeError("no\nnetwork")

    module(monkeypatch, "wandb", init=fail, Settings=dict)
    refused = run("train.py", "--config", project.config, "--tracker", "wandb")
    assert (refused.code, refused.errors) == (
        2, "error: tracker = 'wandb': no network. Mend that, or set tracker = 'none'.\n")


def test_none_is_told_nothing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert open_tracker(settings("tensorboard"), tmp_path, []) is None
    assert open_tracker(settings("none"), tmp_path, []) is None
