"""The Triton engine against definitions in float64. `test_scan_triton.py` runs this file, in processes of their own: in
Triton's interpreter, which is slow (so the sizes are tiny), and on the GPU where there is one."""

import itertools
import os

import pytest
import torch
import torch.nn.functional as F

from model.kernels.conv import causal_conv_silu
from model.kernels.scan import explain, reference, selective_scan, triton_engine
from model.kernels.scan.dispatch import flip_last_rows

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
on_gpu = pytest.mark.skipif(INTERPRETED, reason="for a GPU")
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
SERIES = {"u", "delta", "B", "C", "z"}
# Of the largest value, where the true one is in float64. An exponential is right to 2^-22 of its value on a GPU, and an
# error in a state lives on over the steps; the sums of a gradient add those of rows, steps or channels.
OUTPUT, GRADIENT = 4e-6, 2e-5
# A unit in bfloat16's last place, or half of it: results are rounded once, all arithmetic being in float32. GPUs round
# to the nearest; the interpreter cuts off.
HALF = 2**-7 if INTERPRETED else 2**-8
STEPS, ROWS = (3, 2) if INTERPRETED else (7, 3)  # of cases that compare bits, which any size shows


def make_inputs(length, channels=24, states=4, rows=3, absent=(), seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    u, delta, z = (normal(rows, length, channels) for _ in range(3))
    B, C = (normal(rows, length, states) for _ in range(2))
    inputs = (u, delta, -torch.exp(normal(channels, states)), B, C, normal(channels), z, normal(channels) - 1)
    return [None if name in absent else x for name, x in zip(NAMES, inputs, strict=True)]


def flipped_reference(*inputs, num_reversed=0, **options):
    """The definition, with the last rows turned before it and their results turned back."""
    turned = [flip_last_rows(x, num_reversed) if name in SERIES and x is not None else x
              for name, x in zip(NAMES, inputs, strict=True)]
    return flip_last_rows(reference.selective_scan(*turned, **options), num_reversed)


def results(function, inputs, device="cpu", dtypes=(torch.float64,), **options):
    """[y, the gradient of each input], for inputs in `dtypes` taken in turn."""
    leaves = [None if x is None else x.to(device, dtype).detach().requires_grad_()
              for x, dtype in zip(inputs, itertools.cycle(dtypes))]
    y = function(*leaves, **options)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(y)  # the same in any dtype
    return [y.detach(), *torch.autograd.grad(y, [x for x in leaves if x is not None], weight)]


def assert_close(ours, theirs, tolerances=(OUTPUT, GRADIENT)):
    for index, (got, wanted) in enumerate(zip(ours, theirs, strict=True)):
        assert got.shape == wanted.shape
        error, scale = (got.cpu().double() - wanted).abs().max().item(), wanted.abs().max().item()
        assert error <= tolerances[index > 0] * scale, (index, error / scale)


def check_scan(inputs, **options):
    ours = results(selective_scan, inputs, DEVICE, (torch.float32,), engine="triton", **options)
    assert_close(ours, results(flipped_reference, inputs, **options))


def test_it_can_be_used_here():
    with torch.inference_mode():  # where the check of gradients has to work too
        assert triton_engine.unavailable() is None
    assert explain("triton", torch.device(DEVICE)) == "scan engine: triton (set in the config)"


def test_it_is_chosen_on_a_gpu_and_never_in_the_interpreter():
    chosen = explain("auto", torch.device(DEVICE)).split()[2]
    assert (chosen == "triton") != INTERPRETED
    assert not triton_engine.supports(torch.zeros(1))


@pytest.mark.parametrize("length", [1, 7, *(pytest.param(length, marks=on_gpu) for length in (25, 30))])
def test_every_length(length):
    check_scan(make_inputs(length, rows=2), num_reversed=1)


def test_several_chunks_of_several_rows_over_a_program(monkeypatch):
    """18 steps are three chunks, the last of two; two programs take 2 and 1 of the 3 rows."""
    monkeypatch.setattr(triton_engine, "PROGRAMS", 2)
    check_scan(make_inputs(18), num_reversed=2)


@pytest.mark.parametrize("states", [1, 3, 16, 33])
def test_every_number_of_states(states):
    check_scan(make_inputs(5, channels=40, states=states, rows=1))


@pytest.mark.parametrize("num_reversed", [0, 1, 3])
@pytest.mark.parametrize("length", [2])
def test_reversed_rows(length, num_reversed):
    check_scan(make_inputs(length), num_reversed=num_reversed)


@pytest.mark.parametrize("absent", [("D",), ("z", "delta_bias"), ("D", "z", "delta_bias")])
def test_optional_inputs_may_be_absent(absent):
    check_scan(make_inputs(3, rows=2, absent=absent), num_reversed=1)


def test_without_softplus():
    inputs = make_inputs(STEPS, rows=2)
    check_scan([inputs[0], inputs[1].abs(), *inputs[2:7], inputs[7].abs()], delta_softplus=False)


@pytest.mark.parametrize("shift", [-12.0, 8.0, 100.0])
def test_small_and_large_steps(shift):
    """softplus from exp(x), where 1 + exp(x) is nearly 1, to x; decays from nearly one to none."""
    inputs = make_inputs(STEPS, rows=2)
    check_scan([*inputs[:7], inputs[7] + shift])


def test_a_nan_stays_in_its_channel_and_reaches_everything_after_it():
    inputs = [x.to(DEVICE) for x in make_inputs(7, rows=2)]
    inputs[0][1, 3, 5] = float("nan")
    y = selective_scan(*inputs, engine="triton", num_reversed=1).cpu()
    assert y.isnan().nonzero().tolist() == [[1, t, 5] for t in range(4)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    """Inputs are rounded before both, so only the rounding of the results differs; the parameters stay in float32."""
    inputs = [x.to(dtype).float() if name in SERIES else x
              for name, x in zip(NAMES, make_inputs(STEPS, rows=ROWS), strict=True)]
    dtypes = [dtype if name in SERIES else torch.float32 for name in NAMES]
    ours = results(selective_scan, inputs, DEVICE, dtypes, engine="triton", num_reversed=1)
    assert [x.dtype for x in ours] == [dtype, *dtypes]
    assert_close(ours, results(flipped_reference, inputs, num_reversed=1), (HALF, HALF))


def test_strided_inputs_give_the_same_bits():
    """As Mamba has them: u and z halves of one projection, B and C slices of another; and a gradient with gaps."""
    u, delta, A, B, C, D, z, bias = inputs = [x.to(DEVICE) for x in make_inputs(STEPS, rows=ROWS)]
    both, parts = torch.cat([u, z], -1), torch.cat([delta[..., :3], B, C], -1)
    strided = [both[..., :24], delta.transpose(0, 1).contiguous().transpose(0, 1), A.t().contiguous().t(),
               parts[..., 3:7], parts[..., 7:], D, both[..., 24:], torch.stack([bias, bias], 1)[:, 0]]
    assert sum(x.is_contiguous() for x in strided) == 1
    weight = torch.randn(ROWS, STEPS, 48, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    runs = []
    for tensors, dy in ((strided, weight[..., 1::2]), (inputs, weight[..., 1::2].contiguous())):
        leaves = [x.detach().requires_grad_() for x in tensors]
        y = selective_scan(*leaves, engine="triton", num_reversed=1)
        assert y.is_contiguous()
        runs.append([y, *torch.autograd.grad(y, leaves, dy)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_an_expanded_gradient():
    leaves = [x.to(DEVICE).requires_grad_() for x in make_inputs(2)]
    ours = torch.autograd.grad(selective_scan(*leaves, engine="triton").sum(), leaves)
    theirs = torch.autograd.grad(selective_scan(*leaves, engine="reference").sum(), leaves)
    for got, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


@on_gpu  # in the interpreter one thread adds in one order
def test_two_runs_give_the_same_bits():
    inputs = make_inputs(STEPS, channels=40, rows=2)
    first, second = (results(selective_scan, inputs, DEVICE, (torch.float32,), engine="triton", num_reversed=1)
                     for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_autocast_changes_nothing():
    inputs = make_inputs(STEPS, rows=ROWS)
    plain = results(selective_scan, inputs, DEVICE, (torch.float32,), engine="triton")
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        for _ in range(2):
            cast = results(selective_scan, inputs, DEVICE, (torch.float32,), engine="triton")
            assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


@pytest.mark.parametrize(("rows", "length"), [(0, 7), (2, 0)])
def test_empty_inputs(rows, length):
    y, *gradients = results(selective_scan, make_inputs(length, rows=rows), DEVICE, (torch.float32,), engine="triton")
    assert y.shape == (rows, length, 24)
    assert not any(gradient.any() for gradient in gradients)
    conv = [torch.zeros(rows, length, 24), torch.zeros(24, 4), torch.zeros(24)]
    y, *gradients = results(triton_engine.causal_conv_silu, conv, DEVICE, (torch.float32,))
    assert y.shape == (rows, length, 24)
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_and_types_are_refused(name):
    for spoil in (lambda x: x[..., :-1], lambda x: x.double(), lambda x: x.to("meta")):
        inputs = [spoil(x) if name == other else x for other, x in zip(NAMES, make_inputs(2), strict=True)]
        with pytest.raises(ValueError, match=r"selective_scan: .* expected"):
            triton_engine.selective_scan(*inputs)


def conv_inputs(length, channels=24, taps=4, rows=3):
    generator = torch.Generator().manual_seed(0)
    shapes = (rows, length, channels), (channels, taps), (channels,)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


def conv_truth(u, weight, bias, num_reversed=0):
    u = flip_last_rows(u, num_reversed)
    padded = F.pad(u.transpose(1, 2), (weight.shape[1] - 1, 0))
    y = F.silu(F.conv1d(padded, weight[:, None], bias, groups=len(bias)))
    return flip_last_rows(y.transpose(1, 2), num_reversed)


def check_conv(inputs, **options):
    ours = results(triton_engine.causal_conv_silu, inputs, DEVICE, (torch.float32,), **options)
    assert_close(ours, results(conv_truth, inputs, **options))


@pytest.mark.parametrize(("num_reversed", "length"), [(0, 9), (1, 1), (1, 9), (3, 9)])
def test_conv(length, num_reversed):
    check_conv(conv_inputs(length), num_reversed=num_reversed)


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_conv_of_every_width(taps):
    check_conv(conv_inputs(9, taps=taps, rows=2), num_reversed=1)


def test_conv_of_several_tiles_over_a_program(monkeypatch):
    """Two blocks of channels, 2 rows of 3 spans of steps: with 4 programs, two groups of three tiles each."""
    monkeypatch.setattr(triton_engine, "PROGRAMS", 4)
    check_conv(conv_inputs(18, channels=70, rows=2), num_reversed=1)


def test_conv_of_a_strided_half_gives_the_same_bits_twice():
    u, weight, bias = (x.to(DEVICE) for x in conv_inputs(2 * STEPS, rows=ROWS))
    half = torch.cat([u, u], -1)[..., 24:]
    runs = []
    for x in (u, half, half):
        leaves = [value.detach().requires_grad_() for value in (x, weight, bias)]
        y = triton_engine.causal_conv_silu(*leaves, num_reversed=1)
        assert y.is_contiguous()
        runs.append([y, *torch.autograd.grad(y.sum(), leaves)])
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


def test_conv_gives_the_type_of_the_readable_one():
    """bfloat16 under autocast meets parameters in float32."""
    u, weight, bias = conv_inputs(7)
    u = u.bfloat16()
    for kinds in ((torch.bfloat16, torch.float32), (torch.bfloat16, torch.bfloat16)):
        inputs = [u, weight.to(kinds[1]), bias.to(kinds[1])]
        ours = results(triton_engine.causal_conv_silu, inputs, DEVICE, (kinds[0], kinds[1], kinds[1]))
        readable = results(causal_conv_silu, inputs, "cpu", (kinds[0], kinds[1], kinds[1]))
        assert [x.dtype for x in ours] == [x.dtype for x in readable]
        assert_close(ours, results(conv_truth, inputs), (HALF, HALF))


@on_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "length", "channels"), [(128, 7, 512), (64, 30, 512), (8, 300, 768), (3, 1000, 500)])
def test_real_sizes(rows, length, channels, dtype):
    inputs = [x.to(dtype).float() if name in SERIES else x for name, x in
              zip(NAMES, make_inputs(length, channels, 16, rows), strict=True)]
    dtypes = [dtype if name in SERIES else torch.float32 for name in NAMES]
    ours = results(selective_scan, inputs, DEVICE, dtypes, engine="triton", num_reversed=rows // 2)
    again = results(selective_scan, inputs, DEVICE, dtypes, engine="triton", num_reversed=rows // 2)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    truth = [x.cpu() for x in results(flipped_reference, inputs, DEVICE, num_reversed=rows // 2)]
    assert_close(ours, truth, (OUTPUT, GRADIENT) if dtype == torch.float32 else (HALF, HALF))


@on_gpu
@pytest.mark.parametrize(("rows", "length", "channels"), [(128, 7, 512), (64, 30, 512), (3, 1000, 500)])
def test_conv_at_real_sizes(rows, length, channels):
    check_conv(conv_inputs(length, channels, rows=rows), num_reversed=rows // 2)
    u, weight, bias = (x.to(DEVICE) for x in conv_inputs(length, channels, rows=rows))
    assert torch.equal(causal_conv_silu(u, weight, bias), triton_engine.causal_conv_silu(u, weight, bias))


@on_gpu
def test_very_long_rows():
    inputs = make_inputs(10_000, 64, 16, rows=2)
    truth = [x.cpu() for x in results(flipped_reference, inputs, DEVICE, num_reversed=1)]
    assert_close(results(selective_scan, inputs, DEVICE, (torch.float32,), engine="triton", num_reversed=1), truth)
