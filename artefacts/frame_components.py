"""The principal components of all frames, and the half-whitening of a frame that any method may put first.

Letters: N videos, T frames, F features, D components.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.clustering import signs_of_largest
from artefacts.store import finite
from dataset.features import as_frames, frame_layout
from utils.config.keys import AT_LEAST_1, UNIT, Key
from utils.errors import UserError

FRAME_DIMS, EXPONENT = 128, 0.5
ROWS_PER_BLOCK = 256
# A direction with less of the leading direction's variance is float32 round-off.
LEAST_VARIANCE = 1e-6


class FrameAxes(NamedTuple):
    """Arrays are float32, the component of largest variance first."""

    mean: np.ndarray  # (F,)
    axes: np.ndarray  # (F,D)
    variances: np.ndarray  # (D,)


def fit_frame_axes(features, num_dims: int = FRAME_DIMS, progress=None) -> FrameAxes:
    """The D leading components of the frames of `features` (N,T,F), fewer where their rank is lower, in one pass.

    Beside a block of videos, memory is taken for F x F numbers. `progress` is called with the videos of each block.

    Raises:
        UserError: there is one video, all are equal, or one holds NaN or Inf.
    """
    if features.shape[0] < 2:
        raise UserError("training features: there is 1 video, and components need at least two that differ; name a "
                        "larger file in train_feat_path.")
    mean, covariance = _frame_moments(features, progress)
    variances, axes = leading_axes(covariance, num_dims)
    return FrameAxes(*(array.astype(np.float32) for array in (mean, axes, variances)))


def frame_whitening(fitted: FrameAxes, num_dims: int, exponent: float = EXPONENT) -> tuple[np.ndarray, np.ndarray]:
    """(mean (F,), matrix (F,num_dims)), both float32: (frame - mean) @ matrix is the whitened frame.

    Component i is divided by lambda_i^(a/2), `exponent` a, and all by one number, so that the leading one has variance
    1 and the scale of the features does not matter. Columns beyond the components there are hold zeros.
    """
    variances = fitted.variances[:num_dims]
    matrix = np.zeros((len(fitted.mean), num_dims), np.float32)
    matrix[:, :len(variances)] = fitted.axes[:, :num_dims] * (
        variances[0] ** ((exponent - 1) / 2) * variances ** (-exponent / 2))
    return fitted.mean, matrix


def leading_axes(covariance: np.ndarray, num_dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Variances (D,) and eigenvectors (F,D), largest first, of the upper half of `covariance`; D <= num_dims.

    Directions of rounding are left out. Of each vector the largest entry is positive.

    Raises:
        UserError: nothing varies.
    """
    size = len(covariance)
    with threadpool_limits(1, user_api="blas"):  # bound by memory: threads gain little, and spin where cores are shared
        variances, axes = scipy.linalg.eigh(covariance, lower=False, overwrite_a=True, check_finite=False,
                                            subset_by_index=(max(0, size - num_dims), size - 1))
    variances, axes = variances[::-1], axes[:, ::-1]
    if not variances[0] > 0:
        raise UserError("training features: all videos are the same, so there is nothing to tell them apart by; check "
                        "the file in train_feat_path.")
    kept = variances > LEAST_VARIANCE * variances[0]
    axes = axes[:, kept]
    return variances[kept], axes * signs_of_largest(axes)


def _frame_moments(features, progress) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) and covariance (F,F; its upper half) of all frames, float64, in one pass.

    Sums are taken in float32 inside a block, around a frame near the mean, and in float64 over blocks.
    """
    num_videos, (num_frames, num_features) = features.shape[0], frame_layout(features.shape)
    total, scatter, shift = np.zeros(num_features), np.zeros((num_features, num_features)), None
    told = {"fingerprint": True} if hasattr(features, "fingerprint") else {}  # else by a pass of its own
    for start, items in features.blocks(ROWS_PER_BLOCK, **told):
        block = as_frames(items)
        _check_finite(block, start)
        frames = block.reshape(-1, num_features)
        shift = frames.mean(axis=0) if shift is None else shift
        frames = frames - shift
        total += frames.sum(axis=0, dtype=np.float64)
        scatter += scipy.linalg.blas.ssyrk(1.0, frames.T)
        if progress is not None:
            progress(len(block))
    mean = total / (num_videos * num_frames)
    return mean + shift, scatter / (num_videos * num_frames) - np.outer(mean, mean)


def _check_finite(block: np.ndarray, start: int) -> None:
    bad = ~np.isfinite(block).all(axis=(1, 2))
    if bad.any():
        raise UserError(f"training features: video {start + int(bad.argmax())} holds NaN or Inf; extract its features "
                        "again, or leave it out.")


class FrameComponents(Artefact):
    """A `FrameAxes` of the training frames."""

    name = "frame_components"
    path_key = "frame_components_path"
    KEYS = (
        Key("frame_dims", "int", FRAME_DIMS, "D, principal components of the frames", AT_LEAST_1),
        Key("whitening", "float", EXPONENT, "a: component i is divided by its variance to the power a / 2", UNIT),
        Key("frame_components_path", "path", None, "components of the training frames", file="frame_components.h5",
            free=True),
    )
    shaped_by = ("frame_dims",)

    def arrays(self, config, split) -> dict[str, Array]:
        num_features = frame_layout(split.shape)[1]
        return {"mean": Array((num_features,), finite), "axes": Array((num_features, None), finite),
                "variances": Array((None,), finite)}

    def make(self, making: Making) -> Made:
        with tqdm(total=len(making.split), desc="frame components", disable=None, leave=False) as bar:
            return Made(fit_frame_axes(making.split, making.config.frame_dims, bar.update)._asdict())

    def read(self, arrays: Mapping[str, np.ndarray]) -> FrameAxes:
        return FrameAxes(**arrays)


FRAME_COMPONENTS = FrameComponents()
