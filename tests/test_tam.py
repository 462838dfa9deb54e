"""The temporal attention module against numpy versions of eq. 11-16, all variants of table 4."""

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax

from model.contract import SequenceMixer
from model.methods.vhmt.tam import ENHANCEMENTS, TAMStack, TemporalAttentionModule
from tests.test_kan import naive_layer
from utils.errors import UserError

WIDTH, HEADS = 8, 2
TABLE_4 = [("attention", "none"), ("attention", "mlp"), ("attention", "kan"), ("mamba", "tre"), ("attention", "tre")]


def make(frames=5, seed=0, **settings):
    torch.manual_seed(seed)
    module = TemporalAttentionModule(WIDTH, HEADS, frames, **settings)
    for parameter in module.parameters():  # no weight of one, no bias of zero that would hide a mistake
        torch.nn.init.normal_(parameter, mean=0.1, std=0.4)
    return module.double().eval()


def normalise(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def linear(layer, x):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def naive_attention(mixer, x):
    """Eq. 12 for one video (T, D), head by head."""
    q, k, v = np.split(linear(mixer.qkv, x), 3, axis=-1)
    size = WIDTH // HEADS
    heads = [slice(h * size, (h + 1) * size) for h in range(HEADS)]
    heads = [softmax(q[:, h] @ k[:, h].T / np.sqrt(size), axis=-1) @ v[:, h] for h in heads]
    return linear(mixer.proj, np.concatenate(heads, axis=-1))


def naive_mlp(mlp, x):
    x = linear(mlp.fc1, normalise(mlp.norm, x))
    return linear(mlp.fc2, x * (1 + erf(x / np.sqrt(2))) / 2)


def naive_kan(branch, x):
    columns = normalise(branch.norm, x).T
    for layer in branch.kan.layers:
        columns = np.array([naive_layer(layer, column) for column in columns])
    return columns.T


def naive_tre(tre, x):
    x = naive_mlp(tre.mlp, x)
    return naive_kan(tre.gate, x) * x


NAIVE = {"tre": naive_tre, "mlp": naive_mlp, "kan": naive_kan}


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("enhancement", ENHANCEMENTS)
def test_equals_the_equations(enhancement, frames):
    module, x = make(frames, enhancement=enhancement), torch.randn(2, frames, WIDTH, dtype=torch.float64)
    z, attended = module(x)
    for row in range(2):
        normal = normalise(module.norm1, x[row].numpy())
        attention = naive_attention(module.mixer, normal)
        expected = attention + normal
        if enhancement != "none":
            normal = normalise(module.norm2, expected)
            expected = NAIVE[enhancement](module.enhancement, normal) + normal
        np.testing.assert_allclose(attended[row].detach(), attention, atol=1e-10)
        np.testing.assert_allclose(z[row].detach(), expected, atol=1e-10)


@pytest.mark.parametrize("enhancement", ENHANCEMENTS)
def test_gradients_in_double_precision(enhancement):
    module = make(3, enhancement=enhancement)
    x = torch.randn(1, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: module(x)[0], x)


@pytest.mark.parametrize("frames", [1, 2, 3, 25, 30])
@pytest.mark.parametrize(("mixer", "enhancement"), TABLE_4)
def test_gradient_reaches_every_parameter(mixer, enhancement, frames):
    torch.manual_seed(0)
    module = TemporalAttentionModule(WIDTH, HEADS, frames, mixer=mixer, enhancement=enhancement)
    z, attended = module(torch.randn(3, frames, WIDTH))
    assert z.shape == attended.shape == (3, frames, WIDTH)
    z.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if frames > 1:  # a single frame attends to itself whatever its query
            assert parameter.grad.abs().sum() > 0, name


class RunningSum(SequenceMixer):
    name = "sum"

    def __init__(self, dim, layer, num_layers):
        super().__init__()

    def forward(self, x):
        return x.cumsum(dim=1)


def test_a_causal_mixer_of_ones_own_runs_both_ways():
    module, x = make(mixer=RunningSum, enhancement="none"), torch.randn(2, 5, WIDTH, dtype=torch.float64)
    normal = module.norm1(x)
    z, attended = module(x)
    torch.testing.assert_close(attended, normal.sum(dim=1, keepdim=True) + normal)  # a frame is in both sums
    torch.testing.assert_close(z, attended + normal)


def test_drops_while_training_only():
    module, x = make(dropout=0.5), torch.randn(2, 5, WIDTH, dtype=torch.float64)
    assert torch.equal(module(x)[0], module(x)[0])
    module.train()
    assert not torch.equal(module(x)[0], module(x)[0])
    quiet = make(dropout=0.0)
    z, _ = quiet(x)
    assert torch.equal(quiet.train()(x)[0], z)
    assert torch.equal(module.eval()(x)[0], z)


def test_stack_puts_out_its_last_attention():
    torch.manual_seed(0)
    stack, x = TAMStack(3, WIDTH, num_heads=HEADS, num_frames=5).eval(), torch.randn(2, 5, WIDTH)
    z, attended = stack(x)
    for module in stack:
        x, last = module(x)
    assert torch.equal(z, x)
    assert torch.equal(attended, last)


@pytest.mark.parametrize("mixer", ["attention", "mamba"])
@pytest.mark.parametrize("enhancement", ENHANCEMENTS)
def test_bfloat16(mixer, enhancement):
    torch.manual_seed(0)
    module = TemporalAttentionModule(WIDTH, HEADS, 5, mixer=mixer, enhancement=enhancement).eval()
    x = torch.randn(2, 5, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = module(x)
    z.float().square().sum().backward()
    torch.testing.assert_close(z.float(), module(x)[0], rtol=0.1, atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize(("settings", "message"), [
    ({"enhancement": "gate"}, "enhancement 'gate' is unknown. Choose one of: tre, mlp, kan, none."),
    ({"mixer": "conv"}, "mixer 'conv' is unknown. Choose one of: attention, mamba."),
    ({"num_heads": 3}, "3 attention heads do not divide the width 8."),
])
def test_mistakes_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        TemporalAttentionModule(**{"width": WIDTH, "num_heads": HEADS, "num_frames": 5} | settings)
