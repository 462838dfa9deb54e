"""The draws of an epoch depend on (seed, epoch, video) alone; batches carry them to the right videos."""

import h5py
import numpy as np
import pytest
import torch

from dataset.batches import iterate_epoch
from dataset.features import open_features
from dataset.sources import HostResident
from dataset.views import Draws, EpochDraws, frame_views
from utils.errors import UserError

N, T, F, U = 53, 25, 3, 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(seed=1, epoch=0, num_videos=N, mask_ratio=0.5):
    return EpochDraws(seed, epoch, num_videos, Draws(num_uniforms=U, num_frames=T, mask_ratio=mask_ratio))


@pytest.mark.parametrize("num_frames", [1, 7, 25, 30])
@pytest.mark.parametrize("mask_ratio", [0.0, 0.3, 0.5, 0.75])
def test_views_equal_the_ends_of_one_shuffle(num_frames, mask_ratio):
    masks = frame_views(N, num_frames, mask_ratio, generator())
    source = generator()
    num_visible = num_frames - int(mask_ratio * num_frames)
    for video in range(N):
        place = torch.rand(num_frames, dtype=torch.float64, generator=source).argsort().tolist()
        shuffle = sorted(range(num_frames), key=lambda frame: place[frame])
        for view, seen in enumerate((shuffle[:num_visible], shuffle[num_frames - num_visible:])):
            expected = [frame not in seen for frame in range(num_frames)]
            assert masks[video, view].tolist() == expected
    assert masks.dtype == torch.bool
    assert masks.shape == (N, 2, num_frames)


def test_each_frame_is_hidden_equally_often():
    """Each count is binomial(20000, 12/25), sd 71; five sd bound all 50 of them."""
    counts = frame_views(20_000, T, 0.5, generator()).sum(0)
    assert (counts - 20_000 * 12 / 25).abs().max() < 5 * 71


def test_frames_hidden_in_both_views_are_the_middle_of_the_shuffle():
    both = frame_views(N, T, 0.75, generator()).all(1).sum(1)
    assert (both == T - 2 * (T - int(0.75 * T))).all()
    neither = (~frame_views(N, T, 0.3, generator())).all(1).sum(1)
    assert (neither == T - 2 * int(0.3 * T)).all()


def test_the_masks_of_the_first_videos_do_not_depend_on_the_others():
    few, many = (frame_views(count, 4, 0.5, generator()) for count in (10, 70_000))
    assert torch.equal(many[:10], few)


@pytest.mark.parametrize("mask_ratio", [-0.1, 1.0])
def test_a_ratio_that_leaves_nothing_is_refused(mask_ratio):
    with pytest.raises(ValueError, match="mask_ratio"):
        frame_views(2, T, mask_ratio, generator())


def everything(some):
    index = torch.arange(N)
    return some.order, some.masks(index), some.uniforms(index)


def test_draws_are_a_function_of_seed_and_epoch():
    first = everything(draws())
    uniforms, masks, order = (everything(draws())[kind] for kind in (2, 1, 0))
    assert torch.equal(first[0], order)
    assert torch.equal(first[1], masks)
    assert torch.equal(first[2], uniforms)
    for other in (draws(seed=2), draws(epoch=1)):
        assert not any(torch.equal(one, two) for one, two in zip(first, everything(other), strict=True))


def test_every_kind_of_draw_has_a_stream_of_its_own():
    seeds = [draws(seed, epoch)._stream(name).initial_seed()
             for seed in (1, 11) for epoch in (0, 1, 11) for name in ("order", "masks", "uniforms")]
    assert len(set(seeds)) == len(seeds)


def test_the_shape_of_one_stream_leaves_the_others_alone():
    order, _, uniforms = everything(draws())
    masked = EpochDraws(1, 0, N, Draws(num_uniforms=U, num_frames=T + 5, mask_ratio=0.9))
    assert torch.equal(masked.order, order)
    assert torch.equal(masked.uniforms(torch.arange(N)), uniforms)


def test_draws_have_their_types_and_ranges():
    order, masks, uniforms = everything(draws())
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(N))
    assert masks.shape == (N, 2, T)
    assert uniforms.shape == (N, 2, U)
    assert uniforms.dtype == torch.float32
    assert 0 <= uniforms.min() < uniforms.max() < 1
    assert draws().uniforms(torch.tensor([4, 4]))[0].equal(uniforms[4])


@pytest.fixture
def features(tmp_path):
    stored = np.random.default_rng(0).normal(size=(N, T, F)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = stored
    return open_features(tmp_path / "a.h5", item_shape=(T, F), role="training")


@pytest.mark.parametrize("batch_size", [2, 4, 13, 26, 53, 64])
def test_batch_size_changes_no_video(features, batch_size):
    """53 videos leave a single one over at 2, 4, 13 and 26: it is left out, and nothing else is."""
    source, epoch = HostResident(features), draws()
    stored = torch.from_numpy(features.load())
    batches = list(iterate_epoch(source, epoch, batch_size))
    index = torch.cat([batch.index for batch in batches])
    whole = N - 1 if N % batch_size == 1 else N
    assert torch.equal(index, epoch.order[:whole])
    assert all(len(batch.index) == batch_size for batch in batches[:-1])
    assert torch.equal(torch.cat([batch.items for batch in batches]), stored[index])
    assert torch.equal(torch.cat([batch.masks for batch in batches]), epoch.masks(index))
    assert torch.equal(torch.cat([batch.uniforms for batch in batches]), epoch.uniforms(index))


def test_drop_last_leaves_the_smaller_batch_out(features):
    sizes = [len(batch.index) for batch in iterate_epoch(HostResident(features), draws(), 10, drop_last=True)]
    assert sizes == [10] * 5
    sizes = [len(batch.index) for batch in iterate_epoch(HostResident(features), draws(), 10)]
    assert sizes == [10] * 5 + [3]


@pytest.mark.parametrize(("batch_size", "drop_last"), [(1, False), (0, False), (54, True)])
def test_an_epoch_without_batches_is_refused_at_once(features, batch_size, drop_last):
    with pytest.raises(UserError, match=f"batch_size = {batch_size}.*53"):
        iterate_epoch(HostResident(features), draws(), batch_size, drop_last)


def test_draws_for_another_number_of_videos_are_refused(features):
    with pytest.raises(ValueError, match="53"):
        iterate_epoch(HostResident(features), draws(num_videos=50), 10, True)


def test_any_source_that_serves_batches_will_do():
    class Counting:
        def __len__(self):
            return N

        def batch(self, index):
            return index[:, None, None].expand(-1, T, F).float()

    for batch in iterate_epoch(Counting(), draws(), 10, True):
        assert torch.equal(batch.items[:, 0, 0].long(), batch.index)


def test_a_batch_moves_as_a_whole(features):
    batch = next(iterate_epoch(HostResident(features), draws(), 10, True))
    moved = batch.to("meta")
    shapes = {"index": (10,), "items": (10, T, F), "masks": (10, 2, T), "uniforms": (10, 2, U)}
    for name, shape in shapes.items():
        assert getattr(moved, name).device.type == "meta"
        assert getattr(batch, name).device.type == "cpu"
        assert getattr(batch, name).shape == shape
    assert (batch.items.dtype, batch.masks.dtype) == (torch.float32, torch.bool)


def test_a_split_with_a_bad_video_is_refused_when_loaded(tmp_path):
    stored = np.ones((N, T, F), np.float16)
    stored[31, 0, 0] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = stored
    features = open_features(tmp_path / "a.h5", item_shape=(T, F), role="training")
    with pytest.raises(UserError, match="row 31"):
        HostResident(features)
