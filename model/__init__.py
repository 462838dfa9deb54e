"""Methods, mixers and scan engines. `build_model(config)` makes the method that a config names."""

from torch import Tensor

from model.contract import HashingMethod
from model.registry import method_class
from utils.errors import UserError

__all__ = ["build_model", "load_weights", "method_class"]

UNUSED_IN_RELEASE = "get_token_probs."


def build_model(config, num_videos: int = 0, **artefacts: Tensor) -> HashingMethod:
    """A newly initialised model in eval mode, on the CPU.

    Args:
        config: a resolved configuration (`utils.config.load_config`).
        num_videos: N of the training set; 0 to encode only.
        artefacts: what `method_class(config).required_artefacts(config)` names, to train.
    """
    return method_class(config)(config, num_videos, **artefacts).eval()


def load_weights(model: HashingMethod, state: dict[str, Tensor], source: str) -> None:
    """Loads a state dict of ours or of the S5VH release into `model`.

    Ignored: state of a training set that the model does not hold (`resident_state`), the release's unused
    `get_token_probs`, its backward mixers where directions are tied, its learned centres where ours are fixed.

    Raises:
        UserError: a tensor is missing, of another size or unknown; `source` is named.
    """
    own = model.state_dict()
    state = {name: value for name, value in state.items() if not _dispensable(name, own, model)}
    optional = {*model.resident_state, "hash_centers"}
    missing = [name for name in own if name not in state and name not in optional]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        raise UserError(f"{source}: not a checkpoint of this model ("
                        + "; ".join(part for part in (_listed("missing", missing), _listed("unknown", unknown)) if part)
                        + "). Use the config that it was trained with.")
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise UserError(f"{source}: '{name}' is {tuple(value.shape)}, this config's model has "
                            f"{tuple(own[name].shape)}. Use the config that it was trained with.")
    model.load_state_dict(state, strict=False)


def _dispensable(name: str, own: dict[str, Tensor], model: HashingMethod) -> bool:
    if name in own:
        return name in model.resident_state and own[name].shape[0] == 0
    backward_mixer = any(part.endswith("2") and part[:-1] + "1" in name_parts(own) for part in name.split("."))
    return name.startswith(UNUSED_IN_RELEASE) or name in ("classifier.weight", "hash_centers") or backward_mixer


def name_parts(state: dict[str, Tensor]) -> set[str]:
    """All dotted parts of the names in a state dict."""
    return {part for name in state for part in name.split(".")}


def _listed(word: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{word}: {', '.join(names[:3])}{more}"
