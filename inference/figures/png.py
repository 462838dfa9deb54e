"""Pixels as PNG files inside a page. H rows, W columns."""

import base64
import struct
import zlib

import numpy as np

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


def png_uri(pixels: np.ndarray) -> str:
    """A data: URI of uint8 pixels: grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), not premultiplied.

    Raises:
        ValueError: another shape or type.
    """
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode("ascii")


def png_bytes(pixels: np.ndarray) -> bytes:
    """The same as the bytes of a file (W3C, Portable Network Graphics)."""
    pixels = np.asarray(pixels)
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or samples not in _COLOUR_TYPES or not pixels.size:
        raise ValueError(f"pixels are uint8 (H, W), (H, W, 3) or (H, W, 4), not {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, width * samples)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # each row begins with its filter
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[samples], 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
