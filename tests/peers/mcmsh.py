"""MCMSH."""

import json

import pytest
import torch

from model.methods import mcmsh as method
from model.nets.frame_transformer import keep_all
from tests.peers.pairs import GOLDEN, Golden, near


def reductions():
    made = json.loads((GOLDEN / "mcmsh/config.json").read_text()) if (GOLDEN / "mcmsh").exists() else {}
    return made.get("r_min", 4), made.get("r_max", 16)


@pytest.fixture
def mcmsh(monkeypatch):
    monkeypatch.setattr(method, "REDUCTIONS", reductions())
    golden = Golden("mcmsh", masks=False)
    golden.model.before_step(None, golden.step)
    return golden


@torch.inference_mode()
def test_mcmsh_encodes(mcmsh):
    x, model, data = mcmsh.tensor("x_all")[mcmsh.tensor("eval_index")], mcmsh.model, mcmsh.data
    net = model.mc_mlp
    frames = net.preproj(x).relu()
    near(frames, data["eval_preproj"])
    mixed = net.token_mixer(frames.transpose(1, 2), keep_all).transpose(1, 2)
    near(mixed, data["eval_token_mixer"])
    for name in ("lrd", "mrd", "srd"):  # of this stage, though the network has them after the next
        near(getattr(net, name)(mixed), data[f"eval_{name}"])
    near(net.channel_mixer(mixed, keep_all), data["eval_channel_mixer"])
    e = net(x)
    near(e, data["eval_e"])
    near(model.encode(x), data["eval_h"])
    mcmsh.check_codes(model.encode(x), data["eval_code"])
    model.config.tanh_scale = "one"
    near(model.encode(x), data["eval_h_alpha1"])


def test_mcmsh_losses_and_gradients(mcmsh):
    mcmsh.model.train()
    mcmsh.check_losses({"total": "total", "anchor": "cluter", "pair": "sim", "sign": "q", "quadruplet": "quad"})
    for name, wanted in mcmsh.data.items():
        if name.startswith("running_after/"):
            near(mcmsh.model.state_dict()[name.removeprefix("running_after/")], wanted)


@torch.inference_mode()
def test_mcmsh_codes_by_batch_statistics(mcmsh):
    for member, seen in enumerate(mcmsh.pair().seen, 1):
        e = mcmsh.model.train().mc_mlp(seen)
        near(e, mcmsh.data[f"train_e{member}"])
        h = mcmsh.model.codes(e, mcmsh.model.scale)
        near(h, mcmsh.data[f"train_h{member}"])
        mcmsh.check_codes(h, mcmsh.data[f"train_b{member}"])


def test_mcmsh_three_steps(mcmsh):
    mcmsh.model.train()
    mcmsh.check_trace()


def test_mcmsh_graph(mcmsh):
    mcmsh.check_graph()
