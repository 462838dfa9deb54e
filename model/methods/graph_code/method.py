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
from model.methods.graph_code.encoder import BUFFERS, WarpedGraphCode, buffers_of
from model.methods.graph_code.selection import as_figures, choose


class Method(HashingMethod):
    """A code from where a video stands among its neighbors. No epochs, no gradient.

    Args:
        trajectories, neighbor_graph: as the artefacts of these names give them, to fit; without them only a state dict
            can fill the code (`prepare`).
    """

    title = "GraphCode"
    closed_form = True
    selections = ("validation",)
    KEYS = (
        GRAPH_WEIGHT,
        *with_keys(TRAJECTORIES, NEIGHBOR_GRAPH),
    )

    def __init__(self, config, num_videos: int = 0, trajectories: Mapping[str, Any] | None = None,
                 neighbor_graph: Mapping[str, Any] | None = None):
        super().__init__()
        self.config = config
        self._figures: Mapping[str, float] = {}
        self._fit_from = (trajectories, neighbor_graph) if trajectories and neighbor_graph else None
        nothing = dict.fromkeys(BUFFERS, torch.zeros(0)) | {"num_neighbors": torch.zeros(1, dtype=torch.int64)}
        self.code = WarpedGraphCode(nothing)

    @classmethod
    def check(cls, config) -> str | None:
        if config.select == "validation":
            if not config.train_label_path:
                return ("select = 'validation' needs labels of training videos, and train_label_path is missing. Set "
                        "it to the file that has them, or leave select out.")
            if config.graph_weight is not None:
                return "select = 'validation' chooses graph_weight, which is set too. Leave one of the two out."
        return videos_only(config)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return TRAJECTORIES, NEIGHBOR_GRAPH

    def fit(self, train: TrainingItems) -> None:
        """Rotates what the artefacts hold of the training videos to `nbits` bits, without another look at them."""
        assert self._fit_from is not None, "a model made to encode cannot be fitted"
        (fitted, cells), (graph, embedding) = ({name: _arrays(value) for name, value in one.items()}.values()
                                               for one in self._fit_from)
        config, weight = self.config, self.config.graph_weight
        if config.select == "validation":
            assert train.labels is not None, "checked with the config"
            assert train.score is not None, "who trains says how codes are scored"
            chosen = choose(fitted, cells, graph, embedding, train.labels.cpu().numpy(), num_bits=config.nbits,
                            groups=train.groups, score=train.score, seed=config.seed)
            self._figures, weight = as_figures(chosen), chosen.setting.weight
            fitted, graph, embedding = chosen.fitted, chosen.graph, chosen.embedding
        rotation = fit_rotation(trajectories(fitted, cells), embedding, config.nbits, weight=weight, seed=config.seed)
        self.code = WarpedGraphCode(buffers_of(fitted, graph, rotation)).to(self.code.offset.device)

    def tracked(self) -> dict[str, float]:
        """What `select = 'validation'` chose, and the score of every setting that it tried."""
        return dict(self._figures)

    def encode(self, items: Tensor) -> Tensor:
        """h (B,K) of videos (B,T,F)."""
        return self.code.encode(items)

    def prepare(self, state: Mapping[str, Tensor]) -> None:
        """Makes room for a code of the same features, frames and bits; how many nodes and components it has is its own.

        A state that fits none of that is left to whoever loads it, who will refuse it. One of an earlier version does
        not say its number of neighbors, which is the config's then.
        """
        found = {name: state[f"code.{name}"] for name in BUFFERS if f"code.{name}" in state}
        wanted = {"frame_mean": (self.config.feature_size,), "cell_averages": (None, self.config.max_frames),
                  "offset": (self.config.nbits,), "nodes": (None, None)}
        if all(_fits(found.get(name), shape) for name, shape in wanted.items()):
            num_nodes, k = len(found["nodes"]), found.get("num_neighbors")
            earlier = min(self.config.num_neighbors, max(1, num_nodes - 1)) if k is None else None
            if len(found) == len(BUFFERS) - (k is None) and (earlier or _is_count(k, num_nodes)):
                self.code = WarpedGraphCode(found, earlier).to(self.code.offset.device)


def _fits(value: Tensor | None, shape: tuple[int | None, ...]) -> bool:
    return value is not None and len(value.shape) == len(shape) and all(
        size in (None, own) for size, own in zip(shape, value.shape, strict=True))


def _is_count(value: Tensor | None, most: int) -> bool:
    """Whether it is one whole number from 1 to `most`."""
    return value is not None and value.shape == (1,) and value.dtype == torch.int64 and 1 <= int(value) <= most


def _arrays(value: Any) -> Any:
    """Tensors as numpy arrays, those within a named tuple too."""
    if isinstance(value, Tensor):
        return value.numpy()
    return type(value)(*map(_arrays, value)) if isinstance(value, tuple) else value
