"""The C++ selective scan against a float64 loop, on every instruction set this CPU has."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch.nn import functional as F

from model.kernels.cpp import native
from model.kernels.scan import cpu
from model.kernels.scan.dispatch import flip_last_rows

REASON = cpu.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
ROOT = Path(__file__).resolve().parents[1]
NAMES = ("u", "delta", "A", "Bm", "C", "D_skip", "z", "delta_bias")
LENGTHS = (1, 2, 7, 13, 25, 30, 100)


def naive_scan(u, delta, A, Bm, C, D_skip, z, delta_bias, delta_softplus=True):
    dt = delta if delta_bias is None else delta + delta_bias
    dt = F.softplus(dt) if delta_softplus else dt
    h = u.new_zeros(u.shape[0], *A.shape)
    ys = []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + (dt[:, t] * u[:, t])[:, :, None] * Bm[:, t, None]
        ys.append((h * C[:, t, None]).sum(-1))
    y = torch.stack(ys, 1)
    y = y if D_skip is None else y + D_skip * u
    return y if z is None else y * F.silu(z)


def make_inputs(batch, length, channels, states, dt_shift=-2.0, absent=()):
    random = torch.Generator().manual_seed(length + 100 * channels + states)

    def normal(*shape):
        return torch.randn(*shape, generator=random)

    u, delta, z = (normal(batch, length, channels) for _ in range(3))
    Bm, C = (normal(batch, length, states) for _ in range(2))
    A = -16 * torch.rand(channels, states, generator=random) - 0.05
    inputs = [u, delta, A, Bm, C, normal(channels), z, normal(channels) + dt_shift]
    return [None if name in absent else x for name, x in zip(NAMES, inputs, strict=True)]


def outputs_and_gradients(scan, inputs, dtype, **options):
    leaves = [None if x is None else x.to(dtype).detach().requires_grad_() for x in inputs]
    y = scan(*leaves, **options)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    given = [x for x in leaves if x is not None]
    return [y.detach(), *torch.autograd.grad(y, given, weight)]


def assert_close(inputs, **options):
    """1e-6 of the largest value for outputs, 5e-6 for gradients: some ulps, as sums run over B, L and D."""
    ours = outputs_and_gradients(cpu.selective_scan, inputs, torch.float32, **options)
    exact = outputs_and_gradients(naive_scan, inputs, torch.float64, **options)
    names = ["y", *(name for name, x in zip(NAMES, inputs, strict=True) if x is not None)]
    for name, got, wanted in zip(names, ours, exact, strict=True):
        assert got.shape == wanted.shape
        error, scale = (got - wanted).abs().max().item(), wanted.abs().max().item()
        assert error <= (1e-6 if name == "y" else 5e-6) * scale, (name, error, scale)


@pytest.mark.parametrize("states", [1, 4, 16])
@pytest.mark.parametrize("length", LENGTHS)
def test_agrees_with_the_loop_at_every_length(length, states):
    for channels in (5, 16, 24, 48, 64):
        assert_close(make_inputs(2, length, channels, states))


@pytest.mark.parametrize("states", [3, 7, 21, 32])
def test_agrees_at_any_number_of_states(states):
    assert_close(make_inputs(2, 9, 20, states))


def test_agrees_over_many_rows_and_several_chunks():
    assert_close(make_inputs(70, 5, 24, 16))
    assert_close(make_inputs(1, 200, 130, 5))


@pytest.mark.parametrize("absent", [("D_skip",), ("z",), ("delta_bias",), ("D_skip", "z", "delta_bias")])
def test_optional_inputs_may_be_absent(absent):
    assert_close(make_inputs(2, 13, 24, 16, absent=absent))


def test_without_softplus():
    inputs = make_inputs(2, 13, 24, 16)
    inputs[1], inputs[7] = inputs[1].abs(), inputs[7].abs()
    assert_close(inputs, delta_softplus=False)


@pytest.mark.parametrize("dt_shift", [-12.0, 8.0, 40.0])
def test_small_and_large_steps(dt_shift):
    """exp(dt A) from nearly one down to underflow; softplus from exp(x) to x."""
    assert_close(make_inputs(2, 25, 24, 16, dt_shift=dt_shift))


def test_extreme_steps_stay_finite():
    inputs = make_inputs(1, 4, 16, 4)
    inputs[1] = inputs[1].sign() * 3e38
    inputs[0] = inputs[0] * 1e-30
    results = outputs_and_gradients(cpu.selective_scan, inputs, torch.float32)
    assert results[0].isfinite().all()
    assert torch.allclose(results[0].double(), naive_scan(*[x.double() for x in inputs]), rtol=1e-5)


def test_long_rows():
    inputs = make_inputs(1, 10_000, 4, 2)
    y = cpu.selective_scan(*inputs)
    wanted = naive_scan(*[x.double() for x in inputs])
    assert (y - wanted).abs().max() <= 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_reach_the_output(name, bad):
    inputs = make_inputs(2, 7, 24, 16)
    inputs[NAMES.index(name)].view(-1)[3] = bad
    ours = cpu.selective_scan(*inputs)
    wanted = naive_scan(*inputs)
    assert not wanted.isfinite().all()
    assert torch.equal(ours.isfinite(), wanted.isfinite())


def test_nan_reaches_the_gradients():
    inputs = make_inputs(2, 7, 24, 16)
    inputs[0][0, 3, 5] = float("nan")
    ours = outputs_and_gradients(cpu.selective_scan, inputs, torch.float32)
    exact = outputs_and_gradients(naive_scan, inputs, torch.float64)
    for got, wanted in zip(ours, exact, strict=True):
        assert torch.equal(got.isnan(), wanted.isnan())


@pytest.mark.parametrize("shape", [(64, 30, 128, 16), (1, 700, 256, 16), (3, 100, 500, 16)])
def test_repeats_and_threads_change_no_bit(shape):
    inputs = make_inputs(*shape)
    before = torch.get_num_threads()
    runs = []
    try:
        for threads in (1, 2, 2, 5):
            torch.set_num_threads(threads)
            runs.append(outputs_and_gradients(cpu.selective_scan, inputs, torch.float32))
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize("shape", [(3, 1, 5, 3), (4, 7, 37, 16), (5, 70, 24, 4), (40, 3, 48, 8)])
@pytest.mark.parametrize("num_reversed", [1, 3])
def test_reversed_rows_are_flipped_ones_to_the_bit(shape, num_reversed):
    inputs = make_inputs(*shape)
    series = {"u", "delta", "Bm", "C", "z"}

    def flipped(*tensors):
        turned = [flip_last_rows(x, num_reversed) if name in series else x
                  for name, x in zip(NAMES, tensors, strict=True)]
        return flip_last_rows(cpu.selective_scan(*turned), num_reversed)

    wanted = outputs_and_gradients(flipped, inputs, torch.float32)
    got = outputs_and_gradients(cpu.selective_scan, inputs, torch.float32, num_reversed=num_reversed)
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_several_threads_may_scan_at_once():
    inputs = make_inputs(32, 15, 64, 16)
    wanted = cpu.selective_scan(*inputs)
    results = []
    threads = [Thread(target=lambda: results.append(cpu.selective_scan(*inputs))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(torch.equal(result, wanted) for result in results)


def test_a_forked_process_scans_on_its_own():
    """The child has none of its parent's threads; neither may wait for ever. torch's own threads stay out of it."""
    code = """
import os
from unittest import mock
import torch
from model.kernels.scan import cpu
torch.set_num_threads(1)
inputs = [torch.ones(64, 9, 64), torch.zeros(64, 9, 64), -torch.ones(64, 16), *[torch.ones(64, 9, 16)] * 2]
with mock.patch("torch.get_num_threads", return_value=3):
    wanted = cpu.selective_scan(*inputs).numpy().tobytes()
    child = os.fork()
    same = cpu.selective_scan(*inputs).numpy().tobytes() == wanted
if not child:
    os._exit(0 if same else 1)
print(same, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=60,
                          check=True)
    assert done.stdout.split() == ["True", "0"]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "GOMP_parallel"), reason="torch has no threads of GNU's OpenMP")
def test_torchs_threads_do_the_work():
    code = """
import os
import torch
from model.kernels.scan import cpu
torch.set_num_threads(3)
torch.ones(1 << 20).exp()
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
cpu.selective_scan(torch.ones(64, 9, 64), torch.zeros(64, 9, 64), -torch.ones(64, 16), *[torch.ones(64, 9, 16)] * 2)
print(before, threads())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=60,
                          check=True)
    before, after = done.stdout.split()
    assert int(before) >= 3
    assert before == after


def test_large_outputs_are_ordinary_tensors():
    """They lie on memory that is aligned for huge pages."""
    x = torch.zeros(3, 700, 500).transpose(0, 1)
    made = native.empty_like(x)
    assert made.shape == x.shape
    assert made.is_contiguous()
    assert made.dtype == x.dtype
    assert made.data_ptr() % native.HUGE_PAGE == 0 or native.ASK_FOR_HUGE_PAGES is None
    leaf = torch.zeros(64, 20, 512, requires_grad=True)
    inputs = make_inputs(64, 20, 512, 1)
    y = cpu.selective_scan(leaf, *inputs[1:])
    y.add_(1.0)  # which autograd refuses for a view made in a custom function
    y.sum().backward()
    assert leaf.grad.shape == leaf.shape


def test_strided_inputs():
    """As a model passes them: slices of a wider projection, transposed and expanded tensors."""
    plain = make_inputs(2, 13, 24, 4)
    u, delta, A, Bm, C, D_skip, z, delta_bias = plain
    wide = torch.cat([torch.zeros(2, 13, 3), Bm, C], -1)
    both = torch.cat([u, z], -1)
    strided = [both[..., :24], delta.transpose(0, 1).contiguous().transpose(0, 1), A.t().contiguous().t(),
               wide[..., 3:7], wide[..., 7:], D_skip, both[..., 24:],
               torch.stack([delta_bias, delta_bias], 1)[:, 0]]
    assert not any(x.is_contiguous() for i, x in enumerate(strided) if i != 5)
    wanted = outputs_and_gradients(cpu.selective_scan, plain, torch.float32)
    got = outputs_and_gradients(cpu.selective_scan, strided, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))
    channel_first = [plain[0].transpose(1, 2).contiguous().transpose(1, 2), *plain[1:]]
    assert torch.equal(cpu.selective_scan(*channel_first), wanted[0])


def test_expanded_gradient():
    inputs = [x.requires_grad_() for x in make_inputs(2, 7, 24, 4)]
    got = torch.autograd.grad(cpu.selective_scan(*inputs).sum(), inputs)
    wanted = torch.autograd.grad(cpu.selective_scan(*inputs), inputs, torch.ones(2, 7, 24))
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_empty_batch():
    inputs = make_inputs(0, 7, 24, 4)
    y, *gradients = outputs_and_gradients(cpu.selective_scan, inputs, torch.float32)
    assert y.shape == (0, 7, 24)
    assert all(not g.any() for g in gradients)


@pytest.mark.parametrize("isa", list(native.ISA_FLAGS))
def test_every_instruction_set_agrees(isa, monkeypatch):
    monkeypatch.setenv("VIDEO_HASHING_SCAN_ISA", isa)
    reason = cpu.unavailable()
    if reason:
        assert "this CPU has" in reason
        pytest.skip(reason)
    for shape in ((2, 7, 37, 16), (1, 100, 24, 7), (3, 1, 5, 1)):
        assert_close(make_inputs(*shape))
    test_nan_and_inf_reach_the_output("u", float("nan"))
    test_nan_and_inf_reach_the_output("delta", float("inf"))


@pytest.mark.parametrize("isa", list(native.ISA_FLAGS))
@pytest.mark.parametrize("shape", [(3, 7, 37, 16), (2, 100, 24, 3)])
def test_bfloat16_is_float32_rounded(isa, shape, monkeypatch):
    """To the bit: of frames in bfloat16 all is computed as of the same frames in float32, and rounded at the end."""
    monkeypatch.setenv("VIDEO_HASHING_SCAN_ISA", isa)
    if cpu.unavailable():
        pytest.skip(cpu.unavailable())
    inputs = make_inputs(*shape)
    frames = [NAMES.index(name) for name in ("u", "delta", "z")]
    dy = torch.randn(shape[:3], generator=torch.Generator().manual_seed(0)).bfloat16()
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [x.bfloat16().to(dtype) if i in frames else x.clone() for i, x in enumerate(inputs)]
        leaves = [x.requires_grad_() for x in leaves]
        y = cpu.selective_scan(*leaves, num_reversed=1)
        assert y.dtype == dtype
        results.append([y, *torch.autograd.grad(y, leaves, dy.to(dtype))])
    for half, full in zip(*results, strict=True):
        assert torch.equal(half, full.to(half.dtype))


def test_bfloat16_keeps_nan():
    inputs = [x.bfloat16() if name in ("u", "delta", "z") else x
              for name, x in zip(NAMES, make_inputs(1, 5, 19, 4), strict=True)]
    inputs[0][0, 2] = float("nan")
    y = cpu.selective_scan(*inputs)
    assert y[:, 2:].isnan().all()
    assert y[:, :2].isfinite().all()


def test_unknown_instruction_set_is_named(monkeypatch):
    monkeypatch.setenv("VIDEO_HASHING_SCAN_ISA", "neon")
    assert "VIDEO_HASHING_SCAN_ISA=neon" in cpu.unavailable()
    with pytest.raises(RuntimeError, match="VIDEO_HASHING_SCAN_ISA=neon"):
        cpu.selective_scan(*make_inputs(1, 2, 4, 2))


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shapes_are_refused(name):
    inputs = make_inputs(2, 7, 24, 4)
    inputs[NAMES.index(name)] = inputs[NAMES.index(name)][..., :-1]
    with pytest.raises(ValueError, match="expected"):
        cpu.selective_scan(*inputs)


def test_only_float32_on_the_cpu_is_supported():
    inputs = make_inputs(1, 2, 4, 2)
    assert cpu.supports(*inputs)
    assert cpu.supports(inputs[0], None)
    assert not cpu.supports(*inputs[:-1], inputs[-1].double())
    assert not cpu.supports(inputs[0].to("meta"))
    with pytest.raises(ValueError, match="all bfloat16"):
        cpu.selective_scan(inputs[0].bfloat16(), *inputs[1:])
    with pytest.raises(ValueError, match="float32"):
        cpu.selective_scan(*[x.double() for x in inputs])


@pytest.fixture
def copying_compiler(tmp_path, monkeypatch):
    """A compiler that takes a moment and then makes the library that this process has: nothing is compiled."""
    library = native._library(torch.float32)
    script = tmp_path / "copying-c++"
    script.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && exit\nsleep 0.5\n"
                      f"for last; do :; done\ncp {library._name} \"$last\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))


def test_two_processes_build_at_once(copying_compiler, monkeypatch, tmp_path):
    code = "from model.kernels.scan import cpu; print(cpu.unavailable())"
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDEO_HASHING_SCAN_ISA", "plain")
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for _ in range(2)]
    results = [process.communicate() for process in running]
    assert [out.strip() for out, _ in results] == ["None", "None"], results
    made, = tmp_path.glob("cache/*/*")
    assert re.fullmatch(r"cpu_scan_plain\.[0-9a-f]{64}\.so", made.name)


def test_an_unwritable_cache_is_replaced_by_a_private_folder(copying_compiler, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "file"))
    library = native._load.__wrapped__("plain", torch.float32)
    assert not isinstance(library, str), library
    assert not library._name.startswith(str(tmp_path))


def test_no_compiler_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    reason = native._load.__wrapped__("plain", torch.float32)
    assert "no C++ compiler" in reason
    assert "\n" not in reason


def test_a_failing_compiler_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'fatal error: cannot do it' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "cache"))
    assert native._load.__wrapped__("plain", torch.float32).endswith("fatal error: cannot do it")
