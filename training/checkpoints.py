"""Checkpoints: dicts of tensors and plain values, read with `weights_only=True` so that no code can hide in one.

A checkpoint is the zip archive that torch.save writes. Torch reads past the CRC-32 of its entries, so the archive's
comment, the last bytes of the file, holds that of all before it, and `read_checkpoint` looks at both.
"""

import os
import pickle
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from utils.config import Config
from utils.config.arguments import config_from_arguments
from utils.config.loading import resolved
from utils.config.values import run_ending
from utils.errors import UserError
from utils.files.writing import keep_as, whole_file

LAST, BEST, PREVIOUS = "last.pth", "best.pth", "previous.pth"
MODEL = "model.pth"  # what to share of a finished run whose last.pth holds parts for training only
_MARK = b"crc32 "
_COMMENT = len(_MARK) + 8
_ARCHIVE_END, _ARCHIVE_END_SIZE = b"PK\5\6", 22  # of an archive without a comment; the last two bytes are its length
_CHUNK = 1 << 20
_MOST_EXPANDED = 1 << 12  # bytes of a tensor per byte that is stored of it: one value may stand for a whole row
_LONGEST_PICKLE, _LONGEST_NOTE = 1 << 24, 1 << 10  # bytes: some 100,000 tensors; what else torch writes of an archive


def write_checkpoint(path: str | os.PathLike, content: dict, previous: str | os.PathLike | None = None) -> None:
    """Writes `content` (must hold `model_state_dict`) to `path`, with a checksum, whole or not at all.

    What was at `path` is kept as `previous`, if given, once all else is done.

    Raises:
        UserError: the model or the optimiser holds NaN or Inf, or the operating system refused to write.
    """
    _refuse_poison(path, content)
    with whole_file(path) as part:
        torch.save(content, part)
        _append_checksum(part)
        if previous is not None:
            keep_as(path, previous)


def read_checkpoint(path: str | os.PathLike, train: str = "") -> dict:
    """The content of a checkpoint of ours or of a release, on the CPU; it holds `model_state_dict`, under which the
    state dict of a release stands that is the file's whole content, or its only entry of tensors.

    Args:
        train: the command that makes it, for the message where it is not there.

    Raises:
        UserError: no such file, truncated, damaged, no checkpoint, or one that holds Python objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint here. Train first ({train or 'python train.py --config ...'}), or name "
                        "another file with --checkpoint.")
    try:
        swollen = _swollen_entry(path)
        damaged = not swollen and _is_damaged(path)
        with warnings.catch_warnings(action="ignore"):  # torch's own, of classes that it reads odd tensors by
            content = None if swollen or damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: holds Python objects besides tensors and plain values, or is damaged; it is not "
                        "loaded, since that could run code. Save its state_dict alone.") from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise UserError(f"{path}: cannot be read, truncated or no checkpoint. Copy or train it again.") from error
    if swollen:
        raise UserError(f"{path}: its entry {swollen!r} is compressed, or larger than any that torch.save writes; it "
                        "is not loaded, since that could take all memory. Save its state_dict with torch.save.")
    if damaged:
        raise UserError(f"{path}: damaged, its content does not fit its checksum. Copy or train it again.")
    content = _with_state(content)
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), dict):
        raise UserError(f"{path}: holds no 'model_state_dict'. Is it a checkpoint of train.py?")
    odd = [name for name, value in content["model_state_dict"].items() if not _is_weight(name, value)]
    epoch = content.get("epoch", 0)
    if odd or type(epoch) is not int or epoch < -1:  # -1: stopped within the first
        what = f"'model_state_dict' holds {odd[0]!r}, no dense tensor" if odd else f"'epoch' is {epoch!r}"
        raise UserError(f"{path}: {what}. Is it a checkpoint of train.py?")
    return content


def _with_state(content: Any) -> Any:
    if not isinstance(content, dict) or "model_state_dict" in content:
        return content
    states = [one for one in (content, *content.values()) if _is_tensors(one) and one]
    return {"model_state_dict": states[0]} if len(states) == 1 else content


def check_resumable(state: Mapping[str, Any], path: Path) -> None:
    """Refuses a checkpoint from which a run cannot be continued.

    Raises:
        UserError: an entry that `Trainer` writes is missing or of another kind.
    """
    if not isinstance(state.get("config"), dict):
        raise UserError(f"{path}: not a checkpoint that can be resumed. Use --restart, or load it through start_from.")
    unfinished = state.get("unfinished", _NOTHING_UNFINISHED)
    for entries, kinds in ((state, _ENTRIES), (unfinished, _UNFINISHED)):
        odd = [name for name, kind in kinds.items() if not isinstance(entries, dict) or not kind(entries.get(name))]
        if odd:
            raise UserError(f"{path}: its entry '{odd[0]}' is damaged, so the run cannot be continued. Restore the "
                            "file, or begin anew with --restart.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_tensors(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, torch.Tensor) for one in value.values())


_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "features": lambda value: isinstance(value, str), "best": _is_number,
    "stale": lambda value: type(value) is int and value >= 0, "finished": lambda value: isinstance(value, bool),
    "epoch": lambda value: type(value) is int,
    "optimizer_state_dict": lambda value: value is None or isinstance(value, dict)}
_UNFINISHED: dict[str, Callable[[Any], bool]] = {
    "steps": lambda value: type(value) is int and value > 0, "order": lambda value: isinstance(value, str),
    "seconds": _is_number, "generators": lambda value: _is_tensors(value) and "cpu" in value,
    "sums": lambda value: _is_tensors(value) and all(one.numel() == 1 for one in value.values())}
_NOTHING_UNFINISHED = {"steps": 1, "order": "", "seconds": 0.0, "generators": {"cpu": torch.empty(0)}, "sums": {}}


def _is_weight(name: object, value: object) -> bool:
    return (isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided
            and value.device.type == "cpu" and not value.is_quantized and not value.is_nested
            and value.nbytes <= _MOST_EXPANDED * value.untyped_storage().nbytes())


def chosen_checkpoint(config) -> Path:
    """The file that evaluation of `config` means, of what its run left.

    In the run's folder: best.pth where select is 'best_on_test', else last.pth; where that does not exist, model.pth
    or the release's `<dataset>_<nbits>.pth`.
    """
    folder = Path(config.file_path)
    ours = folder / (BEST if config.select == "best_on_test" else LAST)
    others = folder / MODEL, folder / f"{config.dataset}_{config.nbits}.pth"
    return next((path for path in (ours, *others) if path.exists()), ours)


def stored_config(checkpoint: Mapping[str, Any], source: str) -> Config:
    """The resolved config that a checkpoint of ours holds. Nothing of it is executed.

    Raises:
        UserError: it holds none, as a release's does not, or names a method or mixer by the path of a file, which
            loading would execute; `source` is named.
    """
    values = checkpoint.get("config")
    if not isinstance(values, dict):
        raise UserError(f"{source}: holds no config. Name the one that it was trained with (--config FILE, or "
                        "config=... in Python).")
    own = [values[name] for name in ("method", "mixer") if str(values.get(name)).endswith(".py")]
    if own:
        raise UserError(f"{source}: trained with a file of its own, {own[0]}, which is not executed unless you name "
                        "the config (--config FILE, or config=... in Python).")
    ending = run_ending(str(values.get("run_name") or ""))
    paths = {name: str(values[name]).removesuffix(ending) for name in ("file_path", "log_path") if values.get(name)}
    return resolved(values | paths, defaultdict(lambda: source), source)


def given_config(arguments) -> Config:
    """The config that a command line names, else the one in its --checkpoint.

    Raises:
        UserError: neither is named; or as `config_from_arguments`, `read_checkpoint` and `stored_config`.
    """
    path = arguments.checkpoint
    return config_from_arguments(arguments, (lambda: stored_config(read_checkpoint(path), path)) if path else None)


def _append_checksum(path: Path) -> None:
    """Gives the archive at `path` its comment: a mark and the CRC-32 of every byte before it, in hex."""
    with open(path, "r+b") as file:
        file.seek(-_ARCHIVE_END_SIZE, os.SEEK_END)
        assert file.read(len(_ARCHIVE_END)) == _ARCHIVE_END
        file.seek(-2, os.SEEK_END)
        file.write(_COMMENT.to_bytes(2, "little"))
        size = file.tell()
        file.write(_MARK + b"%08x" % _crc32(file, size))


def _is_damaged(path: Path) -> bool:
    """Whether a checksum in the file at `path` does not fit: ours, else those of the archive's entries.

    A file that is no archive (torch's older format) has none.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END) - _COMMENT
        file.seek(max(0, size))
        comment = file.read()
        if size > 0 and comment.startswith(_MARK):
            return comment != _MARK + b"%08x" % _crc32(file, size)
        if not zipfile.is_zipfile(file):
            return False
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is not None
        except Exception:  # whatever a reader of zip archives trips over
            return True


def _swollen_entry(path: Path) -> str | None:
    """The name of an entry that would take far more memory than the archive at `path` takes on the disk, if any.

    Torch inflates entries, and holds all but the tensors' several times over as it reads them.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > path.stat().st_size:  # stored in one place, or compressed
        return max(entries, key=lambda entry: entry.file_size).filename
    longest = {"data.pkl": _LONGEST_PICKLE, "data": path.stat().st_size}
    return next((entry.filename for entry in entries if entry.file_size > longest.get(
        entry.filename.partition("/")[2].partition("/")[0], _LONGEST_NOTE)), None)


def _crc32(file: BinaryIO, size: int) -> int:
    """Of the first `size` bytes; the file's position is where they end."""
    file.seek(0)
    crc = 0
    while rest := size - file.tell():
        crc = zlib.crc32(file.read(min(_CHUNK, rest)), crc)
    return crc


def _refuse_poison(path: str | os.PathLike, content: Mapping) -> None:
    for part in ("model_state_dict", "optimizer_state_dict"):
        for name, tensor in _tensors(content.get(part, {}), part):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise UserError(f"{path}: not written, {name} holds NaN or Inf. The last checkpoint is from before. "
                                "Lower lr or set grad_clip, with --restart, or with start_from under another "
                                "run_name.")


def _tensors(value: object, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor in nested dicts, with its path."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}/{key}")
