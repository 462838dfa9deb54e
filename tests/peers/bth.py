"""BTH."""

import pytest
import torch

from tests.peers.pairs import Golden, near


@pytest.fixture
def bth():
    return Golden("bth")


@torch.inference_mode()
def test_bth_encodes(bth):
    x, model, data = bth.tensor("x_all")[bth.tensor("eval_index")], bth.model, bth.data
    near(model.bert.positions, bth.state["bert.embedding.position.pe"][0, :x.shape[1]].numpy())
    coded = model.coded(x)
    near(coded.hidden, data["eval_hid"])
    near(coded.frames, data["eval_frame"])
    h = model.binary(coded.hidden)
    near(h, data["eval_pre_sign"])
    bth.check_codes(h, data["eval_code"])
    assert (coded.codes.numpy() == data["eval_code"])[abs(data["eval_pre_sign"]) >= 1e-5].all()
    sure = (abs(data["eval_pre_sign"]) >= 1e-5).all(axis=1)  # every frame's bit
    assert (model.encode(x).sign().numpy() == data["eval_code_sign"])[sure].all()


@torch.inference_mode()
def test_bth_trains_on_what_is_masked(bth):
    for member, seen in enumerate(bth.pair().seen, 1):
        coded = bth.model.train().coded(seen)
        near(coded.hidden, bth.data[f"train_hid{member}"])
        near(coded.frames, bth.data[f"train_frame{member}"])
        near(coded.codes.mean(dim=1), bth.data[f"train_bb{member}"])


def test_bth_losses_and_gradients(bth):
    bth.check_losses({"total": "total", "reconstruction": "mask", "pair": "nei", "anchor": "mu"})


def test_bth_three_steps(bth):
    bth.check_trace()


def test_bth_graph(bth):
    bth.check_graph()
