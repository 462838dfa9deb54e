"""Clusters of the training videos' codes, several at a time, and what a batch is contrasted with of them.

Letters: N training videos, B of a batch, K bits, J clusterings, C clusters of one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artefacts.clustering import k_means, nearest_anchors
from model.nets.draws import spread

ITERATIONS, RESTARTS, POINTS_PER_CLUSTER = 20, 5, 200  # of k-means, as the release asks faiss for
SMOOTHING, LOW, HIGH, MEAN_DENSITY = 10, 0.1, 0.9, 0.2


class Prototypes(nn.Module):
    """J clusterings: for each the prototypes (C, K), unit rows, their densities (C,), and each video's own.

    Until `move` has been called, all prototypes are 0.
    """

    assigned: Tensor

    def __init__(self, num_videos: int, num_clusters: Sequence[int], nbits: int):
        super().__init__()
        self.sizes = num_clusters
        for number, size in enumerate(num_clusters):
            self.register_buffer(f"rows{number}", torch.zeros(size, nbits))
            self.register_buffer(f"densities{number}", torch.ones(size))
        self.register_buffer("assigned", torch.zeros(num_videos, len(num_clusters), dtype=torch.int64))

    def move(self, codes: Tensor, votes: bool) -> None:
        """New clusters, of the unit codes (N, K) of all videos; the run of k-means number j is seeded by j.

        Args:
            votes: a cluster's prototype has the sign that most of its codes have, bit by bit (the paper's component
                voting); else it is their mean (the release).

        Raises:
            UserError: there are more clusters than videos.
        """
        points = codes.cpu().numpy()
        for number, size in enumerate(self.sizes):
            order = np.random.default_rng(number).permutation(len(points))[:POINTS_PER_CLUSTER * size]
            found = k_means(points[order], size, "prototype_clusters", init="random", n_init=RESTARTS,
                            max_iter=ITERATIONS, random_state=number)
            centroids = torch.from_numpy(found).to(codes)
            if votes:
                centroids = voted(codes, assignment(codes, centroids)[0], centroids)
            own, densities = assignment(codes, centroids)
            self.assigned[:, number] = own
            getattr(self, f"rows{number}").copy_(F.normalize(centroids, dim=1))
            getattr(self, f"densities{number}").copy_(densities)

    def contrasts(self, index: Tensor, draws: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """For each clustering what `Loss.prototype_loss` takes beside the codes, for the videos `index` (B,).

        Up to B negatives are drawn among the prototypes up to the last that has a video, nobody's of the batch.

        Args:
            draws: (1,) in [0, 1), from which they are drawn.
        """
        for number, size in enumerate(self.sizes):
            own, noise = self.assigned[index, number], spread(draws, size, number)[0]
            taken = (torch.arange(size, device=own.device) > self.assigned[:, number].max()).index_fill(0, own, True)
            noise, negatives = noise.masked_fill(taken, torch.inf).topk(min(len(own), size), largest=False)
            yield (getattr(self, f"rows{number}"), getattr(self, f"densities{number}"), own, negatives,
                   noise.isfinite())


def assignment(codes: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid (N,) of each code (N, K), and phi (C,) of each centroid (C, K).

    phi (Li et al., ICLR 2021, eq. 12) is the mean distance over log(n + 10) of the n videos of a cluster; one of a
    single video or none has the largest of all. Then they are cut at the tenth and the ninetieth percentile and scaled
    to a mean of .2.
    """
    ids, distances = nearest_anchors(codes.cpu().numpy(), centroids.cpu().numpy(), 1)
    size = np.bincount(ids[:, 0], minlength=len(centroids))
    total = np.bincount(ids[:, 0], weights=distances[:, 0], minlength=len(centroids))
    density = np.where(size > 1, total / np.maximum(size, 1) / np.log(size + SMOOTHING), 0.0)
    density[size <= 1] = density.max()
    density = density.clip(*np.quantile(density, [LOW, HIGH]))
    if not density.mean() > 0:  # all videos lie on their centroids
        density = np.ones_like(density)
    return (torch.from_numpy(ids[:, 0]).to(codes.device),
            torch.from_numpy(MEAN_DENSITY * density / density.mean()).to(codes))


def voted(codes: Tensor, own: Tensor, centroids: Tensor) -> Tensor:
    """Prototypes (C, K): per bit the sign of most codes (N, K) of a cluster, over sqrt(K); the centroid's own where
    signs tie or nobody votes."""
    votes = torch.zeros_like(centroids).index_add_(0, own, codes.sign())
    signs = torch.where(torch.where(votes == 0, centroids, votes) < 0, -1.0, 1.0)
    return signs / signs.shape[1] ** 0.5
