"""Trajectories against plain loops in float64, and what they do not depend on."""

import itertools

import numpy as np
import pytest

from artefacts import trajectories as module
from artefacts.trajectories import (
    cells_of,
    default_segments,
    fit_trajectories,
    segment_averages,
    time_cells,
    trajectories,
    warp_operators,
)
from tests.trajectory_data import ArrayFeatures, moving_videos
from utils.errors import UserError


def principal_axes(rows, num_dims):
    """Mean, variances and axes of `rows` by a plain SVD, the largest entry of each axis positive."""
    mean = rows.mean(axis=0)
    _, singular, axes = np.linalg.svd(rows - mean, full_matrices=False)
    axes = np.array([axis * np.sign(axis[np.abs(axis).argmax()]) for axis in axes[:num_dims]])
    return mean, (singular ** 2 / len(rows))[:num_dims], axes.T


def naive_warp(video, start, end):
    """The video (T,F) resampled between the moved start and end, frame by frame."""
    last = len(video) - 1
    warped = []
    for frame in range(len(video)):
        at = start * last + (frame / last) * (last + end * last - start * last)
        at = min(max(at, 0.0), float(last))
        below = min(int(at), last - 1)
        warped.append(video[below] * (below + 1 - at) + video[below + 1] * (at - below))
    return np.array(warped)


def naive_trajectories(videos, queries, num_segments, frame_dims, num_components, exponent=0.5, move=(0, 0)):
    """g of the warped `queries`, learned from `videos`: frame PCA, segment means, PCA, half-whitening."""
    videos, queries = videos.astype(np.float64), queries.astype(np.float64)
    mean, _, axes = principal_axes(videos.reshape(-1, videos.shape[2]), frame_dims)

    def side_by_side(video):
        cuts = np.array_split((video - mean) @ axes, num_segments)
        return np.concatenate([cut.mean(axis=0) for cut in cuts])

    segments = np.array([side_by_side(video) for video in videos])
    center, variances, segment_axes = principal_axes(segments, num_components)
    warped = np.array([side_by_side(naive_warp(video, *move)) for video in queries])
    return (warped - center) @ segment_axes / variances ** (exponent / 2)


@pytest.mark.parametrize(("num_frames", "num_segments"), [(9, 4), (9, 9), (25, 12), (7, 3)])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_trajectories_follow_a_plain_loop(num_frames, num_segments, exponent, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 13)
    videos, _ = moving_videos(num_frames=num_frames)
    fitted, cells = fit_trajectories(ArrayFeatures(videos), num_segments=num_segments, frame_dims=5, num_components=8,
                                     exponent=exponent)
    expected = naive_trajectories(videos, videos, num_segments, 5, 8, exponent)
    # float32 steps on values of about 10
    np.testing.assert_allclose(trajectories(fitted, cells), expected, atol=2e-4 * np.abs(expected).max())


def test_warped_trajectories_follow_a_plain_loop():
    videos, _ = moving_videos(num_frames=25)
    fitted, cells = fit_trajectories(ArrayFeatures(videos), num_segments=12, frame_dims=5, num_components=8)
    moves = list(itertools.product((0, -0.06, 0.06), repeat=2))
    assert len(moves) == len(fitted.warps) == 9
    for warp, move in enumerate(moves):
        expected = naive_trajectories(videos, videos, 12, 5, 8, move=move)
        np.testing.assert_allclose(trajectories(fitted, cells, warp), expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("num_frames", [9, 100])
def test_other_videos_take_the_same_way(num_frames):
    videos, _ = moving_videos(num_frames=num_frames)
    fitted, cells = fit_trajectories(ArrayFeatures(videos))
    np.testing.assert_array_equal(cells_of(fitted, ArrayFeatures(videos)), cells)


def test_two_passes_and_their_progress():
    videos, _ = moving_videos()
    features, told = ArrayFeatures(videos), []
    fit_trajectories(features, progress=told.append)
    assert features.num_reads == sum(told) == 2 * len(videos)


@pytest.mark.parametrize(("num_frames", "num_segments"), [(1, 1), (2, 1), (3, 1), (16, 8), (25, 12), (400, 12)])
def test_segments_by_default(num_frames, num_segments):
    assert default_segments(num_frames) == num_segments


@pytest.mark.parametrize(("num_frames", "num_segments", "num_cells"), [(25, 12, 25), (48, 12, 48), (49, 12, 48),
                                                                      (100, 12, 48), (401, 12, 48), (30, 3, 12)])
def test_cells_keep_segment_means(num_frames, num_segments, num_cells):
    averages, expand = time_cells(num_frames, num_segments)
    assert averages.shape == (num_cells, num_frames)
    segments = segment_averages(num_frames, num_segments)
    np.testing.assert_allclose(segments @ expand @ averages, segments, atol=1e-12)


def test_long_videos_are_kept_as_cells():
    videos, _ = moving_videos(num_frames=100)
    fitted, cells = fit_trajectories(ArrayFeatures(videos), frame_dims=5, num_components=8)
    assert cells.shape == (60, 48, 5)
    expected = naive_trajectories(videos, videos, 12, 5, 8)
    np.testing.assert_allclose(trajectories(fitted, cells), expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("num_frames", [1, 2, 7])
def test_short_videos_are_warped_too(num_frames):
    operators = warp_operators(num_frames, max(1, num_frames // 2))
    np.testing.assert_allclose(operators.sum(axis=2), 1)
    assert len(warp_operators(num_frames, 1, step=0)) == 1


def test_order_and_scale_do_not_matter():
    videos, _ = moving_videos()
    order = np.random.default_rng(3).permutation(len(videos))
    first = trajectories(*fit_trajectories(ArrayFeatures(videos)))
    other = trajectories(*fit_trajectories(ArrayFeatures(videos[order])))
    np.testing.assert_allclose(other, first[order], atol=2e-3 * np.abs(first).max())
    scaled = trajectories(*fit_trajectories(ArrayFeatures(64 * videos)))
    # g has the unit of the features to the power 1 - a
    np.testing.assert_allclose(scaled / 8, first, atol=2e-3 * np.abs(first).max())


def test_components_of_rounding_are_left_out():
    videos, _ = moving_videos(feature_size=3)
    wide = np.concatenate([videos, videos, 2 * videos], axis=2)
    fitted, _ = fit_trajectories(ArrayFeatures(wide))
    assert fitted.frame_axes.shape == (9, 3)


@pytest.mark.parametrize(("videos", "message"), [
    (np.ones((1, 4, 3)), "there is 1 video"),
    (np.ones((20, 4, 3)), "all videos are the same"),
    (np.where(np.arange(20)[:, None, None] == 13, np.nan, np.ones((20, 4, 3))), "video 13 holds NaN or Inf")])
def test_bad_input_is_told_in_one_line(videos, message):
    with pytest.raises(UserError, match=message) as caught:
        fit_trajectories(ArrayFeatures(videos))
    assert "\n" not in str(caught.value)
