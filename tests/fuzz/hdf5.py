"""Damage to an HDF5 file through h5py: a whole file that holds something else than it should."""

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

HUGE = 10**12
_EXTREMES = (np.nan, np.inf, -np.inf, 1e308, 7e4, -1, 0, 1, 0.5, 255, 2**31, 2**63 - 1)
_TYPES = ("float16", "float32", "float64", ">f4", ">f8", "uint8", "int8", "int64", "uint64", ">i4", "bool", "complex64",
          "S3", "i4,f4", "V5", "longdouble")
_TEXTS = ("", "null", "[]", "3", "{}", '{"a": 1}', "{", "\0", "\n\n", "\ud83d".encode("utf-16", "surrogatepass"),
          "[" * 100_000, '{"a":' * 100_000, "x" * 60_000, "1" * 5000, '{"features": null}', "NaN", b"\xff\xfe")


def restructure(path: Path, rng: random.Random) -> None:
    """Changes the file at `path` in one to three ways."""
    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2, 3))):
            with contextlib.suppress(Exception):  # a change that HDF5 does not take, here or after the ones before it
                rng.choice(_WAYS)(file, _pick(file, rng), rng)


def _pick(file: h5py.File, rng: random.Random) -> str:
    names: list[str] = []
    file.visit(names.append)
    return rng.choice(names or ["feats"])


def _stored(file: h5py.File, name: str) -> np.ndarray:
    node = file[name]
    return node[()] if isinstance(node, h5py.Dataset) else np.zeros((3, 2), np.float32)


def _replace(file: h5py.File, name: str, *args, **options) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, *args, **options).attrs.update(attributes)


def _drop(file: h5py.File, name: str, rng: random.Random) -> None:
    del file[name]


def _rename(file: h5py.File, name: str, rng: random.Random) -> None:
    file.move(name, rng.choice(("feats", "labels", "codes", "ids", "other", "a/b", "x" * 3000, "line\nbreak", "\u202e",
                                "ünï")))


def _swap_names(file: h5py.File, name: str, rng: random.Random) -> None:
    other = _pick(file, rng)
    file.move(name, "aside")
    file.move(other, name)
    file.move("aside", other)


def _retype(file: h5py.File, name: str, rng: random.Random) -> None:
    values = _stored(file, name)
    with np.errstate(all="ignore"):
        _replace(file, name, data=np.resize(values, values.shape).astype(rng.choice(_TYPES)))


def _special_type(file: h5py.File, name: str, rng: random.Random) -> None:
    values = _stored(file, name)
    kind = rng.choice((h5py.string_dtype(), h5py.string_dtype("ascii", 5), h5py.vlen_dtype(np.int32), h5py.ref_dtype,
                       h5py.enum_dtype({"A": 0, "B": 1}, "uint8"), h5py.opaque_dtype("M8[s]"),
                       np.dtype(("f4", (2,))), np.dtype(("u1", (3, 4)))))
    _replace(file, name, values.shape, kind)


def _reshape(file: h5py.File, name: str, rng: random.Random) -> None:
    values = _stored(file, name)
    shape = list(values.shape)
    change = rng.randrange(5)
    if change == 0 and shape:
        shape[rng.randrange(len(shape))] += rng.choice((-1, 1, 3))
    elif change == 1 and shape:
        shape[rng.randrange(len(shape))] = 0
    elif change == 2:
        shape.insert(rng.randint(0, len(shape)), rng.choice((1, 2)))
    elif change == 3 and shape:
        shape.pop(rng.randrange(len(shape)))
    else:
        shape = shape[::-1]
    _replace(file, name, data=np.resize(values, shape), **_layout(shape, rng))


def _layout(shape, rng: random.Random) -> dict:
    if not shape or 0 in shape or rng.random() < 0.5:
        return {}
    return {"chunks": tuple(rng.randint(1, size) for size in shape), "fletcher32": rng.random() < 0.3,
            "shuffle": rng.random() < 0.5, "compression": rng.choice((None, "gzip", "lzf"))}


def _declare(file: h5py.File, name: str, rng: random.Random) -> None:
    """As many rows, or columns, as nobody stored."""
    values = _stored(file, name)
    shape = list(values.shape) or [1]
    shape[rng.randrange(len(shape))] = rng.choice((HUGE, HUGE, 2**40, 10**8, 10**6))
    layout = {} if rng.random() < 0.3 else {"chunks": tuple(min(size, 4) for size in shape), "compression": "gzip"}
    _replace(file, name, tuple(shape), values.dtype, **layout)


def _extreme(file: h5py.File, name: str, rng: random.Random) -> None:
    values = np.array(_stored(file, name))
    with np.errstate(all="ignore"):
        for _ in range(rng.choice((1, 1, 5))):
            values.reshape(-1)[rng.randrange(values.size)] = np.array(rng.choice(_EXTREMES)).astype(values.dtype)
    _replace(file, name, data=values)


def _constant(file: h5py.File, name: str, rng: random.Random) -> None:
    values = np.array(_stored(file, name))
    with np.errstate(all="ignore"):
        values[...] = np.array(rng.choice(_EXTREMES)).astype(values.dtype)
    _replace(file, name, data=values)


def _attribute(file: h5py.File, name: str, rng: random.Random) -> None:
    node = rng.choice((file, file, file[name]))
    keys = [*node.attrs, "made_from", "format_version", "num_bits", "MATLAB_sparse", "MATLAB_class", "kind", "settings",
            "num_learned", "fingerprint", "checksum", "index_checksum"]
    key = rng.choice(keys)
    if rng.random() < 0.2:
        del node.attrs[key]
    node.attrs[key] = rng.choice((*_TEXTS, -1, 0, 1, 2**62, -(2**62), 3.5, np.nan, h5py.Empty("f4"), np.zeros((2, 2)),
                                  json.dumps({"nlist": -1, "nhash": 0, "nflip": 10**9, "engine": "no"}),
                                  json.dumps({"nprobe": 2**70, "nhash": "x", "nlist": 1e300}), "flat", "ivf",
                                  "multihash", "../evil", np.array(["a", "b"], "S")))


def _link(file: h5py.File, name: str, rng: random.Random) -> None:
    node = file[name]
    del file[name]
    way = rng.randrange(6)
    if way == 0:
        file[name] = h5py.SoftLink(f"/{name}")
    elif way == 1:
        file[name] = h5py.SoftLink("/nowhere/at/all")
    elif way == 2:
        file[name] = h5py.ExternalLink("missing.h5", "/feats")
    elif way == 3:
        file[name] = h5py.ExternalLink(file.filename, f"/{name}")
    elif way == 4:
        file.create_group(name)["inner"] = node
    else:
        file[name] = node.dtype


def _cycle(file: h5py.File, name: str, rng: random.Random) -> None:
    group = file.create_group("cycle")
    group["again"] = file["/"]
    group["self"] = group


def _external(file: h5py.File, name: str, rng: random.Random) -> None:
    values = _stored(file, name)
    shape = values.shape if rng.random() < 0.5 else (HUGE, *values.shape[1:])
    _replace(file, name, shape, values.dtype,
             external=[(rng.choice(("missing.bin", "/dev/zero", "/dev/null", "/")), 0, h5py.h5f.UNLIMITED)])


def _virtual(file: h5py.File, name: str, rng: random.Random) -> None:
    values = _stored(file, name)
    shape = values.shape if rng.random() < 0.7 else (HUGE, *values.shape[1:])
    layout = h5py.VirtualLayout(shape, values.dtype)
    layout[...] = h5py.VirtualSource(rng.choice((".", "missing.h5", file.filename)), rng.choice((name, "gone")), shape)
    del file[name]
    file.create_virtual_dataset(name, layout, fillvalue=rng.choice((None, 1)))


def _raw_chunk(file: h5py.File, name: str, rng: random.Random) -> None:
    """A chunk whose stored bytes are not what its filters make."""
    values = _stored(file, name)
    _replace(file, name, data=values, chunks=values.shape, compression=rng.choice(("gzip", "lzf")),
             fletcher32=rng.random() < 0.3, shuffle=rng.random() < 0.3)
    garbage = rng.choice((b"", b"x", rng.randbytes(values.nbytes), rng.randbytes(10 * values.nbytes)))
    file[name].id.write_direct_chunk((0,) * values.ndim, garbage, rng.choice((0, 0, 1, 3)))


def _deep(file: h5py.File, name: str, rng: random.Random) -> None:
    file.create_group("/".join(["d"] * rng.choice((50, 900))))


def _crowd(file: h5py.File, name: str, rng: random.Random) -> None:
    for number in range(rng.choice((3, 300))):
        file[f"extra{number}"] = np.eye(3)


_WAYS: tuple[Callable[[h5py.File, str, random.Random], None], ...] = (
    _drop, _rename, _swap_names, _retype, _retype, _special_type, _reshape, _reshape, _declare, _extreme, _extreme,
    _constant, _attribute, _attribute, _attribute, _link, _cycle, _external, _virtual, _raw_chunk, _deep, _crowd)
