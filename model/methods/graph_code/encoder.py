"""A code from where a video stands among its neighbors: what the closed form leaves for encoding.

Letters: B videos, T frames, F features, D frame components, R cells, W warps, S segments, P components of g, Q of them
compared, M nodes, k neighbors, C columns of E, K bits.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from artefacts.neighbor_graph import SHARPNESS, TINY, Graph
from artefacts.rotation import Rotation
from artefacts.trajectories import TrajectoryMap

VIDEOS_ON_CPU, VIDEOS_ELSEWHERE = 32, 256


class WarpedGraphCode(nn.Module):
    """h = [g; E] @ directions - offset of videos (B,T,F), by plain operations on buffers; nothing here is trained.

    g is the half-whitened trajectory of `artefacts.trajectories`, E the place among the nodes of
    `artefacts.neighbor_graph`, found by the similarity of the video's warps.

    The videos are taken by 32 (256 beside the CPU), the last ones filled up with zeros: products of matrices of one
    shape round in one way, so the code of a video is the same alone and in a batch.

    Args:
        buffers: as `buffers_of` makes them, or as a state dict holds them.
        num_neighbors: k, where the buffers do not hold it: those of earlier checkpoints do not.
    """

    frame_mean: Tensor
    frame_axes: Tensor
    cell_averages: Tensor
    warps: Tensor
    segment_mean: Tensor
    segment_axes: Tensor
    nodes: Tensor
    widths: Tensor
    places: Tensor
    directions: Tensor
    offset: Tensor
    num_neighbors: Tensor

    def __init__(self, buffers: Mapping[str, Tensor], num_neighbors: int | None = None):
        super().__init__()
        self._k = int(buffers["num_neighbors"]) if num_neighbors is None else num_neighbors  # no wait for a GPU
        for name in BUFFERS if num_neighbors is None else BUFFERS[:-1]:
            self.register_buffer(name, buffers[name].clone())

    @property
    def num_bits(self) -> int:
        return len(self.offset)

    def encode(self, x: Tensor) -> Tensor:
        """h (B,K) float32 of videos (B,T,F); its signs are the code."""
        size = VIDEOS_ON_CPU if x.device.type == "cpu" else VIDEOS_ELSEWHERE
        with torch.autocast(x.device.type, enabled=False):
            parts = [self._encode_piece(pad(piece.float(), (0, 0, 0, 0, 0, size - len(piece))))[:len(piece)]
                     for piece in x.split(size)]
        return torch.cat(parts)

    def _encode_piece(self, x: Tensor) -> Tensor:
        g = self._warped_trajectories(x)
        return torch.cat([g[:, 0], self._place(g)], dim=1) @ self.directions - self.offset

    def _warped_trajectories(self, x: Tensor) -> Tensor:
        """(B,W,P): g of each warp, the video itself first."""
        num_warps, _, num_cells = self.warps.shape
        if num_cells != x.shape[1]:
            x = self.cell_averages @ x
        cells = (x - self.frame_mean) @ self.frame_axes
        segments = self.warps.reshape(-1, num_cells) @ cells
        return (segments.reshape(len(x), num_warps, -1) - self.segment_mean) @ self.segment_axes

    def _place(self, g: Tensor) -> Tensor:
        """E (B,C): the weighted mean of the places of the k nearest nodes (`neighbor_graph.node_weights`)."""
        compared = g[..., :self.nodes.shape[1]]
        units = compared / torch.linalg.vector_norm(compared, dim=2, keepdim=True).clamp(min=torch.finfo(g.dtype).tiny)
        similarities, ids = (units @ self.nodes.T).amax(dim=1).topk(self._k, dim=1)
        distances = (1 - similarities).clamp(min=0)
        exponents = SHARPNESS * distances ** 2 / (distances[:, -1:].clamp(min=TINY) * self.widths[ids])
        weights = torch.softmax(-exponents, dim=1)
        return (weights[:, :, None] * self.places[ids]).sum(dim=1)


def buffers_of(fitted: TrajectoryMap, graph: Graph, rotation: Rotation) -> dict[str, Tensor]:
    """The buffers of a `WarpedGraphCode`: the arrays of its three parts, the scales multiplied into the axes."""
    arrays = {**fitted._asdict(), **graph._asdict(), **rotation._asdict(),
              "segment_axes": fitted.segment_axes * fitted.scales}
    buffers = {name: torch.from_numpy(np.require(arrays[name], np.float32, ["C", "W"]))
               for name in BUFFERS[:-1]}
    return buffers | {"num_neighbors": torch.tensor([graph.num_neighbors])}


BUFFERS = tuple(WarpedGraphCode.__annotations__)  # k the last
