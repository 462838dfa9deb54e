"""Files of packed codes with the ids of their items. N items, K bits.

A file is HDF5 (.h5, .hdf5) or .npz. Both hold `codes` (uint8 (N, ceil(K/8)), bit 0 the most significant of byte 0),
`ids` (strings), `num_bits`, `fingerprint` of the model, `made_from` (JSON, for people) and a `checksum` of all these;
in HDF5 what is no array is an attribute. Files made elsewhere need `codes` and `num_bits` only.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from inference.code_set import CodeSet, row_ids
from inference.segments.index import MappedIndex
from inference.segments.manifest import is_mapped_index
from utils.errors import UserError
from utils.files.hdf5 import in_use, read_whole
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

FORMAT_VERSION = 2  # from 2 on with checksums


def read_ids(path: str | os.PathLike) -> list[str]:
    """The ids in a text file (UTF-8), one per line; spaces around them and empty lines at the end do not count.

    Raises:
        UserError: the file cannot be read, an id is empty or occurs twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start}). Store the ids one "
                        "per line.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Name a text file with one id per line.") from error
    ids = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    seen: dict[str, int] = {}
    for number, item in enumerate(ids, 1):
        if not item or "\0" in item:
            raise UserError(f"{path}: line {number} holds no id. Give every item one line.")
        if item in seen:
            raise UserError(f"{path}: line {number} repeats the id '{item}' of line {seen[item]}. Ids must be unique.")
        seen[item] = number
    return ids


def write_codes(path: str | os.PathLike, codes: CodeSet) -> None:
    """Writes `codes` to `path`, whole or not at all, in the format that its ending names.

    Raises:
        UserError: another ending than .h5, .hdf5 and .npz, or the operating system refused to write.
    """
    write = _WRITERS[check_format(path)]
    with whole_file(path) as part:
        write(part, codes)


def check_format(path: str | os.PathLike) -> str:
    """The ending of `path`, lower case. Raises UserError where it names no format of codes."""
    ending = Path(path).suffix.lower()
    if ending not in _WRITERS:
        raise UserError(f"{path}: codes are written as {', '.join(_WRITERS)}. Give the file one of these endings.")
    return ending


def read_codes(path: str | os.PathLike) -> CodeSet:
    """The codes in a file of `write_codes`, or in an index, whatever its ending.

    Raises:
        UserError: missing, truncated, of neither format, or not what a file of codes holds.
    """
    if is_mapped_index(path):
        return MappedIndex.load(path).codes
    with reading(path):
        with open(path, "rb") as file:
            start = file.read(8)
        for magic, read in _READERS.items():
            if start.startswith(magic):
                return read(path)
    raise UserError(f"{path}: neither HDF5 nor .npz, so no file of codes. Make one with search.py encode.")


def put_codes(file: h5py.File, codes: CodeSet) -> None:
    """Stores `codes` in an open HDF5 file."""
    file["codes"] = codes.bits
    file.create_dataset("ids", data=codes.ids, dtype=h5py.string_dtype())
    file.attrs.update(_about(codes))


def take_codes(file: h5py.File, source: str) -> CodeSet:
    """The codes in an open HDF5 file. Raises UserError, or KeyError where something is missing."""
    bits, ids = read_whole(file["codes"], source), None
    if "ids" in file:
        _check_ids(source, file["ids"].shape, bits)
        ids = read_whole(file["ids"], source)
        if h5py.check_string_dtype(file["ids"].dtype):
            ids = np.array([item.decode() for item in ids], object)
    return _checked(source, bits, ids, dict(file.attrs))


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turns whatever goes wrong with the contents of the file `path` into a UserError."""
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder. Name a file in it.")
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file. Make it with search.py, or correct the path.") from error
    except KeyError as error:
        raise UserError(f"{path}: not what search.py writes ({' '.join(str(error.args[0]).split())}). Make it "
                        "anew.") from error
    except Exception as error:  # a damaged file makes h5py, numpy and zipfile raise nearly anything
        reason = " ".join(str(error).split())
        fix = in_use(reason) or f"cannot be read, truncated or damaged ({reason}). Make it anew"
        raise UserError(f"{path}: {fix}.") from error


def check_sum(source: str, about: Mapping, name: str, found: str) -> None:
    """Compares `found`, a checksum of what was read, with the one that the file `source` has in `about` under `name`.

    Raises:
        UserError: they differ, or it has none although files of its format do; older ones need none.
    """
    if name not in about and int(about.get("format_version", 0)) < 2:
        return
    if str(about.get(name)) != found:
        raise UserError(f"{source}: damaged, its content does not fit its checksum. Make it anew.")


def _about(codes: CodeSet) -> dict[str, object]:
    about = {"num_bits": codes.num_bits, "fingerprint": codes.fingerprint,
             "made_from": json.dumps(dict(codes.made_from)), "format_version": FORMAT_VERSION}
    return about | {"checksum": _checksum(codes.bits, codes.ids, about)}


def _checksum(bits: np.ndarray, ids: np.ndarray | None, about: Mapping) -> str:
    """SHA-256 (hex) of what a file of codes holds."""
    told = [int(about["num_bits"]), str(about.get("fingerprint")), str(about.get("made_from")), bits.shape]
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update("\0".join(map(str, () if ids is None else ids)).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(bits).data.cast("B") if bits.size else b"")
    return digest.hexdigest()


def _checked(source: str, bits: np.ndarray, ids: np.ndarray | None, about: Mapping) -> CodeSet:
    """A CodeSet of what a file holds, or a UserError that says what is wrong with it."""
    num_bits = int(about["num_bits"])
    width = -(-num_bits // 8)
    if num_bits < 1 or bits.dtype != np.uint8 or bits.ndim != 2 or bits.shape[1] != width:
        raise UserError(f"{source}: 'codes' is {bits.dtype} {bits.shape}; codes of num_bits = {num_bits} are uint8 "
                        f"(N, {width}). Encode the features again.")
    if num_bits % 8 and (bits[:, -1] & (0xFF >> num_bits % 8)).any():
        raise UserError(f"{source}: codes of {num_bits} bits with bits set beyond these. Bit 0 is the most significant "
                        "of byte 0 and the last byte is filled up with zeros; pack them so.")
    if ids is not None:
        _check_ids(source, ids.shape, bits)
    check_sum(source, about, "checksum", _checksum(bits, ids, about))
    ids = row_ids(len(bits)) if ids is None else np.array([str(item) for item in ids], object)
    return CodeSet(bits, ids, num_bits, str(about.get("fingerprint", "")),
                   dict(json.loads(str(about.get("made_from", "{}")))), source)


def _check_ids(source: str, shape: tuple[int, ...], bits: np.ndarray) -> None:
    if shape != bits.shape[:1]:
        raise UserError(f"{source}: 'ids' is {shape} for {len(bits)} codes. Encode the features again.")


def _write_hdf5(part: Path, codes: CodeSet) -> None:
    with NewHdf5(part) as file:
        put_codes(file, codes)


def _write_npz(part: Path, codes: CodeSet) -> None:
    about = {name: np.array(value) for name, value in _about(codes).items()}
    with open(part, "wb") as file:  # a file, since savez would add .npz to a name
        # the codes last: where damage hides members behind it, they are missed first
        np.savez(file, **about, ids=codes.ids.astype(str), codes=codes.bits)  # type: ignore[arg-type]


def _read_hdf5(path: str | os.PathLike) -> CodeSet:
    with h5py.File(path, "r") as file:
        return take_codes(file, str(path))


def _read_npz(path: str | os.PathLike) -> CodeSet:
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        about = {name: file[name].item() for name in file.files if name not in ("codes", "ids")}
        return _checked(str(path), file["codes"], file["ids"] if "ids" in file.files else None, about)


_WRITERS: dict[str, Callable[[Path, CodeSet], None]] = {
    ".h5": _write_hdf5, ".hdf5": _write_hdf5, ".npz": _write_npz}
_READERS: dict[bytes, Callable[[str | os.PathLike], CodeSet]] = {b"\x89HDF": _read_hdf5, b"PK": _read_npz}
