"""Damage to a file's bytes, which knows nothing of its format."""

import random
import struct
from collections.abc import Callable

_NUMBERS = (0, 1, 2, 7, 8, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
_HEADER = 4096


def damaged(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`data` after one to four kinds of damage; `others` lend it pieces."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_WAYS)(changed, rng, others)
    return bytes(changed)


def _place(data: bytearray, rng: random.Random, width: int = 1) -> int:
    """Where `width` bytes begin; every other time near the start, where formats keep their structure."""
    last = max(0, len(data) - width)
    return rng.randint(0, min(last, _HEADER) if rng.random() < 0.5 else last)


def _span(data: bytearray, rng: random.Random) -> tuple[int, int]:
    first = _place(data, rng)
    return first, min(len(data), first + rng.choice((1, 8, 64, 512, 4096)))


def _flip_bits(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 4, 16)) if data else 0):
        data[_place(data, rng) % len(data)] ^= 1 << rng.randrange(8)


def _write_number(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 3))):
        width = rng.choice((1, 2, 4, 8))
        place = _place(data, rng, width) // width * width
        number = rng.choice((*_NUMBERS, len(data))) & (1 << 8 * width) - 1
        data[place:place + width] = number.to_bytes(width, rng.choice(("little", "little", "big")))


def _write_float(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    form, width = rng.choice((("<e", 2), ("<f", 4), ("<d", 8)))
    place = _place(data, rng, width)
    data[place:place + width] = struct.pack(form, rng.choice((float("nan"), float("inf"), 6e4, -0.0, 0.5)))


def _truncate(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    del data[rng.choice((0, 1, 8, 100, len(data) // 2, len(data) - 1, rng.randint(0, len(data)))):]


def _grow(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    data.extend(rng.choice((bytes(4096), rng.randbytes(100), bytes(data), b"\n", rng.choice(others))))


def _swap(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    (first, stop), (other, _) = _span(data, rng), _span(data, rng)
    width = min(stop - first, len(data) - other, abs(other - first))
    data[first:first + width], data[other:other + width] = data[other:other + width], data[first:first + width]


def _overwrite(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    first, stop = _span(data, rng)
    lender = rng.choice(others)
    data[first:stop] = rng.choice((bytes(stop - first), b"\xff" * (stop - first), rng.randbytes(stop - first),
                                   lender[first:stop]))


def _insert(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    first, stop = _span(data, rng)
    data[first:first] = rng.choice((data[first:stop], rng.randbytes(rng.choice((1, 8, 64)))))


def _delete(data: bytearray, rng: random.Random, others: list[bytes]) -> None:
    first, stop = _span(data, rng)
    del data[first:stop]


_WAYS: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    _flip_bits, _flip_bits, _write_number, _write_number, _write_float, _truncate, _grow, _swap, _overwrite, _insert,
    _delete)
