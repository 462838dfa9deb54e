"""The smartwatch exercises: windows by hand, people apart, and no unknown pickle opened."""

import hashlib
import importlib.util
import pickle

import numpy as np
import pytest

from dataset import watch
from dataset.features import open_features
from dataset.labels import read_labels
from utils.errors import UserError

NAMES = ["classes.txt", "watch_test_feats.h5", "watch_test_labels.mat", "watch_test_people.txt",
         "watch_train_feats.h5", "watch_train_labels.mat", "watch_train_people.txt"]


def small_recordings():
    """Three recordings of people 1, 7 and 8, of 250, 99 and 100 samples."""
    rng = np.random.default_rng(0)
    return {"X": [rng.standard_normal((length, 6)) * 3 + 1 for length in (250, 99, 100)],
            "y": np.array([2, 0, 6]), "subject": np.array([1, 7, 8]),
            "y_labels": ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A small file of recordings that is taken for the known one."""
    path = tmp_path / "watch_dataset.npy"
    np.save(path, np.array(small_recordings(), dtype=object), allow_pickle=True)
    monkeypatch.setattr(watch, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_windows_by_hand():
    recordings = small_recordings()
    windows, exercises, people = watch.cut_windows(recordings)
    assert windows.shape == (3, 25, 24)
    assert exercises.tolist() == [2, 2, 6]
    assert people.tolist() == [1, 1, 8]
    for frame in range(25):
        samples = recordings["X"][0][100 + 4 * frame:104 + 4 * frame]
        np.testing.assert_array_equal(windows[1, frame], np.concatenate(list(samples)))


def test_features_are_standardized_by_the_training_people():
    splits = watch.make_splits(small_recordings())
    train, test = splits["train"][0], splits["test"][0]
    assert (len(train), len(test)) == (2, 1)
    frames = train.reshape(-1, 24)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(frames.std(axis=0), 1, rtol=1e-6)
    assert abs(test.reshape(-1, 24).std(axis=0) - 1).max() > 1e-3


def test_files_are_read_by_the_framework(source, tmp_path):
    assert watch.write_watch(tmp_path / "out", source) == {"train": 2, "test": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == NAMES
    features = open_features(tmp_path / "out/watch_train_feats.h5", item_shape=(25, 24), role="training")
    np.testing.assert_array_equal(features.load(), watch.make_splits(small_recordings())["train"][0])
    assert read_labels(tmp_path / "out/watch_test_labels.mat", 1).tolist() == [[0, 0, 0, 0, 0, 0, 1]]
    assert (tmp_path / "out/watch_train_people.txt").read_text() == "1\n1\n"
    assert (tmp_path / "out/classes.txt").read_text().splitlines()[6] == "upright row"


def test_two_writes_give_the_same_bytes(source, tmp_path):
    for name in ("a", "b"):
        watch.write_watch(tmp_path / name, source)
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_unknown_pickle_is_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, ("raise AssertionError('it was opened')",)

    path = tmp_path / "watch_dataset.npy"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match=r"its SHA-256 is .*is not opened. Get it with `pip install"):
        watch.write_watch(tmp_path / "out", path)
    assert not (tmp_path / "out").exists()


def test_a_missing_source_is_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"cannot read .*Name the file with --file"):
        watch.read_recordings(tmp_path / "nothing.npy")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="seglearn, which brings it, is not installed"):
        watch.write_watch(tmp_path)


def test_the_command(source, tmp_path, capsys):
    watch.main(["--file", str(source), "--out", str(tmp_path / "out")])
    told = capsys.readouterr().out
    assert told.startswith(f"written: {tmp_path}/out, 2 training windows, 1 queries, 7 exercises; next: python ")
    assert told.endswith(f"S5VH/watch.py --set data_root={tmp_path}/out/\n")


@pytest.mark.skipif(importlib.util.find_spec("seglearn") is None, reason="the package seglearn is not installed")
def test_the_real_recordings():
    """1,620 windows of seven people to train on, 749 of three to ask with."""
    splits = watch.make_splits(watch.read_recordings(watch.find_recordings()))
    assert [split[0].shape for split in splits.values()] == [(1620, 25, 24), (749, 25, 24)]
    assert all(len(np.unique(split[1])) == 7 for split in splits.values())
