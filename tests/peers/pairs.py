"""What the checks of methods over pairs of videos share."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from artefacts.anchor_graph import LEVELS, rbf_weights
from artefacts.clustering import nearest_anchors
from dataset.batches import Batch
from model import build_model, load_weights
from model.nets.neighbor_pairs import Pair, PairGraph
from optim import build_optimizer
from tests.steps import config_of, step

GOLDEN = Path(os.environ.get("PEER_GOLDEN_DIR", Path(__file__).parents[1] / "golden_peers"))
RATE = 3e-4


def near(found, wanted, share=1e-5):
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=share * float(np.abs(wanted).max()), rtol=0)


class Golden:
    """A method with the authors' weights, the arrays of its fixture, and what takes the place of what it draws.

    Args:
        masks: the fixture's masks are in its inputs.
    """

    def __init__(self, name, masks=True):
        self.masks = masks
        if not (GOLDEN / name / "golden.npz").exists():
            pytest.skip("no such folder")
        self.data = dict(np.load(GOLDEN / name / "golden.npz"))
        self.made = json.loads((GOLDEN / name / "config.json").read_text())
        sizes = {key: self.made[key] for key in ("feature_size", "hidden_size", "max_frames", "nbits")}
        shape = [sizes["max_frames"], sizes["feature_size"]]
        self.model = build_model(config_of(**sizes, method=name, item_shape=shape, dropout=0.0, seed=0,
                                           tied_bits="zero"))
        self.state = torch.load(GOLDEN / name / "checkpoint.pth", weights_only=True)
        load_weights(self.model, self.state, "checkpoint.pth")
        self.step = step(self.made["alpha_epoch"])

    def tensor(self, name):
        return torch.from_numpy(self.data[name].copy())

    def pair(self, prefix="", row=...):
        """The pairs of the fixture's batch, or of a step of its trace."""
        def drawn(name):
            return self.tensor(prefix + name)[row]
        clean = tuple(self.tensor("x_all")[index] for index in drawn("index")[:2])
        seen = tuple(videos * keep[:, :, None] for videos, keep in zip(clean, drawn("keep"), strict=True))
        anchors = tuple(self.tensor("anchors")[drawn("anchor")])
        return Pair(seen if self.masks else clean, clean, anchors, drawn("is_similar"))

    def losses(self, prefix="", row=...):
        """The losses of that batch."""
        pair, index = self.pair(prefix, row), self.tensor(f"{prefix}index")[row]
        self.model.pair = lambda batch: pair
        self.model.others = lambda batch: list(self.tensor("x_all")[index[2:]])
        return self.model.step_losses(Batch(index[0], pair.clean[0]), self.step)

    def check_losses(self, names):
        """All losses, by our names and theirs, and the norms of all gradients of their sum."""
        losses = self.losses()
        for ours, theirs in names.items():
            assert losses[ours].item() == pytest.approx(float(self.data[f"loss_{theirs}"]), rel=1e-5), ours
        assert losses.keys() == names.keys()
        losses["total"].backward()
        norms = self.named("grad_norm")
        largest = max(norms.values())
        own = dict(self.model.named_parameters())
        assert norms.keys() == own.keys()
        for name, wanted in norms.items():
            assert own[name].grad.norm().item() == pytest.approx(wanted, rel=1e-4, abs=1e-6 * largest), name

    def check_trace(self):
        """Three steps of Adam; parameters whose gradient is rounding noise are left out.

        So may single entries be: a batch norm takes out what the bias before it adds where no row differs. Adam makes
        up to 1e-3 of a step of 1e-11; in float64 the program's own numbers are missed as far. Hence the absolute part.
        """
        model, norms, moved = self.model, self.named("grad_norm"), self.named("trace_change_norm")
        start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = build_optimizer("Adam", model.parameters(), RATE, 0.0)
        for row, wanted in enumerate(self.data["trace_loss"]):
            loss = self.losses("trace_", row)["total"]
            assert loss.item() == pytest.approx(float(wanted), rel=1e-5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        checked = [name for name in start if norms[name] >= 1e-6 * max(norms.values())]
        assert len(checked) > len(start) / 2
        for name in checked:
            change = (dict(model.named_parameters())[name].detach() - start[name]).norm().item()
            slack = RATE * start[name].numel() ** 0.5 / 150
            assert change == pytest.approx(moved[name], rel=1e-3, abs=slack), name

    def check_graph(self):
        points, anchors = self.data["graph_x"], self.data["graph_anchor"]
        for number in LEVELS:
            ids, distances = nearest_anchors(points, anchors, number)
            assert (ids == self.data[f"graph_pos{number}"]).all()
            weights = np.zeros((len(points), len(anchors)))
            np.put_along_axis(weights, ids, rbf_weights(distances), axis=1)
            np.testing.assert_allclose(weights, self.data[f"graph_Z{number}"], atol=1e-5)
        graph, videos = PairGraph(ids, distances, len(anchors)), np.arange(len(points))
        np.testing.assert_array_equal(graph.rows(videos).toarray(), self.data["graph_adj"])
        for shift in range(len(points)):
            entries = graph.entries(videos, np.roll(videos, shift))
            np.testing.assert_array_equal(entries, self.data["graph_adj"][videos, np.roll(videos, shift)])

    def named(self, kind):
        return {key.removeprefix(f"{kind}/"): float(value) for key, value in self.data.items()
                if key.startswith(f"{kind}/")}

    def check_codes(self, h, wanted):
        """Signs of h, but where h is within rounding of 0."""
        h = h.detach().numpy()
        sure = np.abs(h) >= 1e-5
        assert sure.mean() > 0.9
        assert (np.sign(h)[sure] == wanted[sure]).all()
