"""Lines that gave a wrong advice: each now says what is the matter and what mends it."""

import fcntl
import shutil

import h5py
import numpy as np
import pytest

from dataset.batches import iterate_epoch
from dataset.features import open_features
from dataset.labels import read_class_names, read_labels
from dataset.sources import HostResident
from dataset.views import Draws, EpochDraws
from inference.code_file import read_codes, read_ids
from tests.pipeline import message_of

N, T, F = 4, 3, 5


def write(path, num_videos=N, **options):
    with h5py.File(path, "w", **options) as file:
        file["feats"] = np.ones((num_videos, T, F), np.float32)
        file["labels"], file["codes"] = np.eye(N), np.zeros((N, 1), np.uint8)
        file.attrs["num_bits"] = 8
    return path


def open_one(path):
    return open_features(path, item_shape=(T, F), role="training")


def test_a_single_training_video(tmp_path):
    source = HostResident(open_one(write(tmp_path / "a.h5", 1)))
    text = message_of(lambda: list(iterate_epoch(source, EpochDraws(1, 0, 1, Draws(num_frames=T, mask_ratio=0.5)), 16)))
    assert "a single training video" in text
    assert "batch_size" not in text


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("shape", [(N, 1), (N,)])
def test_one_class_that_all_videos_have_or_none(tmp_path, value, shape):
    np.save(tmp_path / "a.npy", np.full(shape, value))
    text = message_of(lambda: read_labels(tmp_path / "a.npy", N))
    assert f"with the value {value} alone" in text
    assert "at least two classes" in text
    np.save(tmp_path / "b.npy", np.arange(N).reshape(shape) % 2)
    assert "one class alone? Save a column for each of at least two" in message_of(
        lambda: read_labels(tmp_path / "b.npy", N))


READERS = [open_one, lambda path: read_labels(path, N), read_codes]


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_is_open_for_writing(tmp_path, read):
    path = write(tmp_path / "a.h5")
    read(path)
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does in the other program
        assert "open for writing in another program. Wait" in message_of(lambda: read(path))
    read(path)


@pytest.mark.parametrize("read", READERS)
def test_a_file_whose_writer_has_died(tmp_path, read):
    write(tmp_path / "a.h5", libver="latest")
    with h5py.File(tmp_path / "a.h5", "r+", libver="latest") as file:
        file.flush()
        shutil.copy(tmp_path / "a.h5", tmp_path / "b.h5")
    assert "h5clear -s" in message_of(lambda: read(tmp_path / "b.h5"))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("première\nb\n", encoding="utf-8-sig")
    assert read_ids(path) == read_class_names(path, 2) == ["première", "b"]
