"""What is particular to the numba engine of the selective scan; `test_scan` compares it with the reference."""

import sys
import tracemalloc

import pytest
import torch

from model.kernels.scan import cpu, explain, numba_engine, reference
from tests.test_scan import NAMES, assert_close, inputs, run
from utils.jit import compiled

REASON = numba_engine.unavailable()
needs_numba = pytest.mark.skipif(REASON is not None, reason=str(REASON))
scan = numba_engine.selective_scan


@needs_numba
@pytest.mark.parametrize(("rows", "length", "dim", "states"), [
    (1, 1, 1, 1), (2, 63, 64, 4), (2, 64, 65, 5), (1, 130, 130, 3), (70, 3, 64, 16)])
def test_agrees_where_blocks_tiles_chunks_and_groups_are_not_whole(rows, length, dim, states):
    """2e-6 and 3e-6 of the largest value: some ulps, as sums run over rows, steps and channels."""
    truth, gradients = run(reference.selective_scan, inputs(length, dim, states, rows))
    y, ours = run(scan, inputs(length, dim, states, rows, dtype=torch.float32))
    assert_close(y.detach(), truth.detach(), 2e-6, "y")
    for name, mine, theirs in zip(NAMES, ours, gradients, strict=True):
        assert_close(mine, theirs, 3e-6, name)


@needs_numba
def test_without_softplus():
    tensors = [x.detach().abs() if name in ("delta", "delta_bias") else x.detach()
               for name, x in zip(NAMES, inputs(7), strict=True)]
    truth = reference.selective_scan(*tensors, delta_softplus=False)
    assert_close(scan(*(x.float() for x in tensors), delta_softplus=False), truth, 2e-6)


@needs_numba
@pytest.mark.parametrize("shift", [-15.0, 10.0, 40.0])
def test_small_and_large_steps(shift):
    """exp(dt A) from nearly one down to zero; softplus from exp(x) to x."""
    tensors = [x.detach() + shift if name == "delta_bias" else x.detach()
               for name, x in zip(NAMES, inputs(25), strict=True)]
    truth, gradients = run(reference.selective_scan, [x.requires_grad_() for x in tensors])
    y, ours = run(scan, [x.detach().float().requires_grad_() for x in tensors])
    assert_close(y.detach(), truth.detach(), 2e-6, "y")
    for name, mine, theirs in zip(NAMES, ours, gradients, strict=True):
        assert_close(mine, theirs, 3e-6, name)


@needs_numba
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_reach_the_output(name, bad):
    tensors = [x.detach().float() for x in inputs(7)]
    tensors[NAMES.index(name)].view(-1)[3] = bad
    wanted = reference.selective_scan(*tensors)
    assert not wanted.isfinite().all()
    assert torch.equal(scan(*tensors).isfinite(), wanted.isfinite())


@needs_numba
def test_nan_reaches_the_gradients():
    tensors = inputs(7, dtype=torch.float32)
    with torch.no_grad():
        tensors[0][0, 3, 5] = float("nan")
    for name, mine, theirs in zip(NAMES, run(scan, tensors)[1], run(reference.selective_scan, tensors)[1], strict=True):
        assert torch.equal(mine.isnan(), theirs.isnan()), name


@needs_numba
def test_threads_change_no_bit():
    tensors = inputs(30, dim=64, states=16, rows=40, dtype=torch.float32)  # worth three threads
    before, runs = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3, 3):
            torch.set_num_threads(num_threads)
            runs.append(run(scan, tensors))
    finally:
        torch.set_num_threads(before)
    for y, gradients in runs[1:]:
        assert torch.equal(y, runs[0][0])
        assert all(map(torch.equal, gradients, runs[0][1]))


@needs_numba
def test_inputs_may_be_parts_of_wider_tensors():
    u, delta, A, B, C, D, z, bias = (x.detach().float() for x in inputs(7, dim=64))
    wide, narrow = torch.cat([u, z, delta], 2), torch.cat([B, C], 2)
    parts = [wide[..., :64], wide[..., 128:], A.t().contiguous().t(), narrow[..., :4], narrow[..., 4:], D,
             wide[..., 64:128], bias]
    y, gradients = run(scan, [x.requires_grad_() for x in (u, delta, A, B, C, D, z, bias)])
    y_of_parts, gradients_of_parts = run(scan, [x.requires_grad_() for x in parts])
    assert torch.equal(y, y_of_parts)
    assert all(map(torch.equal, gradients, gradients_of_parts))


@needs_numba
def test_long_rows_need_little_scratch():
    """All states of these 10,000 steps would be 10 MB."""
    tensors = inputs(10_000, dim=64, states=4, rows=1, dtype=torch.float32)
    run(scan, inputs(1, dtype=torch.float32))  # compiles
    requested = []
    room = numba_engine._empty

    def counted(*shape):
        requested.append(torch.Size(shape).numel() * 4)
        return room(*shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba_engine, "_empty", counted)
        tracemalloc.start()
        try:
            _, gradients = run(scan, tensors)
            assert sum(requested) + tracemalloc.get_traced_memory()[1] < 1.5e6
        finally:
            tracemalloc.stop()
    assert all(x.isfinite().all() for x in gradients)


@needs_numba
def test_denormals_are_flushed_inside_and_left_alone_outside():
    """A state of 1 that decays by e^-45 at each step is denormal after two of them."""
    if not torch.set_flush_denormal(False):
        pytest.skip("this CPU cannot flush denormals")
    u, ones = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1), torch.ones(1, 3, 1)
    arguments = u, ones, torch.tensor([[-45.0]]), ones, ones
    wanted = reference.selective_scan(*arguments, delta_softplus=False).flatten().tolist()
    assert 0 < wanted[2] < torch.finfo(torch.float32).tiny
    assert scan(*arguments, delta_softplus=False).flatten().tolist() == [1.0, pytest.approx(wanted[1]), 0.0]
    assert torch.tensor(1e-40) > 0


@needs_numba
def test_nothing_to_scan():
    u, delta, A, B, C, D, z, bias = (x.detach().float() for x in inputs(3))
    tensors = [x.requires_grad_() for x in (u[:0], delta[:0], A, B[:0], C[:0], D, z[:0], bias)]
    y, gradients = run(scan, tensors)
    assert y.shape == (0, 3, 24)
    assert gradients[2].eq(0).all()


@needs_numba
def test_wrong_shapes_and_types_are_refused():
    tensors = [x.detach().float() for x in inputs(3)]
    with pytest.raises(ValueError, match=r"C is \(3, 2, 4\); expected \(3, 3, 4\)"):
        scan(*tensors[:4], tensors[4][:, 1:], *tensors[5:])
    with pytest.raises(ValueError, match="float32 tensors on the CPU"):
        scan(*(x.double() for x in tensors))
    with pytest.raises(ValueError, match="at least 1"):
        scan(tensors[0], tensors[1], tensors[2][:, :0], tensors[3][..., :0], tensors[4][..., :0])


@pytest.fixture
def without_compiler(monkeypatch):
    monkeypatch.setattr(cpu, "unavailable", lambda: "no C++ compiler found; install g++")


@needs_numba
def test_auto_takes_numba_where_there_is_no_compiler_and_says_so(without_compiler):
    line = explain("auto", torch.device("cpu"))
    assert line.startswith("scan engine: numba (")
    assert "cpu: no C++ compiler found; install g++" in line


def test_auto_takes_pytorch_where_numba_is_missing_too(without_compiler, monkeypatch):
    monkeypatch.setitem(sys.modules, "model.kernels.scan.numba_kernels", None)
    monkeypatch.delattr("model.kernels.scan.numba_kernels", raising=False)
    numba_engine._kernels.cache_clear()
    numba_engine.unavailable.cache_clear()
    try:
        line = explain("auto", torch.device("cpu"))
    finally:
        numba_engine.unavailable.cache_clear()
    assert line.startswith("scan engine: pytorch (")
    assert "install g++" in line
    assert "pip install numba" in line


def test_functions_compile_where_no_folder_takes_the_cache():
    """Functions of no file have no place for a cache, as those in a folder that cannot be written."""
    namespace = {}
    exec("def twice(x):\n    return 2 * x", namespace)
    assert compiled(namespace["twice"])(21) == 42
