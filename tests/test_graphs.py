"""Steps whose passes are recorded and replayed against steps as they are; a stand-in records where there is no GPU."""

import pytest
import torch

from tests.pipeline import make_project, succeed
from tests.steps import step
from tests.test_s5vh import make, make_batch
from training.graphs import WARM_UP, GraphedPasses, plain_passes
from training.steps import training_step

EPOCHS = (0, 5)  # in the later one the pseudo-labels move
SIZES = (5, 5, 5, 5, 5, 5, 3)  # of an epoch's batches


class Recorder:
    """Does what a graph does: its passes run on the same tensors again, and nothing runs while they are recorded."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, passes):
        self.recorded += 1

        def replay():
            self.replayed += 1
            passes()

        return replay


def train(passes, device="cpu"):
    """The weights, pseudo-labels and losses of two epochs."""
    model = make(warm_up_epoch=3, num_epochs=10).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for epoch in EPOCHS:
        for number, size in enumerate(SIZES):
            batch = make_batch(size, seed=number).to(device)
            losses.append(training_step(model, optimizer, batch, step(epoch), grad_clip=1.0, passes=passes))
    named = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return named, [[value.item() for value in each.values()] for each in losses]


def assert_same(theirs, ours):
    assert theirs[1] == ours[1]
    assert theirs[0].keys() == ours[0].keys()
    assert all(torch.equal(value, ours[0][name]) for name, value in theirs[0].items())


def test_replayed_steps_are_the_steps():
    recorder, lines = Recorder(), []
    assert_same(train(plain_passes), train(GraphedPasses(lines.append, recorder)))
    assert recorder.recorded == len(EPOCHS)
    assert recorder.replayed == len(EPOCHS) * (len(SIZES) - 1 - WARM_UP)
    assert not lines


def test_where_recording_fails_steps_run_as_they_are():
    def fail(passes):
        passes()
        raise RuntimeError("operation not permitted\nmore of it")

    lines = []
    assert_same(train(plain_passes), train(GraphedPasses(lines.append, fail)))
    assert lines == ["cuda_graph: operation not permitted; steps run without it"]


@pytest.mark.parametrize("wrong", [1.1, float("nan")])
def test_where_a_replay_differs_steps_run_as_they_are(wrong):
    lines = []

    def record(passes):
        def replay():
            passes()
            graphed._recording._gradients[0].mul_(wrong)

        return replay

    graphed = GraphedPasses(lines.append, record)
    assert_same(train(plain_passes), train(graphed))
    assert len(lines) == 1
    assert "a replay's gradients differ" in lines[0]


def test_without_cuda_training_says_so_and_goes_on(tmp_path):
    project = make_project(tmp_path)
    succeed("preprocess.py", "--config", project.config)
    result = succeed("train.py", "--config", project.config, "--gpu", "cpu", "--set", "cuda_graph=True")
    assert "cuda_graph: it needs CUDA and a process alone; steps run without it" in result.output


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_on_the_gpu_is_the_step():
    lines = []
    (theirs, their_losses), (ours, our_losses) = (train(passes, "cuda")
                                                  for passes in (plain_passes, GraphedPasses(lines.append)))
    assert not lines
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(our_losses), torch.tensor(their_losses), rtol=1e-4, atol=1e-5)
