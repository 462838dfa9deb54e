"""Several processes, started by torchrun, train as one does: the same losses, gradients, labels and checkpoints."""

import json
import os
import shlex
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from dataset import sources
from dataset.batches import AllRows
from tests import distributed_worker as worker
from tests.distributed_worker import (
    COMPARED,
    PAIRS,
    PEERS,
    RESUMED,
    SHARES,
    VHMT,
    loss_and_gradient,
    loss_through_norms,
    train,
)
from tests.forked import run_side_by_side
from tests.pipeline import ROOT, make_project, message_of, succeed
from training import distributed
from training.distributed import Share, join, own_share

# Of weights: Adam divides a gradient by its own size, so that one which is all rounding still moves its weight.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def torchrun(num_processes, *arguments):
    """The finished process of `torchrun` on the CPU of this machine, at a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", num_processes]
    return subprocess.run([*map(str, command), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300, check=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("distributed"))
    for changes in (COMPARED, VHMT, *PAIRS.values()):
        settings = [f"{name}={value}" for name, value in changes.items()]
        succeed("preprocess.py", "--config", project.config, "--gpu", "cpu", "--set", *settings)
    return project


@pytest.fixture(scope="module")
def whole(project):
    """The trainer of one process that has made the run `RESUMED` without a break."""
    return train(project.config, RESUMED | {"run_name": "whole"})


def assert_weights_of(project, run_name, trainer):
    checkpoint = project.checkpoint.parent.parent / f"S5VH_8bit_{run_name}/last.pth"
    weights = torch.load(checkpoint, weights_only=True)["model_state_dict"]
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(weights[name], value, **TOLERANCE)


@pytest.fixture(scope="module")
def three(project, tmp_path_factory):
    """How `distributed_worker` ended in three processes, and what each saw, as `seen`."""
    three = run_side_by_side(3, tmp_path_factory.mktemp("three"), worker.__file__, project.config, project.folder)
    assert "the last process has failed" in three.output, three.output
    three.seen = [torch.load(project.folder / f"{rank}.pt") for rank in range(3)]
    return three


@pytest.fixture(scope="module")
def alone(project):
    return train(project.config, COMPARED | {"run_name": "alone"})


def test_every_step_is_that_of_one_process(three, alone):
    """Stochastic depth, moving labels, clipping; shares that differ, one of them empty at the end of an epoch."""
    steps = torch.tensor(three.seen[0]["losses"]), torch.tensor(alone.seen)
    assert steps[1].shape == (27, 4)
    torch.testing.assert_close(*steps, rtol=1e-5, atol=0)
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(three.seen[0]["state"][name], value, **TOLERANCE)


def test_losses_over_all_pairs_are_those_of_one_process(project, three):
    alone = train(project.config, VHMT | {"run_name": "vhmt_alone"})
    assert len(alone.seen) == 12
    torch.testing.assert_close(torch.tensor(three.seen[0]["vhmt"]), torch.tensor(alone.seen), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", PEERS)
def test_each_method_learns_what_it_does_in_one_process(name, project, three):
    alone = train(project.config, PEERS[name] | {"run_name": "peers_alone"})
    assert len(alone.seen) == 21
    torch.testing.assert_close(torch.tensor(three.seen[0][name]), torch.tensor(alone.seen), rtol=5e-5, atol=1e-7)


def test_what_the_comparison_rests_on(alone):
    assert [block.drop_rate > 0 for block in alone.model.encoder.blocks] == [False] + 5 * [True]
    assert alone.model.tracked()["label_entropy"] > 0.1
    assert alone.seen[-1][0] < 0.7 * alone.seen[0][0]


def test_all_processes_hold_the_same(three):
    first, *others = three.seen
    for other in others:
        assert other["losses"] == first["losses"]
        assert all(torch.equal(other["state"][name], value) for name, value in first["state"].items())
        assert other["source"] == first["source"]
    for seen in three.seen:
        assert seen["gathered"].tolist() == list(range(7))
        assert (seen["first"], seen["all_reduce_min"], seen["all_reduce_max"]) == (0, 8, 10)


@pytest.mark.parametrize("place", range(len(SHARES)))
def test_gathered_losses_and_gradients_are_those_of_one_process(three, place):
    loss, gradient = loss_and_gradient(SHARES[place], AllRows())
    for seen in three.seen:
        torch.testing.assert_close(seen["shares"][place][0], loss)
        torch.testing.assert_close(seen["shares"][place][1], gradient)


@pytest.mark.parametrize("place", range(len(SHARES)))
def test_batch_norm_is_that_of_one_process(three, place):
    """Loss, gradients, running statistics; a process without rows too."""
    for seen in three.seen:
        for ours, alone in zip(seen["norms"][place], loss_through_norms(SHARES[place], AllRows()), strict=True):
            torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-5)


def test_one_process_speaks_and_one_tells_the_error(three):
    assert three.output.count("process 0 speaks\n") == three.output.count("speaks") == 1
    assert [line for line in three.output.splitlines() if "error: " in line] == ["error: the last process has failed."]
    assert three.codes[2] == 2
    assert all(three.codes)
    assert "Error" not in three.output  # the others, whose partner is gone, keep quiet


def test_a_run_goes_on_in_another_number_of_processes(project, three, whole, tmp_path):
    """Three processes, then one, then two, against one process all the way."""
    train(project.config, RESUMED, until=4)
    settings = [f"{name}={value}" for name, value in RESUMED.items()]
    two = run_side_by_side(2, tmp_path, ROOT / "train.py", "--config", project.config, "--resume", "--gpu", "cpu",
                           "--set", *settings)
    assert two.codes == [0, 0], two.output
    assert two.output.count("resuming after epoch 4 of 6") == two.output.count("epoch 5/6, ") == 1
    assert "2 processes share every batch of 16" in two.output

    assert_weights_of(project, "resumed", whole)
    logs = project.logs.parent / "S5VH_8bit_resumed"
    rows = [json.loads(line) for line in (logs / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 7))
    assert ["mAP@5" in row for row in rows] == 3 * [False, True]
    log = (logs / "log.txt").read_text()
    assert log.count(" epoch 5/6") == log.count(" epoch 6/6") == 1


def test_a_signal_to_one_process_stops_all_at_one_step(project, whole, tmp_path):
    settings = [f"{name}={value}" for name, value in (RESUMED | {"run_name": "stopped"}).items()]
    command = ROOT / "train.py", "--config", project.config, "--resume", "--gpu", "cpu", "--set", *settings
    stopped = torchrun(2, "-m", "tests.signalled_worker", *command)
    assert stopped.returncode == 1
    assert stopped.stdout.count("SIGTERM: stopped after 2 steps of epoch 3, which are kept.") == 1, stopped.stderr
    launcher, *words = shlex.split(stopped.stdout.splitlines()[-1])
    assert (launcher, words) == ("torchrun", ["--nproc_per_node", "2", *map(str, command)])
    again = run_side_by_side(2, tmp_path, *words[2:])
    assert again.codes == [0, 0], again.output
    assert again.output.count("resuming after epoch 2 of 6 and 2 steps of the next") == 1
    assert_weights_of(project, "stopped", whole)


def test_a_batch_is_divided_in_order(monkeypatch):
    assert own_share(10) == AllRows()
    monkeypatch.setattr(distributed, "num_processes", lambda: 4)
    assert own_share(10).sizes == (3, 3, 2, 2)
    assert own_share(2).sizes == (1, 1, 0, 0)
    rows = torch.arange(10, 20)
    assert [Share((3, 3, 2, 2), rank).take(rows).tolist() for rank in range(4)] == [[10, 11, 12], [13, 14, 15],
                                                                                   [16, 17], [18, 19]]
    assert Share((1, 1, 0, 0), 3).take(rows[:2]).tolist() == [10]
    assert AllRows().take(rows) is rows


def test_processes_of_one_machine_divide_its_memory(monkeypatch):
    monkeypatch.setattr(sources, "available_memory", lambda: 5 << 30)
    monkeypatch.setattr(sources, "_size", lambda features: 1 << 30)
    features = SimpleNamespace(contiguous=True)
    alone, of_four = (partial(sources._choose, features, torch.device("cpu"), number, int) for number in (1, 4))
    assert alone() == ("host", "they fit in half of the available 5.0 GiB")
    assert of_four() == (
        "file", "they do not fit in half of the available 1.2 GiB of each of 4 processes")


def test_every_process_takes_its_own_gpu(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "RANK": "2", "LOCAL_RANK": "2", "WORLD_SIZE": "4",
                        "LOCAL_WORLD_SIZE": "4", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert "Leave --gpu out" in message_of(lambda: join("1"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "Use --nproc_per_node 2" in message_of(lambda: join(None))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert distributed._own_device(None) == torch.device("cuda", 2)
    assert distributed._own_device(" CPU ") == torch.device("cpu")
