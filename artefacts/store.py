"""The files of artefacts: HDF5 that says what it was made from.

Every file carries `format_version` and `made_from`, the JSON of each input fingerprint and setting that
shaped it, and every array its SHA-256. A missing or stale file is refused with the preprocess command that makes it.
Files without `made_from` (downloaded) are taken after a check of shapes and values, with one line that says so.
Letters: N videos, C clusters, K bits.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from utils.errors import UserError
from utils.files.hdf5 import in_use, read_whole
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

FORMAT_VERSION = 1
CHECKSUM = "sha256"  # attribute of an array
PREPROCESS = "python preprocess.py --config <your config>"

Check = Callable[[np.ndarray], str | None]


@dataclass(frozen=True)
class ArtefactState:
    """`kind`: "missing", "fresh", "stale" (made from something else: `reason`), "foreign" (no made_from)."""

    kind: str
    reason: str = ""


def write_artefact(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], made_from: Mapping,
                   attributes: Mapping | None = None) -> None:
    """Writes `arrays` under their keys, whole or not at all, with `made_from` and further `attributes`.

    Raises:
        UserError: the operating system refused to write.
    """
    with whole_file(path) as part, NewHdf5(part) as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array).attrs[CHECKSUM] = digest(np.asarray(array))
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["made_from"] = json.dumps(_plain(made_from), sort_keys=True)
        for name, value in (attributes or {}).items():
            file.attrs[name] = value


def inspect_artefact(path: str | os.PathLike, expected: Mapping, command: str = PREPROCESS) -> ArtefactState:
    """Whether the artefact at `path` can stand for one made from `expected`; other recorded keys are ignored.

    A key that should be None may also be missing, as keys are in files from before there were any of that name.

    Raises:
        UserError: the file is there but cannot be read.
    """
    if not Path(path).exists():
        return ArtefactState("missing")
    try:
        with h5py.File(path, "r") as file:
            version, text = file.attrs.get("format_version"), file.attrs.get("made_from")
        made_from = None if text is None else dict(json.loads(text))
        current = bool(np.all(version == FORMAT_VERSION))
    except Exception as error:  # a damaged file makes h5py and json raise nearly anything
        raise _unreadable(path, error, command) from error
    if made_from is None:
        return ArtefactState("foreign")
    if not current:
        return ArtefactState("stale", f"written in format {_short(version)}, this is format {FORMAT_VERSION}")
    reason = "; ".join(f"{name} was {_short(made_from.get(name))}, now {_short(value)}"
                       for name, value in _plain(expected).items()
                       if made_from.get(name) != value)
    return ArtefactState("stale", reason) if reason else ArtefactState("fresh")


def recorded_features(path: str | os.PathLike) -> str | None:
    """The fingerprint of the features that the artefact at `path` says it was made from, if it says so."""
    try:
        with h5py.File(path, "r") as file:
            found = json.loads(file.attrs["made_from"])["features"]
    except Exception:  # not there, downloaded, or damaged, which makes h5py and json raise nearly anything
        return None
    return found if isinstance(found, str) else None


def read_artefact(path: str | os.PathLike, wanted: Mapping[str, tuple[tuple[int | None, ...], Check]], *,
                  expected: Mapping, command: str = PREPROCESS,
                  log: Callable[[str], None] = print) -> dict[str, np.ndarray]:
    """The arrays `wanted` of the artefact at `path`, by key: of each its shape and a check.

    A shape has None where any size will do; a check returns a complaint about the values, or None.
    A downloaded file is accepted once both fit, and `log` is told so.

    Raises:
        UserError: missing, made from something else than `expected`, unreadable, or of the wrong shape or
            values; the message names `command`.
    """
    state = inspect_artefact(path, expected, command)
    if state.kind == "missing":
        raise UserError(f"{path}: not there. Make it with `{command}`.")
    if state.kind == "stale":
        raise UserError(f"{path}: made for other settings ({state.reason}). Make it anew with `{command}`.")
    arrays = {}
    for key, (shape, check) in wanted.items():
        arrays[key], complaint = _read(path, key, shape, command)
        if complaint := complaint or check(arrays[key]):
            raise UserError(f"{path}: '{key}' {complaint}. Make it anew with `{command} --force`.")
    if state.kind == "foreign":
        log(f"{path}: does not say what it was made from (downloaded?); shape and values fit, so it is used.")
    return arrays


def digest(array: np.ndarray) -> str:
    """A fingerprint of an array's shape, dtype and content."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode() + array.tobytes()).hexdigest()


def finite(array: np.ndarray) -> str | None:
    """A complaint where `array` holds NaN or Inf."""
    return None if np.isfinite(array).all() else "holds NaN or Inf"


def not_negative(array: np.ndarray) -> str | None:
    """A complaint where `array` holds NaN, Inf or a number below 0."""
    return finite(array) or ("holds negative numbers" if (array < 0).any() else None)


def plus_minus_one(array: np.ndarray) -> str | None:
    """A complaint where `array` holds anything but exactly -1 and 1."""
    if np.isin(array, (-1, 1)).all():
        return None
    return f"must hold -1 and 1 only, but {array[~np.isin(array, (-1, 1))].flat[0]} is in it"


def ids_below(num_anchors: int) -> Check:
    """A check that an array holds whole numbers in [0, num_anchors) and has at least one column."""
    def check(array: np.ndarray) -> str | None:
        if not array.size:
            return "is empty"
        if not (np.isfinite(array).all() and (array == np.floor(array)).all()):
            return "must hold whole numbers"
        if array.min() < 0 or array.max() >= num_anchors:
            return f"must hold cluster ids 0 to {num_anchors - 1}, but holds {array.min()} to {array.max()}"
        return None
    return check


def _read(path, key: str, shape: tuple[int | None, ...], command: str) -> tuple[np.ndarray, str | None]:
    """The array and no complaint, or an empty one and the complaint about its shape."""
    try:
        with h5py.File(path, "r") as file:
            dataset = file.get(key)
            if not isinstance(dataset, h5py.Dataset):
                raise UserError(f"{path}: has no array '{key}' (it holds {sorted(file) or 'nothing'}). "
                                f"Make it anew with `{command} --force`.")
            if not dataset.shape or dataset.dtype.kind not in "iuf":
                raise UserError(f"{path}: '{key}' is no array of numbers. Make it anew with `{command} --force`.")
            if complaint := _shape_complaint(dataset.shape, shape):
                return np.empty(0), complaint
            array, checksum = read_whole(dataset, path), dataset.attrs.get(CHECKSUM)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        raise _unreadable(path, error, command) from error
    if checksum is not None and not (isinstance(checksum, str) and checksum == digest(array)):
        raise UserError(f"{path}: damaged, '{key}' does not fit its checksum. Delete it and make it anew with "
                        f"`{command}`.")
    return array, None


def _shape_complaint(found: tuple[int, ...], shape: tuple[int | None, ...]) -> str | None:
    if len(found) == len(shape) and all(want in (None, have) for want, have in zip(shape, found, strict=True)):
        return None
    wanted = ", ".join("any" if size is None else str(size) for size in shape)
    return f"is {found}, where the config and the features ask for ({wanted})"


def _unreadable(path, error: Exception, command: str) -> UserError:
    text = " ".join(str(error).split())
    if busy := in_use(text):
        return UserError(f"{path}: {busy}.")
    return UserError(f"{path}: cannot be read as an artefact ({text}). Delete it, or make it anew with "
                     f"`{command} --force`.")


def _plain(values: Mapping) -> dict:
    """`values` as JSON gives them back: NumPy scalars as Python's, tuples as lists."""
    return json.loads(json.dumps(dict(values), default=lambda value: value.item()))


def _short(value) -> str:
    text = "not recorded" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
