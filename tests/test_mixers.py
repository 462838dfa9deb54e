"""The mixer contract, held by every file in model/mixers/."""

import copy
from types import SimpleNamespace

import pytest
import torch

from model import mixers, registry
from utils.errors import UserError

DIM = 64
LENGTHS = [1, 7, 25, 30]


def mixer_class(name):
    return registry.mixer_class(SimpleNamespace(model_name="S5VH", method=None, mixer=name))


def names():
    return registry.names(mixers)


def build(name, seed=0):
    torch.manual_seed(seed)
    return mixer_class(name)(DIM, 0, 2).eval()


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("length", LENGTHS)
def test_shape_gradients_and_state(name, length):
    mixer = build(name)
    before = copy.deepcopy(mixer.state_dict())
    x = torch.randn(3, length, DIM, requires_grad=True)
    y = mixer(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    for parameter_name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, parameter_name
        if length > 1:
            assert parameter.grad.abs().sum() > 0, parameter_name
    after = mixer.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", names())
def test_deterministic_and_survives_saving(name, tmp_path):
    mixer, x = build(name), torch.randn(2, 9, DIM)
    y = mixer(x)
    assert torch.equal(y, mixer(x))
    torch.save(mixer.state_dict(), tmp_path / "state.pth")
    other = build(name, seed=1)
    other.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    assert torch.equal(y, other(x))


@pytest.mark.parametrize("name", [name for name in names() if mixer_class(name).causal])
def test_causal_to_the_bit(name):
    """A change in frame t leaves every output before t as it was."""
    mixer, x = build(name), torch.randn(2, 25, DIM)
    changed = x.clone()
    changed[:, 11] += 1
    before, after = mixer(x), mixer(changed)
    assert torch.equal(before[:, :11], after[:, :11])
    assert not torch.equal(before[:, 11:], after[:, 11:])


def test_mamba_against_a_step_by_step_layer():
    """The layer once more, frame by frame with explicit state, from the equations of Gu & Dao (2023)."""
    mixer = build("mamba").double()
    mixer.scan_engine = "reference"
    x = torch.randn(2, 9, DIM, dtype=torch.float64)
    rank, states, _ = mixer.sizes
    window = [torch.zeros(2, 2 * DIM, dtype=torch.float64)] * 3
    state, outputs = torch.zeros(2, 2 * DIM, states, dtype=torch.float64), []
    for frame in x.unbind(1):
        u, z = mixer.in_proj(frame).chunk(2, dim=-1)
        window = [*window[-3:], u]
        kernel = mixer.conv1d.weight[:, 0]
        u = torch.nn.functional.silu(sum(kernel[:, i] * window[i] for i in range(4)) + mixer.conv1d.bias)
        dt, B, C = mixer.x_proj(u).split([rank, states, states], dim=-1)
        dt = torch.nn.functional.softplus(mixer.dt_proj(dt))
        decay = torch.exp(dt[:, :, None] * -torch.exp(mixer.A_log))
        state = decay * state + (dt * u)[:, :, None] * B[:, None]
        y = (state * C[:, None]).sum(-1) + mixer.D * u
        outputs.append(mixer.out_proj(y * torch.nn.functional.silu(z)))
    torch.testing.assert_close(mixer(x), torch.stack(outputs, dim=1), rtol=1e-9, atol=1e-11)


def test_mamba_initialisation():
    mixer = build("mamba")
    step = torch.nn.functional.softplus(mixer.dt_proj.bias)
    assert 1e-3 * 0.999 <= step.min() < 3e-3
    assert 3e-2 < step.max() <= 1e-1 * 1.001
    torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 17).expand(2 * DIM, 16))
    assert torch.equal(mixer.D, torch.ones(2 * DIM))
    assert set(mixer.state_dict()) == {"A_log", "D", "in_proj.weight", "conv1d.weight", "conv1d.bias",
                                       "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "out_proj.weight"}


def test_unknown_mixer_names_those_there_are():
    with pytest.raises(UserError, match="mamba"):
        mixer_class("mumba")
