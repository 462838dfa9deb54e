"""Features as one array over several files, whatever their layout, and the one-line errors of bad files."""

import gc
import itertools
import multiprocessing
import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.features import open_features
from tests.pipeline import message_of

N, T, F = 23, 5, 7
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (1, T, F)},
    "gzip": {"chunks": (4, 2, 3), "compression": "gzip"},
}


def values(dtype, num_videos=N, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, 256, (num_videos, T, F), dtype=np.uint8)
    return rng.normal(size=(num_videos, T, F)).astype(dtype)


def write(path, array, key="feats", **layout):
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=array, **layout)
    return str(path)


def read_back(paths, **options):
    return open_features(paths, **{"item_shape": (T, F), "role": "training", **options})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "uint8"])
def test_every_type_and_layout_reads_as_float32(tmp_path, dtype, layout):
    stored = values(dtype)
    features = read_back(write(tmp_path / "a.h5", stored, **LAYOUTS[layout]))
    expected = (stored / np.float32(255)) if dtype == "uint8" else stored.astype(np.float32)
    index = [22, 3, 3, 4, 5, 0, 22, 7]
    got = features.rows(index)
    assert got.dtype == np.float32
    assert features.shape == (N, T, F)
    assert len(features) == N
    np.testing.assert_array_equal(got, expected[index])
    np.testing.assert_array_equal(features.load(), expected)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(index=st.lists(st.integers(0, N - 1), max_size=40), layout=st.sampled_from(sorted(LAYOUTS)),
       cuts=st.lists(st.integers(0, N), max_size=2))
def test_rows_in_any_order_over_several_files(tmp_path, index, layout, cuts):
    stored = values("float32")
    edges = [0, *sorted(cuts), N]
    options = {} if layout == "contiguous" else {**LAYOUTS[layout], "maxshape": (None, T, F)}
    paths = [write(tmp_path / f"{part}.h5", stored[first:last], **options)
             for part, (first, last) in enumerate(itertools.pairwise(edges))]
    features = read_back(paths)
    got = features.rows(index)
    assert got.shape == (len(index), T, F)
    for slot, row in enumerate(index):
        np.testing.assert_array_equal(got[slot], stored[row])


def test_blocks_cover_the_split_in_order_across_files(tmp_path):
    stored = values("float32")
    features = read_back([write(tmp_path / "a.h5", stored[:9]), write(tmp_path / "b.h5", stored[9:])])
    starts, blocks = zip(*features.blocks(num_rows=4), strict=True)
    assert list(starts) == list(range(0, N, 4))
    np.testing.assert_array_equal(np.concatenate(blocks), stored)


def test_a_user_block_before_the_hdf5_data_shifts_the_offset(tmp_path):
    stored = values("float32")
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["feats"] = stored
    np.testing.assert_array_equal(read_back(tmp_path / "a.h5").load(), stored)


@pytest.mark.parametrize("userblock", [0, 512])
def test_a_dataset_never_written_reads_as_its_fill_value(tmp_path, userblock):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=userblock) as file:
        file.create_dataset("feats", shape=(N, T, F), dtype="float32", fillvalue=2.5)
    assert (read_back(tmp_path / "a.h5").load() == 2.5).all()


@pytest.mark.parametrize("index", [[N], [-1], [[0, 1]], [0.5], [True, False]])
def test_an_index_that_names_no_videos_is_refused(tmp_path, index):
    features = read_back(write(tmp_path / "a.h5", values("float32")))
    with pytest.raises(IndexError):
        features.rows(index)


def test_fingerprint_is_of_the_content_alone(tmp_path):
    stored = values("float32", 600)
    whole = read_back(write(tmp_path / "a.h5", stored)).fingerprint()
    shutil.copy(tmp_path / "a.h5", tmp_path / "moved.h5")
    os.utime(tmp_path / "moved.h5", (0, 0))
    halves = [write(tmp_path / "b.h5", stored[:100]), write(tmp_path / "c.h5", stored[100:], chunks=True)]
    assert read_back(tmp_path / "moved.h5").fingerprint() == whole
    assert read_back(halves).fingerprint() == whole
    assert read_back(halves[::-1]).fingerprint() != whole
    assert read_back(write(tmp_path / "d.h5", stored.astype("float64"))).fingerprint() != whole
    assert read_back(write(tmp_path / "e.h5", stored[:-1])).fingerprint() != whole
    half = values("float16", 600)
    assert (read_back(write(tmp_path / "f.h5", half)).fingerprint()
            != read_back(write(tmp_path / "g.h5", half.astype("float32"))).fingerprint())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_file_and_row(tmp_path, bad, layout):
    stored = values("float32")
    stored[17, 2, 3] = bad
    first = write(tmp_path / "a.h5", stored[:10], **LAYOUTS[layout])
    second = write(tmp_path / "b.h5", stored[10:], **LAYOUTS[layout])
    features = read_back([first, second])
    assert np.isfinite(features.rows([16, 18, 3])).all()
    for read in (lambda: features.rows([3, 22, 17]), features.load, lambda: list(features.blocks(8))):
        text = message_of(read)
        assert text.startswith(f"{second}: row 7 of 'feats'")
        assert "Extract" in text


def test_large_but_finite_values_pass(tmp_path):
    stored = np.full((N, T, F), 3e38, np.float32)
    np.testing.assert_array_equal(read_back(write(tmp_path / "a.h5", stored)).load(), stored)


def test_a_double_beyond_float32_is_refused(tmp_path):
    stored = values("float64")
    stored[4, 0, 0] = 1e300
    assert "row 4" in message_of(read_back(write(tmp_path / "a.h5", stored)).load)


def test_each_bad_file_has_its_line(tmp_path):
    good = write(tmp_path / "good.h5", values("float32"))
    text_file = tmp_path / "text.h5"
    text_file.write_text("version https://git-lfs.github.com/spec/v1\n")
    empty_file = tmp_path / "nothing.h5"
    empty_file.touch()
    truncated = tmp_path / "truncated.h5"
    truncated.write_bytes((tmp_path / "good.h5").read_bytes()[:-500])
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file["feats/inner"] = values("float32")
    strings = write(tmp_path / "strings.h5", np.full((N, T, F), b"x"))
    cases = [
        (tmp_path / "missing.h5", ["no such file", "README", str(tmp_path / "missing.h5")]),
        (tmp_path, ["folder"]),
        (text_file, ["not an HDF5 file"]),
        (empty_file, ["not an HDF5 file"]),
        (truncated, ["truncated", "Download"]),
        (tmp_path / "group.h5", ["group", "'inner'"]),
        (write(tmp_path / "key.h5", values("float32"), key="features"), ["no dataset 'feats'", "'features'"]),
        (write(tmp_path / "rank.h5", values("float32")[0]), ["(5, 7)", "3 axes"]),
        (write(tmp_path / "frames.h5", values("float32")[:, :4]), ["max_frames = 4"]),
        (write(tmp_path / "width.h5", values("float32")[..., :6]), ["7 features", "feature_size = 6"]),
        (write(tmp_path / "none.h5", values("float32")[:0]), ["no video"]),
        (strings, ["|S1", "float32"]),
        (write(tmp_path / "int.h5", values("uint8").astype("int64")), ["int64", "float32"]),
        ([good, write(tmp_path / "other.h5", values("float16"))], ["float16", "good.h5"]),
        ([good, write(tmp_path / "short.h5", values("float32")[:, :3])], ["(23, 3, 7)", "good.h5"]),
        ([], ["training", "path"]),
    ]
    for paths, words in cases:
        text = message_of(lambda paths=paths: read_back(paths))
        for word in words:
            assert word in text, (text, word)
        if paths:
            assert str(paths if not isinstance(paths, list) else paths[-1]) in text


def test_another_key_can_be_named(tmp_path):
    path = write(tmp_path / "a.h5", values("float32"), key="deep/features")
    np.testing.assert_array_equal(read_back(path, key="deep/features").load(), values("float32"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_after_opening_is_a_user_error(tmp_path, layout):
    path = write(tmp_path / "a.h5", values("float32"), **LAYOUTS[layout])
    features = read_back(path)
    os.truncate(path, os.path.getsize(path) - 2000)
    assert path in message_of(features.load)
    os.remove(path)
    assert path in message_of(features.load)


def test_a_damaged_chunk_is_a_user_error(tmp_path):
    path = write(tmp_path / "a.h5", values("float32"), chunks=(N, T, F), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["feats"].id.get_chunk_info(0)
    with open(path, "rb+") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\0" * chunk.size)
    features = read_back(path)
    assert path in message_of(lambda: features.rows([1]))


def _row_sum(features):
    return float(features.rows([3]).sum())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_works_after_fork_and_pickle(tmp_path, method):
    stored = values("float32")
    paths = [write(tmp_path / "a.h5", stored[:2]), write(tmp_path / "b.h5", stored[2:], chunks=True)]
    features = read_back(paths)
    features.rows([1, 5])
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_row_sum, (features,)) == float(stored[3].sum())
        pool.close()
        pool.join()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(features)).load(), stored)


def test_no_file_stays_open(tmp_path):
    def open_files():
        return {os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                if os.path.exists(f"/proc/self/fd/{number}")}

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to list the open files")
    stored = values("float32")
    paths = [write(tmp_path / "a.h5", stored), write(tmp_path / "b.h5", stored, chunks=True)]
    features = read_back(paths)
    features.load()
    assert not open_files() & set(paths)
    del features
    gc.collect()
