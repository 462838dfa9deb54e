import pytest
import torch

from optim import build_optimizer, learning_rate
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
