import pytest
import torch
import torch.nn.functional as F

from model.kernels.conv import causal_conv_silu
from model.kernels.conv import cpu as cpu_conv
from model.kernels.scan.dispatch import flip_last_rows


def inputs(length, taps=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = (3, length, 6), (6, taps), (6,)
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("taps", [1, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 25])
def test_against_conv1d(length, taps):
    u, weight, bias = inputs(length, taps)
    padded = F.pad(u.transpose(1, 2), (taps - 1, 0))
    expected = F.silu(F.conv1d(padded, weight[:, None], bias, groups=6)).transpose(1, 2)
    result = causal_conv_silu(u, weight, bias)
    torch.testing.assert_close(result, expected)
    probe = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view_as(result)
    for ours, theirs in zip(torch.autograd.grad(result, (u, weight, bias), probe),
                            torch.autograd.grad(expected, (u, weight, bias), probe), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradient_against_finite_differences():
    assert torch.autograd.gradcheck(causal_conv_silu, inputs(5))


@pytest.mark.parametrize("num_reversed", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 25])
def test_reversed_rows_are_flipped_ones(length, num_reversed):
    u, weight, bias = inputs(length)
    flipped = causal_conv_silu(flip_last_rows(u, num_reversed), weight, bias)
    expected, result = flip_last_rows(flipped, num_reversed), causal_conv_silu(u, weight, bias, num_reversed)
    torch.testing.assert_close(result, expected)
    probe = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view_as(result)
    for ours, theirs in zip(torch.autograd.grad(result, (u, weight, bias), probe),
                            torch.autograd.grad(expected, (u, weight, bias), probe), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(cpu_conv.unavailable() is not None, reason=str(cpu_conv.unavailable()))
@pytest.mark.parametrize("num_reversed", [0, 1, 3])
@pytest.mark.parametrize(("length", "taps", "channels"), [(1, 4, 6), (2, 4, 16), (3, 1, 33), (25, 4, 64), (70, 5, 100)])
def test_the_compiled_one_against_the_readable_one(length, taps, channels, num_reversed):
    """Float32 against float64, from one half of a wider tensor and under a gradient of free strides."""
    generator = torch.Generator().manual_seed(length)
    wide = torch.randn(3, length, 2 * channels, generator=generator)
    weight, bias = torch.randn(channels, taps, generator=generator), torch.randn(channels, generator=generator)
    probe = torch.randn(length, 3, channels, generator=generator).transpose(0, 1)

    def run(function, dtype):
        leaves = [x.to(dtype).requires_grad_() for x in (wide, weight, bias)]
        y = function(leaves[0][..., :channels], *leaves[1:], num_reversed)
        return [y, *torch.autograd.grad(y, leaves, probe.to(dtype))]

    for ours, truth in zip(run(cpu_conv.causal_conv_silu, torch.float32), run(causal_conv_silu, torch.float64),
                           strict=True):
        torch.testing.assert_close(ours.double(), truth, rtol=1e-5, atol=1e-5)
