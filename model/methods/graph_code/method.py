"""The method over `WarpedGraphCode`: fitted in closed form from two artefacts, in seconds.

docs/graph_code.md has the mathematics, the sources and what it reaches.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from artefacts.artefact import Artefact, with_keys
from artefacts.neighbor_graph import NEIGHBOR_GRAPH
from artefacts.rotation import GRAPH_WEIGHT, fit_rotation
from artefacts.trajectories import TRAJECTORIES, trajectories
from model.contract import HashingMethod, TrainingItems, videos_only
from model.methods.graph_code.encoder import WarpedGraphCode, buffers_of

BUFFERS = tuple(WarpedGraphCode.__annotations__)


class Method(HashingMethod):
    """A code from where a video stands among its neighbors. No epochs, no gradient.

    Args:
        trajectories, neighbor_graph: as the artefacts of these names give them, to fit; without them only a state dict
            can fill the code (`prepare`).
    """

    title = "GraphCode"
    closed_form = True
    KEYS = (
        GRAPH_WEIGHT,
        *with_keys(TRAJECTORIES, NEIGHBOR_GRAPH),
    )

    def __init__(self, config, num_videos: int = 0, trajectories: Mapping[str, Any] | None = None,
                 neighbor_graph: Mapping[str, Any] | None = None):
        super().__init__()
        self.config = config
        self._fit_from = (trajectories, neighbor_graph) if trajectories and neighbor_graph else None
        self.code = WarpedGraphCode(dict.fromkeys(BUFFERS, torch.zeros(0)), config.num_neighbors)

    @classmethod
    def check(cls, config) -> str | None:
        return videos_only(config)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return TRAJECTORIES, NEIGHBOR_GRAPH

    def fit(self, train: TrainingItems) -> None:
        """Rotates what the artefacts hold of the training videos to `nbits` bits, without another look at them."""
        assert self._fit_from is not None, "a model made to encode cannot be fitted"
        (fitted, cells), (graph, embedding) = ({name: _arrays(value) for name, value in one.items()}.values()
                                               for one in self._fit_from)
        rotation = fit_rotation(trajectories(fitted, cells), embedding, self.config.nbits,
                                weight=self.config.graph_weight, seed=self.config.seed)
        self.code = self._code(buffers_of(fitted, graph, rotation)).to(self.code.offset.device)

    def encode(self, items: Tensor) -> Tensor:
        """h (B,K) of videos (B,T,F)."""
        return self.code.encode(items)

    def prepare(self, state: Mapping[str, Tensor]) -> None:
        """Makes room for a code of the same features, frames and bits; how many nodes and components it has is its own.

        A state that fits none of that is left to whoever loads it, who will refuse it.
        """
        config, found = self.config, {name: state[f"code.{name}"] for name in BUFFERS if f"code.{name}" in state}
        wanted = {"frame_mean": (config.feature_size,), "cell_averages": (None, config.max_frames),
                  "offset": (config.nbits,)}
        if len(found) == len(BUFFERS) and all(
                len(found[name].shape) == len(shape) and all(
                    size in (None, own) for size, own in zip(shape, found[name].shape, strict=True))
                for name, shape in wanted.items()):
            device = self.code.offset.device
            self.code = self._code({name: torch.empty_like(value) for name, value in found.items()}).to(device)

    def _code(self, buffers: Mapping[str, Tensor]) -> WarpedGraphCode:
        """Of as many neighbors as the config says, where there are so many nodes."""
        return WarpedGraphCode(buffers, min(self.config.num_neighbors, max(1, len(buffers["nodes"]) - 1)))


def _arrays(value: Any) -> Any:
    """Tensors as numpy arrays, those within a named tuple too."""
    if isinstance(value, Tensor):
        return value.numpy()
    return type(value)(*map(_arrays, value)) if isinstance(value, tuple) else value
