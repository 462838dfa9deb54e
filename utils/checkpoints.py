"""Checkpoints: dicts of tensors and plain values, read with `weights_only=True` so that no code can hide in one."""

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from utils.errors import UserError
from utils.files import whole_file
from utils.schema import SCHEMA

LAST, BEST = "last.pth", "best.pth"
# Of the settings of a model, those that do not change the codes of given weights.
FREE_OF_CODES = frozenset({"drop_path_rate", "mixer_init", "scan_engine", "use_checkpoint"})


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    """Writes `content` (must hold `model_state_dict`) to `path`, whole or not at all."""
    with whole_file(path) as part:
        torch.save(content, part)


def read_checkpoint(path: str | os.PathLike) -> dict:
    """The content of a checkpoint of ours or of the S5VH release, on the CPU; it holds `model_state_dict`.

    Raises:
        UserError: no such file, truncated, no checkpoint, or one that holds Python objects.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint here. Train first (python train.py --config ...), or set "
                        "use_checkpoint to an existing file.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: holds Python objects besides tensors and plain values, or is damaged; it is not "
                        "loaded, since that could run code. Save its state_dict alone.") from error
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise UserError(f"{path}: cannot be read, truncated or no checkpoint. Copy or train it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), dict):
        raise UserError(f"{path}: holds no 'model_state_dict'. Is it a checkpoint of train.py?")
    odd = [name for name, value in content["model_state_dict"].items() if not _is_weight(name, value)]
    epoch = content.get("epoch", 0)
    if odd or type(epoch) is not int or epoch < 0:
        what = f"'model_state_dict' holds {odd[0]!r}, no dense tensor" if odd else f"'epoch' is {epoch!r}"
        raise UserError(f"{path}: {what}. Is it a checkpoint of train.py?")
    return content


def _is_weight(name: object, value: object) -> bool:
    return (isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided
            and value.device.type == "cpu" and not value.is_quantized and not value.is_nested)


def chosen_checkpoint(config) -> Path:
    """The file that evaluation of `config` means: `use_checkpoint`, else what its run left.

    In the run's folder: best.pth where select is 'best_on_test', else last.pth; where neither exists, the
    release's `<dataset>_<nbits>.pth`.
    """
    if config.use_checkpoint:
        return Path(config.use_checkpoint)
    folder = Path(config.file_path)
    ours = folder / (BEST if config.select == "best_on_test" else LAST)
    release = folder / f"{config.dataset}_{config.nbits}.pth"
    return release if not ours.exists() and release.exists() else ours


def model_fingerprint(state: Mapping[str, torch.Tensor], config) -> str:
    """SHA-256 (hex) of what makes a model's codes: the names and values of its tensors, and its settings.

    `state` is a checkpoint's `model_state_dict`. Paths, optimiser and training settings do not enter.
    """
    settings = [(name, config[name]) for name, key in SCHEMA.items()
                if key.group == "model" and name not in FREE_OF_CODES]
    digest = hashlib.sha256(repr(settings).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
