"""Every scan engine against the reference in float64: outputs and gradients, at awkward lengths."""

import itertools

import pytest
import torch

from model.kernels.scan import ENGINES, explain, reference, selective_scan
from model.kernels.scan.dispatch import flip_last_rows
from utils.errors import UserError

USABLE = [name for name in ("pytorch", "cpu", "numba") if not getattr(ENGINES[name], "unavailable", lambda: None)()]
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def inputs(length, dim=24, states=4, rows=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A = -torch.exp(draw(dim, states))
    values = (draw(rows, length, dim), draw(rows, length, dim), A, draw(rows, length, states),
              draw(rows, length, states), draw(dim), draw(rows, length, dim), draw(dim))
    return [value.to(dtype).requires_grad_() for value in values]


def run(scan, tensors, **options):
    y = scan(*tensors, **options)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    used = [tensor for tensor in tensors if tensor is not None]
    return y, torch.autograd.grad((y * weights).sum(), used)


def assert_close(ours, theirs, tolerance, name=""):
    error = (ours.double() - theirs.double()).abs().max() / theirs.abs().max().clamp(min=1e-12)
    assert error <= tolerance, f"{name}: {error:.2e}"


@pytest.mark.parametrize("engine", USABLE)
@pytest.mark.parametrize("length", [1, 2, 7, 25, 30, 100])
def test_engines_agree_with_reference_in_float32(engine, length):
    truth, gradients = run(reference.selective_scan, inputs(length))
    y, ours = run(selective_scan, inputs(length, dtype=torch.float32), engine=engine)
    assert_close(y.detach(), truth.detach(), 2e-6, "y")
    for name, mine, theirs in zip(NAMES, ours, gradients, strict=True):
        assert_close(mine, theirs, 1e-5, name)


@pytest.mark.parametrize("engine", ["auto", *USABLE])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_gives_half_precision_out(engine, dtype):
    """With all arithmetic in float32, whether the engine reads such tensors or has them widened."""
    frames = [NAMES.index(name) for name in ("u", "delta", "B", "C", "z")]
    leaves = [x.detach().to(dtype if i in frames else torch.float32).requires_grad_() for i, x in enumerate(inputs(25))]
    truth, gradients = run(reference.selective_scan, [x.detach().double().requires_grad_() for x in leaves])
    y, ours = run(selective_scan, leaves, engine=engine)
    assert y.dtype == dtype
    assert_close(y.detach(), truth.detach(), torch.finfo(dtype).eps, "y")
    for name, leaf, mine, theirs in zip(NAMES, leaves, ours, gradients, strict=True):
        assert mine.dtype == leaf.dtype
        assert_close(mine, theirs, 2 * torch.finfo(dtype).eps, name)  # their dy is not rounded


@pytest.mark.skipif("numba" not in USABLE, reason="numba cannot be used")
def test_half_precision_goes_to_the_engine_that_float32_would(monkeypatch):
    numba, seen = ENGINES["numba"], []
    scan = numba.selective_scan
    monkeypatch.setattr(ENGINES["cpu"], "unavailable", lambda: "no compiler")
    monkeypatch.setattr(numba, "selective_scan", lambda u, *others: seen.append(u.dtype) or scan(u, *others))
    tensors = [x.detach().float() for x in inputs(7)]
    selective_scan(tensors[0].bfloat16(), tensors[1].bfloat16(), *tensors[2:6], tensors[6].bfloat16())
    assert seen == [torch.float32]


def test_pytorch_engine_in_float64_over_several_chunks(monkeypatch):
    monkeypatch.setattr(ENGINES["pytorch"], "CHUNK_ELEMENTS", 24 * 4 * 2)
    truth, gradients = run(reference.selective_scan, inputs(11, rows=5))
    y, ours = run(selective_scan, inputs(11, rows=5), engine="pytorch")
    assert_close(y.detach(), truth.detach(), 1e-13, "y")
    for name, mine, theirs in zip(NAMES, ours, gradients, strict=True):
        assert_close(mine, theirs, 1e-12, name)


@pytest.mark.parametrize("engine", USABLE)
def test_optional_parts_can_be_left_out(engine):
    def bare(scan, **options):
        tensors = [x.to(torch.float32).detach().requires_grad_() for x in inputs(6)[:5]]
        return run(lambda *x, **o: scan(*x, None, None, None, True, **o), tensors, **options)

    truth, gradients = bare(reference.selective_scan)
    y, ours = bare(selective_scan, engine=engine)
    assert_close(y.detach(), truth.detach(), 2e-6)
    for mine, theirs in zip(ours, gradients, strict=True):
        assert_close(mine, theirs, 1e-5)


def test_reference_against_the_scalar_recurrence():
    u, delta, A, B, C, D, z, bias = (x.detach() for x in inputs(5, dim=2, states=3, rows=2))
    y = reference.selective_scan(u, delta, A, B, C, D, z, bias)
    for row in range(2):
        for channel in range(2):
            state = [0.0, 0.0, 0.0]
            for t in range(5):
                dt = torch.log1p(torch.exp(delta[row, t, channel] + bias[channel])).item()
                x = u[row, t, channel].item()
                state = [float(torch.exp(dt * A[channel, n])) * state[n] + dt * B[row, t, n].item() * x
                         for n in range(3)]
                out = sum(C[row, t, n].item() * state[n] for n in range(3)) + D[channel].item() * x
                gate = z[row, t, channel].item()
                expected = out * gate / (1 + torch.exp(torch.tensor(-gate, dtype=torch.float64)).item())
                assert y[row, t, channel].item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_gradcheck_of_the_hand_written_backward():
    tensors = inputs(3, dim=2, states=2, rows=2)
    assert torch.autograd.gradcheck(lambda *x: selective_scan(*x, engine="pytorch"), tensors)


def test_unknown_or_unusable_engine_is_refused():
    tensors = inputs(2)
    with pytest.raises(UserError, match=r"unknown.*auto"):
        selective_scan(*tensors, engine="warp")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            selective_scan(*tensors, engine="mamba_ssm")


def test_explain_names_the_engine_and_why_not_the_others():
    assert explain("auto", torch.device("cpu")).startswith("scan engine: ")
    assert explain("pytorch", torch.device("cpu")) == "scan engine: pytorch (set in the config)"


@pytest.mark.parametrize("engine", ["reference", *USABLE])
@pytest.mark.parametrize("num_reversed", [1, 3])
@pytest.mark.parametrize("length", [1, 7, 70])
def test_reversed_rows_are_flipped_ones(engine, num_reversed, length):
    """The last rows run from the last step to the first, whether the engine does so itself or not."""
    def flipped(*tensors):
        series = {"u", "delta", "B", "C", "z"}
        turned = [flip_last_rows(x, num_reversed) if name in series else x
                  for name, x in zip(NAMES, tensors, strict=True)]
        return flip_last_rows(reference.selective_scan(*turned), num_reversed)

    truth, gradients = run(flipped, inputs(length))
    y, ours = run(selective_scan, inputs(length, dtype=torch.float32), engine=engine, num_reversed=num_reversed)
    assert_close(y.detach(), truth.detach(), 2e-6, "y")
    for name, mine, theirs in zip(NAMES, ours, gradients, strict=True):
        assert_close(mine, theirs, 1e-5, name)


@pytest.mark.parametrize("engine", ["reference", *USABLE])
@pytest.mark.parametrize("cuts", [[0, 1, 8, 75, 80], [0, 80]])
def test_a_sequence_may_come_in_pieces(engine, cuts):
    """Outputs and the last state are those of the whole, also for sizes that fill no vector or tile."""
    tensors = [x.detach() for x in inputs(cuts[-1], dim=21, states=5)]
    truth = reference.selective_scan(*tensors)
    last = torch.zeros(3, 5, 21, dtype=torch.float64)
    reference.selective_scan(*tensors, state=last)
    state, outputs = torch.zeros(3, 5, 21), []
    with torch.no_grad():
        for start, end in itertools.pairwise(cuts):
            piece = [x[:, start:end].float() if name in ("u", "delta", "B", "C", "z") else x.float()
                     for name, x in zip(NAMES, tensors, strict=True)]
            outputs.append(selective_scan(*piece, engine=engine, state=state))
    assert_close(torch.cat(outputs, 1), truth, 2e-6, "y")
    assert_close(state, last, 2e-6, "state")
