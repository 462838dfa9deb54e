"""Weights from a checkpoint into a model."""

from collections.abc import Iterable

import torch
from torch import Tensor

from model.contract import HashingMethod
from utils.errors import UserError


def load_weights(model: HashingMethod, state: dict[str, Tensor], source: str, *, own_targets: bool = False) -> None:
    """Loads a state dict of ours, or of the release of the method's paper, into `model`.

    Ignored: state of a training set that the model does not hold (`resident_state`), a part for training only that
    either of the two lacks (`training_only`), what the method can do without (`optional_state`, `ignored_state`), and
    a release's backward mixers where directions are tied.

    Args:
        own_targets: `resident_state` and `optional_state` (pseudo-labels, hash centers) stay the model's own.

    Raises:
        UserError: a tensor is missing, of another size or unknown; `source` is named.
    """
    model.prepare(state)
    own = model.state_dict()
    if own_targets:
        kept = {*model.resident_state, *model.optional_state}
        state = {name: value for name, value in state.items() if name not in kept}
    state = {name: value for name, value in state.items() if not name.startswith(_absent(model.training_only, own))}
    _check_dropped_mixers(state, own, source)
    state = {name: value for name, value in state.items() if not _dispensable(name, own, model)}
    optional, absent = {*model.resident_state, *model.optional_state}, _absent(model.training_only, state)
    missing = [name for name in own
               if name not in state and name not in optional and not name.startswith(absent)]
    unknown = [name for name in state if name not in own]
    _check_names(missing, unknown, source)
    _check_tensors(state, own, source)
    model.load_state_dict(state, strict=False)


def restore_state(model: HashingMethod, state: dict[str, Tensor], source: str) -> None:
    """Loads the whole state of an earlier run of the same model.

    Raises:
        UserError: a tensor is missing, of another size or unknown; `source` is named.
    """
    model.prepare(state)
    own = model.state_dict()
    _check_names([name for name in own if name not in state], [name for name in state if name not in own], source)
    _check_tensors(state, own, source)
    model.load_state_dict(state)


def _check_names(missing: list[str], unknown: list[str], source: str) -> None:
    if missing or unknown:
        raise UserError(f"{source}: not a checkpoint of this model ("
                        + "; ".join(part for part in (_listed("missing", missing), _listed("unknown", unknown)) if part)
                        + "). Use the config that it was trained with.")


def _check_tensors(state: dict[str, Tensor], own: dict[str, Tensor], source: str) -> None:
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise UserError(f"{source}: '{name}' is {tuple(value.shape)}, this config's model has "
                            f"{tuple(own[name].shape)}. Use the config that it was trained with.")
        if (value.is_complex(), value.is_floating_point()) != (False, own[name].is_floating_point()):
            raise UserError(f"{source}: '{name}' is {value.dtype}, this config's model has {own[name].dtype}. Use the "
                            "config that it was trained with.")


def _absent(beginnings: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    """Those of `beginnings` that no name has."""
    return tuple(beginning for beginning in beginnings if not any(name.startswith(beginning) for name in names))


def _dispensable(name: str, own: dict[str, Tensor], model: HashingMethod) -> bool:
    if name in own:
        return name in model.resident_state and own[name].shape[0] == 0
    return name.startswith(model.ignored_state) or _forward_twin(name, own) is not None


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
