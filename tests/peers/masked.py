"""What the parity checks of methods over two masked views share."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.batches import Batch
from model import build_model, load_weights
from model.nets.autoencoder import binarize_down
from optim import build_optimizer
from tests.steps import config_of, step
from training.checkpoints import read_checkpoint

GOLDEN = Path(os.environ.get("PEER_GOLDEN_DIR", Path(__file__).parents[1] / "golden_peers"))
OURS = {"decoder_width": "decoder_size", "a": "alpha"}  # keys of their config by ours, where they differ
RATE = 1e-4


class Peer:
    """A method with the weights of its folder's checkpoint, in eval mode, and what the authors' program made of it.

    `names`: theirs of a setting -> ours, beside `OURS`; `settings`: what the folder's config does not say.
    """

    def __init__(self, method, names, **settings):
        folder = GOLDEN / method
        if not (folder / "golden.npz").exists():
            pytest.skip(f"no folder {folder}")
        made = json.loads((folder / "config.json").read_text())
        named = {(OURS | names).get(name, name): value for name, value in made.items()}
        with np.load(folder / "golden.npz") as arrays:
            self.data = {name: torch.from_numpy(value) if value.ndim else value.item()
                         for name, value in arrays.items()}
        num_videos = len(self.data["x_all"])
        self.model = build_model(config_of(method=method, tied_bits="zero", **named | settings), num_videos)
        load_weights(self.model, read_checkpoint(folder / "checkpoint.pth")["model_state_dict"], str(folder))

    def items(self, index):
        return self.data["x_all"][index]

    def batch(self, index, masks, uniforms=None):
        return Batch(index, self.items(index), masks, uniforms)

    def first_batch(self, uniforms=None):
        return self.batch(self.data["index"], torch.stack([self.data["mask1"], self.data["mask2"]], 1), uniforms)

    def trained_on(self):
        """The batches of the trace."""
        return [self.batch(index, masks) for index, masks in
                zip(self.data["trace_index"], self.data["trace_mask"], strict=True)]

    def norms(self, kind):
        start = f"{kind}/"
        return {name.removeprefix(start): value for name, value in self.data.items() if name.startswith(start)}


def near(found, wanted, share=1e-5):
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.detach(), wanted, atol=share * wanted.abs().max().item(), rtol=0)


def near_number(found, wanted, share=1e-5):
    assert found.item() == pytest.approx(wanted, rel=share)


@torch.no_grad()
def check_encoding(peer, represent):
    """The full view; `represent(items)` gives the encoder's output (B, T, D)."""
    data, items = peer.data, peer.items(peer.data["index"])
    activations = peer.model.activations(items)
    near(represent(items), data["encoder_out"])
    near(activations, data["hash_pre_activation"])
    sure = data["hash_pre_activation"].abs() > 1e-5
    assert torch.equal(binarize_down(activations)[sure], data["infer_frame_code"][sure])
    assert torch.equal(peer.model.encode(items).sign()[sure.all(1)], data["infer_code_sign"][sure.all(1)])


def check_views(peer, views):
    """Both views' reconstructions, which need the codes of all visible frames."""
    for view, reconstructed in enumerate(views.reconstructions.chunk(2), 1):
        near(reconstructed, peer.data[f"recon{view}"])


def check_gradients(peer, total, kind="grad_norm"):
    """The gradient norms of `total`; those of every parameter that has one there."""
    wanted = peer.norms(kind)
    peer.model.zero_grad()
    total.backward(retain_graph=True)
    parameters = dict(peer.model.named_parameters())
    assert {name for name, one in parameters.items() if one.grad is not None} == wanted.keys()
    largest = max(wanted.values())
    for name, value in wanted.items():
        assert parameters[name].grad.norm().item() == pytest.approx(value, rel=1e-4, abs=1e-6 * largest), name


def check_trace(peer, epochs, kind="grad_norm"):
    """Three steps from the checkpoint, each as of its epoch; `kind` has the gradient norms that tell noise."""
    parameters = dict(peer.model.named_parameters())
    start = {name: value.detach().clone() for name, value in parameters.items()}
    optimizer = build_optimizer("Adam", peer.model.parameters(), RATE, 0.0)
    for batch, wanted, epoch in zip(peer.trained_on(), peer.data["trace_loss"], epochs, strict=True):
        optimizer.zero_grad()
        total = peer.model.losses(batch, step(epoch))["total"]
        near_number(total, wanted.item())
        total.backward()
        optimizer.step()
    norms, moved = peer.norms(kind), peer.norms("trace_change_norm")
    told = [name for name in moved if norms.get(name, 0.0) >= 1e-6 * max(norms.values())]
    assert len(told) > 0.8 * len(norms)
    for name in told:
        change = (parameters[name].detach() - start[name]).norm().item()
        assert change == pytest.approx(moved[name], rel=1e-3), name
