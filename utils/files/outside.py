"""Where the values of an HDF5 dataset lie: in its file, or in others that links, virtual datasets or raw storage name.

HDF5 reads what is missing of these as the fill value, so as zeros that nobody stored; here that is refused.
"""

import math
import os
from collections.abc import Iterator

import h5py

from utils.errors import UserError

_EVERYTHING = h5py.h5f.UNLIMITED


def follow(file: h5py.File, key: str, path: str | os.PathLike) -> object:
    """What is called `key`, which is there, in `file`, opened from `path`.

    Raises:
        UserError: it is a link into a file that cannot be opened.
    """
    try:
        return file[key]
    except KeyError:
        link = file.get(key, getlink=True)
        if not isinstance(link, h5py.ExternalLink):
            raise
        raise UserError(f"{path}: '{key}' is a link to '{link.path}' in {link.filename}, which cannot be opened. Put "
                        "that file where the link points, or store the array itself.") from None


def home(dataset: h5py.Dataset) -> str:
    """The path of the file that `dataset` itself lies in, where an external link leads to another than was opened."""
    return dataset.file.filename


def lies_in(dataset: h5py.Dataset, path: str | os.PathLike) -> bool:
    """Whether `dataset` lies in the file `path`, so that its offset is one there."""
    return os.path.samefile(home(dataset), path)


def files_of(dataset: h5py.Dataset, path: str | os.PathLike) -> list[str]:
    """Every file that the values of `dataset` are read from, of `path` or behind a link of it, in any order.

    Raises:
        UserError: one is missing, holds less than is taken from it, or is a virtual dataset over its own file.
    """
    found = [str(path), home(dataset), *_raw(dataset, path)]
    for part, key in parts_of(dataset, path):
        with h5py.File(part, "r") as file:
            found += [part, *_raw(file[key], path)]
    return list(dict.fromkeys(found))


def parts_of(dataset: h5py.Dataset, path: str | os.PathLike,
             within: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(file, array in it) of each part of a virtual dataset, parts of parts included; none of any other dataset.

    Args:
        within: the real paths of the files that are made of this one.

    Raises:
        UserError: as `files_of`.
    """
    if not dataset.is_virtual:
        return
    here = (*within, os.path.realpath(home(dataset)))
    for source in {(source.file_name, source.dset_name): None for source in dataset.virtual_sources()}:
        for number, (name, key) in enumerate(_blocks(*source)):
            part = home(dataset) if name == "." else _beside(home(dataset), name)
            if number and not _holds(part, key):  # the last block was the one before
                break
            file = _checked_part(dataset, path, here, part, name, key)
            yield file, key
            with h5py.File(file, "r") as opened:
                yield from parts_of(opened[key], path, here)


def _checked_part(dataset: h5py.Dataset, path: str | os.PathLike, within: tuple[str, ...], part: str | None,
                  name: str, key: str) -> str:
    """The file `part` of a virtual dataset, called `name` in it, with the array `key`; or a UserError."""
    what = f"{path}: '{dataset.name}' is a virtual dataset"
    if part is None:
        raise UserError(f"{what} with a part in {name}, which is missing, so that it would read as zeros. Put that "
                        "file beside it, or store the array itself.")
    if os.path.realpath(part) in within:
        raise UserError(f"{what} over its own file. Store the array itself.")
    if not _holds(part, key):
        raise UserError(f"{what} with a part '{key}' in {part}, which holds no such array, so that it would read as "
                        "zeros. Put the right file there, or store the array itself.")
    return part


def _blocks(file_name: str, key: str) -> Iterator[tuple[str, str]]:
    """The name of a part, or of its blocks 0, 1, ... where the name has the place of a number, %b."""
    numbered = "%b" in file_name + key
    for number in range(2**20 if numbered else 1):
        at = f"{number}" if numbered else "0"
        yield file_name.replace("%b", at).replace("%%", "%"), key.replace("%b", at).replace("%%", "%")


def _holds(part: str | None, key: str) -> bool:
    """Whether there is an array `key` in the file `part`."""
    if part is None:
        return False
    with h5py.File(part, "r") as file:
        return isinstance(file.get(key), h5py.Dataset)


def _beside(path: str, name: str) -> str | None:
    """The HDF5 file that a virtual dataset of the file `path` calls `name`, looked for where HDF5 does, or None."""
    here = os.path.dirname(path)
    folders = [os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", here), here, "",
               os.path.dirname(os.path.realpath(path))]
    places = [os.path.join(folder, name) for folder in folders]
    if os.path.isabs(name):
        places += [os.path.join(folder, os.path.basename(name)) for folder in folders]
    return next((place for place in places if os.path.isfile(place) and h5py.is_hdf5(place)), None)


def _raw(dataset: h5py.Dataset, path: str | os.PathLike) -> Iterator[str]:
    """The files without a format that hold the values of `dataset`."""
    if not dataset.external:
        return
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", os.path.dirname(home(dataset)))
    left = dataset.dtype.itemsize * math.prod(dataset.shape)
    for name, offset, size in dataset.external:
        part = os.path.join(prefix, name)
        wanted = left if size == _EVERYTHING else min(size, left)
        if not os.path.isfile(part) or os.path.getsize(part) < offset + wanted:
            raise UserError(f"{path}: '{dataset.name}' lies in {os.path.abspath(part)}, which is missing or too short, "
                            "so that it would read as zeros. Put the whole file there, or store the array itself.")
        left -= wanted
        yield part
