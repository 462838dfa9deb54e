"""Components of frames against a plain eigendecomposition, and the whitening of a frame."""

import numpy as np
import pytest

from artefacts.frame_components import fit_frame_axes, frame_whitening
from tests.trajectory_data import ArrayFeatures, moving_videos


def test_the_components_are_those_of_all_frames_in_one_pass():
    videos, _ = moving_videos(num_videos=300)
    features = ArrayFeatures(videos)
    fitted = fit_frame_axes(features, 5)
    assert features.num_reads == len(videos)
    frames = videos.reshape(-1, videos.shape[2]).astype(np.float64)
    variances, axes = np.linalg.eigh(np.cov(frames.T, bias=True))
    np.testing.assert_allclose(fitted.mean, frames.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(fitted.variances, variances[::-1][:5], rtol=1e-4)
    np.testing.assert_allclose(np.abs((fitted.axes * axes[:, ::-1][:, :5]).sum(axis=0)), 1, atol=1e-5)
    assert (np.take_along_axis(fitted.axes, np.abs(fitted.axes).argmax(axis=0)[None], axis=0) > 0).all()


@pytest.mark.parametrize("scale", [1, 1000])
def test_a_frame_is_half_whitened_whatever_its_scale(scale):
    videos, _ = moving_videos(num_videos=200)
    fitted = fit_frame_axes(ArrayFeatures(scale * videos))
    mean, matrix = frame_whitening(fitted, 7)
    frames = (scale * videos.reshape(-1, 7) - mean) @ matrix
    expected = np.sqrt(fitted.variances / fitted.variances[0])
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(frames.T, bias=True), np.diag(expected), atol=1e-3)


def test_columns_beyond_the_rank_hold_zeros():
    videos, _ = moving_videos(num_videos=50)
    flat = videos @ np.diag([1, 1, 1, 0, 0, 0, 0]).astype(np.float32)
    _, matrix = frame_whitening(fit_frame_axes(ArrayFeatures(flat)), 6)
    assert matrix.shape == (7, 6)
    assert matrix[:, :3].any(axis=0).all()
    assert not matrix[:, 3:].any()
