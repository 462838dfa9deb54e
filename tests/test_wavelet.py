"""The wavelet transform along time and the halvings by it."""

import numpy as np
import pytest
import pywt
import torch
from torch.profiler import ProfilerActivity, profile

from model.methods.vhmt.wavelet import KINDS, SCALING_FILTERS, Halve, dwt, idwt
from utils.errors import UserError

LENGTHS = [1, 2, 3, 4, 5, 7, 13, 16, 25, 30]  # below, at and above the filters' lengths of 2, 8 and 16
MOMENTS = {"haar": 1, "db4": 4, "sym8": 8}


def sequence(length, dtype=torch.float64):
    return torch.randn(2, length, 3, dtype=dtype, generator=torch.Generator().manual_seed(length))


def kinds(*without):
    return [kind for kind in KINDS if kind not in without]


@pytest.mark.parametrize("wavelet", SCALING_FILTERS)
def test_filters_are_orthonormal_and_blind_to_polynomials(wavelet):
    low = np.array(SCALING_FILTERS[wavelet])
    taps = np.arange(len(low))
    assert len(low) == 2 * MOMENTS[wavelet]
    for shift in range(0, len(low), 2):
        np.testing.assert_allclose(low[shift:] @ low[: len(low) - shift], shift == 0, atol=1e-15)
    for power in range(MOMENTS[wavelet]):
        np.testing.assert_allclose((-1) ** taps * low @ (taps / taps.max()) ** power, 0, atol=1e-14)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("wavelet", SCALING_FILTERS)
def test_equals_pywavelets(wavelet, length):
    x = sequence(length)
    expected = pywt.dwt(x.numpy(), wavelet, mode="periodization", axis=1)
    bands = dwt(x, wavelet)
    for band, values in zip(bands, expected, strict=True):
        assert band.shape == (2, (length + 1) // 2, 3)
        np.testing.assert_allclose(band, values, atol=1e-11)  # its sym8 is tabulated to 9e-13
    back = pywt.idwt(*expected, wavelet, mode="periodization", axis=1)[:, :length]
    np.testing.assert_allclose(idwt(*map(torch.from_numpy, expected), length, wavelet), back, atol=1e-11)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("wavelet", SCALING_FILTERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_perfect_reconstruction(wavelet, length, dtype, tolerance):
    x = sequence(length, dtype)
    torch.testing.assert_close(idwt(*dwt(x, wavelet), length, wavelet), x, rtol=0, atol=tolerance)


@pytest.mark.parametrize("wavelet", SCALING_FILTERS)
def test_bands_of_any_bands_are_these_and_energy_is_kept(wavelet):
    low, high = sequence(6), sequence(6).flip(1)
    x = idwt(low, high, 12, wavelet)
    torch.testing.assert_close(torch.cat(dwt(x, wavelet)), torch.cat([low, high]))
    torch.testing.assert_close(x.square().sum(), low.square().sum() + high.square().sum())


def test_halvings_by_hand():
    x = torch.tensor([1.0, 3.0, -2.0])[None, :, None]  # the odd length is extended by -2
    expected = {"haar": [4 / 2**0.5, -4 / 2**0.5], "max": [3.0, -2.0], "average": [2.0, -2.0]}
    for kind, values in expected.items():
        torch.testing.assert_close(Halve(kind, 3)(x)[0, :, 0], torch.tensor(values))


@pytest.mark.parametrize("kind", kinds("max", "average"))
def test_low_band_of_a_constant_is_sqrt_2_times_it(kind):
    torch.testing.assert_close(Halve(kind, 25)(torch.full((1, 25, 1), 3.0)), torch.full((1, 13, 1), 3 * 2**0.5))


@pytest.mark.parametrize("length", [1, 5, 8])
@pytest.mark.parametrize("kind", kinds("max"))
def test_gradients(kind, length):
    assert torch.autograd.gradcheck(Halve(kind, length).double(), sequence(length).requires_grad_())


@pytest.mark.parametrize("kind", kinds())
def test_after_inference_mode_and_in_half_precision(kind):
    halve, x = Halve(kind, 11), sequence(11, torch.float32).requires_grad_()
    with torch.inference_mode():
        halve(x)
    halve(x).sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(halve(x).float(), halve.float()(x.detach()).float(), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("kind", kinds("max", "average"))
def test_a_halving_is_the_low_band_and_makes_no_tensors_but_its_own(kind):
    """The filters are a buffer: made in every call, they would be copied to a GPU in every step."""
    halve, x = Halve(kind, 13), sequence(13, torch.float32)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        low = halve(x)
    assert {"aten::to", "aten::_to_copy", "aten::copy_"}.isdisjoint(event.key for event in profiler.key_averages())
    assert torch.equal(low, dwt(x, kind)[0])
    assert not halve.state_dict()
    assert halve.to("meta")(x.to("meta")).shape == (2, 7, 3)


def test_unknown_kind():
    with pytest.raises(UserError, match=r"halving 'db2' is unknown. Choose one of: haar, db4, sym8, max, average"):
        Halve("db2", 8)
