"""Which videos features hold: their fingerprint, kept between runs, and files that change while they are in use."""

import os
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from dataset import digests, feature_file
from dataset.features import open_features
from tests.pipeline import message_of
from tests.test_features import LAYOUTS, F, N, T, read_back, values, write


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The folder of kept fingerprints, and `passes`: how often all videos were gone through."""
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "cache"))
    passes = []

    class Counted(digests.Digest):
        def __init__(self, *arguments):
            passes.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr("dataset.features.Digest", Counted)
    return SimpleNamespace(folder=tmp_path / "cache/fingerprints", passes=passes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_every_video_enters_the_fingerprint(tmp_path, dtype):
    stored = values(dtype, 600)
    whole = read_back(write(tmp_path / "a.h5", stored))
    for row in (0, 1, 300, 598, 599):
        other = stored.copy()
        other[row, 2, 3] += 1
        features = read_back(write(tmp_path / "b.h5", other))
        assert features.fingerprint() != whole.fingerprint()
        assert not features.matches(whole.fingerprint())
    order = np.arange(600)
    order[1:599] = order[1:599][::-1]
    moved = read_back(write(tmp_path / "c.h5", stored[order]))
    assert moved.fingerprint() != whole.fingerprint()
    assert whole.matches(whole.fingerprint())


def test_a_fingerprint_recorded_before_is_of_256_videos(tmp_path):
    """Made by this project as it was, of these values."""
    features = read_back(write(tmp_path / "a.h5", np.arange(600 * T * F, dtype="float32").reshape(600, T, F)))
    before = "2dde4dbe29eaa2155c308c64c645e6db3766512e50ec73d0df050fab4ece4861"
    assert features.legacy_fingerprint() == before
    assert features.matches(before)
    assert not features.matches(before[::-1])


def test_a_pass_over_all_blocks_makes_the_fingerprint_by_the_way(tmp_path, cached):
    path = write(tmp_path / "a.h5", values("float16"))
    features = read_back(path)
    for _, block in features.blocks(num_rows=4, fingerprint=True):
        block += 1
    assert len(cached.passes) == 1
    assert features.fingerprint() == read_back([write(tmp_path / "b.h5", values("float16"))]).fingerprint()
    assert len(cached.passes) == 2
    list(features.blocks())
    assert len(cached.passes) == 2


def test_a_fingerprint_is_kept_between_runs(tmp_path, cached, monkeypatch):
    paths = [write(tmp_path / "a.h5", values("float32")), write(tmp_path / "b.h5", values("float32", seed=2))]
    first = read_back(paths).fingerprint()
    assert not list(cached.folder.iterdir())  # just written, they might change without a trace
    monkeypatch.setattr(digests, "_SETTLED", -1e18)
    assert read_back(paths).fingerprint() == first
    assert len(cached.passes) == 2
    assert read_back(paths).fingerprint() == read_back(paths).fingerprint() == first
    assert len(cached.passes) == 2
    assert cached.folder.stat().st_mode & 0o777 == 0o700
    assert read_back(paths[::-1]).fingerprint() != first
    status = os.stat(paths[0])
    with h5py.File(paths[0], "r+") as file:
        file["feats"][3] += 1
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_back(paths).fingerprint() != first


@pytest.mark.parametrize("damage", [b"", b"{", b"[" * 100_000, b"\xff", None, 9])
def test_a_damaged_cache_of_fingerprints_is_ignored(tmp_path, cached, monkeypatch, damage):
    monkeypatch.setattr(digests, "_SETTLED", -1e18)
    path = write(tmp_path / "a.h5", values("float32"))
    first = read_back(path).fingerprint()
    kept, = cached.folder.iterdir()
    content = kept.read_bytes()
    place = content.index(b"all:") + 9
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]
    kept.write_bytes(flipped if damage is None else content[:-damage] if damage == 9 else damage)
    assert read_back(path).fingerprint() == first
    assert len(cached.passes) == 2
    assert kept.read_bytes() == content


def test_without_a_folder_for_the_cache_fingerprints_are_made(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("VIDEO_HASHING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_SETTLED", -1e18)
    path = write(tmp_path / "a.h5", values("float32"))
    assert read_back(path).fingerprint() == read_back(path).fingerprint()


def _replace(path, array, **layout):
    write(f"{path}.new", array, **layout)
    os.replace(f"{path}.new", path)


def _write_within(path, array):
    with h5py.File(path, "r+") as file:
        file["feats"][3:4] = array[3:4]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [_replace, _write_within])
def test_a_file_replaced_or_rewritten_while_in_use_is_refused(tmp_path, change, layout, known):
    path = write(tmp_path / "b.h5", values("float32"), **LAYOUTS[layout])
    features = read_back([write(tmp_path / "a.h5", values("float32")), path])
    if known:
        features.fingerprint()
    features.rows([1, N + 1])
    change(path, values("float32", seed=1))
    features.rows([1])  # of the other file
    text = message_of(lambda: features.rows([N + 1]))
    assert text.startswith(f"{path}: replaced or rewritten while in use")
    _replace(path, values("float16"))
    assert path in message_of(lambda: features.rows([N + 1]))


@pytest.mark.parametrize("within", [True, False])
def test_a_file_rewritten_during_a_read_is_refused(tmp_path, monkeypatch, within):
    path = write(tmp_path / "a.h5", values("float32"))
    features = read_back(path)

    def read(file, out, offset, read_fully=feature_file.read_fully):
        (_write_within if within else _replace)(path, values("float32", seed=1))
        return read_fully(file, out, offset)

    monkeypatch.setattr(feature_file, "read_fully", read)
    assert "rewritten while in use" in message_of(lambda: features.rows([0, 1, 2, 3]))


def test_a_file_replaced_by_an_equal_one_is_read_on(tmp_path):
    """As after a new mount, a copy to another disk, or an attribute that was added."""
    stored = values("float32")
    path = write(tmp_path / "a.h5", stored)
    features, unknown = read_back(path), read_back(path)
    features.fingerprint()
    for layout in ({}, {"chunks": (4, T, F), "compression": "gzip"}, {}):
        _replace(path, stored, **layout)
        np.testing.assert_array_equal(features.rows([3, 5]), stored[[3, 5]])
        assert features.contiguous == (not layout)
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "text"
    np.testing.assert_array_equal(features.rows([3, 5]), stored[[3, 5]])
    assert "rewritten while in use" in message_of(lambda: unknown.rows([3]))


def test_pictures_replaced_by_equal_ones_are_read_on(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    path = write(tmp_path / "a.h5", stored)
    features = open_features([path], item_shape=(4, 5, 3), role="training")
    features.fingerprint()
    _replace(path, stored)
    np.testing.assert_array_equal(features.rows([3, 5]), stored[[3, 5]])
    _replace(path, stored[::-1])
    assert "rewritten while in use" in message_of(lambda: features.rows([3]))


def test_a_part_rewritten_while_in_use_is_refused(tmp_path):
    write(tmp_path / "part.h5", values("float32"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["feats"] = h5py.ExternalLink("part.h5", "feats")
    features = read_back(tmp_path / "a.h5")
    features.rows([3])
    _write_within(tmp_path / "part.h5", values("float32", seed=1))
    assert "rewritten while in use" in message_of(lambda: features.rows([3]))
