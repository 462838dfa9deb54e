"""Which model made some codes: codes of two models must not meet by accident."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from utils.config.schema import schema_of
from utils.registry import plain_name


def model_fingerprint(state: Mapping[str, Tensor], config) -> str:
    """What makes a model's codes, as SHA-256 (hex): its method and mixer, those of its settings that shape codes, and
    the names and values of its tensors.

    Settings enter by name and only where they are not as by default, so that a key that is new does not change it.

    Args:
        state: a checkpoint's `model_state_dict`, without what only training needs.
    """
    settings = {name: config[name] for name, key in schema_of(config).items()
                if key.shapes_codes and config[name] != key.default}
    names = [plain_name(config.method), plain_name(config.mixer)]
    return _digest(json.dumps([names, settings], sort_keys=True), state)


def earlier_fingerprint(state: Mapping[str, Tensor], settings: Mapping[str, object] | None) -> str:
    """The fingerprint that version 0.1 gave the same model, "" where that cannot be told.

    Args:
        settings: the config that its checkpoint holds, if it is of that version: its keys of the group "model" come
            first and end with `use_checkpoint`.
    """
    names = list(settings or ())
    if settings is None or "use_checkpoint" not in names or "item_shape" in names:
        return ""
    entered = [name for name in names[:names.index("use_checkpoint")]
               if not name.startswith(("student_", "teacher_")) and name not in _FREE_THEN]
    return _digest(repr([(name, settings[name]) for name in entered]), state)


_FREE_THEN = ("drop_path_rate", "mixer_init", "scan_engine")


def _digest(settings: str, state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(settings.encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
