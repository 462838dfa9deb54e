"""What docs/faults.md promises: each fault is injected into the real scripts, and the run ends as if it never was."""

import dataclasses
import errno
import itertools
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import threading
import time
from types import SimpleNamespace

import h5py
import pytest
import torch

import inference.evaluation
import tables
from artefacts import clusters
from tables.grid import preparation
from tests.pipeline import ROOT, assert_same_tensors, make_project, own_table, run, succeed
from tests.test_reproduce import PAIR
from training import checkpoints
from training import steps as training_steps
from training import totals as totals_module
from training.checkpoints import read_checkpoint, write_checkpoint
from training.totals import EpochTotals
from utils import registry
from utils.errors import UserError
from utils.files import writing as files
from utils.files.lock import Lock

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
STEPS = 3  # of an epoch: 40 videos in batches of 16
plain_step = training_steps.training_step


def noisy_step(model, optimizer, batch, step, **settings):
    """A step of a model that draws from torch's generator, as dropout does."""
    noise = 0.01 * torch.randn_like(batch.items)
    return plain_step(model, optimizer, dataclasses.replace(batch, items=batch.items + noise), step, **settings)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with two undisturbed runs: `whole`, and `noisy` with noise from torch's generator in every step."""
    project = make_project(tmp_path_factory.mktemp("faults"))
    succeed("preprocess.py", "--config", project.config)
    project.train = lambda name, *flags: run("train.py", "--config", project.config, "--run-name", name, "--gpu", "cpu",
                                             *flags)
    for name, step in (("whole", plain_step), ("noisy", noisy_step)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_steps, "training_step", step)
            result = project.train(name)
            assert result.code == 0, result.errors
    return project


@pytest.fixture
def faulty(project, request):
    """The paths of a run named after the test."""
    name = re.sub(r"\W", "_", request.node.name)
    folder = project.folder / f"checkpoint/tiny/S5VH_8bit_{name}"
    return SimpleNamespace(name=name, folder=folder, last=folder / "last.pth", previous=folder / "previous.pth",
                           logs=project.folder / f"logs/tiny/S5VH_8bit_{name}",
                           train=lambda *flags: project.train(name, *flags))


@pytest.fixture
def at_step(monkeypatch):
    """`at_step(number, action)` calls `action(model)` when that many steps are done, once; what that gives, if
    anything, stands in for the losses."""
    def install(number, action, step=plain_step):
        steps = itertools.count(1)

        def disturbed(model, *arguments, **settings):
            losses = step(model, *arguments, **settings)
            return (action(model) if next(steps) == number else None) or losses

        monkeypatch.setattr(training_steps, "training_step", disturbed)
    return install


def send(*signals):
    """An action that sends them to this process."""
    def action(*_, **__):
        for signum in signals:
            os.kill(os.getpid(), signum)
    return action


def as_if_undisturbed(project, faulty, flags=("--resume",), reference="whole"):
    """Completes the run, and compares all that it leaves with the undisturbed one's."""
    result = faulty.train(*flags)
    assert result.code == 0, result.errors
    assert_same_tensors(faulty.last, project.folder / f"checkpoint/tiny/S5VH_8bit_{reference}/last.pth")
    assert rows(faulty.logs) == rows(project.folder / f"logs/tiny/S5VH_8bit_{reference}")
    assert not litter(faulty.folder)
    assert not litter(faulty.logs)


def rows(logs):
    lines = (logs / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def litter(folder):
    return [path for path in folder.rglob(".*") if path.name.endswith((".part", ".lock"))]


def refused(result, *words):
    """That the script ended with one line that has `words`, and status 2."""
    assert result.code == 2, result.output + result.errors
    assert result.errors.startswith("error: ")
    assert result.errors.count("\n") == 1
    for word in words:
        assert word in result.errors


def epochs_in(path):
    return read_checkpoint(path)["epoch"] + 1


# signals

@pytest.mark.parametrize(("signum", "number"), [
    (signal.SIGTERM, 1), (signal.SIGTERM, 5), (signal.SIGINT, 2 * STEPS), (signal.SIGHUP, 3 * STEPS)])
def test_a_signal_keeps_every_step(signum, number, project, faulty, at_step, monkeypatch):
    at_step(number, send(signum), noisy_step)
    result = faulty.train("--restart")
    assert result.code == STATUS[signum]
    assert result.errors.count("\n") == 1
    content = read_checkpoint(faulty.last)
    assert STEPS * (content["epoch"] + 1) + content["unfinished"]["steps"] == number
    assert not litter(project.folder)
    monkeypatch.setattr(training_steps, "training_step", noisy_step)
    python, script, *flags = shlex.split(result.output.splitlines()[-1])
    assert (python, script) == ("python", str(ROOT / "train.py"))
    assert "--restart" not in flags
    assert run("train.py", *flags).code == 0
    as_if_undisturbed(project, faulty, reference="noisy")


def test_an_epoch_goes_on_in_its_own_order(project, faulty, at_step):
    at_step(5, send(signal.SIGTERM))
    faulty.train("--restart")
    content = read_checkpoint(faulty.last)
    other = content["unfinished"] | {"order": "another"}
    write_checkpoint(faulty.last, content | {"unfinished": other})
    refused(faulty.train("--resume"), "epoch 2", "batch_source")
    write_checkpoint(faulty.last, content)
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize("chooses", [("--select", "best_on_test"), ("--early-stop", 9)])
def test_a_choice_of_epochs_goes_on_by_its_own_measure(chooses, project, faulty, at_step):
    at_step(2 * STEPS + 1, send(signal.SIGTERM))
    faulty.train(*chooses)
    refused(faulty.train("--resume", "--map-at", "[5]", *chooses), "mAP@1 over k", "mAP@5 over k", "map_at")
    refused(faulty.train("--resume", "--ap-normaliser", "hits", *chooses), "mAP@1 over hits")
    assert faulty.train("--resume", "--map-at", "[1]", *chooses).code == 0
    assert faulty.train("--resume", "--map-at", "[5]", *chooses).code == 0  # finished


def test_a_second_interrupt_stops_at_once(project, faulty, at_step):
    at_step(5, send(signal.SIGINT, signal.SIGINT))
    assert faulty.train().code == 130
    assert "unfinished" not in read_checkpoint(faulty.last)
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGTERM), 2 * (signal.SIGTERM,), 2 * (signal.SIGHUP,)])
def test_no_other_second_signal_hurries(signals, project, faulty, at_step):
    at_step(5, send(*signals))
    assert faulty.train().code == STATUS[signals[0]]
    assert read_checkpoint(faulty.last)["unfinished"]["steps"] == 2
    as_if_undisturbed(project, faulty)


def test_a_signal_in_an_evaluation_stops_it_and_keeps_the_epoch(project, faulty, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(inference.evaluation, "evaluate_retrieval", send(signal.SIGTERM))
        assert faulty.train().code == 143
    assert epochs_in(faulty.last) == 1
    assert read_checkpoint(faulty.last)["unfinished"]["steps"] == STEPS
    as_if_undisturbed(project, faulty)


def test_a_signal_while_a_checkpoint_is_written_waits_for_it(project, faulty, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_append_checksum", lambda part, append=checkpoints._append_checksum:
                      (send(signal.SIGTERM)(), append(part)))
        assert faulty.train("--eval-every", 0).code == 143
    assert epochs_in(faulty.last) == 1
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize(("signum", "line"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM")])
def test_a_signal_in_preprocess_leaves_nothing_half_written(signum, line, tmp_path, monkeypatch):
    project = make_project(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(clusters, "cluster", send(signum))
        result = run("preprocess.py", "--config", project.config)
    assert (result.code, result.errors) == (STATUS[signum], f"{line}\n")
    assert not litter(tmp_path)
    again = succeed("preprocess.py", "--config", project.config)
    assert again.output.count("reused") == 1  # the latents
    assert again.output.count(": written") == 4


@pytest.mark.parametrize("script", ["eval.py", "search.py"])
def test_a_signal_ends_the_other_scripts_in_one_line(script, project, tmp_path, monkeypatch):
    config = ("--config", project.config, "--run-name", "whole")
    arguments = {"eval.py": (), "search.py": ("encode", "--features", project.data / "query.h5", "--out",
                                              tmp_path / "codes.h5")}[script]
    monkeypatch.setattr(checkpoints.torch, "load", send(signal.SIGTERM))
    result = run(script, *arguments, *config)
    assert (result.code, result.errors) == (143, "ended by SIGTERM\n")
    assert not list(tmp_path.iterdir())


def test_reproduce_ends_its_children_with_their_work_kept(project, tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/pair.py").write_text("from tests.test_reproduce import PAIR as TABLE\n")
    monkeypatch.setattr(tables, "__path__", [*tables.__path__, str(tmp_path / "tables")])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(preparation, "preprocess", lambda *_: None)  # the artefacts are there
    (tmp_path / "S5VH").mkdir()
    shutil.copy(project.config, tmp_path / "S5VH/tiny.py")
    name = f"pair_{PAIR.rows[1].name}_seed1"
    last = project.folder / f"checkpoint/tiny/S5VH_8bit_{name}/last.pth"
    arguments = ("--table", "pair", "--configs", tmp_path, "--out", tmp_path / "out", "--gpu", "cpu", "--rows",
                 "forward", "--set", "num_epochs=100000", "eval_every=0")

    def end_when_it_trains():
        while not last.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_it_trains, daemon=True).start()
    result = run("reproduce.py", *arguments)
    assert (result.code, result.errors.splitlines()[-1]) == (143, "ended by SIGTERM")
    saved = read_checkpoint(last)
    assert saved["unfinished"]["steps"] in range(1, STEPS + 1)
    assert f"after {saved['unfinished']['steps']} steps of epoch {saved['epoch'] + 2}" in (
        project.folder / f"logs/tiny/S5VH_8bit_{name}/log.txt").read_text()
    assert not litter(project.folder)  # the child holds no lock any more


# a process that dies without a word

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(action):
    """Runs `action` in a fork of this process; its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        try:
            action()
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


MOMENTS = {"in a step": (training_steps, "training_step"),
           "in an evaluation": (inference.evaluation, "evaluate_retrieval"),
           "in writing a checkpoint": (checkpoints, "_append_checksum"), "before its renaming": (files.os, "replace"),
           "after its renaming": (files, "_sync_folder"), "in keeping the one before": (files.os, "link")}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_loses_no_checkpoint(moment, project, faulty, monkeypatch):
    module, name = MOMENTS[moment]
    action = getattr(module, name)

    def call(*arguments, **settings):
        if faulty.last.exists() and (faulty.previous.exists() or name in ("link", "evaluate_retrieval")):
            die()
        return action(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, call)
        assert in_a_child(faulty.train) == -signal.SIGKILL
    assert epochs_in(faulty.last) in (1, 2)
    assert (faulty.folder / ".lock").exists()
    as_if_undisturbed(project, faulty)


def test_files_reach_the_disk_before_their_name(tmp_path, monkeypatch):
    """What a power cut needs: content synced, then renamed, then the folder synced."""
    calls = []
    for action in (os.fsync, os.replace):
        def call(*arguments, action=action):
            calls.append(action.__name__)
            action(*arguments)

        monkeypatch.setattr(files.os, action.__name__, call)
    write_checkpoint(tmp_path / "a.pth", {"model_state_dict": {}})
    assert calls == ["fsync", "replace", "fsync"]


# two at once

@pytest.fixture
def hold():
    """`hold(path)`: a process that holds the lock there and is killed in the end; its number."""
    children = []

    def start(path, seconds=60):
        heard, told = os.pipe()
        child = os.fork()
        if not child:
            try:
                lock = Lock(path)
                os.write(told, b"x")
                time.sleep(seconds)
                lock.release()
            finally:
                os._exit(0)
        children.append(child)
        assert os.read(heard, 1) == b"x"
        return child

    yield start
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("where", ["checkpoint", "logs"])
def test_a_second_run_in_one_folder_is_refused(where, project, faulty, hold):
    folder = {"checkpoint": faulty.folder, "logs": faulty.logs}[where]
    holder = hold(folder / ".lock")
    for flags in (), ("--resume",), ("--restart",):
        refused(faulty.train(*flags), f"{folder}: in use by process {holder} on ", "run_name")
    os.kill(holder, signal.SIGKILL)  # the lock ends with it, its file stays
    while os.waitid(os.P_PID, holder, os.WEXITED | os.WNOWAIT) is None:
        pass
    as_if_undisturbed(project, faulty)


def test_a_second_preprocess_waits_for_the_first(project, tmp_path, hold):
    project = make_project(tmp_path)
    holder = hold(project.artefacts / ".final_train_anchors.h5.lock", seconds=0.3)
    result = succeed("preprocess.py", "--config", project.config)
    assert re.search(rf"in use by process {holder} .* Waiting for it\.", result.output)
    assert result.output.count(": written") == 5
    assert not litter(tmp_path)


def test_a_second_reproduce_of_a_table_is_refused(project, tmp_path, hold, monkeypatch):
    monkeypatch.setattr(registry.Registry, "load", own_table(PAIR))
    (tmp_path / "S5VH").mkdir()
    shutil.copy(project.config, tmp_path / "S5VH/tiny.py")
    holder = hold(tmp_path / "out/backbones.lock")
    before = sorted(project.folder.rglob("*"))
    refused(run("reproduce.py", "--table", "backbones", "--configs", tmp_path, "--out", tmp_path / "out"),
            f"in use by process {holder}", "--out")
    assert sorted(project.folder.rglob("*")) == before


def test_a_second_reproduce_of_the_same_runs_is_refused(project, tmp_path, hold, monkeypatch):
    """In another --out its table would lie apart, but its runs would not."""
    monkeypatch.setattr(registry.Registry, "load", own_table(PAIR))
    (tmp_path / "S5VH").mkdir()
    shutil.copy(project.config, tmp_path / "S5VH/tiny.py")
    project.logs.parent.mkdir(parents=True, exist_ok=True)
    holder = hold(project.logs.parent / ".backbones.lock")
    before = sorted(project.folder.rglob("*"))
    refused(run("reproduce.py", "--table", "backbones", "--configs", tmp_path, "--out", tmp_path / "another"),
            f"in use by process {holder}", "home_root")
    assert sorted(project.folder.rglob("*")) == before


# losses and weights that are not finite

def spoil_losses(model):
    return {"total": torch.tensor(float("nan")), "center": torch.tensor(1.25)}


def spoil_weights(model):
    with torch.no_grad():
        model.binary.weight[0, 0] = float("inf")


def test_a_loss_that_is_not_finite_ends_at_its_step(project, faulty, at_step):
    at_step(5, spoil_losses)
    refused(faulty.train(), "epoch 2, step 2", "total nan", "center 1.25", "learning rate 0.0")
    assert epochs_in(faulty.last) == 1
    assert "unfinished" not in read_checkpoint(faulty.last)
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize("window", [1, 4, 50])
def test_a_device_is_asked_once_in_a_while_and_the_step_is_named_all_the_same(window):
    progress = EpochTotals(2, 0.1, torch.device("cpu"), torch.arange(4), window=window)
    told = None
    for step in range(1, 61):
        try:
            progress.add({"total": torch.tensor(float("nan") if step >= 6 else 1.0), "part": torch.tensor(2.0)})
        except UserError as error:
            told = step, str(error)
            break
    assert told is not None
    assert told[0] == -(-6 // window) * window
    assert told[1].startswith("epoch 3, step 6: the loss is not finite (total nan, part 2) at learning rate 0.1. ")


@pytest.mark.parametrize(("number", "same"), [(0, True), (1, False)])
def test_only_the_first_process_draws_what_the_first_would_have(number, same, monkeypatch):
    monkeypatch.setattr(totals_module, "rank", lambda: number)
    begin = 0, 0.1, torch.device("cpu"), torch.arange(4)
    saved = EpochTotals(*begin).state()
    drawn = torch.rand(3)
    torch.manual_seed(5 + number)
    EpochTotals(*begin, saved)
    assert torch.equal(torch.rand(3), drawn) is same


@pytest.mark.parametrize("ask", [EpochTotals.state, EpochTotals.means])
def test_losses_not_yet_seen_are_looked_at_before_they_are_kept(ask):
    progress = EpochTotals(0, 0.1, torch.device("cpu"), torch.arange(4), window=50)
    progress.add({"total": torch.tensor(float("inf"))})
    with pytest.raises(UserError, match="epoch 1, step 1"):
        ask(progress)


@pytest.mark.parametrize("signals", [(), (signal.SIGTERM,)])
def test_weights_that_are_not_finite_are_never_written(signals, project, faulty, at_step):
    """Spoilt after the last look at the losses: by the last step of an epoch, or before a signal's checkpoint."""
    at_step(5 if signals else 2 * STEPS, lambda model: (spoil_weights(model), send(*signals)())[0])
    refused(faulty.train("--eval-every", 0), "last.pth: not written, model_state_dict/binary.weight holds NaN or Inf")
    assert epochs_in(faulty.last) == 1
    as_if_undisturbed(project, faulty)


# damage

def flip(path, byte, bit=3):
    with open(path, "r+b") as file:
        file.seek(byte)
        value = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([value ^ 1 << bit]))


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_offered(project, faulty):
    assert faulty.train().code == 0
    flip(faulty.last, faulty.last.stat().st_size // 2)
    message = faulty.train("--resume")
    refused(message, f"{faulty.last}: damaged", f"{faulty.previous}, is sound (after epoch 2)")
    refused(run("eval.py", "--config", project.config, "--run-name", faulty.name), f"{faulty.last}: damaged")
    faulty.previous.rename(faulty.last)
    as_if_undisturbed(project, faulty)
    flip(faulty.last, 5000)
    flip(faulty.previous, 5000)
    assert "previous" not in faulty.train("--resume").errors
    as_if_undisturbed(project, faulty, ["--restart"])


def test_any_flipped_bit_of_a_checkpoint_is_found_or_harmless(tmp_path):
    path = tmp_path / "a.pth"
    weights = torch.arange(50.0)
    write_checkpoint(path, {"model_state_dict": {"weights": weights, "more": weights[:7].clone()}, "epoch": 3})
    size = path.stat().st_size
    draws = random.Random(0)
    for byte in range(size):
        bit = draws.randrange(8)
        flip(path, byte, bit)
        if byte not in range(size - 14, size - 8):
            with pytest.raises(UserError):
                read_checkpoint(path)
        else:  # our own mark, without which the checksums of the entries count
            assert torch.equal(read_checkpoint(path)["model_state_dict"]["weights"], weights)
        flip(path, byte, bit)


def test_checkpoints_without_our_checksum_load(tmp_path):
    content = {"model_state_dict": {"weights": torch.arange(50.0)}}
    for name, new in (("zip", True), ("legacy", False)):
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=new)
        assert torch.equal(read_checkpoint(path)["model_state_dict"]["weights"], torch.arange(50.0))
    flip(tmp_path / "zip", (tmp_path / "zip").read_bytes().index(torch.arange(50.0).numpy().tobytes()) + 9)
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(tmp_path / "zip")


def test_anyone_can_open_a_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "a.pth", {"model_state_dict": {"weights": torch.arange(5.0)}})
    for mmap in (False, True):
        content = torch.load(tmp_path / "a.pth", weights_only=True, mmap=mmap)
        assert torch.equal(content["model_state_dict"]["weights"], torch.arange(5.0))


def test_a_damaged_artefact_is_told_and_made_again(project, faulty):
    path = project.artefacts / "final_train_train_assit.h5"
    with h5py.File(path) as file:
        place = file["pos"].id.get_offset()
    before = path.read_bytes()
    flip(path, place)
    refused(faulty.train(), f"{path}: damaged, 'pos' does not fit its checksum", "preprocess")
    refused(run("preprocess.py", "--config", project.config), f"{path}: damaged")
    path.unlink()
    succeed("preprocess.py", "--config", project.config)
    assert len(path.read_bytes()) == len(before)
    as_if_undisturbed(project, faulty, ())


# a disk that fails

def failing(code):
    def call(*_, **__):
        raise OSError(code, os.strerror(code))
    return call


@pytest.mark.parametrize(("module", "name", "code"), [
    (files.os, "fsync", errno.ENOSPC), (files.os, "fsync", errno.EDQUOT), (files.os, "fsync", errno.EIO),
    (files.tempfile, "mkstemp", errno.EROFS)], ids=str)
def test_a_disk_that_fails_ends_the_run_in_one_line(module, name, code, project, faulty, at_step, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(2 * STEPS, lambda model: patch.setattr(module, name, failing(code)))
        refused(faulty.train(), f"{faulty.logs}/metrics.jsonl: cannot write", os.strerror(code))
    assert epochs_in(faulty.last) == 1
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize("signals", [(), (signal.SIGTERM,)])
def test_a_disk_that_fills_within_a_checkpoint(signals, project, faulty, at_step):
    """A file may not grow beyond 20 kB: torch's own writer fails in the middle."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(model):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        send(*signals)()

    at_step(5, fill)
    try:
        refused(faulty.train(), f"{faulty.last}: cannot write")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert epochs_in(faulty.last) == 1
    as_if_undisturbed(project, faulty)


def test_a_log_that_cannot_be_written(project, faulty):
    faulty.logs.mkdir(parents=True)
    (faulty.logs / "log.txt").symlink_to("/dev/full")
    refused(faulty.train(), "log.txt: cannot write (No space left on device)")
    (faulty.logs / "log.txt").unlink()
    as_if_undisturbed(project, faulty)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_vanishes(replaced, project, faulty, at_step):
    away = faulty.folder.with_name("away")

    def vanish(model):
        faulty.folder.rename(away)
        if replaced:  # as an empty mount point
            faulty.folder.mkdir()

    at_step(5, vanish)
    refused(faulty.train(), f"{faulty.folder}: this folder has vanished or been replaced")
    assert not list(faulty.folder.glob("*"))
    if replaced:
        faulty.folder.rmdir()
    away.rename(faulty.folder)
    as_if_undisturbed(project, faulty)


def test_the_table_of_faults_names_these_tests():
    table = (ROOT / "docs/faults.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", table))
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert named
    assert named <= set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
