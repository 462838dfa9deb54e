"""Thumbnails and histograms of gradients: features of a frame without weights. B frames, F = 768 features."""

import numpy as np

SIZE = 64  # pixels of a side
_CELL, _BINS, _THUMB = 8, 9, 8
NUM_FEATURES = (SIZE // _CELL) ** 2 * _BINS + _THUMB ** 2 * 3
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def describe(frames: np.ndarray) -> np.ndarray:
    """float32 (B, 768) of frames uint8 (B, 64, 64, 3).

    576 values of gradient directions, 9 in each of 8 x 8 cells, normalised in blocks of 2 x 2 cells (Dalal and Triggs,
    CVPR 2005; each cell once, by the mean norm of its blocks), and a thumbnail of 8 x 8 pixels in three colours. The
    thumbnail's mean is taken off, and either part has length 1, so that brightness and contrast of a frame drop out.
    """
    pixels = frames.astype(np.float32) / 255
    gradients = _gradients(pixels @ _LUMA)
    thumbs = pixels.reshape(len(frames), _THUMB, SIZE // _THUMB, _THUMB, SIZE // _THUMB, 3).mean(axis=(2, 4))
    thumbs = (thumbs - thumbs.mean(axis=(1, 2, 3), keepdims=True)).reshape(len(frames), -1)
    return np.concatenate([_unit(gradients), _unit(thumbs)], axis=1)


def _gradients(grey: np.ndarray) -> np.ndarray:
    """(B, 576) of grey (B, 64, 64)."""
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    place = np.arctan2(down, right) % np.pi / np.pi * _BINS  # of a direction and its opposite alike
    lower = place.astype(np.intp)
    share = place - lower
    cells = SIZE // _CELL
    along = np.arange(SIZE) // _CELL
    cell = (np.arange(len(grey))[:, None, None] * cells + along[:, None]) * cells + along
    lower_part, upper_part = (
        np.bincount((cell * _BINS + (lower + up) % _BINS).ravel(), (strength * part).ravel(),
                    len(grey) * cells * cells * _BINS) for up, part in ((0, 1 - share), (1, share)))
    histogram = (lower_part + upper_part).reshape(len(grey), cells, cells, _BINS).astype(np.float32)
    energy = np.pad(np.square(histogram).sum(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    blocks = np.sqrt(energy[:, :-1, :-1] + energy[:, 1:, :-1] + energy[:, :-1, 1:] + energy[:, 1:, 1:])
    norms = (blocks[:, :-1, :-1] + blocks[:, 1:, :-1] + blocks[:, :-1, 1:] + blocks[:, 1:, 1:]) / 4
    return (histogram / (norms[..., None] + 0.1)).reshape(len(grey), -1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
