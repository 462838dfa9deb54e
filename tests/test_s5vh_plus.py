"""S5VH+: what is made of the videos it learns from, and the codes that it follows."""

from dataclasses import replace

import pytest
import torch

from dataset.batches import AllRows
from model import build_model
from model.methods.s5vh.augmentation import augmented
from optim import build_optimizer
from tests.steps import config_of, step
from tests.test_s5vh import SETTINGS, make_batch
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
