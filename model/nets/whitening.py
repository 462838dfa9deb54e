"""Half-whitened frames in place of features, before the first layer of a network.

Letters: B videos, T frames, F features, D components.
"""

import numpy as np
import torch
from torch import Tensor, nn

from artefacts.frame_components import FrameAxes, frame_whitening
from model.nets.blocks import per_step


class FrameWhitening(nn.Module):
    """(B, T, F) -> (B, T, D): frames on principal components, each divided by a power of its variance.

    Nothing here is learned by gradient; `mean` and `matrix` are part of the state dict, so that encoding needs no
    artefact.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, num_features: int, num_dims: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("matrix", torch.zeros(num_features, num_dims))

    def fit(self, axes: FrameAxes, exponent: float) -> None:
        """Takes over the components of the training frames, tensors here: see `artefacts.frame_components`."""
        mean, matrix = frame_whitening(FrameAxes(*map(np.asarray, axes)), self.matrix.shape[1], exponent)
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(matrix))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # differences of large features, which bfloat16 would round
            return per_step(lambda part: (part - self.mean) @ self.matrix, x)
