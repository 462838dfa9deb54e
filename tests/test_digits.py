"""The sample dataset keeps its recipe: same bytes, split by image, and twins that only the order tells
apart."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from sklearn.datasets import load_digits

from dataset import digits
from dataset.features import open_features
from dataset.labels import read_labels
from utils.cli import of_project
from utils.errors import UserError

NAMES = ["classes.txt", "digits_test_feats.h5", "digits_test_labels.mat", "digits_train_feats.h5",
         "digits_train_labels.mat"]
CONTENT = {
    "train": "b7bd5607cb979f78240879cc4f844c4bc8e27dd9b0542f69f4a1429d94665316",
    "test": "918d3cb3c0093f156e1677c8a732d92ff6843e20f4d3482f685964339b26d9e7",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    assert digits.write_digits(folder)
    return folder


@pytest.fixture(scope="module")
def splits(folder):
    """For each split the videos (N, 25, 24, 24) in [0, 1] and the class ids (N,)."""
    found = {}
    for split, count in (("train", 2040), ("test", 600)):
        features = open_features(folder / f"digits_{split}_feats.h5", item_shape=(25, 576),
                                 role=split)
        labels = read_labels(folder / f"digits_{split}_labels.mat", count)
        assert (labels.sum(1) == 1).all()
        found[split] = features.load().reshape(-1, 25, 24, 24), labels.argmax(1)
    return found


def digest_of(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}


def test_two_writes_give_the_same_bytes(folder, tmp_path):
    for name in ("once", "again"):
        assert digits.write_digits(tmp_path / name, train_per_class=3, test_per_class=1)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(tmp_path / "once")) == NAMES
    assert digest_of(tmp_path / "again") == digest_of(tmp_path / "once")


@pytest.mark.parametrize("split", digits.SPLITS)
def test_the_content_is_the_one_every_published_figure_stands_on(folder, split):
    with h5py.File(folder / f"digits_{split}_feats.h5") as file:
        feats = file["feats"]
        assert (feats.dtype, feats.chunks) == (np.uint8, None)
        content = feats[()].tobytes()
    assert hashlib.sha256(content).hexdigest() == CONTENT[split]


def test_files_that_are_there_are_left_alone(folder, tmp_path):
    small = {"train_per_class": 2, "test_per_class": 1}
    assert digits.write_digits(tmp_path, **small)
    before = {name: os.stat(tmp_path / name).st_mtime_ns for name in NAMES}
    assert not digits.write_digits(tmp_path, **small)
    assert {name: os.stat(tmp_path / name).st_mtime_ns for name in NAMES} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_cut_file_is_written_again(tmp_path, name):
    small = {"train_per_class": 2, "test_per_class": 1}
    digits.write_digits(tmp_path, **small)
    whole = digest_of(tmp_path)
    os.truncate(tmp_path / name, os.path.getsize(tmp_path / name) // 2)
    assert digits.write_digits(tmp_path, **small)
    os.remove(tmp_path / name)
    assert digits.write_digits(tmp_path, **small)
    assert digest_of(tmp_path) == whole


def test_other_settings_are_not_taken_for_these(tmp_path):
    digits.write_digits(tmp_path, train_per_class=2, test_per_class=1)
    first = digest_of(tmp_path)
    assert digits.write_digits(tmp_path, train_per_class=2, test_per_class=1, seed=2)
    second = digest_of(tmp_path)
    assert [name for name in NAMES if first[name] == second[name]] == ["classes.txt"]


def test_nothing_is_written_where_the_folder_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        digits.write_digits(tmp_path / "file" / "data", train_per_class=1, test_per_class=1)


def test_no_image_is_in_both_splits():
    images = load_digits().images.reshape(-1, 64)
    pools = digits.split_images(1)
    used = {split: np.concatenate(pools[split]) for split in digits.SPLITS}
    assert sorted(np.concatenate(list(used.values()))) == list(range(1797))
    seen = {split: {images[image].tobytes() for image in used[split]} for split in digits.SPLITS}
    assert not seen["train"] & seen["test"]
    for split, count in (("train", 34), ("test", 10)):
        ids = digits.image_ids(1, split, count)
        assert set(ids) <= set(used[split])
        np.testing.assert_array_equal(load_digits().target[ids], digits.class_ids(1, split, count) // 6)


def test_classes_are_balanced_and_named(folder, splits):
    for split, count in (("train", 34), ("test", 10)):
        assert (np.bincount(splits[split][1], minlength=60) == count).all()
    names = (folder / "classes.txt").read_text().splitlines()
    assert len(set(names)) == 60
    assert (names[0], names[27], names[59]) == ("0 right", "4 up", "9 counterclockwise")
    np.testing.assert_array_equal(scipy.io.loadmat(folder / "digits_test_labels.mat")["labels"].argmax(1),
                                  splits["test"][1])


def test_reversed_motion_is_the_twin():
    ids = np.arange(60)
    twins = digits.reversed_motion(ids)
    np.testing.assert_array_equal(digits.reversed_motion(twins), ids)
    np.testing.assert_array_equal(twins // 6, ids // 6)
    pairs = {tuple(sorted((digits.MOTIONS[one % 6], digits.MOTIONS[two % 6])))
             for one, two in zip(ids, twins, strict=True)}
    assert pairs == {("left", "right"), ("down", "up"), ("clockwise", "counterclockwise")}


def test_a_rendered_glyph_keeps_its_ink_and_place():
    glyphs = np.random.default_rng(0).integers(0, 17, (2, 8, 8)).astype(float)
    positions = np.array([[[3, 5], [2.25, 0.5]], [[16, 16], [0, 15.75]]])
    frames = digits._render(glyphs, positions)
    np.testing.assert_array_equal(frames[0, 0, 5:13, 3:11], glyphs[0])
    np.testing.assert_array_equal(frames[1, 0, 16:, 16:], glyphs[1])
    np.testing.assert_allclose(frames.sum((2, 3)), np.repeat(glyphs.sum((1, 2))[:, None], 2, axis=1))
    for video, frame, (x, y) in [(0, 1, (2, 0)), (1, 1, (0, 15))]:
        right, below = positions[video, frame] - (x, y)
        slow = np.zeros((25, 25))
        for line in range(8):
            for column in range(8):
                ink = glyphs[video, line, column]
                slow[y + line, x + column] += ink * (1 - below) * (1 - right)
                slow[y + line, x + column + 1] += ink * (1 - below) * right
                slow[y + line + 1, x + column] += ink * below * (1 - right)
                slow[y + line + 1, x + column + 1] += ink * below * right
        np.testing.assert_allclose(frames[video, frame], slow[:24, :24], atol=1e-6)


@pytest.mark.parametrize(("program", "motion"), list(enumerate(digits.MOTIONS[::2])))
def test_forward_paths_stay_on_the_canvas_and_cross_it(program, motion):
    rng = np.random.default_rng(0)
    for _ in range(300):
        path = digits._forward_path(motion, 25, rng)
        assert path.shape == (25, 2)
        assert path.min() >= 0
        assert path.max() <= 16
        extent = np.ptp(path, axis=0)
        steps = np.diff(path, axis=0)
        if program == 2:
            assert extent.min() > 7
            x, y = (path - (path.max(0) + path.min(0)) / 2).T
            assert (x[:-1] * y[1:] - y[:-1] * x[1:]).sum() > 0
        else:
            assert extent[program] >= 10 - 1 / 32
            assert extent[1 - program] == 0
            assert (steps[:, program] > 0).all()


def test_slanted_paths_stay_on_the_canvas_too():
    rng = np.random.default_rng(0)
    for motion in digits.SLANTED[::2]:
        for _ in range(300):
            path = digits._forward_path(motion, 25, rng)
            assert path.min() >= 0
            assert path.max() <= 16
            assert np.ptp(path, axis=0).min() > 4
            twists = np.abs(np.diff(path[:, 0] + (path[:, 1] if motion == "northeast" else -path[:, 1])))
            assert (twists.max() <= 1 / 32) == (motion != "outward")  # the others are straight lines at 45 degrees


@pytest.mark.parametrize("name", ["digits100", "digits_slant"])
def test_variants_of_the_recipe(folder, tmp_path, name):
    variant, small = digits.VARIANTS[name], {"train_per_class": 2, "test_per_class": 1}
    assert digits.write_digits(tmp_path, variant, **small)
    assert not digits.write_digits(tmp_path, variant, **small)
    features = open_features(tmp_path / "digits_train_feats.h5", item_shape=(variant.num_frames, 576),
                             role="train")
    assert features.shape == (120, variant.num_frames, 576)
    names = (tmp_path / "classes.txt").read_text().splitlines()
    assert (names == (folder / "classes.txt").read_text().splitlines()) == (name == "digits100")
    assert digits.write_digits(tmp_path, **small)  # neither is taken for the recipe itself


def test_more_frames_go_the_same_ways():
    """The first video's path and image are those of the recipe; only its steps are finer."""
    short, long = (next(digits.make_videos(1, "train", 1, digits.Variant(frames)))[:1].reshape(frames, 24, 24) / 255
                   for frames in (25, 97))
    ends = [center_of_mass(videos[None])[0] for videos in (short, long[::4])]
    assert np.abs(ends[0] - ends[1]).max() < 1


def center_of_mass(videos):
    """(N, 25, 2): x and y; pixels under a quarter are noise to it."""
    ink = np.where(videos > 0.25, videos, 0)
    grid = np.arange(24)
    total = ink.sum((2, 3)) + 1e-6
    return np.stack([(ink.sum(2) * grid).sum(2), (ink.sum(3) * grid).sum(2)], axis=2) / total[..., None]


def seen_backward(videos, program):
    """(N,) bool by a rule that looks at the order: the direction travelled, or the sense of rotation."""
    center = center_of_mass(videos)
    if program < 2:
        return center[:, 12:, program].mean(1) < center[:, :12, program].mean(1)
    x, y = (center - (center.max(1, keepdims=True) + center.min(1, keepdims=True)) / 2).transpose(2, 0, 1)
    return (x[:, :-1] * y[:, 1:] - y[:, :-1] * x[:, 1:]).sum(1) < 0


@pytest.mark.parametrize("program", [0, 1, 2])
def test_the_order_of_the_frames_tells_twins_apart(splits, program):
    for videos, ids in splits.values():
        mine = ids % 6 // 2 == program
        assert (seen_backward(videos[mine], program) == ids[mine] % 2).mean() > 0.95


def test_the_frame_mean_does_not_tell_twins_apart(splits):
    """Each query is given its digit and path; nearest neighbour and nearest centroid of the mean then guess.

    600 fair coins have a standard deviation of 0.0204 in their mean; the bound is 3.5 of them, two-sided odds
    of 1 in 2,000 for a right recipe. The draw is fixed, so the test cannot come out differently from run to
    run.
    """
    train, train_ids = splits["train"]
    test, test_ids = splits["test"]
    train_means, test_means = train.mean(1).reshape(-1, 576), test.mean(1).reshape(-1, 576)
    nearest, centroid = [], []
    for mean, label in zip(test_means, test_ids, strict=True):
        mine = np.flatnonzero(train_ids // 2 == label // 2)
        distances = ((train_means[mine] - mean) ** 2).sum(1)
        nearest.append(train_ids[mine[distances.argmin()]] == label)
        centroids = [train_means[train_ids == one].mean(0) for one in (label, digits.reversed_motion(label))]
        own, other = (((one - mean) ** 2).sum() for one in centroids)
        centroid.append(own < other)
    for hits in (nearest, centroid):
        assert abs(np.mean(hits) - 0.5) < 3.5 * 0.0204


def test_the_frame_mean_does_tell_paths_apart(splits):
    """So the check above finds chance because of order alone: the mean sees paths well (chance: 1/3)."""
    train, train_ids = splits["train"]
    test, test_ids = splits["test"]
    spread = [np.stack([videos.mean(1).sum(axis).std(1) for axis in (1, 2)], axis=1)
              for videos in (train, test)]
    distances = ((spread[1][:, None] - spread[0][None]) ** 2).sum(2)
    guesses = train_ids[distances.argmin(1)] % 6 // 2
    assert (guesses == test_ids % 6 // 2).mean() > 0.95


def test_the_command_writes_then_says_it_is_fresh(folder, capsys):
    digits.main(["--out", str(folder)])
    state, following = capsys.readouterr().out.splitlines()
    assert state == f"{folder}: up to date, left as it is (2,040 training videos, 600 queries, 60 classes)"
    assert following.startswith("next: python ")
    assert following.endswith(f"--config {of_project('configs/S5VH/digits.py')} --set data_root={folder}/")


def test_the_command_ends_with_status_2_on_a_users_mistake(tmp_path):
    (tmp_path / "file").touch()
    run = subprocess.run([sys.executable, "-m", "dataset.digits", "--out", str(tmp_path / "file")],
                         cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
