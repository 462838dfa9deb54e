"""DKPH."""

import pytest
import torch

from tests.peers.pairs import Golden, near


@pytest.fixture
def dkph():
    return Golden("dkph")


@torch.inference_mode()
def test_dkph_encodes(dkph):
    x, model, data = dkph.tensor("x_all")[dkph.tensor("eval_index")], dkph.model, dkph.data
    coded = model.coded(x)
    near(coded.hidden, data["eval_hid"])
    near(coded.frames, data["eval_frame"])
    near(model.encode(x), data["eval_pre_sign"])
    dkph.check_codes(model.encode(x), data["eval_code"])


@torch.inference_mode()
def test_dkph_trains_on_what_is_masked(dkph):
    for member, seen in enumerate(dkph.pair().seen, 1):
        coded = dkph.model.train().coded(seen)
        near(coded.hidden, dkph.data[f"train_hid{member}"])
        near(coded.frames, dkph.data[f"train_frame{member}"])
        dkph.check_codes(dkph.model.encode(seen), dkph.data[f"train_bb{member}"])
        assert (coded.codes.abs() == 1).all()


def test_dkph_losses_and_gradients(dkph):
    dkph.check_losses({"total": "total", "reconstruction": "recon", "pair": "bsim", "anchor": "tsim"})


def test_dkph_three_steps(dkph):
    dkph.check_trace()
