"""A config for feature files of one's own, from the shapes in them: `vh init`."""

import os
import pprint
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from artefacts.cache import check_split
from dataset.features import VideoFeatures, open_features
from dataset.protocol import open_retrieval, open_train
from model import method_class
from model.methods import DEFAULT_OF_PICTURES
from utils.cli import vh_command
from utils.config import load_config
from utils.config.keys import Key
from utils.errors import UserError
from utils.files.writing import make_folder, write_text
from utils.registry import METHODS
from vh import ROOT

VIDEOS_PER_CLUSTER = 10
SMALL = 64  # rows of pictures that a ResNet's usual first layer would shrink away
_SIZES = {"nclusters": VIDEOS_PER_CLUSTER, "nanchors": 2}  # key -> the fewest training videos for one of them


def write_config(out: str | os.PathLike, features: Sequence[str], *, num_bits: int, method: str | None = None,
                 database: Sequence[str] | None = None, labels: Sequence[str] | None = None,
                 queries: Sequence[str] | None = None, query_labels: Sequence[str] | None = None,
                 train_labels: Sequence[str] | None = None, replace: bool = False) -> str:
    """Writes a config to `out` that fits the files named; what to say about it, with the commands that come next.

    It is loaded and held against the files before it is left there.

    Args:
        features: of the training items, seen as one. database, queries: of those; None: see the config's keys.
        method: None: the default, which is another for pictures with labels. train_labels: None: `labels`, where there
            is no `database`.

    Raises:
        UserError: a file is missing or does not fit, `method` has no base config, or `out` is there already.
    """
    path = Path(out)
    if path.suffix != ".py":
        raise UserError(f"{out}: a config is a Python file. Name one that ends in .py.")
    if path.exists() and not replace:
        raise UserError(f"{out}: exists already. Overwrite it with --replace, or name another with --out.")
    split, key = _open(features)
    train_labels = train_labels or (None if database else labels)
    method = method or (DEFAULT_OF_PICTURES if split.pictures and train_labels else METHODS.default)
    base, learns = _base(method, train_labels)
    values = {"dataset": _name(path.stem), **_shape(split), **({} if key == "feats" else {"feat_key": key}),
              **learns, "nbits": num_bits, **_sizes(method, len(split), num_bits),
              "train_feat_path": _absolute(features), "test_feat_path": _absolute(database or features),
              "label_path": _absolute(labels), "query_feat_path": _absolute(queries),
              "query_label_path": _absolute(query_labels)}
    _write(path, _text(path, base, values, split))
    return _next_steps(path, split, num_bits, labels is not None)


def _base(method: str, train_labels: Sequence[str] | None) -> tuple[Path, dict[str, object]]:
    """The config below one of `method`, and what names it there where it shares that with other methods."""
    bases, found = ROOT / "configs" / "_base_", METHODS.load(method)
    base = bases / f"{method.replace('-', '_')}.py"
    if found.uses_labels and train_labels:
        return bases / "pictures.py", {"method": method, "model_name": found.title,
                                       "train_label_path": _absolute(train_labels)}
    if found.uses_labels:
        raise UserError(f"--method {method}: it learns from labels, and none are named. Name them with --train-labels.")
    if not base.is_file():
        raise UserError(f"--method {method}: {base} is not there. Choose one of {', '.join(METHODS.names())}.")
    return base, {}


def _open(paths: Sequence[str]) -> tuple[VideoFeatures, str]:
    """The training videos, or pictures, and the name of the array that holds them."""
    arrays = _arrays(paths[0])
    key = "feats" if "feats" in arrays or len(arrays) != 1 else next(iter(arrays))
    return open_features(list(paths), item_shape=arrays.get(key, (0, 0, 0))[1:], role="training", key=key), key


def _arrays(path: str) -> dict[str, tuple[int, ...]]:
    """The shape of every array of three or four axes in a file, by name; none where the file cannot be read, which
    `open_features` tells better."""
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, node) -> None:
        if len(getattr(node, "shape", ())) in (3, 4):
            found[name] = node.shape

    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                file.visititems(note)
        else:
            note("feats", np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception:  # a damaged file makes h5py and NumPy raise nearly anything
        return {}
    return found


def _shape(split: VideoFeatures) -> dict[str, object]:
    if split.pictures:
        return {"item_shape": list(split.shape[1:]), "small_pictures": max(split.shape[1:3]) <= SMALL}
    return {"max_frames": split.shape[1], "feature_size": split.shape[2]}


def _sizes(method: str, num_videos: int, num_bits: int) -> dict[str, int]:
    """Keys of the method that few training videos, or few bits, ask to be smaller than by default."""
    keys: dict[str, Key] = {key.name: key for key in METHODS.load(method).KEYS}
    most = {name: max(2, num_videos // each) for name, each in _SIZES.items() if name in keys}
    if "nclusters" in most:
        most["nclusters"] = min(most["nclusters"], 2 ** (num_bits - 1))
    return {name: size for name, size in most.items() if size < keys[name].default}  # type: ignore[operator]


def _name(stem: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._+=-" else "_" for letter in stem)


def _absolute(paths: Sequence[str] | None) -> list[str] | None:
    return None if paths is None else [os.path.abspath(path) for path in paths]


def _text(path: Path, base: Path, values: dict[str, object], split: VideoFeatures) -> str:
    count = f"{len(split):,} {'pictures' if split.pictures else 'videos'} of {' x '.join(map(str, split.shape[1:]))}"
    commands = "".join(f"#     {line}\n" for line in _commands(path, values["label_path"] is not None))
    lines = "".join(f"{name} = {pprint.pformat(value, width=100)}\n" for name, value in values.items())
    return (f"# {count}, {split.dtype.name}.\n{commands}# Every other key, with its default and meaning: "
            f"{vh_command('train', '--help-keys')}\n_base_ = {str(base)!r}\n\n{lines}")


def _write(path: Path, text: str) -> None:
    """Leaves the config at `path` once it has been loaded and fits the files that it names."""
    make_folder(path.absolute().parent)
    trial = path.with_name(f".{path.name}.part")
    try:
        write_text(trial, text)
        config = load_config(trial)
        check_split(method_class(config).artefacts(config), config, open_train(config))
        if config.label_path:
            open_retrieval(config)
    finally:
        trial.unlink(missing_ok=True)
    write_text(path, text)


def _commands(path: Path, has_labels: bool) -> list[str]:
    name = str(path)
    return [vh_command("preprocess", "--config", name), vh_command("train", "--config", name),
            *([vh_command("eval", "--config", name, "--baselines", "--report")] if has_labels else []),
            vh_command("search", "encode", "--config", name, "--features", "FILE", "--out", "codes.h5")]


def _next_steps(path: Path, split: VideoFeatures, num_bits: int, has_labels: bool) -> str:
    lines = [f"written: {path}, {len(split):,} training items of {' x '.join(map(str, split.shape[1:]))}, "
             f"{num_bits} bits", "next:", *(f"    {line}" for line in _commands(path, has_labels))]
    if not has_labels:
        lines.append("without labels nothing is evaluated; name them with --labels, or as label_path in the config")
    return "\n".join(lines)
