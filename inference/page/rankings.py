"""A dozen queries and what their codes find, with the pictures, or with frames of videos that are pixels. q queries,
T frames.
"""

from collections.abc import Sequence

import numpy as np

from inference.figures import Markup, join, png_uri, tag
from inference.page.subject import Subject
from inference.ranking import iterate_blocks, levels_per_bit, rank_by_index
from inference.relevance import Relevance

NUM_QUERIES, NUM_RESULTS = 12, 10
NUM_FRAMES = 4
_MOST_PIXELS = 64  # of a frame's longer side; of a picture's twice as many
_SEED = 1


def section(subject: Subject) -> Markup:
    """A grid per query, drawn by a fixed seed, with its first results in the order of distance."""
    queries = draw_queries(len(subject.retrieval.query_labels))
    items, distances, hits = nearest(subject, queries)
    database, wanted = _pictures(subject, queries, items)
    grids = [tag("article", _query(subject, query, wanted[place]),
                 *(_result(subject, item, distance, hit, database.get(item)) for item, distance, hit in
                   zip(items[place].tolist(), distances[place].tolist(), hits[place].tolist(), strict=True)),
                 class_="ranking", aria_label=f"query {query}") for place, query in enumerate(queries.tolist())]
    shown = ("; tap a picture to enlarge it" if subject.noun == "picture" else
             f"; {NUM_FRAMES} frames of each video, row by row from the first to the last: tap one to enlarge it")
    pictured, framed = (shown, " and framed in green") if is_shown(subject) else ("", "")
    note = (f"{len(queries)} queries of {subject.evaluation.num_queries:,}, drawn by a fixed seed, and the first "
            f"{items.shape[1]} {subject.noun}s of each ranking, equal distances by database index{pictured}. Marked "
            f"✓{framed}: a class in common with the query. d is the Hamming distance, # the row in the database's "
            "file.")
    return join([tag("p", note, class_="note"), *grids])


def draw_queries(num_queries: int) -> np.ndarray:
    """The rows of the queries that are shown."""
    count = min(NUM_QUERIES, num_queries)
    return np.sort(np.random.default_rng(_SEED).choice(num_queries, count, replace=False))


def nearest(subject: Subject, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Database ids, Hamming distances and relevance (q, results) of the first results, ties by index."""
    database, codes = subject.result.database_codes, subject.result.query_codes[queries]
    _, distances = next(iterate_blocks(codes, database, len(codes)))
    count = min(NUM_RESULTS, subject.counts.num_items)
    if not subject.retrieval.include_self:
        distances[np.arange(len(queries)), queries] = distances.max() + 1
    items = rank_by_index(distances, count)
    relevance = Relevance(subject.retrieval.query_labels[queries], subject.retrieval.database_labels)
    hits = relevance.of(np.repeat(np.arange(len(queries)), count), items.ravel()).reshape(items.shape)
    return items, np.take_along_axis(distances, items, axis=1) / levels_per_bit(codes, database), hits


def _query(subject: Subject, query: int, picture: np.ndarray | None) -> Markup:
    name = subject.classes_of(subject.retrieval.query_labels[query])
    return tag("div", _enlarging(picture, f"query {query}"), tag("b", f"query {query}"), tag("span", name),
               class_="query")


def _result(subject: Subject, item: int, distance: float, hit: bool, picture: np.ndarray | None) -> Markup:
    name = subject.classes_of(subject.retrieval.database_labels[item])
    return tag("div", _enlarging(picture, f"{subject.noun} {item}"), tag("b", "✓ " if hit else "", f"d {distance:g}"),
               tag("i", f"#{item}"), tag("span", name), class_="hit" if hit else "miss")


def _enlarging(pixels: np.ndarray | None, name: str) -> Markup | None:
    """The picture, which a tap enlarges and another puts back; without a script."""
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    return tag("label", tag("input", type="checkbox", aria_label=f"enlarge {name}"),
               tag("img", src=Markup(png_uri(pixels)), width=width, height=height, alt=name, class_="strip"),
               class_="zoom")


def _pictures(subject: Subject, queries: np.ndarray,
              items: np.ndarray) -> tuple[dict[int, np.ndarray], list[np.ndarray | None]]:
    """The pixels of the database's `items`, by id, and of the `queries`, in order; none where nothing `is_shown`."""
    shape = subject.config.frame_shape
    if not is_shown(subject):
        return {}, [None] * len(queries)
    used = np.unique(items)
    database = {item: mosaic(values, shape) for item, values in
                zip(used.tolist(), subject.retrieval.database.rows(used), strict=True)}
    return database, [mosaic(values, shape) for values in subject.retrieval.queries.rows(queries)]


def is_shown(subject: Subject) -> bool:
    """Whether the items can be looked at: they are pictures, or videos whose frames are."""
    return subject.retrieval.database.pictures or bool(subject.config.frame_shape)


def mosaic(item: np.ndarray, shape: Sequence[int] | None) -> np.ndarray:
    """Some frames of a video (T, F), two and two, a grey line between, or a picture: pixels, uint8."""
    frames = frames_of(item, shape)
    if len(frames) == 1:
        return frames[0]
    return _joined([_joined([frames[0], frames[1]], 1), _joined([frames[2], frames[3]], 1)], 0)


def frames_of(item: np.ndarray, shape: Sequence[int] | None) -> np.ndarray:
    """Some frames of a video (T, F), from its first to its last, as pixels, uint8 (frames, H, W) or (frames, H, W, 3),
    or a picture (H, W, 3 or 1) as one; large ones are thinned.
    """
    if item.ndim == 3:
        every = -(-max(item.shape[:2]) // (2 * _MOST_PIXELS))
        return (item[..., 0] if item.shape[2] == 1 else item)[None, ::every, ::every]
    assert shape is not None
    picked = item[np.linspace(0, len(item) - 1, NUM_FRAMES).round().astype(int)]
    every = -(-max(shape[:2]) // _MOST_PIXELS)
    frames = picked.reshape(NUM_FRAMES, *shape)[:, ::every, ::every]
    return np.rint(255 * np.clip(frames, 0, 1)).astype(np.uint8)


def _joined(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    size = list(parts[0].shape)
    size[axis] = 1
    return np.concatenate([parts[0], np.full(size, 128, np.uint8), parts[1]], axis=axis)
