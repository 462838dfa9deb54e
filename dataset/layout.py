"""How the rows of an array lie in its file, HDF5 or .npy: where they can be read without h5py or numpy."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from utils.errors import UserError


@dataclass(frozen=True)
class Layout:
    """How the features lie in a file.

    `offset` is the byte where a contiguous dataset starts, else None; `chunk_rows` the videos in a chunk, else 1.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    chunk_rows: int


def numpy_layout(path: str) -> tuple[Layout, list[str]] | None:
    """The layout of a .npy file, whose array lies in one piece; None where `path` is none.

    Raises:
        UserError: its axes are stored in another order, or it is an .npz archive.
    """
    with open(path, "rb") as file:
        start = file.read(6)
    if start[:4] == b"PK\3\4":
        names = [name.removesuffix(".npy") for name in zipfile.ZipFile(path).namelist()]
        key = "feats" if "feats" in names or not names else names[0]
        stem = Path(path).with_suffix(".npy")
        raise UserError(f"{path}: an .npz archive, whose rows cannot be read one by one. Save its array by itself: "
                        f"np.save({str(stem)!r}, np.load({path!r})[{key!r}]).")
    if start != b"\x93NUMPY":
        return None
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not array.flags.c_contiguous:
        raise UserError(f"{path}: stored column by column. Save it anew: np.save({path!r}, np.ascontiguousarray("
                        f"np.load({path!r}))).")
    return Layout(array.shape, array.dtype, array.offset if array.size else None, 1), [path]


def contiguous_offset(dataset: h5py.Dataset) -> int | None:
    """The byte at which the rows of `dataset` lie in its file in one piece, or None.

    The storage size tells a dataset that was never written: HDF5 may report an offset for it all the same.
    """
    if dataset.chunks is not None or dataset.is_virtual or dataset.external:
        return None
    size = dataset.size * dataset.dtype.itemsize
    offset = dataset.id.get_offset()
    return offset if offset is not None and dataset.id.get_storage_size() == size > 0 else None
