"""AutoSSVH's release, number by number. K-means itself is not compared; what follows from its centroids is."""

from itertools import count

import pytest
import torch
import torch.nn.functional as F

from model.methods.autossvh.prototypes import assignment
from tests.peers.masked import Peer, check_encoding, check_gradients, check_trace, check_views, near, near_number
from tests.steps import step

VIEWS = torch.tensor([[0.25], [0.75]])  # a draw by which each view's negatives are told


@pytest.fixture
def autossvh():
    peer = Peer("autossvh", {"b": "prototype_weight", "clusters": "prototype_clusters"})
    for number in range(len(peer.model.config.prototype_clusters)):
        peer.model.clusters.assigned[:, number] = peer.data[f"kmeans{number}_assign"]
        getattr(peer.model.clusters, f"rows{number}").copy_(peer.data[f"kmeans{number}_centroid"])
        getattr(peer.model.clusters, f"densities{number}").copy_(peer.data[f"kmeans{number}_density"])
    return peer


def test_autossvh_encodes(autossvh):
    encoder = autossvh.model.encoder
    check_encoding(autossvh, lambda items: encoder(encoder.embed(items)))


@torch.no_grad()
def test_autossvh_clusters(autossvh):
    data = autossvh.data
    codes = autossvh.model.mean_codes(data["x_all"])
    near(codes, data["mean_code_all"])
    near(F.normalize(codes, dim=1), data["unit_code_all"])
    for number in count():
        if f"kmeans{number}_assign" not in data:
            break
        own, densities = assignment(data["unit_code_all"], data[f"kmeans{number}_centroid_raw"])
        assert torch.equal(own, data[f"kmeans{number}_assign"])
        near(densities, data[f"kmeans{number}_density"])


def test_autossvh_learns(autossvh, monkeypatch):
    model, data = autossvh.model, autossvh.data
    batch = autossvh.first_batch(VIEWS.expand(len(data["index"]), 2, 1))
    ours = model.clusters.contrasts

    def contrasts(index, draws):
        """With the negatives that were drawn there, as many as are drawn here, and all of the same kind."""
        view = VIEWS.flatten().tolist().index(draws.item()) + 1
        for number, (rows, densities, own, negatives, drawn) in enumerate(ours(index, draws)):
            theirs = data[f"negatives_view{view}_k{number}"]
            assert len(set(negatives[drawn].tolist())) == drawn.sum() == len(theirs)
            for ids in (negatives[drawn], theirs):
                assert not set(ids.tolist()) & set(own.tolist())
                assert ids.max() <= model.clusters.assigned[:, number].max()
            yield rows, densities, own, theirs, torch.ones_like(theirs, dtype=torch.bool)

    monkeypatch.setattr(model.clusters, "contrasts", contrasts)
    check_views(autossvh, model.training_views(batch))
    losses = model.losses(batch, step(model.config.warm_up_epoch))
    for name, wanted in (("reconstruction", "recon"), ("contrastive", "contrast"), ("prototypes", "proto"),
                         ("total", "total")):
        near_number(losses[name], data[f"loss_{wanted}"])
    check_gradients(autossvh, losses["total"])


def test_autossvh_three_steps(autossvh):
    check_trace(autossvh, (0, 0, 0))
