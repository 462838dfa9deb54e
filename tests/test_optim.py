import pytest
import torch

from model.mixers.mamba import Mixer
from optim import build_optimizer, learning_rate
from tests.steps import step
from tests.test_s5vh import make, make_batch
from training.compiling import compile_steps
from training.steps import training_step
from utils.errors import UserError


@pytest.mark.parametrize("num_epochs", [1, 10, 350])
def test_cosine_equals_torch(num_epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_epochs, eta_min=1e-5)
    for epoch in range(num_epochs):
        ours = learning_rate("CosineAnnealingLR", epoch, num_epochs, 5e-4, 1e-5)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_step_and_constant():
    assert learning_rate("StepLR", 19, 100, 1e-4, 1e-6) == 1e-4
    assert learning_rate("StepLR", 40, 100, 1e-4, 1e-6) == pytest.approx(0.81e-4)
    assert learning_rate("StepLR", 9999, 10000, 1e-4, 1e-6) == 1e-6
    assert learning_rate("constant", 7, 10, 1e-4, 1e-6) == 1e-4


def test_optimizer_by_name():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = build_optimizer("AdamW", [parameter], lr=0.1, weight_decay=0.5)
    parameter.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 0.95))  # decoupled decay alone


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="AdamW"):
        build_optimizer("Adamw", [], 0.1, 0.0)
    with pytest.raises(UserError, match="StepLR"):
        learning_rate("steplr", 0, 1, 0.1, 0.0)


class Small(torch.nn.Module):
    """What `training_step` wants of a method, around one mixer and its kernels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.mixer = torch.nn.Linear(12, 16), Mixer(16)

    def step_losses(self, batch, epoch):
        return {"total": self.mixer(self.embed(batch.items)).square().mean()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:The .grad attribute:UserWarning")  # torch's own
def test_a_compiled_step_is_the_step():
    """The backend traces and differentiates like the real one, and generates no code, which would take minutes."""
    losses, weights = [], []
    for compiled in (False, True):
        model = Small()
        if compiled:
            line = compile_steps(model, torch.device("cpu"), backend="aot_eager")
            assert line.startswith("compile: steps are compiled")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        losses.append([training_step(model, optimizer, make_batch(), step(0))["total"].item() for _ in range(2)])
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        assert model.state_dict().keys() == Small().state_dict().keys()
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][1] < losses[0][0]
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-7)


def test_where_compiling_fails_one_line_says_so():
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nmore of it")

    model = make()
    line = compile_steps(model, torch.device("cpu"), backend=broken)
    assert "\n" not in line
    assert "steps run without it" in line
    training_step(model.train(), torch.optim.SGD(model.parameters(), lr=1e-2), make_batch(), step())
