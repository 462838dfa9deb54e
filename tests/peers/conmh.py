"""ConMH's release, number by number."""

import pytest

from tests.peers.masked import Peer, check_encoding, check_gradients, check_trace, check_views, near, near_number
from tests.steps import step


@pytest.fixture
def conmh():
    return Peer("conmh", {})


def test_conmh_encodes(conmh):
    encoder = conmh.model.encoder
    check_encoding(conmh, lambda items: encoder(encoder.embed(items)))


def test_conmh_learns(conmh):
    data, batch = conmh.data, conmh.first_batch()
    views = conmh.model.views(batch.items, batch.masks, conmh.model.config.mask_ratio)
    check_views(conmh, views)
    for view, codes in enumerate(views.frame_codes.chunk(2), 1):
        near(codes, data[f"frame_code{view}"])
    losses = conmh.model.losses(batch, step())
    for name, wanted in (("reconstruction", "recon"), ("contrastive", "contrast"), ("total", "total")):
        near_number(losses[name], data[f"loss_{wanted}"])
    check_gradients(conmh, losses["total"])


def test_conmh_three_steps(conmh):
    check_trace(conmh, (0, 0, 0))
