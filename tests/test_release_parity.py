"""What the S5VH release computes, compared number by number (fixtures: tests/golden, or those in GOLDEN_DIR).

Tolerances: 1e-5 of the largest value on real outputs and losses, 1e-4 on gradient norms and parameter changes;
frame codes are equal except where the activation is within 1e-5 of the threshold.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from artefacts.centers.measures import gilbert_varshamov, release_score
from artefacts.centers.solver import solve_row
from dataset.batches import AllRows
from Loss import debiased_contrastive_loss
from model import build_model, load_weights
from model.kernels.scan import ENGINES
from model.nets.autoencoder import binarize_down, split_frames, take_frames
from optim import build_optimizer
from tests.steps import config_of, step

GOLDEN = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parent / "golden"))
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/golden.npz"))
USABLE = [name for name in ("pytorch", "reference", "cpu")
          if not (hasattr(ENGINES[name], "unavailable") and ENGINES[name].unavailable())]
RELEASE = {"model_name": "S5VH", "method": "s5vh", "mixer": "mamba", "decoder_size": 192, "directions": "tied",
           "drop_path_rate": 0.5, "hash_center_mode": "learned", "mixer_init": "xavier", "tied_bits": "zero",
           "pseudo_label_update": "release", "warm_up_epoch": 1}
TRACE = {"S5VH_type": "mini", "max_frames": 12, "feature_size": 32, "hidden_size": 64, "nbits": 16,
         "nclusters": 10, "mask_ratio": 0.5, "temperature": 0.5, "tau_plus": 0.05, "alpha": 1.0, "a_cluster": 0.1,
         "temperature_cluster": 0.5, "smoothing_alpha": 0.01}


def load(folder: str, checkpoint: str, settings: dict, num_videos: int, engine: str):
    config = config_of(**RELEASE | {"scan_engine": engine} | settings)
    model = build_model(config, num_videos)
    path = GOLDEN / folder / checkpoint
    load_weights(model, torch.load(path, weights_only=True)["model_state_dict"], str(path))
    return model


def close(ours, theirs, tolerance: float, what: str = "") -> None:
    ours = ours.detach().numpy() if torch.is_tensor(ours) else np.asarray(ours)
    scale = max(np.abs(theirs).max(), 1e-30)
    error = np.abs(ours - theirs).max() / scale
    assert error <= tolerance, f"{what}: relative error {error:.2e}"


def activations(model, tokens):
    return model.ln(model.binary(model.encoder(tokens)))


def assert_codes(ours, theirs, h) -> None:
    """Equal wherever the activations `h` behind them are clear of the threshold."""
    clear = h.detach().abs().numpy() >= 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(ours.detach().numpy()[clear], theirs[clear])


@pytest.fixture(params=[(case, engine) for case in CASES for engine in USABLE], ids="-".join)
def golden(request):
    case, engine = request.param
    data = dict(np.load(GOLDEN / case / "golden.npz"))
    settings = json.loads((GOLDEN / case / "config.json").read_text())
    tensors = {name: torch.from_numpy(value) for name, value in data.items() if value.ndim}
    model = load(case, "release_checkpoint.pth", settings, len(data["x"]), engine)
    model.pseudo_labels.copy_(tensors["soft_label"])
    batch = SimpleNamespace(index=torch.arange(len(data["x"])), items=tensors["x"], uniforms=None, share=AllRows(),
                            masks=torch.stack([tensors["mask1"], tensors["mask2"]], dim=1))
    return SimpleNamespace(model=model, data=data, batch=batch)


def test_there_are_fixtures():
    assert CASES


def test_training_forward(golden):
    views = golden.model.views(golden.batch.items, golden.batch.masks)
    for view, (reconstruction, codes, logits) in enumerate(
            zip(views.reconstructions.chunk(2), views.frame_codes.chunk(2), views.center_logits.chunk(2), strict=True),
            start=1):
        close(reconstruction, golden.data[f"recon{view}"], 1e-5, f"recon{view}")
        close(logits, golden.data[f"center_logits{view}"], 1e-5, f"center_logits{view}")
        visible, _ = split_frames(golden.batch.masks[:, view - 1], int(golden.batch.masks[0, view - 1].sum()))
        tokens = take_frames(golden.model.encoder.embed(golden.batch.items), visible)
        assert_codes(codes, golden.data[f"frame_code{view}"], activations(golden.model, tokens))


def test_losses_and_gradients(golden):
    losses = golden.model.losses(golden.batch, step(0))
    for ours, theirs in {"total": "total", "reconstruction": "recon", "contrastive": "contrast",
                         "center": "center"}.items():
        close(losses[ours], golden.data[f"loss_{theirs}"], 1e-5, ours)
    losses["total"].backward()
    compared = 0
    for name, parameter in golden.model.named_parameters():
        close(parameter.grad.norm(), golden.data[f"grad_norm/{name}"], 1e-4, name)
        compared += 1
    assert compared == sum(name.startswith("grad_norm/") for name in golden.data)


@torch.no_grad()
def test_inference(golden):
    model, x, data = golden.model, golden.batch.items, golden.data
    tokens = model.encoder.embed(x)
    h = activations(model, tokens)
    close(model.encoder(tokens), data["encoder_out"], 1e-5, "encoder_out")
    close(h, data["hash_pre_activation"], 1e-5, "hash_pre_activation")
    assert_codes(binarize_down(h), data["infer_frame_code"], h)
    logits = model.pseudo_label_logits(model.encoder.embed(x))
    close(logits, data["pseudo_label_logits_release"], 1e-5, "pseudo-label logits")
    assert_codes(model.encode(x).sign(), data["infer_code_sign"], h.abs().amin(dim=1))


@pytest.mark.parametrize("case", CASES)
def test_hash_centers_readable(case):
    with h5py.File(GOLDEN / case / "hash_center.h5") as file:
        centers = file["matrix"][:]
    settings = json.loads((GOLDEN / case / "config.json").read_text())
    assert centers.shape == (settings["nclusters"], settings["nbits"])
    assert set(np.unique(centers)) == {-1, 1}


@pytest.mark.parametrize("engine", USABLE)
@pytest.mark.skipif(not (GOLDEN / "trace").exists(), reason="GOLDEN_DIR holds no trace")
def test_three_training_steps(engine):
    """Losses, moving labels and the size of every parameter's change over a warm-up step and two after it."""
    trace = dict(np.load(GOLDEN / "trace" / "trace.npz"))
    model = load("trace", "start_checkpoint.pth", TRACE, len(trace["feats"]), engine)
    model.pseudo_labels.copy_(torch.from_numpy(trace["labels_start"]))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = build_optimizer("AdamW", model.parameters(), lr=5e-4, weight_decay=1e-4)
    for number in range(3):
        index = torch.from_numpy(trace[f"step{number}/index"])
        batch = SimpleNamespace(index=index, items=torch.from_numpy(trace["feats"])[index], uniforms=None,
                                share=AllRows(),
                                masks=torch.from_numpy(trace[f"step{number}/mask"]))
        model.before_step(batch, step(number))
        loss = model.losses(batch, step(number))["total"]
        close(loss, trace["total_loss"][number], 1e-5, f"loss of step {number}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    close(model.pseudo_labels, trace["labels_end"], 1e-5, "labels")
    for name, value in model.named_parameters():
        close((value.detach() - before[name]).norm(), trace[f"param_change_norm/{name}"], 1e-4, name)


@pytest.mark.parametrize("tau_plus", [0.05, 0.1, 0.3, 0.6])
@pytest.mark.skipif(not (GOLDEN / "trace").exists(), reason="GOLDEN_DIR holds no trace")
def test_contrastive_loss_with_and_without_clamp(tau_plus):
    data = np.load(GOLDEN / "trace" / "contrastive.npz")
    z1, z2 = torch.from_numpy(data["z1"]), torch.from_numpy(data["z2"])
    loss = debiased_contrastive_loss(z1, z2, temperature=0.5, tau_plus=tau_plus)
    close(loss, data[f"loss_tau_plus_{tau_plus}"], 1e-5)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("trace/solver_*.npz")), ids=lambda path: path.stem)
def test_hash_center_sweep(path):
    """One sweep of the solver, each row from the recorded state and with the recorded duals.

    A free sweep cannot be compared: the iteration is chaotic, and after one flipped row all later ones start
    from elsewhere. Two of the rows of C 40, K 16 flip with the order of additions (the kernel that BLAS picks
    for the processor), and with them the score, a small difference of large sums, by up to 5 %.
    """
    trace = np.load(path)
    codes, similarity = trace["start"].astype(np.float64), trace["W"] @ trace["W"].T
    rows = []
    for i, end in enumerate(trace["end"]):
        rows.append(solve_row(codes, i, similarity[i], [trace[name][i] for name in ("y1", "y2", "y3")]))
        codes[i] = end
    assert (np.array(rows) == trace["end"]).all(axis=1).mean() >= 0.9
    assert gilbert_varshamov(*trace["start"].shape) == trace["d_max"]
    assert release_score(trace["end"], trace["W"]) == pytest.approx(float(trace["release_score"]))
    assert release_score(np.array(rows), trace["W"]) == pytest.approx(float(trace["release_score"]), rel=0.06)
