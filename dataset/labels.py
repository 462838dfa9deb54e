"""Multi-hot labels from .mat (v5, v7, v7.3), HDF5 and .npy files, and from lists of pictures (.txt).

MATLAB's v7.3 files are HDF5 and hold every array transposed; its sparse matrices are groups of compressed
columns.
"""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from scipy import sparse

from dataset.pictures import is_list, of_list
from utils.errors import UserError
from utils.files.hdf5 import in_use, read_whole
from utils.files.mat import check_types

KEYS = ("labels", "re_label", "q_label")
_MOST_CLASSES = 1 << 16


def read_labels(paths: str | os.PathLike | Sequence[str | os.PathLike], num_videos: int, *,
                key: str | None = None, role: str = "video", num_classes: int | None = None) -> np.ndarray:
    """(N, classes) uint8, 1 where the video has the class.

    The variable is `key`, else the first of labels, re_label, q_label, else the only two-dimensional one.
    Several files follow each other. A matrix of 0 and 1 is taken as it is, and transposed if only its columns
    number N. A vector of integer class ids becomes one-hot, class id = column; it needs more than two values,
    which tells ids from a single class, unless `num_classes` does.

    Args:
        paths: one file or several.
        num_videos: N of the features that these labels describe.
        role: "database" or "query"; error messages name it.
        num_classes: the width wanted; ids are one-hot in that many columns, a matrix must have it.

    Raises:
        UserError: a file is missing or unreadable, has no such variable, or its values or counts do not fit.
    """
    listed = [str(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths or ())]
    if not listed:
        raise UserError(f"no file is named for the {role} labels. Set their path in the config.")
    where = ", ".join(listed)
    arrays = [_dense(_pick(_variables(path, role), key, path), num_videos, role, path) for path in listed]
    if all(_is_vector(array, num_videos) for array in arrays):
        labels = _one_hot(np.concatenate([array.reshape(-1) for array in arrays]), num_classes, where)
    else:
        labels = _join(arrays, num_videos, listed)
    if len(labels) != num_videos:
        raise UserError(f"{where}: labels of {len(labels)} videos, but the {role} features hold "
                        f"{num_videos}. Name the label file that belongs to these features.")
    if num_classes is not None and labels.shape[1] != num_classes:
        raise UserError(f"{where}: {labels.shape[1]} classes, but the database labels have {num_classes}. "
                        "Save both with the same columns.")
    return labels


def one_hot_file(classes: np.ndarray, num_classes: int, about: str) -> bytes:
    """A MATLAB v5 file of `labels`, one-hot uint8 (N, num_classes), for the class ids (N,): always the same bytes.

    Its free text of 116 bytes would hold the date; it says `about` instead.
    """
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"labels": np.eye(num_classes, dtype=np.uint8)[classes]})
    return f"MATLAB 5.0 MAT-file, {about}".encode().ljust(116) + buffer.getvalue()[116:]


def read_class_names(path: str | os.PathLike | None, num_classes: int) -> list[str]:
    """The name of each class: the lines of the text file `path` (UTF-8), or the classes' numbers where it is None.

    Raises:
        UserError: the file cannot be read as UTF-8, or has not one line per class.
    """
    if path is None:
        return [str(number) for number in range(num_classes)]
    try:
        names = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as names of classes ({error}). Correct class_name_path, or set it to "
                        "None.") from error
    if len(names) != num_classes:
        raise UserError(f"{path}: {len(names)} names, but the labels have {num_classes} classes. Write a line per "
                        "class, or set class_name_path to None.")
    return names


def _variables(path: str, role: str) -> dict[str, Any]:
    """The numeric variables of a file by name, arrays or sparse matrices, oriented as they were saved."""
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder, not a file of {role} labels. Name the file in it.")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file; the {role} labels are expected at {Path(path).absolute()}. "
                        "Put the file there or correct the path in the config.")
    try:
        found = _READERS[_format(path)](path)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it. Change its permissions.") from error
    except Exception as error:  # a damaged file makes these readers raise nearly anything
        reason = " ".join(str(error).split())
        if busy := in_use(reason):
            raise UserError(f"{path}: {busy}.") from error
        raise UserError(f"{path}: not a readable .mat, HDF5 or .npy file ({reason}). Download or save it "
                        "again.") from error
    return {name: value for name, value in found.items() if _is_numeric(value)}


def _format(path: str) -> str:
    if h5py.is_hdf5(path):
        return "hdf5"
    if is_list(path):
        return "list"
    with open(path, "rb") as file:
        return "npy" if file.read(6) == b"\x93NUMPY" else "mat"


def _read_mat(path: str) -> dict[str, Any]:
    check_types(path)
    with warnings.catch_warnings(action="ignore"):  # about variables that are no arrays, which are left out anyway
        loaded = scipy.io.loadmat(path)
    return {name: value for name, value in loaded.items() if not name.startswith("__")}


def _read_npy(path: str) -> dict[str, Any]:
    return {"labels": np.load(path, allow_pickle=False)}


def _read_hdf5(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        by_matlab = file.read(10) == b"MATLAB 7.3"
    found = {}
    with h5py.File(path, "r") as file:
        for name, node in file.items():
            if "MATLAB_sparse" in node.attrs:
                found[name] = _read_sparse(node, path)
            elif isinstance(node, h5py.Dataset) and _is_numeric(node):
                array = read_whole(node, path)
                found[name] = array.T if by_matlab or "MATLAB_class" in node.attrs else array
    return found


def _read_sparse(group: h5py.Group, path: str) -> sparse.csc_matrix:
    """MATLAB's sparse matrix: jc (columns + 1) starts, ir rows, data values; both missing if all is zero."""
    starts = read_whole(group["jc"], path).astype(np.int64)
    rows = read_whole(group["ir"], path).astype(np.int64) if "ir" in group else np.empty(0, np.int64)
    values = read_whole(group["data"], path) if "data" in group else np.empty(0)
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # scipy knows no half precision in sparse matrices
    shape = int(group.attrs["MATLAB_sparse"]), len(starts) - 1
    return sparse.csc_matrix((values, rows, starts), shape=shape)


def _read_list(path: str) -> dict[str, Any]:
    return {"labels": of_list(path, "").labels}


_READERS = {"hdf5": _read_hdf5, "npy": _read_npy, "mat": _read_mat, "list": _read_list}


def _is_numeric(value) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (dtype.kind in "iufb") and getattr(value, "ndim", 0) >= 1


def _pick(variables: dict[str, Any], key: str | None, path: str) -> Any:
    """The label variable, an array or a sparse matrix."""
    if key is not None:
        chosen = [key] if key in variables else []
    else:
        matrices = [name for name, value in variables.items() if value.ndim == 2 and max(value.shape) > 1]
        vectors = [name for name, value in variables.items() if value.ndim == 1]
        chosen = [name for name in KEYS if name in variables][:1] or matrices or vectors
    if len(chosen) != 1:
        found = ", ".join(f"'{name}' {value.shape}" for name, value in variables.items()) or "none"
        problem = f"no numeric variable '{key}'." if key is not None else "which variable holds the labels?"
        raise UserError(f"{path}: {problem} Numeric variables found: {found}. Set label_key (query_label_key "
                        "for the queries) to one of them.")
    value = variables[chosen[0]]
    if value.ndim > 2:
        raise UserError(f"{path}: '{chosen[0]}' is {value.shape}; expected (videos, classes). Store it in "
                        "that shape.")
    return value


def _dense(value: Any, num_videos: int, role: str, path: str) -> np.ndarray:
    """`value` as an array, unless its size alone shows that it cannot be these labels."""
    shape = value.shape if value.ndim == 2 else (len(value), 1)
    if not any(rows <= num_videos and columns <= _MOST_CLASSES for rows, columns in (shape, shape[::-1])):
        raise UserError(f"{path}: labels of the shape {value.shape}, but the {role} features hold {num_videos} videos. "
                        "Name the label file that belongs to these features.")
    if not sparse.issparse(value):
        return value
    try:
        columns = value.tocsc(copy=False) if value.format == "coo" else value
        if hasattr(columns, "indptr") and not 0 <= columns.indptr[-1] <= len(columns.indices):
            raise ValueError(f"{columns.indptr[-1]} entries declared, {len(columns.indices)} stored")
        columns.check_format(full_check=True)  # scipy writes wherever unchecked positions point to
    except ValueError as error:
        raise UserError(f"{path}: a damaged sparse matrix ({error}). Download or save it again.") from error
    return columns.toarray()


def _is_vector(array: np.ndarray, num_videos: int) -> bool:
    """A single axis, or a single column or row; but one row for one video is that video's row of classes."""
    if array.ndim == 1 or array.shape[1] == 1:
        return True
    return array.shape[0] == 1 and num_videos != 1


def _one_hot(ids: np.ndarray, num_classes: int | None, where: str) -> np.ndarray:
    values = np.unique(ids)
    if not len(values):
        raise UserError(f"{where}: no labels. Save them as a matrix (videos, classes) of 0 and 1.")
    if len(values) == 1 and num_classes is None:
        raise UserError(f"{where}: a single column with the value {values[0]:g} alone, so that all videos are relevant "
                        "to each other or none is. Name labels of at least two classes, with a column each.")
    if len(values) <= 2 and num_classes is None:
        raise UserError(f"{where}: a single column with the values {values.tolist()}; ids of two "
                        "classes, or one class alone? Save a column for each of at least two classes, of 0 and 1.")
    if not np.isfinite(values).all() or (values != np.round(values)).any() or values[0] < 0:
        raise UserError(f"{where}: a single column whose values are no class ids (integers from 0). Save the "
                        "labels as a matrix (videos, classes) of 0 and 1.")
    highest = int(values[-1])
    if highest >= _MOST_CLASSES:
        raise UserError(f"{where}: a single column of ids up to {highest}, too many for classes. Name "
                        "another variable with label_key, or number the classes from 0.")
    if num_classes is not None and highest >= num_classes:
        raise UserError(f"{where}: class id {highest}, but the database labels have {num_classes} classes. "
                        "Save both as matrices (videos, classes) of 0 and 1 with the same columns.")
    labels = np.zeros((len(ids), num_classes or highest + 1), np.uint8)
    labels[np.arange(len(ids)), ids.astype(np.int64)] = 1
    return labels


def _join(arrays: Sequence[np.ndarray], num_videos: int, paths: Sequence[str]) -> np.ndarray:
    """The matrices under each other, all transposed if that alone makes the number of videos right."""
    matrices = [array[:, None] if array.ndim == 1 else array for array in arrays]
    num_rows, num_columns = (sum(matrix.shape[axis] for matrix in matrices) for axis in (0, 1))
    if num_rows != num_videos == num_columns:
        matrices = [matrix.T for matrix in matrices]
    for matrix, path in zip(matrices, paths, strict=True):
        if matrix.shape[1] != matrices[0].shape[1]:
            raise UserError(f"{path}: {matrix.shape[1]} classes, but {paths[0]} of the same split has "
                            f"{matrices[0].shape[1]}. Save both with the same columns.")
        strange = matrix[(matrix != 0) & (matrix != 1)]
        if strange.size:
            raise UserError(f"{path}: the labels hold the value {strange.flat[0]}; expected 0 and 1, a "
                            "column per class. Save them so, or name another variable with label_key.")
    return np.ascontiguousarray(np.concatenate(matrices), dtype=np.uint8)
