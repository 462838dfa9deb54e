"""Features, labels and artefacts whose values lie in other files: links, virtual datasets and raw storage of HDF5."""

import os

import h5py
import numpy as np
import pytest

from dataset.features import open_features
from tests.pipeline import message_of

N, T, F = 12, 3, 5
VALUES = np.random.default_rng(0).normal(size=(N, T, F)).astype(np.float32)


def load(path):
    return open_features(path, item_shape=(T, F), role="training").load()


def write(path, array=VALUES, name="feats", **layout):
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=array, **layout)
    return path


def linked(path, target, key="feats", other=True):
    with h5py.File(path, "w") as file:
        if other:
            file["other"] = -VALUES
        file["feats"] = h5py.ExternalLink(target, key)
    return path


def virtual(path, *parts, key="feats", shape=VALUES.shape):
    rows = shape[0] // len(parts)
    layout = h5py.VirtualLayout(shape, "f4")
    for number, part in enumerate(parts):
        layout[number * rows:(number + 1) * rows] = h5py.VirtualSource(part, key, (rows, *shape[1:]))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("feats", layout)
    return path


def raw(path, part, stored=VALUES):
    stored.tofile(part)
    with h5py.File(path, "w") as file:
        file.create_dataset("feats", VALUES.shape, "f4", external=[(str(part), 0, h5py.h5f.UNLIMITED)])
    return path


@pytest.mark.parametrize("other", [True, False])
@pytest.mark.parametrize("layout", [{}, {"chunks": (5, T, F), "compression": "gzip"}])
def test_an_external_link_reads_what_it_points_to(tmp_path, other, layout):
    """Not the bytes at that place of the file with the link, which hold another dataset or nothing."""
    write(tmp_path / "parts/part.h5", **layout)
    np.testing.assert_array_equal(load(linked(tmp_path / "a.h5", "parts/part.h5", other=other)), VALUES)


def test_a_link_through_a_group_of_another_file(tmp_path):
    write(tmp_path / "part.h5", name="group/feats")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["other"] = -VALUES
        file["group"] = h5py.ExternalLink("part.h5", "group")
    features = open_features(tmp_path / "a.h5", item_shape=(T, F), role="training", key="group/feats")
    np.testing.assert_array_equal(features.load(), VALUES)


def test_a_small_file_of_links_to_large_ones(tmp_path):
    """What it declares is far more than it stores itself."""
    large = np.zeros((20_000, T, F), np.float32)
    write(tmp_path / "part.h5", large)
    assert load(linked(tmp_path / "a.h5", "part.h5", other=False)).shape == large.shape
    virtual(tmp_path / "parts.h5", "part.h5", shape=large.shape)
    assert load(linked(tmp_path / "b.h5", "parts.h5", other=False)).shape == large.shape


def test_a_link_to_a_file_that_is_missing(tmp_path):
    text = message_of(lambda: load(linked(tmp_path / "a.h5", "gone.h5")))
    assert f"{tmp_path}/a.h5: 'feats' is a link to 'feats' in gone.h5, which cannot be opened" in text


def test_virtual_datasets_read_what_is_there(tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path / f"parts/{number}.h5", VALUES[4 * number:4 * number + 4])
    names = [f"parts/{number}.h5" for number in range(3)]
    np.testing.assert_array_equal(load(virtual(tmp_path / "a.h5", *names)), VALUES)
    np.testing.assert_array_equal(load(virtual(tmp_path / "b.h5", *(f"{tmp_path}/{name}" for name in names))), VALUES)
    np.testing.assert_array_equal(load(virtual(tmp_path / "c.h5", "a.h5")), VALUES)
    np.testing.assert_array_equal(load(linked(tmp_path / "d.h5", "c.h5")), VALUES)
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path)  # HDF5 looks in the current folder too
    np.testing.assert_array_equal(load(virtual(tmp_path / "away/a.h5", *names)), VALUES)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("missing", ["file", "array", "file of a link"])
def test_a_virtual_dataset_without_a_part_is_no_zeros(tmp_path, missing, depth):
    for number in range(2):
        write(tmp_path / f"{number}.h5", VALUES[:6])
    path = virtual(tmp_path / "a.h5", "0.h5", "1.h5")
    if depth:
        path = virtual(tmp_path / "b.h5", "a.h5")
    os.remove(tmp_path / "1.h5")
    if missing == "array":
        write(tmp_path / "1.h5", VALUES[:6], name="features")
    if missing == "file of a link":
        linked(tmp_path / "1.h5", "gone.h5")
    text = message_of(lambda: load(path))
    assert text.startswith(f"{path}: '/feats' is a virtual dataset with a part")
    assert "1.h5" in text
    assert "zeros" in text


def test_virtual_datasets_over_each_other(tmp_path):
    """HDF5 alone ends in a segmentation fault."""
    for one, other in (("a", "b"), ("b", "a")):
        virtual(tmp_path / f"{one}.h5", f"{other}.h5")
    assert "own file" in message_of(lambda: load(tmp_path / "a.h5"))


def test_parts_under_numbered_names(tmp_path):
    def numbered():
        space = h5py.h5s.create_simple(VALUES.shape, (h5py.h5s.UNLIMITED, T, F))
        space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (6, 1, 1), (6, T, F))
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_virtual(space, b"part%b.h5", b"feats", h5py.h5s.create_simple((6, T, F)))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            h5py.h5d.create(file.id, b"feats", h5py.h5t.NATIVE_FLOAT, space, settings)
        return tmp_path / "a.h5"

    for number in range(2):
        write(tmp_path / f"part{number}.h5", VALUES[6 * number:6 * number + 6])
    np.testing.assert_array_equal(load(numbered()), VALUES)
    for number in range(2):
        os.remove(tmp_path / f"part{number}.h5")
    assert "part0.h5" in message_of(lambda: load(tmp_path / "a.h5"))


def test_a_damaged_chunk_of_a_part(tmp_path):
    write(tmp_path / "part.h5", chunks=VALUES.shape, compression="gzip")
    with h5py.File(tmp_path / "part.h5", "r+") as file:
        file["feats"].id.write_direct_chunk((0, 0, 0), b"x", 1)
    assert "chunk of a wrong size" in message_of(lambda: load(virtual(tmp_path / "a.h5", "part.h5")))


def test_raw_storage_that_is_cut_or_missing_is_no_zeros(tmp_path):
    path = raw(tmp_path / "a.h5", tmp_path / "a.raw")
    np.testing.assert_array_equal(load(path), VALUES)
    virtual(tmp_path / "b.h5", "a.h5")
    np.testing.assert_array_equal(load(tmp_path / "b.h5"), VALUES)
    os.truncate(tmp_path / "a.raw", VALUES.nbytes - 1)
    for name in ("a.h5", "b.h5"):
        text = message_of(lambda name=name: load(tmp_path / name))
        assert "a.raw, which is missing or too short" in text
    os.remove(tmp_path / "a.raw")
    assert "a.raw, which is missing" in message_of(lambda: load(path))
