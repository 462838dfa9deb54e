"""Methods, mixers and scan engines. `build_model(config)` makes the method that a config names."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from model.contract import HashingMethod
from utils.errors import UserError
from utils.registry import method_class

__all__ = ["build_model", "initial_model", "load_weights", "method_class"]

UNUSED_IN_RELEASE = "get_token_probs."


def build_model(config, num_videos: int = 0, **artefacts: Tensor) -> HashingMethod:
    """A newly initialised model in eval mode, on the CPU.

    Args:
        config: a resolved configuration (`utils.config.load_config`).
        num_videos: N of the training set; 0 to encode only.
        artefacts: what `method_class(config).required_artefacts(config)` names, to train.
    """
    return method_class(config)(config, num_videos, **artefacts).eval()


def initial_model(config, num_videos: int, artefacts: Mapping[str, np.ndarray]) -> HashingMethod:
    """The model that training starts from: `build_model` under `seed`, which sets torch's global generators.

    Args:
        num_videos, artefacts: as for `build_model`; arrays, as `artefacts.store.load_artefacts` gives them.
    """
    torch.manual_seed(config.seed)
    return build_model(config, num_videos, **{name: torch.from_numpy(array) for name, array in artefacts.items()})


def load_weights(model: HashingMethod, state: dict[str, Tensor], source: str) -> None:
    """Loads a state dict of ours or of the S5VH release into `model`.

    Ignored: state of a training set that the model does not hold (`resident_state`), a part for training only that
    either of the two lacks (`training_only`), the release's unused `get_token_probs`, its backward mixers where
    directions are tied, its learned centres where ours are fixed.

    Raises:
        UserError: a tensor is missing, of another size or unknown; `source` is named.
    """
    own = model.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith(_absent(model.training_only, own))}
    _check_dropped_mixers(state, own, source)
    state = {name: value for name, value in state.items() if not _dispensable(name, own, model)}
    optional, absent = {*model.resident_state, "hash_centers"}, _absent(model.training_only, state)
    missing = [name for name in own
               if name not in state and name not in optional and not name.startswith(absent)]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        raise UserError(f"{source}: not a checkpoint of this model ("
                        + "; ".join(part for part in (_listed("missing", missing), _listed("unknown", unknown)) if part)
                        + "). Use the config that it was trained with.")
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise UserError(f"{source}: '{name}' is {tuple(value.shape)}, this config's model has "
                            f"{tuple(own[name].shape)}. Use the config that it was trained with.")
        if (value.is_complex(), value.is_floating_point()) != (False, own[name].is_floating_point()):
            raise UserError(f"{source}: '{name}' is {value.dtype}, this config's model has {own[name].dtype}. Use the "
                            "config that it was trained with.")
    model.load_state_dict(state, strict=False)


def _absent(beginnings: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    """Those of `beginnings` that no name has."""
    return tuple(beginning for beginning in beginnings if not any(name.startswith(beginning) for name in names))


def _dispensable(name: str, own: dict[str, Tensor], model: HashingMethod) -> bool:
    if name in own:
        return name in model.resident_state and own[name].shape[0] == 0
    unused = name.startswith(UNUSED_IN_RELEASE) or name in ("classifier.weight", "hash_centers")
    return unused or _forward_twin(name, own) is not None


def _forward_twin(name: str, own: dict[str, Tensor]) -> str | None:
    """The forward tensor that stands for `name` of a backward pass whose own place the model lacks, if any."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        twin = ".".join([*parts[:place], part[:-1] + "1", *parts[place + 1:]])
        if part.endswith("2") and not part.isdigit() and twin in own:
            return twin
    return None


def _check_dropped_mixers(state: dict[str, Tensor], own: dict[str, Tensor], source: str) -> None:
    """Raises UserError where a tensor of the backward pass would be dropped that is not the forward one."""
    for name in state.keys() - own.keys():
        twin = _forward_twin(name, own)
        if twin in state and not torch.equal(state[name], state[twin]):
            raise UserError(f"{source}: '{name}' differs from '{twin}' and this config's model has no place for it. "
                            "Set directions to what it was trained with, 'separate' or 'tied'.")


def _listed(word: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{word}: {', '.join(names[:3])}{more}"
