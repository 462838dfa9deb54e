"""Draws spread over many numbers, and what is made of videos to learn from, against plain loops."""

import numpy as np
import pytest
import scipy.stats
import torch

from model.nets.augment import beta_quantiles, mix_shares, mixed, warped
from model.nets.draws import dropped, spread


def test_a_spread_draw_depends_on_itself_alone():
    draws = torch.rand(9, generator=torch.Generator().manual_seed(0))
    many = spread(draws, 50, stream=2)
    assert torch.equal(spread(draws[3:4], 50, stream=2)[0], many[3])
    assert torch.equal(spread(draws, 20, stream=2), many[:, :20])
    assert not torch.isin(spread(draws, 50, stream=3), many).any()


def test_spread_draws_are_uniform_and_do_not_follow_each_other():
    draws = torch.arange(400) / 400  # neighbours, as alike as draws can be
    values = spread(draws, 300, stream=1).double().numpy()
    assert values.min() >= 0
    assert values.max() < 1
    assert scipy.stats.kstest(values.ravel(), "uniform").pvalue > 0.01
    for one, other in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01


def test_what_is_dropped_is_made_up_for():
    x = dropped(torch.ones(200, 500), torch.rand(200, generator=torch.Generator().manual_seed(1)), 0.3)
    assert x.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert float(x.mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(dropped(x, torch.rand(200), 0.0), x)


@pytest.mark.parametrize("num_frames", [1, 2, 7, 25])
def test_a_warp_reads_between_frames(num_frames):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, num_frames, 3)).astype(np.float32)
    start, end = np.array([0, 0.06, -0.1, 0.2]), np.array([0, -0.06, 0.1, 0.2])
    found = warped(*map(torch.from_numpy, (x, start.astype(np.float32), end.astype(np.float32))))
    last = num_frames - 1
    for row in range(4):
        at = np.linspace(start[row] * last, (1 + end[row]) * last, num_frames)
        for channel in range(3):
            expected = np.interp(at, np.arange(num_frames), x[row, :, channel])
            np.testing.assert_allclose(found[row, :, channel], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [0.4, 1.0, 2.0])
def test_shares_have_the_beta_distribution(shape):
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    shares = mix_shares(draws, beta_quantiles(shape)).numpy()
    assert scipy.stats.kstest(shares, "beta", args=(shape, shape)).pvalue > 0.01


def test_a_mixture_is_row_by_row():
    own, partner, shares = torch.randn(5, 3, 2), torch.randn(5, 3, 2), torch.tensor([0, 0.25, 0.5, 1, 0.9])
    found = mixed(own, partner, shares)
    for row, share in enumerate(shares.tolist()):
        torch.testing.assert_close(found[row], share * own[row] + (1 - share) * partner[row])
