"""A dozen queries and what their codes find, as film strips where the frames are pictures. q queries, T frames."""

from collections.abc import Sequence

import numpy as np

from inference.figures import Markup, join, png_uri, tag
from inference.page.subject import Subject
from inference.page.table import scrolling
from inference.ranking import iterate_blocks, levels_per_bit, rank_by_index
from inference.relevance import Relevance

NUM_QUERIES, NUM_RESULTS = 12, 10
_NUM_FRAMES = 4
_MOST_PIXELS = 64  # of a frame's longer side
_SEED = 1


def section(subject: Subject) -> Markup:
    """A row per query, drawn by a fixed seed, with its first results in the order of distance."""
    queries = _draw(len(subject.retrieval.query_labels))
    items, distances = _nearest(subject, queries)
    relevance = Relevance(subject.retrieval.query_labels[queries], subject.retrieval.database_labels)
    hits = relevance.of(np.repeat(np.arange(len(queries)), items.shape[1]), items.ravel()).reshape(items.shape)
    database, wanted = _pictures(subject, queries, items)
    head = tag("tr", tag("th", "query", scope="col"),
               *(tag("th", str(rank), scope="col") for rank in range(1, items.shape[1] + 1)))
    rows = [tag("tr", tag("th", wanted[place], tag("span", subject.classes_of(subject.retrieval.query_labels[query])),
                          scope="row"),
                *(_result(subject, item, distance, hit, database.get(item)) for item, distance, hit in
                  zip(items[place].tolist(), distances[place].tolist(), hits[place].tolist(), strict=True)))
            for place, query in enumerate(queries)]
    pictured, framed = (f"; {_NUM_FRAMES} frames of each video, from the first to the last",
                        " and framed in green") if subject.config.frame_shape else ("", "")
    note = (f"{len(queries)} queries of {subject.evaluation.num_queries:,}, drawn by a fixed seed, and the first "
            f"{items.shape[1]} videos of each ranking, equal distances by database index{pictured}. Marked ✓{framed}: "
            "a class in common with the query. d is the Hamming distance.")
    return join([tag("p", note, class_="note"),
                 scrolling(tag("table", tag("thead", head), tag("tbody", *rows), class_="rankings"), "rankings")])


def _draw(num_queries: int) -> np.ndarray:
    count = min(NUM_QUERIES, num_queries)
    return np.sort(np.random.default_rng(_SEED).choice(num_queries, count, replace=False))


def _nearest(subject: Subject, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Database ids and Hamming distances (q, results) of the first results, ties by index."""
    database, codes = subject.result.database_codes, subject.result.query_codes[queries]
    _, distances = next(iterate_blocks(codes, database, len(codes)))
    count = min(NUM_RESULTS, subject.counts.num_items)
    if not subject.retrieval.include_self:
        distances[np.arange(len(queries)), queries] = distances.max() + 1
    items = rank_by_index(distances, count)
    return items, np.take_along_axis(distances, items, axis=1) / levels_per_bit(codes, database)


def _result(subject: Subject, item: int, distance: float, hit: bool, picture: Markup | None) -> Markup:
    name = subject.classes_of(subject.retrieval.database_labels[item])
    return tag("td", picture, tag("b", "✓ " if hit else "", f"d {distance:g}"), tag("span", name),
               class_="hit" if hit else "miss")


def _pictures(subject: Subject, queries: np.ndarray,
              items: np.ndarray) -> tuple[dict[int, Markup], list[Markup | None]]:
    """The strips of the database videos `items`, by id, and of the `queries`, in order; none without a frame_shape."""
    shape = subject.config.frame_shape
    if not shape:
        return {}, [None] * len(queries)
    used = np.unique(items)
    database = {item: _strip(video, shape) for item, video in
                zip(used.tolist(), subject.retrieval.database.rows(used), strict=True)}
    return database, [_strip(video, shape) for video in subject.retrieval.queries.rows(queries)]


def _strip(video: np.ndarray, shape: Sequence[int]) -> Markup:
    """Some frames of a video (T, F) side by side, a grey line between."""
    picked = video[np.linspace(0, len(video) - 1, _NUM_FRAMES).round().astype(int)]
    frames = picked.reshape(_NUM_FRAMES, *shape)
    every = -(-max(shape[:2]) // _MOST_PIXELS)
    frames = np.rint(255 * np.clip(frames[:, ::every, ::every], 0, 1)).astype(np.uint8)
    line = np.full((frames.shape[1], 1, *frames.shape[3:]), 128, np.uint8)
    parts = [part for frame in frames for part in (line, frame)][1:]
    pixels = np.concatenate(parts, axis=1)
    height, width = pixels.shape[:2]
    return tag("img", src=Markup(png_uri(pixels)), width=width, height=height, alt="", class_="strip")
