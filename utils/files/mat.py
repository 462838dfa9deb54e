"""MATLAB files of version 5 checked before scipy reads them, which trusts what they say of themselves."""

import os
import struct
import zlib
from pathlib import Path

HEADER = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, MATRIX, COMPRESSED, 16, 17, 18}


def check_types(path: str | os.PathLike) -> None:
    """Refuses a file with an element of a type that the format does not have; other versions pass.

    Raises:
        ValueError: there is one. zlib.error: a compressed element is damaged.
    """
    data = Path(path).read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER - 2:HEADER])
    if order:
        _check(memoryview(data)[HEADER:], order)


def _check(elements: memoryview, order: str) -> None:
    """Of each element: a tag of type and size, then the data; up to four bytes of data lie in the tag itself."""
    while len(elements) >= 8:
        kind, size = struct.unpack(f"{order}II", elements[:8])
        within = kind >> 16
        if within:
            kind, data, length = kind & 0xFFFF, elements[4:4 + within], 8
        else:
            data = elements[8:8 + size]
            length = 8 + size + (0 if kind == COMPRESSED else -size % 8)
        if kind not in TYPES:
            raise ValueError(f"an element is of type {kind}, which there is not")
        if kind == MATRIX:
            _check(data, order)
        elif kind == COMPRESSED:
            _check(memoryview(zlib.decompress(data)), order)
        elements = elements[length:]
