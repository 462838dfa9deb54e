"""What the authors' programs of other methods compute, number by number (tests/golden_peers, or PEER_GOLDEN_DIR)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from artefacts.centers.measures import gilbert_varshamov
from artefacts.centers.solver import sweep_apart
from dataset.cifar10 import split_rows
from inference.metrics import evaluate
from Loss import center_bits_loss, pair_likelihood_loss, quantisation_loss, sign_loss
from model.methods.mambahash.method import SIZES
from model.methods.mambahash.network import Network, Sizes
from model.methods.shc import centers
from model.methods.shc.similarity import class_similarity
from optim.optimizers import build_optimizer
from tests.peers.autossvh import (  # noqa: F401
    autossvh,
    test_autossvh_clusters,
    test_autossvh_encodes,
    test_autossvh_learns,
    test_autossvh_three_steps,
)
from tests.peers.bth import *  # noqa: F403
from tests.peers.conmh import conmh, test_conmh_encodes, test_conmh_learns, test_conmh_three_steps  # noqa: F401
from tests.peers.dkph import *  # noqa: F403
from tests.peers.mcmsh import *  # noqa: F403
from tests.peers.wsch import (  # noqa: F401
    test_wsch_encodes,
    test_wsch_learns,
    test_wsch_parts,
    test_wsch_three_steps,
    wsch,
)

GOLDEN = Path(os.environ.get("PEER_GOLDEN_DIR", Path(__file__).parent / "golden_peers"))
KNOWN = {
    "shc",
    "deephash",
    "mambahash",
    "autossvh",
    "conmh",
    "bth",
    "dkph",
    "mcmsh",
    "wsch",
}
FOUND = {path.parent.name for path in GOLDEN.glob("*/golden.npz")}


def cases_of(method):
    if method not in FOUND:
        return []
    return sorted({name.split("/")[0] for name in np.load(GOLDEN / method / "golden.npz").files if "/" in name})


@pytest.mark.parametrize("method", sorted(FOUND - KNOWN) or ["none"])
def test_methods_that_are_not_here(method):
    if method == "none":
        return
    pytest.skip(f"{method}: this method is not here yet")


@pytest.fixture(params=cases_of("shc"))
def shc(request):
    data = np.load(GOLDEN / "shc/golden.npz")
    return {name.split("/")[1]: data[name] for name in data.files if name.startswith(f"{request.param}/")}


def test_shc_class_similarity(shc):
    found = class_similarity(shc["logits"], shc["target"], "release")
    np.testing.assert_allclose(found, shc["S"], atol=1e-5)


def test_shc_separated_centers(shc):
    codes = shc["mds_start"]
    num_classes, num_bits = codes.shape
    assert gilbert_varshamov(num_classes, num_bits) == shc["d_max"]
    equal = []
    for first in range(0, len(shc["mds_rows"]), num_classes):
        rows = slice(first, first + num_classes)
        ours = sweep_apart(codes, [shc[f"mds_y{i}"][rows] for i in (1, 2, 3)], tolerance=1e-6)
        codes = shc["mds_rows"][rows]
        equal += list((ours == codes).all(axis=1))
    assert np.mean(equal) >= 0.9
    for when in ("start", "end"):
        np.testing.assert_allclose(centers.scores(shc[f"mds_{when}"]), shc[f"mds_score_{when}"][[0, 2]], atol=1e-6)


def test_shc_semantic_centers(shc):
    rounds = centers.SemanticRounds(shc["mds_end"].T, shc["S"], release=True)
    for number, (H, multipliers) in enumerate(zip(shc["shc_epoch_H"], shc["shc_epoch_lambd"], strict=True)):
        same = (rounds.H == H).mean()
        assert same == 1 if number < 3 else same >= 0.98 or abs(rounds.fit_loss() - shc["shc_loss1"][number]) < 1e-3
        if same == 1:
            np.testing.assert_allclose(rounds.lambda_, multipliers, atol=1e-4)
        rounds.round()
        if number == 0:
            np.testing.assert_allclose(rounds.M, shc["shc_M_first"], atol=1e-5)
            np.testing.assert_allclose(rounds.k, shc["shc_K_first"], atol=1e-5)
    found = centers.semantic_centers(shc["mds_end"], shc["S"], release=True)
    fit = np.square(shc["S"] - found.astype(float) @ found.T / found.shape[1]).mean()
    assert (shc["shc_end"] == found.T).mean() >= 0.98 or abs(fit - shc["shc_loss1"][1:].min()) < 1e-3


def test_shc_loss(shc):
    real = torch.from_numpy(shc["u"]).requires_grad_()
    targets = torch.from_numpy(shc["shc_end"].T.astype(np.float32))[torch.from_numpy(shc["y"]).argmax(dim=1)]
    u = real.tanh()
    loss = center_bits_loss(u, targets) + 1e-4 * quantisation_loss(u)
    assert loss.item() == pytest.approx(float(shc["loss"]), rel=1e-6)
    loss.backward()
    np.testing.assert_allclose(real.grad.numpy(), shc["u_grad"], atol=1e-5 * np.abs(shc["u_grad"]).max())


@pytest.mark.skipif("deephash" not in FOUND, reason="no such folder")
def test_deephash_map():
    """The real codes' ranking of each query as codes of as many bits as items: an item's distance is its rank."""
    data = dict(np.load(GOLDEN / "deephash/golden.npz"))
    num_items = len(data["database"])
    for topk, wanted in zip(data["topk"], data["map"], strict=True):
        within = num_items - 1 if topk == -1 else min(topk, num_items)  # -1 leaves the last item out
        found = []
        for query, labels in zip(data["query"], data["query_label"], strict=True):
            ranks = (-data["database"] @ query).argsort().argsort()
            codes = np.where(np.arange(num_items) < ranks[:, None], -1, 1).astype(np.int8)
            result = evaluate(np.ones((1, num_items), np.int8), codes, labels[None], data["database_label"],
                              map_at=[within], normaliser="hits", ties=["index"])
            found.append(result.map_at["index"][within])
        assert np.mean(found) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.skipif("deephash" not in FOUND, reason="no such folder")
def test_deephash_splits_of_cifar10():
    """Which of a class's pictures, in their order, are queries and which train, for every seed that is stored."""
    classes = np.random.default_rng(0).permutation(np.arange(60000) % 10)
    rank = np.empty(60000, int)
    for label in range(10):
        rank[classes == label] = np.arange(6000)
    data = np.load(GOLDEN / "deephash/golden.npz")
    seeds = [int(name.rpartition("_")[2]) for name in data.files if name.startswith("cifar_perm_")]
    assert seeds
    for seed in seeds:
        wanted, rows = data[f"cifar_perm_{seed}"], split_rows(classes, "cifar10", seed)
        for name, cut in (("query", slice(100)), ("train", slice(100, 600))):
            assert (classes[rows[name]] == np.arange(10).repeat(cut.stop - (cut.start or 0))).all()
            assert (rank[rows[name]].reshape(10, -1) == wanted[:, cut]).all()


class MambaHash(nn.Module):
    """The network and its hash layer under the names of the authors' checkpoint, and their loss over a memory bank."""

    def __init__(self):
        super().__init__()
        self.data = dict(np.load(GOLDEN / "mambahash/golden.npz"))
        made = json.loads((GOLDEN / "mambahash/config.json").read_text())
        self.sign_weight, self.made = made["alpha"], made
        self.net = Network(Sizes(made["stem_hidden_dim"], made["embed_dims"], made["depths"], made["mlp_ratios"],
                                 made["enhance_ratio"]))
        self.hash = nn.Linear(self.net.num_features, made["hash_bit"])
        self.load_state_dict({name if name.startswith("hash.") else f"net.{name}": value for name, value in torch.load(
            GOLDEN / "mambahash/checkpoint.pth", weights_only=True).items()})
        self.bank, self.labels = self.tensor("bank_u_before"), self.tensor("bank_y_before")

    def tensor(self, name):
        return torch.from_numpy(self.data[name].copy())

    def pictures(self, index):
        return self.tensor("x_all")[index]

    def losses(self, index):
        u = self.hash(self.net(self.pictures(index))).tanh()
        self.bank[index], self.labels[index] = u.detach(), self.tensor("y_all")[index]
        pairs = pair_likelihood_loss(u, self.bank, self.labels[index] @ self.labels.T > 0)
        return u, pairs, sign_loss(u)

    def named(self, kind):
        own = {name.removeprefix("net."): parameter for name, parameter in self.named_parameters()}
        wanted = {key.removeprefix(f"{kind}/"): float(value) for key, value in self.data.items()
                  if key.startswith(f"{kind}/")}
        return {name: (own[name], value) for name, value in wanted.items()}


def near(found, wanted, share=1e-5):
    scale = float(np.abs(wanted).max())
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=share * scale, rtol=0)


@pytest.fixture
def mambahash():
    if "mambahash" not in FOUND:
        pytest.skip("no such folder")
    return MambaHash()


@torch.inference_mode()
def test_mambahash_encodes(mambahash):
    model, data = mambahash.eval(), mambahash.data
    x = model.pictures(data["index"])
    near(model.net.patch_embed1(x).flatten(1, 2), data["eval_stem"])
    for stage, found in enumerate(model.net.stages(x), 1):
        near(found.flatten(1, 2), data[f"eval_stage{stage}"])
    near(model.net.enhanced(x), data["eval_enhanced"])
    near(model.hash(model.net(x)), data["eval_pre_tanh"])
    attention = model.net.block2[0].attn
    for group in range(1, 5):
        near(getattr(attention, f"mamba_g{group}")(model.tensor("ss2d_in")), data[f"ss2d_out{group}"])
    near(attention(model.tensor("attn_in").unflatten(1, (4, 5))).flatten(1, 2), data["attn_out"])


def test_mambahash_learns(mambahash):
    model, data = mambahash.train(), mambahash.data
    u, pairs, sign = model.losses(torch.from_numpy(data["index"]))
    near(u, data["train_u"])
    near(model.bank, data["bank_u_after"])
    assert pairs.item() == pytest.approx(float(data["loss_pairs"]), rel=1e-5)
    assert sign.item() == pytest.approx(float(data["loss_quantisation"]), rel=1e-5)
    loss = pairs + model.sign_weight * sign
    assert loss.item() == pytest.approx(float(data["loss"]), rel=1e-5)
    loss.backward()
    norms = model.named("grad_norm")
    largest = max(wanted for _, wanted in norms.values())
    assert len(norms) > 200
    for name, (parameter, wanted) in norms.items():
        assert parameter.grad.norm().item() == pytest.approx(wanted, rel=1e-4, abs=1e-6 * largest), name
    running = {key.removeprefix("running_after/"): value for key, value in data.items() if key.startswith("running_af")}
    state = model.net.state_dict()
    for name, wanted in running.items():
        near(state[name], wanted)


def test_mambahash_three_steps(mambahash):
    """A first gradient near RMSprop's epsilon, as a `skip_scale` has, is divided by itself, rounding noise and all:
    hence the absolute part, a twentieth of a step."""
    model, data = mambahash.train(), mambahash.data
    norms = {name: wanted for name, (_, wanted) in model.named("grad_norm").items()}
    noise = 1e-6 * max(norms.values())
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer("RMSprop", model.parameters(), model.made["lr"], model.made["weight_decay"])
    for index, wanted in zip(data["trace_index"], data["trace_loss"], strict=True):
        _, pairs, sign = model.losses(torch.from_numpy(index))
        loss = pairs + model.sign_weight * sign
        assert loss.item() == pytest.approx(float(wanted), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    start_of = {name.removeprefix("net."): value for name, value in start.items()}
    moved = {name.removeprefix("net."): (parameter.detach() - start[name]).norm().item()
             for name, parameter in model.named_parameters()}
    for name, (_, wanted) in model.named("trace_change_norm").items():
        if norms.get(name, 0) >= noise:
            slack = model.made["lr"] * start_of[name].numel() ** 0.5 / 20
            assert moved[name] == pytest.approx(wanted, rel=1e-3, abs=slack), name


@pytest.mark.parametrize(("bits", "millions"), [(16, 34.7), (32, 36.0), (48, 39.0), (64, 46.6)])
def test_mambahash_is_as_large_as_the_papers(bits, millions):
    stem, widths, depths, ratios = SIZES["small"]
    with torch.device("meta"):
        network = Network(Sizes(stem, widths, depths, ratios, 2 ** (bits // 16)))
    count = sum(parameter.numel() for parameter in network.parameters()) + (widths[-1] + 1) * bits
    assert count / 1e6 == pytest.approx(millions, abs=0.05)
