"""Files that the fuzzer found to crash, to hang or to end in a traceback: each is refused in one line."""

import io
import pickle
import struct
import warnings
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

from artefacts.store import finite, read_artefact
from dataset.features import open_features
from dataset.labels import read_labels
from inference.code_file import read_codes
from inference.code_set import CodeSet, row_ids
from inference.index import Index, load_index
from model import build_model, load_weights
from tests.pipeline import message_of
from tests.steps import config_of
from tests.test_s5vh import SETTINGS
from training.checkpoints import read_checkpoint
from utils.config import load_config
from utils.errors import LONGEST, UserError

N, T, F, CLASSES = 12, 3, 5, 4
VALUES = np.random.default_rng(0).normal(size=(N, T, F)).astype(np.float32)


def features_of(path):
    features = open_features(path, item_shape=(T, F), role="training")
    features.fingerprint()
    return features.load()


def labels_of(path):
    return read_labels(path, N)


def artefact_of(path):
    return read_artefact(path, {"feats": ((None, None, None), finite)}, expected={})["feats"]


def write(path, *, name="feats", **dataset):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, **dataset)
    return path


def zeros_declared(path):
    return write(path, shape=(10**12, T, F), dtype="f4", chunks=(4, T, F))


def chunks_missing(path):
    return write(path, shape=(10**7, T, F), dtype="f4", chunks=(4, T, F))


def virtual_over_itself(path):
    layout = h5py.VirtualLayout((N, T, F), "f4")
    layout[...] = h5py.VirtualSource(".", "feats", (N, T, F))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("feats", layout)
    return path


def raw_chunk(content, filter_mask, **filters):
    def make(path):
        write(path, data=VALUES, chunks=VALUES.shape, **filters)
        with h5py.File(path, "r+") as file:
            file["feats"].id.write_direct_chunk((0, 0, 0), content, filter_mask)
        return path
    return make


def arrays_of_arrays(path):
    return write(path, shape=(N, T, F), dtype=np.dtype(("f4", (2,))))


HDF5 = {"declared only": (zeros_declared, "stored"), "missing chunks": (chunks_missing, "stored"),
        "virtual over itself": (virtual_over_itself, "own file"),
        "a chunk shorter than its checksum": (raw_chunk(b"x", 0, fletcher32=True), "wrong size"),
        "a chunk shorter than its place": (raw_chunk(b"x" * 16, 1, compression="gzip"), "wrong size")}


@pytest.mark.parametrize("read", [features_of, labels_of, artefact_of])
@pytest.mark.parametrize("case", HDF5)
def test_hdf5_that_crashes_the_library_or_fills_the_memory(tmp_path, case, read):
    make, words = HDF5[case]
    assert words in message_of(lambda: read(make(tmp_path / "a.h5")))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_with_a_type_that_does_not_exist(tmp_path, compressed):
    """Of its data: scipy alone crashes at it."""
    path = tmp_path / "labels.mat"
    scipy.io.savemat(path, {"labels": np.arange(1.0, N + 1)[:, None]})
    data = path.read_bytes()
    read_labels(path, N)
    tag = struct.pack("<II", 9, 8 * N)
    assert data.count(tag) == 1
    content = data[128:].replace(tag, struct.pack("<II", 0x1009, 8 * N))
    if compressed:
        packed = zlib.compress(content)
        content = struct.pack("<II", 15, len(packed)) + packed
    path.write_bytes(data[:128] + content)
    assert "an element is of type 4105" in message_of(lambda: read_labels(path, N))


def test_any_number_of_videos_without_frames_costs_no_memory(tmp_path):
    """They take no place in the file, so that it may declare as many as it likes."""
    path = write(tmp_path / "a.h5", shape=(10**13, 0, F), dtype="f4")
    assert "expects 3 frames" in message_of(lambda: features_of(path))


def test_an_honest_virtual_dataset_still_reads(tmp_path):
    write(tmp_path / "source.h5", data=VALUES)
    layout = h5py.VirtualLayout(VALUES.shape, "f4")
    layout[...] = h5py.VirtualSource("source.h5", "feats", VALUES.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("feats", layout)
    np.testing.assert_array_equal(features_of(tmp_path / "a.h5"), VALUES)


def test_arrays_of_arrays_are_no_numbers(tmp_path):
    for read in (features_of, artefact_of):
        assert "a.h5" in message_of(lambda read=read: read(arrays_of_arrays(tmp_path / "a.h5")))


def sparse_pointing_outside(path):
    buffer = io.BytesIO()
    matrix = scipy.sparse.csc_matrix(np.eye(CLASSES)[np.arange(N) % CLASSES])
    scipy.io.savemat(buffer, {"labels": matrix})
    rows = matrix.indices.astype("<i4").tobytes()
    outside = (matrix.indices + 10**6).astype("<i4").tobytes()
    assert buffer.getvalue().count(rows) == 1
    path.write_bytes(buffer.getvalue().replace(rows, outside))


def sparse_starts_that_end_below_zero(path):
    """Behind which scipy checks nothing."""
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("labels")
        group.attrs["MATLAB_sparse"] = np.uint64(N)
        group["jc"], group["ir"], group["data"] = np.array([0, 70_000, 6, 9, -1]), np.arange(N) % N, np.ones(N)


def npy(array):
    def make(path):
        with open(path, "wb") as file:
            np.save(file, array)
    return make


LABELS = {
    "sparse positions outside": (sparse_pointing_outside, "sparse"),
    "sparse starts below zero": (sparse_starts_that_end_below_zero, "-1 entries declared"),
    "sparse of a huge shape": (lambda path: scipy.io.savemat(path, {"labels": scipy.sparse.csc_matrix((10**6, 10**6))}),
                               "(1000000, 1000000)"),
    "no axis at all": (npy(np.float64(3)), "Numeric variables found: none"),
    "complex numbers": (npy(np.eye(N) + 0j), "Numeric variables found: none"),
    "nothing": (lambda path: scipy.io.savemat(path, {"labels": np.zeros((0, 1))}), "no labels"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_are_none(tmp_path, case):
    make, words = LABELS[case]
    make(tmp_path / "a.mat")
    assert words in message_of(lambda: labels_of(tmp_path / "a.mat"))


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", "u1"])
def test_sparse_labels_of_any_precision(tmp_path, dtype):
    columns = scipy.sparse.csc_matrix(np.eye(CLASSES)[np.arange(N) % CLASSES])
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        group = file.create_group("labels")
        group.attrs["MATLAB_sparse"] = np.uint64(N)
        group["jc"], group["ir"], group["data"] = columns.indptr, columns.indices, columns.data.astype(dtype)
    np.testing.assert_array_equal(labels_of(tmp_path / "a.mat"), columns.toarray())


@pytest.mark.parametrize("text", ["[" * 100_000, "\n\n", "[1]", "\x1b[31m"])
def test_an_origin_that_is_none(tmp_path, text):
    write(tmp_path / "a.h5", data=VALUES)
    for name in ("made_from", "format_version"):
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            file.attrs[name] = text
        assert "a.h5" in message_of(lambda: artefact_of(tmp_path / "a.h5"))


@pytest.mark.parametrize("member", ["codes", "num_bits", "ids"])
@pytest.mark.parametrize("content", [b"plain bytes", b"\x93NUMPY\x01\x00\x08\x00{'a': (\n"])
def test_an_archive_of_codes_with_other_members(tmp_path, member, content):
    np.savez(tmp_path / "good.npz", codes=np.zeros((3, 1), np.uint8), num_bits=8, ids=np.array(["a", "b", "c"]))
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "a.npz", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, content if name == f"{member}.npy" else good.read(name))
    assert "a.npz" in message_of(lambda: read_codes(tmp_path / "a.npz"))


INDEXES = {
    "settings of no kind": lambda file: file.attrs.update({"settings": '{"nlist": -1}'}),
    "settings nested deeply": lambda file: file.attrs.update({"settings": "[" * 100_000}),
    "codes as a group": lambda file: (file.move("codes", "aside"), file.create_group("codes")),
    "ids as a type": lambda file: (file.move("ids", "aside"), file.update({"ids": np.dtype("f4")})),
    "state as an array": lambda file: (file.move("state", "aside"), file.update({"state": np.eye(2)})),
    "more ids declared": lambda file: (file.move("ids", "aside"),
                                       file.create_dataset("ids", (10**12,), "S3", chunks=(4,))),
    "centroids of another width": lambda file: (file.move("state", "aside"),
                                                file.update({"state/centroids": np.zeros((3, 9), np.uint8)})),
    "centroids without a row": lambda file: (file.move("state", "aside"),
                                             file.update({"state/centroids": np.zeros((0, 2), np.uint8)})),
}


@pytest.mark.parametrize("case", INDEXES)
def test_an_index_of_other_contents(tmp_path, case):
    bits = np.random.default_rng(0).integers(0, 256, (60, 2), np.uint8)
    Index(CodeSet(bits, row_ids(60), 16), "ivf", {"nlist": 3}).save(tmp_path / "a.index")
    with h5py.File(tmp_path / "a.index", "r+") as file:
        for name in ("checksum", "index_checksum", "format_version"):  # which would refuse it before
            del file.attrs[name]
        INDEXES[case](file)
    assert "a.index" in message_of(lambda: load_index(tmp_path / "a.index"))


class Canary:
    """Touches a file where its pickle is loaded without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_pickle_is_never_run(tmp_path):
    content, path = Canary(tmp_path / "canary"), tmp_path / "a.pth"
    torch.save({"model_state_dict": content}, path)
    assert "a.pth" in message_of(lambda: read_checkpoint(path))
    for read, name in ((read_checkpoint, "a.pth"), (labels_of, "a.npy"), (read_codes, "a.npz")):
        path = tmp_path / name
        if name == "a.npy":
            np.save(path, np.array([content], object), allow_pickle=True)
        elif name == "a.npz":
            np.savez(path, codes=np.array([content], object), num_bits=8)
        else:
            path.write_bytes(pickle.dumps({"model_state_dict": content}))
        assert name in message_of(lambda read=read, path=path: read(path))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [b"]" * 300_000, b"\x80\x02N.", b"(.", b"\x80\x02a.",
                                     b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"x."])
def test_a_pickle_that_ends_torchs_reader(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert "a.pth" in message_of(lambda: read_checkpoint(tmp_path / "a.pth"))


TENSOR = torch.ones(3, 2)


@pytest.mark.parametrize("change", [
    {"epoch": "ten"}, {"epoch": -5}, {"epoch": 2.5}, {"epoch": torch.zeros(3)}, {"model_state_dict": {"a": None}},
    {"model_state_dict": {3: TENSOR}}, {"model_state_dict": {"a": TENSOR.to_sparse()}},
    {"model_state_dict": {"a": TENSOR.to("meta")}}, {"model_state_dict": {"a": TENSOR[0, :1].expand(10**12)}},
    {"model_state_dict": {"a\nb" * 9999: 3}}])
def test_a_checkpoint_of_other_contents(tmp_path, change):
    torch.save({"model_state_dict": {"a": TENSOR}, "epoch": 3} | change, tmp_path / "a.pth")
    assert "a.pth" in message_of(lambda: read_checkpoint(tmp_path / "a.pth"))


@pytest.mark.parametrize(("entry", "more", "packing"), [
    ("byteorder", bytes(2000), zipfile.ZIP_STORED), ("version", b"\n" * 2000, zipfile.ZIP_STORED),
    ("data.pkl", bytes(1 << 24), zipfile.ZIP_STORED), ("data.pkl", bytes(1 << 20), zipfile.ZIP_DEFLATED),
    ("data/0", bytes(1 << 20), zipfile.ZIP_DEFLATED)])
def test_a_checkpoint_that_takes_more_memory_than_its_tensors(tmp_path, entry, more, packing):
    """Torch reads past what is not needed, but holds it three times over."""
    torch.save({"model_state_dict": {"a": TENSOR}}, tmp_path / "good.pth")
    with zipfile.ZipFile(tmp_path / "good.pth") as good, zipfile.ZipFile(tmp_path / "a.pth", "w", packing) as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) + (more if name == f"good/{entry}" else b""))
    assert torch.equal(read_checkpoint(tmp_path / "good.pth")["model_state_dict"]["a"], TENSOR)
    assert f"its entry 'good/{entry}'" in message_of(lambda: read_checkpoint(tmp_path / "a.pth"))


def test_torch_warns_of_no_tensor(tmp_path):
    with warnings.catch_warnings(action="ignore"):
        quantised = torch.quantize_per_tensor(TENSOR, 0.1, 0, torch.qint8)
        torch.save({"model_state_dict": {"a": TENSOR}, "more": quantised}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")["more"].is_quantized


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool])
def test_weights_of_another_type(dtype):
    model = build_model(config_of(**SETTINGS))
    state = model.state_dict()
    name = next(name for name, value in state.items() if value.is_floating_point())
    assert name in message_of(lambda: load_weights(model, state | {name: state[name].to(dtype)}, "a.pth"))


CONFIG = """dataset = 'd'
nbits, feature_size, max_frames = 8, 4, 4
train_feat_path = test_feat_path = label_path = 'a'
"""


@pytest.mark.parametrize(("line", "words"), [
    ("x = " + "-" * 200_000 + "1", "nested too deeply"),
    ("class A:\n  def __repr__(self): 1/0\nseed = A()", "seed"),
    ("class S(str):\n  def strip(self): 1/0\nmethod = S('a')", "method"),
    ("raise type('E', (Exception,), {'__str__': lambda self: 3})()", "line 4: E"),
    ("raise ValueError('a\\x1b[31m\\u2028b' + 'c' * 10**6)", "ValueError: a [31m b"),
    ("del nbits", "'nbits' is missing"),
    ("locals().clear()", "is missing"),
    ("import sys\nseed = sys", "seed")])
def test_a_config_that_fails_in_its_own_way(tmp_path, line, words):
    (tmp_path / "base.py").write_text(CONFIG)
    (tmp_path / "a.py").write_text(CONFIG + line + "\n")
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\n\n\n" + line + "\n")
    for name in ("a.py", "child.py"):
        text = message_of(lambda name=name: load_config(tmp_path / name))
        assert words in text
        assert len(text) <= LONGEST + 5


def test_a_users_error_is_one_line_of_readable_length():
    assert str(UserError("a\nb\x1b[2J\u2028c\u202ed")) == "a b [2J c d"
    text = str(UserError("start " + "x" * 10**6 + " fix"))
    assert len(text) <= LONGEST + 5
    assert text.startswith("start ")
    assert text.endswith(" fix")
    assert str(UserError("données/été.h5")) == "données/été.h5"
