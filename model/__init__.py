"""Methods, mixers, networks and kernels. `build_model(config)` makes the method that a config names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_map

from model.contract import HashingMethod
from model.weights import load_weights
from utils.registry import method_class

__all__ = ["build_model", "initial_model", "load_weights", "method_class"]


def build_model(config, num_videos: int = 0, **artefacts: Any) -> HashingMethod:
    """A newly initialised model in eval mode, on the CPU.

    Args:
        config: a resolved configuration (`utils.config.load_config`).
        num_videos: N of the training set; 0 to encode only.
        artefacts: what `method_class(config).artefacts(config)` names, with tensors for arrays, to train.
    """
    return method_class(config)(config, num_videos, **artefacts).eval()


def initial_model(config, num_videos: int, artefacts: Mapping[str, Any]) -> HashingMethod:
    """The model that training starts from: `build_model` under `seed`, which sets torch's global generators.

    Args:
        num_videos, artefacts: as for `build_model`; arrays, as `artefacts.cache.load` gives them.
    """
    torch.manual_seed(config.seed)
    as_tensors = tree_map(lambda value: torch.from_numpy(value) if isinstance(value, np.ndarray) else value,
                          dict(artefacts))
    return build_model(config, num_videos, **as_tensors)
