"""A one-layer LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000) as a mixer.

D width. The parameters are `torch.nn.LSTM`'s.
"""

import torch
from torch import Tensor, nn

from model.contract import SequenceMixer

FORGET_BIAS = 1.0


class Mixer(SequenceMixer):
    """A causal mixer (B, L, D) -> (B, L, D): the hidden state after every frame.

    Starts with Xavier-uniform input weights, orthogonal recurrent weights, and gates whose biases are 0 but for
    the forget gate's 1, without which an LSTM starts by forgetting (Jozefowicz et al. 2015).
    """

    name = "lstm"
    carries_state = True

    def __init__(self, dim: int, layer: int = 0, num_layers: int = 1):
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self._initialise(dim)

    @torch.no_grad()
    def _initialise(self, dim: int) -> None:
        inputs, recurrent, bias, other_bias = self.lstm.parameters()
        for gate in range(4):  # input, forget, cell, output
            rows = slice(gate * dim, (gate + 1) * dim)
            nn.init.xavier_uniform_(inputs[rows])
            nn.init.orthogonal_(recurrent[rows])
        nn.init.zeros_(bias)
        nn.init.zeros_(other_bias)
        nn.init.constant_(bias[dim: 2 * dim], FORGET_BIAS)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]

    def piece(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return self.lstm(x, state)
