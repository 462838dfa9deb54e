"""B-spline bases and the layers made of them, against scipy and naive loops."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from model.methods.vhmt.kan import KANLinear, TemporalKAN, spline_bases

SPLINES = [(5, 3, (-1.0, 1.0)), (8, 3, (-1.0, 1.0)), (5, 2, (-2.0, 1.0)), (7, 4, (0.0, 3.0)), (6, 5, (0.0, 0.5))]


def silu(x):
    return x / (1 + np.exp(-x))


def scipy_bases(x, coefficients, degree, grid):
    step = (grid[1] - grid[0]) / (coefficients - degree)
    knots = grid[0] + step * np.arange(-degree, coefficients + 1)
    bases = [BSpline.basis_element(knots[p: p + degree + 2], extrapolate=False)(x) for p in range(coefficients)]
    return np.nan_to_num(np.stack(bases, axis=-1))


@pytest.mark.parametrize("spline", SPLINES)
def test_bases_equal_scipy(spline):
    x = np.linspace(-9, 9, 721)
    bases = spline_bases(torch.from_numpy(x), *spline)
    np.testing.assert_allclose(bases, scipy_bases(x, *spline), atol=1e-14)
    inside = (x >= spline[2][0]) & (x <= spline[2][1])
    np.testing.assert_allclose(bases[inside].sum(-1), 1)


def test_default_bases_by_hand():
    bases = spline_bases(torch.tensor([0.0, 2.0, 4.0, -100.0, 1e30]))
    sixth = 1 / 6
    torch.testing.assert_close(bases, torch.tensor([
        [0, sixth, 4 * sixth, sixth, 0], [0, 0, 0, sixth, 4 * sixth], [0] * 5, [0] * 5, [0] * 5]))


@pytest.mark.parametrize("spline", SPLINES)
def test_gradients_of_the_bases(spline):
    x = torch.linspace(-4.9, 4.9, 24, dtype=torch.float64, requires_grad=True)  # no knot of any
    assert torch.autograd.gradcheck(lambda x: spline_bases(x, *spline), x)


def make(module, seed=0):
    torch.manual_seed(seed)
    return module().double()


def naive_layer(layer, x):
    """Eq. 17 for one row, edge by edge."""
    omega, omega_, c = (value.detach().numpy() for value in
                        (layer.base_weight, layer.spline_weight, layer.spline_coefficients))
    bases = scipy_bases(x, c.shape[2], layer.degree, layer.grid)
    return np.array([sum(omega[o, i] * silu(x[i]) + omega_[o, i] * sum(c[o, i] * bases[i]) for i in range(len(x)))
                     for o in range(len(omega))])


def test_layer_equals_a_loop_over_edges():
    layer = make(lambda: KANLinear(4, 3))
    torch.nn.init.normal_(layer.spline_weight)
    x = 3 * torch.randn(2, 5, 4, dtype=torch.float64)
    expected = [[naive_layer(layer, row) for row in rows] for rows in x.numpy()]
    np.testing.assert_allclose(layer(x).detach(), expected)


def test_layer_beyond_the_knots_is_its_base():
    layer, x = make(lambda: KANLinear(2, 1)), torch.tensor([[50.0, -6.0]], dtype=torch.float64)
    torch.testing.assert_close(layer(x), torch.nn.functional.silu(x) @ layer.base_weight.T)


def test_gradients_of_the_layer():
    layer = make(lambda: KANLinear(3, 2))
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def call(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *values))


@pytest.mark.parametrize("length", [1, 2, 3, 25, 30])
def test_temporal_kan_maps_each_column_by_the_same_layers(length):
    kan = make(lambda: TemporalKAN(length))
    assert len(kan.layers) == 2
    x = torch.randn(2, length, 3, dtype=torch.float64)
    expected = np.empty_like(x)
    for row in range(2):
        for column in range(3):
            hidden = naive_layer(kan.layers[0], x[row, :, column].numpy())
            expected[row, :, column] = naive_layer(kan.layers[1], hidden)
    np.testing.assert_allclose(kan(x).detach(), expected)


def test_half_precision():
    kan, x = TemporalKAN(25), torch.randn(2, 25, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = kan(x.bfloat16())
    y.float().sum().backward()
    torch.testing.assert_close(y.float(), kan(x), rtol=0.05, atol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in kan.parameters())


def test_half_precision_keeps_the_bases_in_single():
    layer, x = KANLinear(1, 1), torch.linspace(-2, 2, 50).bfloat16()[:, None]
    with torch.no_grad():
        layer.base_weight.zero_()
        layer.spline_coefficients.copy_(torch.tensor([0, 0, 1, 0, 0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), spline_bases(x.float())[..., 2].bfloat16())
