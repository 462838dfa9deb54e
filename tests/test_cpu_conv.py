"""The C++ convolution against the readable one in float64, on every instruction set this CPU has."""

import pytest
import torch

from model.kernels import conv as causal_conv
from model.kernels.conv import cpu as cpu_conv
from model.kernels.cpp import native
from model.kernels.scan.dispatch import flip_last_rows

REASON = cpu_conv.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def readable(*inputs, num_reversed=0):
    return causal_conv._CausalConvSilu.apply(*inputs, num_reversed)


def make_inputs(rows, length, channels, taps=4):
    random = torch.Generator().manual_seed(length + 100 * channels + taps)
    shapes = (rows, length, channels), (channels, taps), (channels,)
    return [torch.randn(*shape, generator=random) for shape in shapes]


def output_and_gradients(conv, inputs, dtype=torch.float32, **options):
    leaves = [x.to(dtype).requires_grad_() for x in inputs]
    y = conv(*leaves, **options)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, weights)]


def assert_close(inputs, **options):
    """1e-6 of the largest value: some ulps, as sums run over rows and steps."""
    ours = output_and_gradients(cpu_conv.causal_conv_silu, inputs, **options)
    exact = output_and_gradients(readable, inputs, torch.float64, **options)
    for got, wanted in zip(ours, exact, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("taps", [1, 2, 4, 7])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 30])
def test_agrees_with_the_readable_version(length, taps):
    for channels in (5, 16, 37):
        assert_close(make_inputs(3, length, channels, taps))


def test_agrees_over_many_rows():
    assert_close(make_inputs(70, 9, 40))


@pytest.mark.parametrize("num_reversed", [1, 3])
@pytest.mark.parametrize(("length", "taps"), [(1, 4), (2, 4), (25, 4), (9, 3)])
def test_reversed_rows_are_flipped_ones_to_the_bit(length, taps, num_reversed):
    def flipped(u, weight, bias):
        y = cpu_conv.causal_conv_silu(flip_last_rows(u, num_reversed), weight, bias)
        return flip_last_rows(y, num_reversed)

    inputs = make_inputs(4, length, 37, taps)
    wanted = output_and_gradients(flipped, inputs)
    got = output_and_gradients(cpu_conv.causal_conv_silu, inputs, num_reversed=num_reversed)
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_strided_inputs():
    """As a model passes them: half of a projection, and a weight that is a slice of a Conv1d's."""
    u, weight, bias = make_inputs(3, 9, 24)
    strided = [torch.cat([u, u + 1], -1)[..., :24], torch.stack([weight, weight], 1)[:, 0], bias]
    transposed = [u.transpose(1, 2).contiguous().transpose(1, 2), weight.t().contiguous().t(), bias]
    wanted = output_and_gradients(cpu_conv.causal_conv_silu, [u, weight, bias])
    for inputs in (strided, transposed):
        assert not inputs[0].is_contiguous()
        got = output_and_gradients(cpu_conv.causal_conv_silu, inputs)
        assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_gradient_of_a_strided_or_expanded_output_gradient():
    leaves = [x.requires_grad_() for x in make_inputs(3, 9, 24)]
    wanted = torch.autograd.grad(cpu_conv.causal_conv_silu(*leaves), leaves, torch.ones(3, 9, 24))
    for weights in (torch.ones(()).expand(3, 9, 24), torch.ones(3, 24, 9).transpose(1, 2)):
        got = torch.autograd.grad(cpu_conv.causal_conv_silu(*leaves), leaves, weights)
        assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("shape", [(64, 30, 512), (1, 700, 256), (3, 100, 500)])
def test_repeats_and_threads_change_no_bit(shape):
    inputs = make_inputs(*shape)
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 2, 2, 5):
            torch.set_num_threads(threads)
            runs.append(output_and_gradients(cpu_conv.causal_conv_silu, inputs))
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_nan_reaches_the_steps_that_see_it():
    inputs = make_inputs(2, 9, 20)
    inputs[0][1, 3, 7] = float("nan")
    y = cpu_conv.causal_conv_silu(*inputs)
    assert y.isnan().nonzero().tolist() == [[1, step, 7] for step in (3, 4, 5, 6)]


def test_large_values_saturate():
    u = torch.tensor([-3e38, -200.0, 0.0, 200.0, 3e38]).reshape(5, 1, 1)
    y, slope = output_and_gradients(cpu_conv.causal_conv_silu, [u, torch.ones(1, 1), torch.zeros(1)])[:2]
    assert y.flatten().tolist() == [0.0, 0.0, 0.0, 200.0, u[4].item()]
    assert slope.isfinite().all()


def test_empty_batch():
    y, *gradients = output_and_gradients(cpu_conv.causal_conv_silu, make_inputs(0, 9, 24))
    assert y.shape == (0, 9, 24)
    assert all(not g.any() for g in gradients)


@pytest.mark.parametrize("isa", list(native.ISA_FLAGS))
def test_every_instruction_set_agrees(isa, monkeypatch):
    monkeypatch.setenv("VIDEO_HASHING_SCAN_ISA", isa)
    reason = cpu_conv.unavailable()
    if reason:
        assert "this CPU has" in reason
        pytest.skip(reason)
    assert_close(make_inputs(3, 9, 37))
    assert_close(make_inputs(3, 9, 37, taps=2), num_reversed=2)
    test_nan_reaches_the_steps_that_see_it()


@pytest.mark.parametrize("taps", [2, 4])
def test_bfloat16_is_float32_rounded(taps):
    u, weight, bias = make_inputs(3, 9, 37, taps)
    dy = torch.randn(u.shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [x.clone().requires_grad_() for x in (u.bfloat16().to(dtype), weight, bias)]
        y = causal_conv.causal_conv_silu(*leaves, 1)
        assert y.dtype == dtype
        results.append([y, *torch.autograd.grad(y, leaves, dy.to(dtype))])
    for half, full in zip(*results, strict=True):
        assert torch.equal(half, full.to(half.dtype))


@pytest.mark.parametrize("shapes", [((2, 9), (9, 4), (9,)), ((2, 9, 5), (4, 4), (5,)), ((2, 9, 5), (5, 4), (4,)),
                                    ((2, 9, 5), (5, 0), (5,))])
def test_wrong_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="expected"):
        cpu_conv.causal_conv_silu(*(torch.zeros(shape) for shape in shapes))


def test_other_precisions_are_refused():
    with pytest.raises(ValueError, match="float32"):
        cpu_conv.causal_conv_silu(*(x.double() for x in make_inputs(1, 2, 3)))


def test_the_model_uses_it_for_float32_and_the_readable_version_else(monkeypatch):
    inputs = make_inputs(3, 9, 37)
    assert torch.equal(causal_conv.causal_conv_silu(*inputs, 1), cpu_conv.causal_conv_silu(*inputs, 1))
    monkeypatch.setattr(cpu_conv, "causal_conv_silu", None)
    double = [x.double() for x in inputs]
    assert torch.equal(causal_conv.causal_conv_silu(*double, 1), readable(*double, num_reversed=1))
    monkeypatch.setattr(cpu_conv, "unavailable", lambda: "no compiler")
    assert torch.equal(causal_conv.causal_conv_silu(*inputs, 1), readable(*inputs, num_reversed=1))
