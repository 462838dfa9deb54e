"""Features in .npy files: read in place like HDF5, to the same values, with the fix where another form is given."""

import os
import pickle

import h5py
import numpy as np
import pytest

from dataset import repack
from dataset.features import open_features
from tests.pipeline import message_of

N, T, F = 23, 5, 7


def open_one(*paths, item_shape=(T, F)):
    return open_features(paths, item_shape=item_shape, role="training")


def values(dtype="float32", shape=(N, T, F)):
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, shape) if dtype == "uint8" else rng.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "uint8"])
def test_every_type_reads_as_from_hdf5(tmp_path, dtype):
    stored = values(dtype)
    np.save(tmp_path / "a.npy", stored)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = stored
    ours, theirs = open_one(tmp_path / "a.npy"), open_one(tmp_path / "a.h5")
    index = [22, 3, 3, 4, 0, 7]
    np.testing.assert_array_equal(ours.rows(index), theirs.rows(index))
    np.testing.assert_array_equal(ours.load(), theirs.load())
    assert (ours.shape, ours.contiguous) == ((N, T, F), True)
    if dtype != ">f4":  # h5py calls the type otherwise
        assert ours.fingerprint() == theirs.fingerprint()
    assert np.array_equal(pickle.loads(pickle.dumps(ours)).load(), ours.load())


def test_files_of_both_kinds_are_one_split(tmp_path):
    stored = values()
    np.save(tmp_path / "a.npy", stored[:9])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["feats"] = stored[9:]
    np.testing.assert_array_equal(open_one(tmp_path / "a.npy", tmp_path / "b.h5").load(), stored)


def test_pictures(tmp_path):
    stored = values("uint8", (4, 6, 5, 3))
    np.save(tmp_path / "a.npy", stored)
    np.testing.assert_array_equal(open_one(tmp_path / "a.npy", item_shape=(6, 5, 3)).load(), stored)


def test_repack_makes_hdf5_of_it(tmp_path):
    np.save(tmp_path / "a.npy", values())
    repacked = repack.repack([tmp_path / "a.npy"], tmp_path / "a.h5")
    np.testing.assert_array_equal(repacked.load(), values())


def test_each_other_form_has_its_line(tmp_path):
    def refusal(array, name="a.npy", **settings):
        np.save(tmp_path / name, array, **settings)
        return message_of(lambda: open_one(tmp_path / name))

    assert "np.repeat(x[:, None], 2, axis=1)" in refusal(values(shape=(N, F)))
    assert "np.ascontiguousarray(" in refusal(np.asfortranarray(values()))
    assert "has the type int64" in refusal(values().astype(int))
    assert "cannot be read" in refusal(np.array([{}]), allow_pickle=True)
    assert "feature_size = 4" in refusal(values(shape=(N, T, 4)))
    np.savez(tmp_path / "a.npz", x=values())
    assert f"np.save('{tmp_path}/a.npy', np.load('{tmp_path}/a.npz')['x'])" in message_of(
        lambda: open_one(tmp_path / "a.npz"))
    np.save(tmp_path / "b.npy", values())
    with open(tmp_path / "b.npy", "r+b") as file:
        file.truncate(os.path.getsize(tmp_path / "b.npy") // 2)
    assert "cannot be read" in message_of(lambda: open_one(tmp_path / "b.npy"))


def test_the_lines_mend_it(tmp_path):
    """What the messages advise is read."""
    np.savez(tmp_path / "a.npz", feats=values())
    advice = message_of(lambda: open_one(tmp_path / "a.npz")).partition("by itself: ")[2].removesuffix(".")
    exec(advice, {"np": np})
    np.testing.assert_array_equal(open_one(tmp_path / "a.npy").load(), values())
    x = values(shape=(N, F))
    np.save(tmp_path / "b.npy", np.repeat(x[:, None], 2, axis=1))
    assert open_one(tmp_path / "b.npy", item_shape=(2, F)).shape == (N, 2, F)


def test_a_value_that_is_not_finite_and_a_file_that_changes(tmp_path):
    stored = values()
    stored[5, 1, 1] = np.nan
    np.save(tmp_path / "a.npy", stored)
    assert "row 5 of 'feats'" in message_of(open_one(tmp_path / "a.npy").load)
    np.save(tmp_path / "a.npy", values())
    features = open_one(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", values() + 1)
    assert "replaced or rewritten" in message_of(features.load)
