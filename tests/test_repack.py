"""Files rewritten as one contiguous file hold the same videos, or are not written at all."""

import h5py
import numpy as np
import pytest

from dataset import repack as module
from dataset.features import open_features
from dataset.repack import main, repack
from tests.pipeline import message_of

N, T, F = 23, 5, 7


def values(dtype="float32"):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, 256, (N, T, F), dtype=np.uint8)
    return (100 * rng.normal(size=(N, T, F))).astype(dtype)


def write(path, stored, key="feats", **layout):
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=stored, **(layout or {"chunks": (4, 2, 3), "compression": "gzip"}))
    return path


def read(paths):
    return open_features(paths, item_shape=(T, F), role="training")


def parts(folder, stored):
    return [write(folder / "a.h5", stored[:9]), write(folder / "b.h5", stored[9:])]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 4 * T * F)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", ">f4"])
def test_a_kept_type_keeps_every_bit_and_the_fingerprint(tmp_path, dtype):
    stored = values(dtype)
    old = parts(tmp_path, stored)
    told = []
    features = repack(old, tmp_path / "new.h5", progress=told.append)
    assert features.contiguous
    assert not read(old).contiguous
    assert features.fingerprint() == read(old).fingerprint()
    with h5py.File(tmp_path / "new.h5") as file:
        assert file["feats"].chunks is None
        assert file["feats"].dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(file["feats"][:], stored)
    assert told == 2 * [4, 4, 4, 4, 4, 3]


def test_doubles_become_what_they_are_read_as(tmp_path):
    stored = values("float64")
    features = repack([write(tmp_path / "a.h5", stored)], tmp_path / "new.h5")
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features.load(), stored.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_float16_is_off_by_rounding_alone(tmp_path, dtype):
    stored = values(dtype)
    expected = stored / np.float32(255) if dtype == "uint8" else stored
    features = repack([write(tmp_path / "a.h5", stored)], tmp_path / "new.h5", dtype="float16")
    assert features.dtype == np.float16
    assert (np.abs(features.load() - expected) <= np.maximum(2.0**-11 * np.abs(expected), 2.0**-25)).all()


@pytest.mark.parametrize(("bad", "words"), [(65520, ["row 3", "65520", "--dtype float32"]), (np.nan, ["row 3", "NaN"])])
def test_what_cannot_be_held_is_refused_and_nothing_written(tmp_path, bad, words):
    stored = values()
    stored[12, 1, 1] = bad
    old = parts(tmp_path, stored)
    text = message_of(lambda: repack(old, tmp_path / "new.h5", dtype="float16"))
    assert text.startswith(f"{old[1]}: ")
    assert all(word in text for word in words), text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_the_largest_float16_passes(tmp_path):
    stored = np.full((N, T, F), 65519, np.float32)  # rounds down to 65504
    assert (repack([write(tmp_path / "a.h5", stored)], tmp_path / "new.h5", dtype="float16").load() == 65504).all()


def test_a_file_that_reads_back_otherwise_is_not_kept(tmp_path, monkeypatch):
    intact = module._write

    def damage(features, part, *rest):
        sums = intact(features, part, *rest)
        with h5py.File(part, "r+") as file:
            file["feats"][20, 4, 6] += 1
        return sums

    old = write(tmp_path / "a.h5", values())
    monkeypatch.setattr(module, "_write", damage)
    assert "reads back" in message_of(lambda: repack([old], tmp_path / "new.h5"))
    assert not (tmp_path / "new.h5").exists()


def test_the_output_is_no_input(tmp_path):
    old = parts(tmp_path, values())
    before = old[1].read_bytes()
    assert str(old[1]) in message_of(lambda: repack(old, old[1]))
    assert old[1].read_bytes() == before


def test_the_command_line(tmp_path, capsys):
    old = write(tmp_path / "a.h5", values(), key="deep/features")
    main(["--out", str(tmp_path / "new.h5"), "--dtype", "float16", "--key", "deep/features", str(old)])
    told = capsys.readouterr().out
    assert told.startswith(f"written: {tmp_path}/new.h5, 23 x 5 x 7 float16, ")
    assert told.endswith(f"vh init {tmp_path}/new.h5 --out mine.py\n")
    with h5py.File(tmp_path / "new.h5") as file:
        np.testing.assert_array_equal(file["deep/features"][:], values().astype(np.float16))
    assert "no such file" in message_of(lambda: main(["--out", str(tmp_path / "x.h5"), str(tmp_path / "none.h5")]))
