"""Damage to zip archives member by member, with their checksums right, and pickles that try to run code."""

import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.fuzz.damage import damaged

BOMB = 1 << 28


def canary() -> Path:
    """The file that code hidden in an input would make, in the folder of the case."""
    return Path("canary")


class Hostile:
    """Pickles to a call of `function`."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_pickle(rng: random.Random) -> bytes:
    """A pickle that runs code where it is loaded without care, or that takes all memory, stack or time."""
    name = str(canary())
    run = f"open({name!r}, 'w').close()"
    calls = (Hostile(open, name, "w"), Hostile(os.system, f"touch {name}"), Hostile(exec, run), Hostile(eval, run),
             Hostile(os.mkdir, name), Hostile(torch.hub._get_torch_home), Hostile(torch.empty, 10**12),
             Hostile(bytearray, 10**12), Hostile(np.fromfile, "/dev/zero"))
    made = pickle.dumps(rng.choice(({"model_state_dict": rng.choice(calls)}, rng.choice(calls))), rng.choice((2, 4)))
    deep = b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b"."
    doubling = b"\x80\x02]" + b"".join(b"q" + bytes([i]) + b"]h" + bytes([i]) + b"ah" + bytes([i]) + b"a"
                                       for i in range(60)) + b"."
    lying = (b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
             b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".", b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".",
             b"c" + b"os\nsystem\n" + b"(S'touch " + name.encode() + b"'\ntR.", b"(" * 10**6 + b".", b"\x80\x02N.")
    return rng.choice((made, made, made, deep, doubling, *lying))


def rearrange(path: Path, rng: random.Random) -> None:
    """Rewrites the archive at `path` with one change to its members."""
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    rng.choice(_WAYS)(members, rng)
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packing)


def npy(array_or_shape, dtype: str = "|u1") -> bytes:
    """An .npy file: of an array, or of a header alone that declares a shape."""
    target = io.BytesIO()
    if isinstance(array_or_shape, np.ndarray):
        np.save(target, array_or_shape, allow_pickle=True)
        return target.getvalue()
    header = repr({"descr": dtype, "fortran_order": False, "shape": array_or_shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)


Members = list[tuple[str, bytes]]


def _damage(members: Members, rng: random.Random) -> None:
    place = rng.randrange(len(members))
    name, content = members[place]
    members[place] = name, damaged(content, [data for _, data in members], rng)


def _drop(members: Members, rng: random.Random) -> None:
    members.pop(rng.randrange(len(members)))


def _swap(members: Members, rng: random.Random) -> None:
    first, second = rng.randrange(len(members)), rng.randrange(len(members))
    members[first], members[second] = ((members[first][0], members[second][1]), (members[second][0], members[first][1]))


def _rename(members: Members, rng: random.Random) -> None:
    place = rng.randrange(len(members))
    members[place] = rng.choice(("../evil", "/evil", "", "x" * 5000, "codes", "codes.npy/", "\n")), members[place][1]


def _hide_pickle(members: Members, rng: random.Random) -> None:
    places = [place for place, (name, _) in enumerate(members) if name.endswith((".pkl", ".npy"))]
    place = rng.choice(places or [0])
    name, _ = members[place]
    objects = npy(np.array([Hostile(open, str(canary()), "w")], object))
    members[place] = name, objects if name.endswith(".npy") and rng.random() < 0.8 else hostile_pickle(rng)


def _declare(members: Members, rng: random.Random) -> None:
    place = rng.randrange(len(members))
    shape = rng.choice(((10**12, 1), (10**9, 2), (2**62, 4), (-1, 1), (), (3, 0), (10**8, 100), (0,) * 40, (2**63,)))
    members[place] = members[place][0], npy(shape, rng.choice(("|u1", "<i8", "|O", "<U100000", "|V0", "|S0", "x")))


def _bomb(members: Members, rng: random.Random) -> None:
    if rng.random() < 0.9:  # it takes a second to make
        return _damage(members, rng)
    place = rng.randrange(len(members))
    members[place] = members[place][0], members[place][1] + bytes(BOMB)


_WAYS: tuple[Callable[[Members, random.Random], None], ...] = (
    _damage, _damage, _damage, _drop, _swap, _rename, _hide_pickle, _hide_pickle, _declare, _bomb)
