"""Reading that overlaps with the work on what was read."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """`items` in their order, each made by a thread while the one before it is in use; what making one raises is raised
    in its place."""
    boxes = ((item,) for item in items)  # so that None ends them and may still be an item
    with ThreadPoolExecutor(1, "read ahead") as reader:
        coming = reader.submit(next, boxes, None)
        while (box := coming.result()) is not None:
            coming = reader.submit(next, boxes, None)
            yield box[0]
