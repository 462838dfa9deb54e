"""HDF5 datasets checked before they are read, as the library trusts what a file says of itself."""

import math
import os

import h5py
import numpy as np

from utils.errors import UserError
from utils.files.outside import files_of, parts_of

MOST_DECLARED = 1 << 12  # bytes per byte stored; what compression makes of zeros stays below (deflate: 1,032)
MOST_MISSING = 1 << 16  # chunks that were never stored; each costs HDF5 a search
_FLETCHER32_BYTES = 4


def read_whole(node: object, path: str | os.PathLike) -> np.ndarray:
    """The array in the dataset `node` of the file `path`.

    Raises:
        UserError: no dataset, or one that `check_sound` refuses.
        Exception: whatever h5py makes of a damaged file.
    """
    if not isinstance(node, h5py.Dataset):
        raise UserError(f"{path}: '{getattr(node, 'name', None)}' is no array. Make or download the file again.")
    check_sound(node, path)
    array = np.asarray(node[()])
    if array.shape != node.shape:
        raise UserError(f"{path}: '{node.name}' holds arrays of arrays. Make or download the file again.")
    return array


def in_use(reason: str) -> str | None:
    """What is wrong and the fix where `reason`, as HDF5 gives it, says that a file is being written; None elsewhere."""
    if "unable to lock file" in reason:
        return "open for writing in another program. Wait until that has closed it, or end it"
    if "already open for write" in reason:
        return ("not closed by the program that wrote it. Wait for it; if none is writing it any more, run h5clear -s "
                "on the file, or make it again")
    return None


def check_sound(dataset: h5py.Dataset, path: str | os.PathLike) -> None:
    """Refuses a dataset of the file `path` which, read, would crash HDF5 or fill the memory with what nobody stored.

    Raises:
        UserError: see `files_of`; more declared than stored, or a chunk of a wrong size.
    """
    stored = sum(os.path.getsize(file) for file in files_of(dataset, path))
    declared = dataset.dtype.itemsize * math.prod(dataset.shape or ())
    if declared > MOST_DECLARED * stored or _num_missing(dataset) > MOST_MISSING:
        raise UserError(f"{path}: '{dataset.name}' declares {dataset.shape}, {declared / 2**30:,.1f} GiB, of which "
                        "much was never stored. Make or download the file again.")
    _check_chunks(dataset, path)
    for part, key in parts_of(dataset, path):
        with h5py.File(part, "r") as file:
            _check_chunks(file[key], part)


def _num_missing(dataset: h5py.Dataset) -> int:
    """How many of its chunks were never stored."""
    if not dataset.chunks:
        return 0
    declared = math.prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
    return declared - dataset.id.get_num_chunks()


def _check_chunks(dataset: h5py.Dataset, path: str | os.PathLike) -> None:
    """HDF5 reads on beyond a chunk that is shorter than its place; the length of a compressed one shows too late."""
    if not dataset.chunks:
        return
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
    all_skipped = (1 << len(filters)) - 1
    full = dataset.dtype.itemsize * math.prod(dataset.chunks)
    least = _FLETCHER32_BYTES if h5py.h5z.FILTER_FLETCHER32 in filters else 0

    def wrong(chunk) -> bool | None:
        plain = chunk.filter_mask & all_skipped == all_skipped
        return chunk.size != full if plain else chunk.size < least or None

    if dataset.id.chunk_iter(lambda chunk: wrong(chunk) or None):
        raise UserError(f"{path}: '{dataset.name}' has a chunk of a wrong size. Make or download the file again.")
