"""Learning from a video beside another one, which the graph of nearest anchors chooses from all training videos.

Letters: B videos, N training videos, T frames, F features, D width, M anchors, S nearest anchors.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from artefacts.anchor_graph import LEVELS, THRESHOLD, AnchorGraph
from artefacts.artefact import Artefact, with_keys
from dataset.protocol import open_train
from dataset.sources import FileSource
from dataset.views import Draws
from model.contract import HashingMethod, Step, videos_only
from model.nets.frame_transformer import DRAWN_KEYS, Drop, RowDropout, masked
from model.nets.network_latents import LATENT_ANCHORS
from utils.config.keys import choice

SIMILAR, DISSIMILAR = 1, 2
COIN, PICK, MASKS = 0, 1, 2  # columns of a pair's uniforms; a column for each frame of both videos from MASKS on

PAIR_KEYS = (
    *DRAWN_KEYS,
    choice("mask_target", "clean", ["masked"], "what is reconstructed: the frames as they were, or, as in the program, "
           "with the masks that the network is given"),
    *with_keys(LATENT_ANCHORS),
)


class PairGraph:
    """The graph A_3 + 2 (A_5 - A_4) of `artefacts.anchor_graph`, row by row, in O(N) storage; arguments as there."""

    def __init__(self, ids: np.ndarray, distances: np.ndarray, num_anchors: int):
        factors = AnchorGraph(ids, distances, num_anchors).factors().astype(np.float64)
        self._num_videos, num_nearest = ids.shape
        videos = np.arange(self._num_videos).repeat(num_nearest)
        self._levels = [scipy.sparse.csr_array((factors[:, level].ravel(), (videos, ids.ravel())),
                                               shape=(self._num_videos, num_anchors)) for level in range(len(LEVELS))]
        self._columns = [level.T.tocsr() for level in self._levels]

    def rows(self, videos: np.ndarray) -> Any:
        """The rows of `videos` (B,) as a sparse (B, N) int8 matrix: 1 similar, 2 dissimilar."""
        shares = zip(self._levels, self._columns, strict=True)
        rows = _combined(*(level[videos] @ columns > THRESHOLD for level, columns in shares))
        rows.sort_indices()
        return rows

    def entries(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(B,) int8, of the pairs of videos `first` and `second`, (B,) each."""
        return _combined(*(level[first].multiply(level[second]).sum(axis=1) > THRESHOLD for level in self._levels))

    def pick(self, rows: Any, kinds: Sequence[int] | np.ndarray, draws: Sequence[float] | np.ndarray) -> np.ndarray:
        """(B,) int64, for each of `rows` a video whose entry is its kind, any of them alike by `draws` (B,) in [0, 1].

        Where there is none, one whose entry is 0, and where all have another, any.
        """
        picked = np.empty(len(draws), np.int64)
        for place, (kind, draw) in enumerate(zip(kinds, draws, strict=True)):
            row = slice(*rows.indptr[place:place + 2])
            ids, entries = rows.indices[row], rows.data[row]
            choices = ids[entries == kind]
            if not len(choices):
                choices = np.delete(np.arange(self._num_videos), ids[entries != 0])
            choices = choices if len(choices) else ids
            picked[place] = choices[min(int(draw * len(choices)), len(choices) - 1)]
        return picked


def _combined(three: Any, four: Any, five: Any) -> Any:
    three, four, five = (share.astype(np.int8) for share in (three, four, five))
    return three + 2 * (five - four)


class Pair(NamedTuple):
    """A batch beside the other videos of its pairs: two tensors each, and which pairs are similar."""

    seen: tuple[Tensor, Tensor]  # (B, T, F), what the network is given
    clean: tuple[Tensor, Tensor]  # (B, T, F), without masks
    anchors: tuple[Tensor, Tensor]  # (B, D), nearest to the videos
    similar: Tensor  # (B,), 1 or -1


class PairedHashing(HashingMethod):
    """A method whose loss is of pairs: a fair coin says whether the second video is a similar or a dissimilar one.

    The second videos come from the training files, whatever is in the batch. Without `latent_anchors` (`ids` (N, S),
    `distances` (N, S), `feats` (M, D)), as where only costs are counted, the next of the batch stand for them.
    """

    anchors: Tensor
    nearest: Tensor

    def __init__(self, config, num_videos: int = 0, latent_anchors: Mapping[str, Tensor] | None = None):
        super().__init__()
        self.config, self.graph = config, None
        nearest, anchors = torch.zeros(num_videos, dtype=torch.int64), torch.zeros(1, config.hidden_size)
        if latent_anchors is not None:
            nearest, anchors = latent_anchors["ids"][:, 0].contiguous(), latent_anchors["feats"]
            self.graph = PairGraph(latent_anchors["ids"].numpy(), latent_anchors["distances"].numpy(), len(anchors))
        self.register_buffer("nearest", nearest, persistent=False)  # a resumed run reads them from their file again
        self.register_buffer("anchors", anchors, persistent=False)

    @classmethod
    def check(cls, config) -> str | None:
        return videos_only(config)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (LATENT_ANCHORS,)

    def draws(self) -> Draws:
        return Draws(num_views=1, num_uniforms=MASKS + 2 * self.config.max_frames)

    @cached_property
    def _source(self) -> FileSource:
        return FileSource(open_train(self.config))

    def training_videos(self, index: np.ndarray, device: torch.device) -> Tensor:
        return self._source.batch(torch.from_numpy(index)).to(device).float()

    def pair(self, batch) -> Pair:
        """The batch and the other videos of its pairs, some frames of both masked."""
        uniforms, device = batch.uniforms[:, 0], batch.items.device
        similar, index = uniforms[:, COIN] < 0.5, batch.index.cpu().numpy()
        if self.graph is None:
            other, videos = index, batch.items.roll(-1, 0)
        else:
            kinds = torch.where(similar, SIMILAR, DISSIMILAR).tolist()
            other = self.graph.pick(self.graph.rows(index), kinds, uniforms[:, PICK].tolist())
            videos = self.training_videos(other, device)
        draws = uniforms[:, MASKS:MASKS + 2 * videos.shape[1]].chunk(2, dim=1)
        clean = batch.items, videos
        first, second = (masked(items, one, self.config.mask_share) for items, one in zip(clean, draws, strict=True))
        own, others = (self.anchors[self.nearest[torch.from_numpy(places).to(device)]] for places in (index, other))
        return Pair((first, second), clean, (own, others), 2.0 * similar - 1)

    def targets(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """What is to be reconstructed of both videos."""
        return pair.seen if self.config.mask_target == "masked" else pair.clean

    def computed(self, batch) -> Any:
        """The rows of a batch that this process computes: its own here."""
        return batch

    def losses(self, batch, step: Step) -> dict[str, Tensor]:
        """The means of `terms`, and `total`, their sum by the keys `<term>_weight`."""
        own, config = self.computed(batch), self.config
        terms = self.terms(own, RowDropout(config.dropout, own, config.seed, step))
        means = {name: batch.share.mean(value) for name, value in terms.items()}
        weighted = [getattr(config, f"{name}_weight") * value for name, value in means.items()]
        return {"total": torch.stack(weighted).sum(), **means}

    def terms(self, batch, drop: Drop) -> dict[str, Tensor]:
        """The terms of the loss by name, each a mean over the rows of `batch`."""
        raise NotImplementedError
