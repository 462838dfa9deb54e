"""The hash layer that keeps the order of time, and frames whitened before the first layer."""

import numpy as np
import pytest
import torch

from artefacts.frame_components import FrameAxes, fit_frame_axes, frame_whitening
from model import build_model
from model.nets.ordered import OrderedHead
from model.nets.whitening import FrameWhitening
from tests.steps import config_of, step
from tests.test_s5vh import SETTINGS, make, make_batch
from tests.trajectory_data import ArrayFeatures, moving_videos


def naive_code(head, h, num_frames, visible):
    """Frame by frame: the nearest visible one, the earlier where two are equally near; then the segments' means."""
    filled = [h[min(range(len(visible)), key=lambda place: (abs(visible[place] - frame), place))]
              for frame in range(num_frames)]
    segments = [torch.stack([filled[frame] for frame in frames]).mean(dim=0)
                for frames in np.array_split(np.arange(num_frames), head.num_segments)]
    return head.out(head.norm(torch.cat(segments)))


@pytest.mark.parametrize(("num_frames", "num_segments"), [(8, None), (25, None), (25, 5), (7, 7)])
def test_a_code_is_of_its_segments_in_order(num_frames, num_segments):
    torch.manual_seed(0)
    head = OrderedHead(6, 5, num_segments, num_frames, dropout=0.3)
    h = torch.randn(3, num_frames // 2, 6)
    visible = torch.stack([torch.randperm(num_frames)[:num_frames // 2].sort().values for _ in range(3)])
    found = head(h, num_frames, visible)
    for row in range(3):
        torch.testing.assert_close(found[row], naive_code(head, h[row], num_frames, visible[row].tolist()))
    whole = torch.randn(2, num_frames, 6)
    torch.testing.assert_close(head(whole, num_frames)[0], naive_code(head, whole[0], num_frames, range(num_frames)))
    assert not torch.allclose(head(whole, num_frames), head(whole.flip(1), num_frames))


def test_dropping_follows_the_draws():
    head, h = OrderedHead(6, 5, 2, 8, dropout=0.3), torch.randn(3, 8, 6)
    draws = torch.rand(3)
    dropped = head(h, 8, draws=draws)
    torch.testing.assert_close(head(h[1:2], 8, draws=draws[1:2])[0], dropped[1])
    assert not torch.allclose(dropped, head(h, 8))


def test_an_ordered_model_hears_the_order_and_learns_with_every_parameter():
    model, batch = make(pooling="ordered", num_segments=4), make_batch(depth=2)
    model.losses(batch, step(0))["total"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    codes = model.encode(batch.items)
    assert codes.shape == (5, 10)
    assert not torch.allclose(codes, model.encode(batch.items.flip(1)))
    assert model.encode(torch.randn(2, 30, 12)).shape == (2, 10)  # longer than the training videos


def test_without_a_decoder_nothing_is_kept_for_one():
    model, batch = make(pooling="ordered", reconstruction_weight=0.0), make_batch(depth=2)
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert names == {"encoder", "head"}
    assert model.losses(batch, step(0)).keys() == {"total", "contrastive", "center"}
    assert "decoder.head.weight" not in make(reconstruction_weight=0.0).state_dict()


def test_labels_move_by_the_codes_of_whole_videos():
    model, batch = make(pooling="ordered", warm_up_epoch=0), make_batch(depth=2)
    before = model.pseudo_labels.clone()
    expected = (model.encode(batch.items).tanh() @ model.hash_centers.float().T / (10 * 0.5)).softmax(dim=1)
    model.step_losses(batch, step(0))
    moved = 0.9 * before[batch.index] + 0.1 * expected
    torch.testing.assert_close(model.pseudo_labels[batch.index], moved)


@pytest.fixture
def axes():
    videos, _ = moving_videos(num_videos=50, feature_size=12)
    return fit_frame_axes(ArrayFeatures(videos))


def test_frames_are_whitened_as_the_artefact_says(axes):
    whitening, x = FrameWhitening(12, 5), torch.randn(3, 8, 12)
    whitening.fit(FrameAxes(*map(torch.from_numpy, axes)), 0.5)
    mean, matrix = frame_whitening(axes, 5, 0.5)
    np.testing.assert_allclose(whitening(x), (x.numpy() - mean) @ matrix, atol=1e-5)


def test_a_model_that_whitens_is_one_on_whitened_frames(axes):
    """Losses and codes, and a model that is made to encode has all it needs in its state dict."""
    given = FrameAxes(*map(torch.from_numpy, axes))
    whitens = make_whitening(frame_components=given)
    plain, batch = make(feature_size=5, item_shape=[8, 5]), make_batch()
    plain.load_state_dict({name: value for name, value in whitens.state_dict().items()
                           if not name.startswith("frame_input.")})
    x = whitens.framed(batch.items)
    torch.testing.assert_close(plain.encode(x), whitens.encode(batch.items))
    found, expected = whitens.step_losses(batch, step(9)), plain.step_losses(batch.with_tensors({"items": x}), step(9))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
    other = make_whitening()
    assert not torch.equal(other.encode(batch.items), whitens.encode(batch.items))
    other.load_state_dict(whitens.state_dict())
    assert torch.equal(other.encode(batch.items), whitens.encode(batch.items))


def make_whitening(**artefacts):
    torch.manual_seed(0)
    config = config_of(**SETTINGS | {"frame_input": "whitened", "input_dims": 5})
    return build_model(config, 20, pseudo_labels=torch.arange(20) % 6,
                       hash_centers=torch.where(torch.rand(6, 10) < 0.5, -1, 1).to(torch.int8), **artefacts)
