"""S5VHplus: what is made of the videos it learns from, the codes that it follows, and its runs."""

import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dataset.batches import AllRows
from model import build_model
from model.methods.s5vh.augmentation import augmented
from optim import build_optimizer
from tests.pipeline import assert_same_tensors, make_project, run, succeed
from tests.steps import config_of, step
from tests.test_extending import stop_after
from tests.test_s5vh import SETTINGS, make_batch
from training.checkpoints import read_checkpoint
from training.steps import training_step

PLUS = SETTINGS | {"pooling": "ordered", "num_segments": 4, "head_dropout": 0.0, "alpha": 0.1, "teacher_weight": 1.0,
                   "view_warp": 0.06, "channel_dropout": 0.2, "mixup": 0.4}
PLAIN = {"view_warp": 0.0, "channel_dropout": 0.0, "mixup": 0.0}
VIDEOS = 20


def make(**changes):
    torch.manual_seed(0)
    teacher = torch.where(torch.rand(VIDEOS, 10) < 0.5, -1, 1).to(torch.int8)
    centers = torch.where(torch.rand(6, 10) < 0.5, -1, 1).to(torch.int8)
    return build_model(config_of(**PLUS | changes), VIDEOS, pseudo_labels=torch.arange(VIDEOS) % 6,
                       hash_centers=centers, teacher_codes=teacher).train()


def augmented_of(model, batch):
    return augmented(batch, model.config, model.mix_quantiles)


def test_gradient_reaches_every_parameter_and_the_state_is_left_alone():
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.step_losses(make_batch(depth=3), step(0))["total"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_total_is_s5vhs_and_what_is_followed():
    model, batch = make(teacher_weight=3.0, **PLAIN), make_batch(depth=3)
    found = model.losses(batch, step(0))
    views = model.views(batch.items, batch.masks, batch.uniforms)
    own = make(**PLAIN, teacher_weight=0.0).losses(batch, step(0))
    ones = (model.teacher_codes[batch.index] > 0).repeat(2, 1)
    p = views.logits.sigmoid()
    torch.testing.assert_close(found["follow"], -torch.where(ones, p, 1 - p).log().mean())
    torch.testing.assert_close(found["total"], own["total"] + 3 * found["follow"])
    assert "follow" not in make(teacher_weight=0.0).losses(batch, step(0))


def test_a_video_is_augmented_by_its_own_draws():
    """Whatever batch it is in; but for its partner in mixing, which is the next of the batch."""
    model, batch = make(mixup=0.0), make_batch(size=6, depth=3)
    rows, shares = augmented_of(model, batch)
    assert rows.shape == (12, 8, 12)
    assert (shares == 1).all()
    alone = replace(batch, items=batch.items[2:4], uniforms=batch.uniforms[2:4])
    assert torch.equal(augmented_of(model, alone)[0], rows[[2, 3, 8, 9]])
    assert not torch.equal(rows[2], rows[8])  # the two views differ
    dropped = (rows == 0).all(dim=1).float().mean()
    assert 0.05 < dropped < 0.4


def test_videos_codes_and_labels_are_mixed_alike():
    model, batch = make(view_warp=0.0, channel_dropout=0.0), make_batch(size=6, depth=3)
    rows, shares = augmented_of(model, batch)
    assert shares.min() > 0
    assert shares.unique().numel() == 6
    for video in range(6):
        expected = shares[video] * batch.items[video] + (1 - shares[video]) * batch.items[(video + 1) % 6]
        torch.testing.assert_close(rows[video], expected)
        assert torch.equal(rows[video], rows[video + 6])
    targets = model.teacher_codes[:6].float()
    mixture = shares[:, None] * targets + (1 - shares[:, None]) * targets.roll(-1, 0)
    p = model.views(rows, batch.masks, batch.uniforms).logits.sigmoid()
    q = (mixture.repeat(2, 1) + 1) / 2
    expected = -(q * p.log() + (1 - q) * (1 - p).log()).mean()
    torch.testing.assert_close(model.losses(batch, step(0))["follow"], expected)


class Second(AllRows):
    """The share of the second of two processes in a batch whose first half is `before`."""

    def __init__(self, before):
        self.before = before

    def gather(self, rows):
        return torch.cat([self.before[tuple(rows.shape[1:])], rows])

    def take(self, rows):
        return rows[len(rows) // 2:]


def test_the_partner_may_be_another_process_s():
    model, whole = make(view_warp=0.0, channel_dropout=0.0), make_batch(size=6, depth=3)
    rows, _ = augmented_of(model, whole)
    share = Second({whole.items.shape[1:]: whole.items[:3]})
    half = replace(whole, items=whole.items[3:], uniforms=whole.uniforms[3:], share=share)
    assert torch.equal(augmented_of(model, half)[0], rows[[3, 4, 5, 9, 10, 11]])


@pytest.mark.parametrize("changes", [{}, {"reconstruction_weight": 0.0, "a_cluster": 0.0, "alpha": 0.0},
                                     {"reconstruction": "cosine"}, {"pooling": "mean"}])
def test_a_short_run_learns_the_codes(changes):
    model, batch = make(**changes), make_batch(size=12, depth=3)
    optimizer = build_optimizer("AdamW", model.parameters(), 3e-3, 1e-2)
    follow = [float(training_step(model, optimizer, batch, step(0))["follow"].detach()) for _ in range(40)]
    assert follow[-1] < 0.8 * follow[0]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Videos of 40, an S5VHplus config over them, and its artefacts."""
    project = make_project(tmp_path_factory.mktemp("plus"))
    replaced = "model_name", "S5VH_type", "hidden", "latent"
    kept = [line for line in project.config.read_text().splitlines() if not line.startswith(replaced)]
    base = Path(__file__).parent.parent / "configs/_base_/s5vh_plus.py"
    project.config.write_text("\n".join([f"_base_ = '{base}'", *kept, "hidden_size, batch_size = 16, 16",
                                         "a_cluster = 0.1", "train_label_path = data_root + 'train.mat'", ""]))
    project.said = succeed("preprocess.py", "--config", project.config).output
    project.checkpoints = project.folder / "checkpoint/tiny"
    return project


def test_preprocess_says_how_good_the_labels_are(project):
    assert re.search(r"purity \d\.\d+, adjusted mutual information", project.said)
    assert "eigengap proposes" in project.said


def test_a_run_stopped_within_an_epoch_goes_on_to_the_same_bits(project, monkeypatch):
    settings = "--config", project.config, "--set"
    succeed("train.py", *settings, "run_name=whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 4, signal.SIGTERM)  # the first of the second epoch
        assert run("train.py", *settings, "run_name=stopped").code == 143
    succeed("train.py", "--resume", *settings, "run_name=stopped")
    assert_same_tensors(*(project.checkpoints / f"S5VHplus_8bit_{name}/last.pth" for name in ("whole", "stopped")))


def test_it_encodes_without_artefacts(project, tmp_path):
    succeed("train.py", "--config", project.config, "--set", "run_name=alone")
    for path in project.artefacts.glob("*.h5"):
        path.rename(tmp_path / path.name)
    try:
        assert "mAP@5" in succeed("eval.py", "--config", project.config, "--set", "run_name=alone").output
    finally:
        for path in tmp_path.glob("*.h5"):
            path.rename(project.artefacts / path.name)


def test_labels_of_some_videos_take_part(project):
    own = {name: project.data / f"labelled_{name}.h5" for name in (
        "anchor_path", "train_assist_path", "semantic_center_path", "hash_center_path")}
    settings = ["--config", project.config, "--set", "supervised=True", "train_label_share=0.5", "nclusters=6",
                "run_name=labelled", "pseudo_label_update=normalised", "warm_up_epoch=1",
                *(f"{name}={path}" for name, path in own.items())]
    assert "purity" not in succeed("preprocess.py", *settings).output  # the labels made them
    succeed("train.py", *settings)
    state = read_checkpoint(project.checkpoints / "S5VHplus_8bit_labelled/last.pth")["model_state_dict"]
    labels = state["pseudo_labels"]
    still = (labels.max(dim=1).values == 1).sum()
    assert still == 20  # those with a label stay, the others have moved
