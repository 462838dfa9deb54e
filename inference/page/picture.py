"""Some queries and what their codes find, as one PNG file. H, W: pixels of a frame."""

from collections.abc import Sequence

import numpy as np

from inference.figures import png_bytes
from inference.page.rankings import draw_queries, frames_of, is_shown, nearest
from inference.page.subject import Subject

_ROWS, _HITS = 4, 4
_LEAST_PIXELS = 48  # of a frame's longer side: small frames are shown in larger pixels
_BORDER, _GAP = 3, 10
_QUERY, _HIT, _MISS = (15, 134, 214), (10, 150, 110), (185, 192, 200)


def picture(subject: Subject) -> bytes | None:
    """A PNG file with a row for each of the page's first queries: its picture or frames, in blue, then those of its
    first results, in green where these share a class with it. None where nothing `is_shown`.
    """
    shape = subject.config.frame_shape
    if not is_shown(subject):
        return None
    queries = draw_queries(len(subject.retrieval.query_labels))[:_ROWS]
    items, _, hits = nearest(subject, queries)
    items, hits = items[:, :_HITS], hits[:, :_HITS]
    used, place = np.unique(items, return_inverse=True)
    found = subject.retrieval.database.rows(used)
    rows = []
    for query, places, relevant in zip(subject.retrieval.queries.rows(queries), place.reshape(items.shape), hits,
                                       strict=True):
        results = [_strip(found[at], shape, _HIT if hit else _MISS) for at, hit in zip(places, relevant, strict=True)]
        rows.append(_beside([_strip(query, shape, _QUERY), *results], axis=1))
    return png_bytes(_beside(rows, axis=0))


def _strip(item: np.ndarray, shape: Sequence[int] | None, colour: Sequence[int]) -> np.ndarray:
    """Frames of a video side by side, or a picture, in a border: RGB, uint8."""
    frames = frames_of(item, shape)
    larger = -(-_LEAST_PIXELS // max(frames.shape[1:3]))
    strip = np.concatenate(list(frames), axis=1)
    rgb = strip[..., None].repeat(3, axis=2) if strip.ndim == 2 else strip
    rgb = rgb.repeat(larger, axis=0).repeat(larger, axis=1)
    height, width = rgb.shape[:2]
    framed = np.full((height + 2 * _BORDER, width + 2 * _BORDER, 3), colour, np.uint8)
    framed[_BORDER:-_BORDER, _BORDER:-_BORDER] = rgb
    return framed


def _beside(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """`parts` with white between."""
    size = list(parts[0].shape)
    size[axis] = _GAP
    gap = np.full(size, 255, np.uint8)
    return np.concatenate([piece for part in parts for piece in (gap, part)][1:], axis=axis)
