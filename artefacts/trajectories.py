"""Trajectories: the means of a video's segments, in time order, on half-whitened principal components.

Letters: N videos, T frames, F features, D frame components, R cells, S segments, W warps, P components of g.

A frame is first put on D principal components of all frames. A video is then the S means of its segments, side by side
(S D numbers), on their P principal components, component i divided by lambda_i^(a/2), lambda_i its variance. a = 0 is
plain PCA, a = 1 full whitening; a = 1/2, the default, tames the few directions of large variance without lifting the
noise of the many small ones. Each step is affine in the frames. So is a warp, and g of a warped video costs no second
look at its features.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.frame_components import (
    EXPONENT,
    FRAME_COMPONENTS,
    FRAME_DIMS,
    ROWS_PER_BLOCK,
    FrameAxes,
    fit_frame_axes,
    leading_axes,
)
from artefacts.store import finite
from dataset.features import as_frames, frame_layout
from utils.config.keys import AT_LEAST_1, Interval, Key

NUM_COMPONENTS = 256
MOST_SEGMENTS, CELLS_PER_SEGMENT = 12, 4
WARP_STEP = 0.06


class TrajectoryMap(NamedTuple):
    """What takes a video (T,F) to g (P,): all an encoder needs. Arrays are float32, components the largest first."""

    frame_mean: np.ndarray  # (F,)
    frame_axes: np.ndarray  # (F,D)
    frame_variances: np.ndarray  # (D,)
    cell_averages: np.ndarray  # (R,T)
    warps: np.ndarray  # (W,S,R), the one that leaves a video as it is first
    segment_mean: np.ndarray  # (S D,)
    segment_axes: np.ndarray  # (S D,P)
    scales: np.ndarray  # (P,), 1 / lambda^(a/2)


def default_segments(num_frames: int) -> int:
    """Half the frames, at most 12 and at least 1."""
    return max(1, min(MOST_SEGMENTS, num_frames // 2))


def fit_trajectories(features, *, frames: FrameAxes | None = None, num_segments: int | None = None,
                     frame_dims: int = FRAME_DIMS, num_components: int = NUM_COMPONENTS, exponent: float = EXPONENT,
                     warp_step: float = WARP_STEP, progress=None) -> tuple[TrajectoryMap, np.ndarray]:
    """The map learned from `features` (N,T,F), and the cells (N,R,D) float32 of its videos.

    One pass over `features`, and another where `frames` are not given; beside the cells, memory is taken for a block
    of videos and S D x S D numbers.

    Args:
        frames: the components of the frames; None: `fit_frame_axes` finds `frame_dims` of them.
        num_segments: S <= T; None for `default_segments`.
        num_components: P; fewer where the data have a lower rank.
        exponent: a, in [0, 1].
        warp_step: what a warp moves start and end by, as a share of the length; 0: videos are not warped (W = 1).
        progress: is called with the number of videos of each block, in each pass.

    Raises:
        UserError: there is one video, all are equal, or one holds NaN or Inf.
    """
    num_videos, (num_frames, _) = features.shape[0], frame_layout(features.shape)
    mean, axes, variances = frames or fit_frame_axes(features, frame_dims, progress)
    num_segments = min(num_segments or default_segments(num_frames), num_frames)
    averages, expand = time_cells(num_frames, num_segments)
    warps = (warp_operators(num_frames, num_segments, warp_step) @ expand).astype(np.float32)
    cells = _cells(features, mean, axes, averages.astype(np.float32), progress)
    segment_mean, scatter = _segment_moments(cells, warps[0])
    segment_variances, segment_axes = leading_axes(scatter, min(num_components, num_videos - 1))
    fitted = TrajectoryMap(mean, axes, variances, averages, warps, segment_mean, segment_axes,
                           segment_variances ** (-exponent / 2))
    return TrajectoryMap(*(array.astype(np.float32) for array in fitted)), cells


def cells_of(fitted: TrajectoryMap, features, progress=None) -> np.ndarray:
    """The cells (N,R,D) float32 of any videos, `features` (N,T,F), in one pass."""
    return _cells(features, fitted.frame_mean, fitted.frame_axes, fitted.cell_averages, progress)


def trajectories(fitted: TrajectoryMap, cells: np.ndarray, warp: int = 0) -> np.ndarray:
    """g (N,P) float32 of videos whose `cells` (N,R,D) are given, under the warp of that number."""
    g = np.empty((len(cells), len(fitted.scales)), np.float32)
    axes = fitted.segment_axes * fitted.scales
    for start in range(0, len(cells), ROWS_PER_BLOCK):
        block = cells[start:start + ROWS_PER_BLOCK]
        segments = np.matmul(fitted.warps[warp], block).reshape(len(block), -1)
        g[start:start + len(block)] = (segments - fitted.segment_mean) @ axes
    return g


def segment_averages(num_frames: int, num_segments: int) -> np.ndarray:
    """(S,T) float64: row s averages the frames of segment s; the frames are cut as np.array_split does."""
    averages = np.zeros((num_segments, num_frames))
    for row, frames in zip(averages, np.array_split(np.arange(num_frames), num_segments), strict=True):
        row[frames] = 1 / len(frames)
    return averages


def time_cells(num_frames: int, num_segments: int) -> tuple[np.ndarray, np.ndarray]:
    """(R,T) that averages frames to cells, and (T,R) that gives each frame its cell's value back.

    Up to 4 S frames a cell is a frame. Beyond, each segment is cut into four cells, so that what is kept of a long
    video is bounded; segment means stay exact, and warps see time in steps of a cell.
    """
    if num_frames <= CELLS_PER_SEGMENT * num_segments:
        return np.eye(num_frames), np.eye(num_frames)
    cuts = [cell for segment in np.array_split(np.arange(num_frames), num_segments)
            for cell in np.array_split(segment, CELLS_PER_SEGMENT) if len(cell)]
    expand = np.zeros((num_frames, len(cuts)))
    for number, frames in enumerate(cuts):
        expand[frames, number] = 1
    return (expand / expand.sum(axis=0)).T, expand


def warp_operators(num_frames: int, num_segments: int, step: float = WARP_STEP) -> np.ndarray:
    """(W,S,T) float64: segment means of the nine warps of a video, the identity first; of that alone if `step` is 0.

    Start and end are each moved by -step, 0 or +step of the length; frames in between are taken by linear
    interpolation, and those outside are the first or the last.
    """
    last = num_frames - 1
    shifts = (0, -step, step) if step else (0,)
    moves = [(start, end) for start in shifts for end in shifts]
    averages = segment_averages(num_frames, num_segments)
    operators = np.empty((len(moves), num_segments, num_frames))
    for operator, (start, end) in zip(operators, moves, strict=True):
        at = np.clip(np.linspace(start * last, (1 + end) * last, num_frames), 0, last)
        operator[:] = averages @ np.maximum(0, 1 - np.abs(at[:, None] - np.arange(num_frames)))
    return operators


def _cells(features, mean: np.ndarray, axes: np.ndarray, averages: np.ndarray, progress) -> np.ndarray:
    """(N,R,D) float32: the cells of each video on the frame components, in one pass."""
    cells = np.empty((features.shape[0], len(averages), axes.shape[1]), np.float32)
    for start, items in features.blocks(ROWS_PER_BLOCK):
        block = as_frames(items)
        averaged = block if block.shape[1] == len(averages) else np.matmul(averages, block)
        frames = (averaged - mean).reshape(-1, len(mean))  # one product: numpy would make one of each video
        cells[start:start + len(block)] = (frames @ axes).reshape(len(block), len(averages), -1)
        if progress is not None:
            progress(len(block))
    return cells


def _segment_moments(cells: np.ndarray, averages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (S D,) and covariance (S D,S D; its upper half) of the segment means of all videos, float64."""
    size = len(averages) * cells.shape[2]
    total, scatter = np.zeros(size), np.zeros((size, size))
    for start in range(0, len(cells), ROWS_PER_BLOCK):
        block = cells[start:start + ROWS_PER_BLOCK]
        segments = np.matmul(averages, block).reshape(len(block), size)
        total += segments.sum(axis=0, dtype=np.float64)
        scatter += scipy.linalg.blas.ssyrk(1.0, segments.T)
    mean = total / len(cells)
    return mean, scatter / len(cells) - np.outer(mean, mean)


class Trajectories(Artefact):
    """`map`, a `TrajectoryMap`, and `cells` (N,R,D) float32, of which g of a training video is made, under any warp."""

    name = "trajectories"
    path_key = "trajectory_path"
    KEYS = (
        Key("num_segments", "int", None, "S, segments of a trajectory; None: half the frames, at most 12", AT_LEAST_1),
        Key("trajectory_dims", "int", NUM_COMPONENTS, "P, principal components of a trajectory", AT_LEAST_1),
        Key("warp", "float", WARP_STEP, "share of the length by which a warp moves start and end; 0: no warps",
            Interval(0, 0.5)),
        Key("trajectory_path", "path", None, "trajectories of the training videos", file="trajectories.h5", free=True),
    )
    needs = (FRAME_COMPONENTS,)
    shaped_by = ("num_segments", "trajectory_dims", "whitening", "warp")

    def arrays(self, config, split) -> dict[str, Array]:
        num_frames, num_features = frame_layout(split.shape)
        shapes = dict.fromkeys(TrajectoryMap._fields, (None,)) | {
            "frame_mean": (num_features,), "frame_axes": (num_features, None), "cell_averages": (None, num_frames),
            "warps": (None, None, None), "segment_axes": (None, None), "cells": (len(split), None, None)}
        return {name: Array(shape, finite) for name, shape in shapes.items()}

    def make(self, making: Making) -> Made:
        config, split = making.config, making.split
        with tqdm(total=len(split), desc="trajectories", disable=None, leave=False) as bar:
            fitted, cells = fit_trajectories(
                split, frames=making.value(FRAME_COMPONENTS), num_segments=config.num_segments,
                exponent=config.whitening, num_components=config.trajectory_dims, warp_step=config.warp,
                progress=bar.update)
        return Made({**fitted._asdict(), "cells": cells})

    def read(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {"map": TrajectoryMap(*(arrays[name] for name in TrajectoryMap._fields)), "cells": arrays["cells"]}


TRAJECTORIES = Trajectories()
