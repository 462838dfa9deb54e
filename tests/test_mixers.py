"""The mixer contract, held by every file in model/mixers/."""

import copy
from types import SimpleNamespace

import pytest
import torch

from model.nets.blocks import BidirectionalBlock
from tests.steps import step
from tests.test_s5vh import make, make_batch
from training.steps import training_step
from utils import registry
from utils.errors import UserError

DIM = 64
LENGTHS = [1, 7, 25, 30, 300]


def mixer_class(name):
    return registry.mixer_class(SimpleNamespace(model_name="S5VH", method=None, mixer=name))


def names():
    return registry.MIXERS.names()


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


@pytest.mark.parametrize("name", names())
def test_a_whole_model_on_any_mixer(name, tmp_path):
    """Gradient everywhere, weights moved by training alone, the same codes after saving and in every eval."""
    model = make(mixer=name)
    start = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    training_step(model.train(), optimizer, make_batch(), step(0))
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
    state = copy.deepcopy(model.state_dict())
    assert start.keys() == state.keys()
    x = torch.randn(3, 8, 12)
    with torch.inference_mode():
        codes = model.eval().encode(x)
        assert torch.equal(codes, model.encode(x))
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    torch.save(state, tmp_path / "state.pth")
    other = make(mixer=name, seed=1)
    other.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    with torch.inference_mode():
        assert torch.equal(codes, other.encode(x))


@pytest.mark.parametrize("name", names())
def test_a_step_in_bf16_is_near_one_in_float32(name):
    losses = []
    for amp in ("none", "bf16"):
        model = make(mixer=name).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        losses.append(training_step(model, optimizer, make_batch(), step(0), amp=amp)["reconstruction"].item())
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", names())
def test_codes_see_both_directions(name):
    """The first frame's representation depends on the last frame, and the last one's on the first."""
    model, x = make(mixer=name), torch.randn(1, 8, 12)
    for changed, looked_at in ((7, 0), (0, 7)):
        other = x.clone()
        other[:, changed] += 1
        before, after = (model.encoder(model.encoder.embed(video)) for video in (x, other))
        assert not torch.equal(before[:, looked_at], after[:, looked_at])


@pytest.mark.parametrize("name", names())
def test_directions(name):
    mixer, sees_both = mixer_class(name), not mixer_class(name).causal
    for directions, mixers_of_a_block in (("tied", 1), ("separate", 2), ("forward", 1)):
        if sees_both and directions != "tied":
            with pytest.raises(UserError, match=f"directions = '{directions}' has no meaning for {name}"):
                BidirectionalBlock(DIM, lambda: mixer(DIM), directions, 0.0)
            continue
        block = BidirectionalBlock(DIM, lambda: mixer(DIM), directions, 0.0)
        assert sum(isinstance(child, mixer) for child in block.children()) == mixers_of_a_block
        x = torch.randn(2, 5, DIM)
        other = x.clone()
        other[:, 4] += 1
        untouched = torch.equal(block(x)[:, :4], block(other)[:, :4])
        assert untouched == (directions == "forward")


@pytest.mark.parametrize("name", [name for name in names() if mixer_class(name).causal])
def test_both_directions_at_once_are_the_two_apart(name):
    mixer, (ahead, back, weights) = build(name).double(), torch.randn(3, 2, 7, DIM, dtype=torch.float64)
    ahead.requires_grad_()
    back.requires_grad_()
    leaves = [ahead, back, *mixer.parameters()]
    together = mixer.both_directions(ahead, back)
    apart = mixer(ahead) + mixer(back.flip(1)).flip(1)
    torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(together, leaves, weights),
                            torch.autograd.grad(apart, leaves, weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", names())
def test_a_block_is_its_formula(name):
    torch.manual_seed(0)
    mixer = mixer_class(name)
    block, x = BidirectionalBlock(DIM, lambda: mixer(DIM), "tied", 0.25), torch.randn(2, 6, DIM)
    mix = getattr(block, f"{name}1")
    expected = mix(block.norm1(x))
    if mixer.causal:
        expected = expected + mix(block.norm2(x.flip(1))).flip(1)
    kept = x + expected / 0.75
    if mixer.feed_forward:
        kept = kept + block.feed_forward(block.norm3(kept)) / 0.75
    y = block(x, torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(y[0], kept[0])
    assert torch.equal(y[1], x[1])


def test_unknown_mixer_names_those_there_are():
    with pytest.raises(UserError, match="mamba"):
        mixer_class("mumba")
