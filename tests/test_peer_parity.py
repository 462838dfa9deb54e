"""What the authors' programs of other methods compute, number by number (tests/golden_peers, or PEER_GOLDEN_DIR)."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from artefacts.centers.measures import gilbert_varshamov
from artefacts.centers.solver import sweep_apart
from inference.metrics import evaluate
from Loss import center_bits_loss, quantisation_loss
from model.methods.shc import centers
from model.methods.shc.similarity import class_similarity

GOLDEN = Path(os.environ.get("PEER_GOLDEN_DIR", Path(__file__).parent / "golden_peers"))
KNOWN = {"shc", "deephash"}
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
