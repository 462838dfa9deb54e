"""HDF5 files whose arrays lie in other files: links, virtual datasets and raw storage, whole, damaged or missing."""

import contextlib
import random
from pathlib import Path

import h5py
import numpy as np

from tests.fuzz.damage import damaged


def move_out(path: Path, rng: random.Random, *, damage: bool = True) -> None:
    """Moves an array of the file at `path` into part0.h5 or part0.raw beside it, and refers to it there; then parts may
    go, be cut and, with `damage`, be changed."""
    with h5py.File(path, "r+") as file:
        names = [name for name in file if isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "iuf"]
        if not names:
            return
        name = rng.choice(names)
        values, attributes = file[name][()], dict(file[name].attrs)
        del file[name]
        way = rng.choice((_link, _virtual, _virtual, _numbered, _nested, _ring, _raw))
        with contextlib.suppress(Exception):  # a shape that HDF5 does not take
            way(file, name, values, path.parent, rng)
            if name in file:
                file[name].attrs.update(attributes)
    for part in sorted(path.parent.glob("part*")):
        if rng.random() < 0.3:
            _spoil(part, rng, damage)


def _part(folder: Path, number: int, values: np.ndarray, name: str, rng: random.Random) -> str:
    """Writes a part, with something else in it before or behind; its name."""
    other = {"other": np.zeros(100), name: values}
    with h5py.File(folder / f"part{number}.h5", "w", libver=rng.choice(("earliest", "latest"))) as file:
        for key in rng.sample(sorted(other), 2):
            file.create_dataset(key, data=other[key], **_layout(values, rng) if key == name else {})
    return rng.choice((f"part{number}.h5", str(folder / f"part{number}.h5")))


def _layout(values: np.ndarray, rng: random.Random) -> dict:
    if not values.size or not values.ndim or rng.random() < 0.6:
        return {}
    return {"chunks": values.shape, "compression": rng.choice((None, "gzip")), "fletcher32": rng.random() < 0.3}


def _link(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    file["before"] = np.full(rng.choice((1, 5000)), 7.0)  # what lies at the array's place in this file
    file[name] = h5py.ExternalLink(_part(folder, 0, values, name, rng), rng.choice((name, name, name, "other", "gone")))


def _virtual(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    """Over one part or two, of which not every one need be there, or large enough."""
    layout, middle = h5py.VirtualLayout(values.shape, values.dtype), len(values) // 2
    for number, rows in enumerate((slice(0, middle), slice(middle, None))):
        stored = values[rows][:rng.choice((None, None, None, 1))]
        part = rng.choice((_part(folder, number, stored, name, rng),) * 5 + ("missing.h5",))
        layout[rows] = h5py.VirtualSource(part, rng.choice((name,) * 5 + ("gone",)), values[rows].shape)
    file.create_virtual_dataset(name, layout, fillvalue=rng.choice((None, 0, 1)))


def _numbered(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    """Over as many parts as there are, by a name with a number."""
    _part(folder, 0, values, name, rng)
    unlimited = (h5py.h5s.UNLIMITED, *values.shape[1:])
    space = h5py.h5s.create_simple(values.shape, unlimited)
    space.select_hyperslab((0,) * values.ndim, (h5py.h5s.UNLIMITED,) + (1,) * (values.ndim - 1),
                           (len(values),) + (1,) * (values.ndim - 1), values.shape)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_virtual(space, rng.choice((b"part%b.h5", b"part%%b.h5", b"part0.h5")), name.encode(),
                         h5py.h5s.create_simple(values.shape))
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(values.dtype), space, settings)


def _nested(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    part = _part(folder, 0, values, name, rng)
    for number in range(1, rng.choice((2, 3, 40))):
        with h5py.File(folder / f"part{number}.h5", "w") as outer:
            if rng.random() < 0.5:
                outer[name] = h5py.ExternalLink(part, name)
            else:
                _over(outer, name, values, part)
        part = f"part{number}.h5"
    _over(file, name, values, part)


def _ring(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    for number in range(rng.choice((1, 2))):
        with h5py.File(folder / f"part{number}.h5", "w") as part:
            _over(part, name, values, rng.choice((f"part{1 - number}.h5", Path(file.filename).name)))
    _over(file, name, values, "part0.h5")


def _over(file: h5py.File, name: str, values: np.ndarray, part: str) -> None:
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[...] = h5py.VirtualSource(part, name, values.shape)
    file.create_virtual_dataset(name, layout)


def _raw(file: h5py.File, name: str, values: np.ndarray, folder: Path, rng: random.Random) -> None:
    offset = rng.choice((0, 8))
    (folder / "part0.raw").write_bytes(bytes(offset) + values.tobytes())
    file.create_dataset(name, values.shape, values.dtype, external=[
        ("part0.raw", offset, rng.choice((values.nbytes, values.nbytes + 9, h5py.h5f.UNLIMITED)))])


def _spoil(part: Path, rng: random.Random, damage: bool) -> None:
    data = part.read_bytes()
    way = rng.choice((0, 1, 2, 3) if damage else (0, 1, 3))
    if way == 0:
        part.unlink()
    elif way == 1:
        part.write_bytes(data[:rng.randrange(len(data) + 1)])
    elif way == 2:
        part.write_bytes(damaged(data, [data], rng))
    else:
        part.unlink()
        part.mkdir()
