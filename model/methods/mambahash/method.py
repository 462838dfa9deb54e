"""MambaHash: GroupMamba over pictures, and the likelihood of pairs with all training pictures.

The authors' program (shuaichaochao/MambaHash) is the source of all that is not GroupMamba's (Shaker et al., CVPR 2025).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from model.methods.mambahash.network import Network, Sizes, initialise
from model.nets import backbones
from model.nets.pair_hashing import PairHashing
from utils.config.keys import NON_NEGATIVE, Key, choice
from utils.errors import UserError

log = logging.getLogger("train")

# Stem, widths, blocks and MLP ratios of the stages.
SIZES: Mapping[str, tuple[int, Sequence[int], Sequence[int], Sequence[int]]] = {
    "small": (64, (64, 128, 348, 512), (3, 4, 16, 3), (8, 8, 4, 4)),
    "tiny": (16, (24, 48), (1, 2), (2, 2))}
BITS_PER_DOUBLING = 16
OTHER_ATTENTION = (".attn.fc1.", ".attn.fc2.", "post_network.", "head.", "dist_head.")  # GroupMamba's, not here


class Method(PairHashing):
    """u = tanh(code): the likelihood of all pairs of a batch with the last codes of the training pictures, and
    `sign_weight` times (u - sign u)^2."""

    title = "MambaHash"
    KEYS: ClassVar[tuple[Key, ...]] = (
        *(key for key in PairHashing.KEYS if key not in backbones.KEYS),
        choice("mamba_size", "small", ["tiny"], "small, the paper's, or tiny, for small pictures on CPUs: two stages, "
               "three blocks", shapes_codes=True),
        Key("backbone_weights", "path", None, "GroupMamba's checkpoint, a flat state dict, to start from; None: random "
            "numbers", free=True),
        Key("sign_weight", "float", 0.01, "weight of what keeps codes near their signs", NON_NEGATIVE),
    )

    def __init__(self, config, num_videos: int = 0):
        super().__init__(config, num_videos)
        if config.backbone_weights:  # as the authors have it, who never start from random numbers
            assert isinstance(self.hash, nn.Linear)
            nn.init.normal_(self.hash.weight, std=0.02)

    @classmethod
    def network(cls, config, pretrained: bool) -> Any:
        stem, widths, depths, ratios = SIZES[config.mamba_size]
        network = Network(Sizes(stem, widths, depths, ratios, 2 ** (config.nbits // BITS_PER_DOUBLING)))
        initialise(network)
        if pretrained and config.backbone_weights:
            _start_from(network, config.backbone_weights)
        return network

    def encode(self, items: Tensor) -> Tensor:
        return super().encode(items).tanh()

    def losses(self, batch, step) -> dict[str, Tensor]:
        return self.pairs_and_signs(batch, self.codes(batch).tanh())


def _start_from(network: nn.Module, path: str) -> None:
    """Loads what GroupMamba's checkpoint at `path` has of the network, and says what it has not."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = {name: value for name, value in state.items()
                  if not any(part in f".{name}" if part.startswith(".") else name.startswith(part)
                             for part in OTHER_ATTENTION)}
        missing, unknown = network.load_state_dict(theirs, strict=False)
    except Exception as error:  # the file may be anything
        raise UserError(f"{path}: not weights of GroupMamba in this size ({' '.join(str(error).split())[:200]}). Name "
                        "its checkpoint, or leave backbone_weights out.") from error
    if unknown:
        raise UserError(f"{path}: {len(unknown)} names are not of GroupMamba ({', '.join(unknown[:3])}). Name its "
                        "checkpoint, or leave backbone_weights out.")
    log.info("%s: %d of %d tensors start from it; new are %s", path, len(theirs), len(network.state_dict()),
             ", ".join(missing) or "none")
