"""WSCH's release, number by number."""

import pytest
import torch
import torch.nn.functional as F

from tests.peers.masked import Peer, check_encoding, check_gradients, check_trace, check_views, near, near_number
from tests.steps import step

PRETRAIN, CLUSTER, CONTRAST = 0, 1, 2  # epochs of a run with one of phase one
NAMES = {"b": "alpha", "a": "a_cluster", "clus_temperature": "temperature_cluster", "n_clusters": "nclusters",
         "p1": "pretrain_mask_ratio", "p2": "mask_ratio"}


@pytest.fixture
def wsch():
    return Peer("wsch", NAMES, pretrain_epochs=1)


def test_wsch_encodes(wsch):
    check_encoding(wsch, wsch.model.En)


@torch.no_grad()
def test_wsch_parts(wsch):
    data, model = wsch.data, wsch.model
    near(model.En.ssm(data["ssd_in"]), data["ssd_out"])
    codes = F.normalize(model.view_codes(data["x_all"], data["cluster_mask"]).flatten(0, 1), dim=1)
    near(codes, F.normalize(data["cluster_features"], dim=1))
    near(model.cluster_centers, data["cluster_centroid"].sign())


def test_wsch_learns(wsch):
    data, model, batch = wsch.data, wsch.model, wsch.first_batch()
    views = model.views(batch.items, batch.masks, model.config.mask_ratio)
    check_views(wsch, views)
    for view, codes in enumerate(views.video_codes(), 1):
        near(F.normalize(codes, dim=1), data[f"unit_code{view}"])
    model.config.pretrain_mask_ratio = model.config.mask_ratio  # of the one batch that is there for all three
    for epoch, phase in ((PRETRAIN, "pretrain"), (CLUSTER, "cluster"), (CONTRAST, "contrast")):
        losses = model.losses(batch, step(epoch))
        for name, wanted in (("reconstruction", "recon"), ("cluster", "cluster"), ("contrastive", "contrast"),
                             ("total", f"total_{phase}")):
            near_number(losses[name], data[f"loss_{wanted}"])
        check_gradients(wsch, losses["total"], f"grad_norm_{phase}")


def test_wsch_three_steps(wsch):
    check_trace(wsch, (CLUSTER, CONTRAST, CONTRAST), "grad_norm_contrast")
