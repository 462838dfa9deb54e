"""Labels from every kind of file, and the train / database / query protocol."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
from scipy import sparse

from artefacts.cache import check_split
from artefacts.clusters import PSEUDO_LABELS
from dataset.labels import read_labels
from dataset.protocol import open_retrieval, open_train
from tests.pipeline import message_of

N, CLASSES, T, F = 12, 5, 3, 4


def multi_hot(num_videos=N, seed=0):
    labels = (np.random.default_rng(seed).random((num_videos, CLASSES)) < 0.4).astype(np.uint8)
    labels[:, 0] |= labels.sum(1) == 0
    return labels


def write_v73(path, variables, by_matlab=True):
    """As MATLAB does it: HDF5 behind a block of text, arrays transposed, sparse as compressed columns."""
    with h5py.File(path, "w", userblock_size=512 if by_matlab else 0) as file:
        for name, value in variables.items():
            if sparse.issparse(value):
                columns = value.tocsc()
                group = file.create_group(name)
                group.attrs["MATLAB_sparse"] = np.uint64(columns.shape[0])
                group["jc"] = columns.indptr.astype(np.uint64)
                if columns.nnz:
                    group["ir"] = columns.indices.astype(np.uint64)
                    group["data"] = columns.data
            else:
                file[name] = np.asarray(value).T
                if by_matlab:
                    file[name].attrs["MATLAB_class"] = np.bytes_("double")
    if by_matlab:
        with open(path, "rb+") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


def write_as(kind, path, labels, name="labels"):
    if kind == "v5":
        scipy.io.savemat(path, {name: labels})
    elif kind == "v7":
        scipy.io.savemat(path, {name: labels.astype(float)}, do_compression=True)
    elif kind == "v5 sparse":
        scipy.io.savemat(path, {name: sparse.csc_matrix(labels.astype(float))})
    elif kind == "v7.3":
        write_v73(path, {name: labels.astype(float)})
    elif kind == "v7.3 unmarked":
        write_v73(path, {name: labels}, by_matlab=False)
    elif kind == "v7.3 sparse":
        write_v73(path, {name: sparse.csc_matrix(labels.astype(float))})
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file[name] = labels
    else:
        with open(path, "wb") as file:
            np.save(file, labels.astype(bool))
    return str(path)


KINDS = ["v5", "v7", "v5 sparse", "v7.3", "v7.3 unmarked", "v7.3 sparse", "h5", "npy"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_labels(tmp_path, kind):
    labels = multi_hot()
    got = read_labels(write_as(kind, tmp_path / "labels.mat", labels), N)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, labels)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "v7.3 unmarked"])
def test_orientation_comes_from_the_file_where_the_counts_cannot_tell(tmp_path, kind):
    labels = multi_hot(CLASSES)
    assert (labels != labels.T).any()
    np.testing.assert_array_equal(read_labels(write_as(kind, tmp_path / "labels.mat", labels), CLASSES),
    labels)


def test_a_sparse_matrix_of_zeros_has_no_values_stored(tmp_path):
    path = write_v73(tmp_path / "labels.mat", {"labels": sparse.csc_matrix((N, CLASSES))})
    assert not read_labels(path, N).any()


def test_several_files_follow_each_other(tmp_path):
    labels = multi_hot()
    paths = [write_as(kind, tmp_path / f"{kind}.mat", part)
             for kind, part in zip(["v7.3", "npy", "v5 sparse"], np.split(labels, [2, 7]), strict=True)]
    np.testing.assert_array_equal(read_labels(paths, N), labels)
    narrow = write_as("v5", tmp_path / "narrow.mat", labels[:3, :4])
    text = message_of(lambda: read_labels([paths[0], narrow], 5))
    assert "narrow.mat: 4 classes" in text
    assert "has 5" in text


def test_the_variable_is_found_by_name_then_by_shape(tmp_path):
    labels, other = multi_hot(), 1 - multi_hot()
    for names, key in [(("other", "q_label", "re_label"), None), (("labels", "re_label"), "re_label"),
                       (("whatever",), None)]:
        contents = dict.fromkeys(names, other)
        contents[key or names[-1]] = labels
        scipy.io.savemat(tmp_path / "a.mat", {**contents, "note": "text", "scalar": 3.0})
        np.testing.assert_array_equal(read_labels(tmp_path / "a.mat", N, key=key), labels)
    scipy.io.savemat(tmp_path / "b.mat", {"one": labels, "two": labels})
    for key in (None, "three"):
        text = message_of(lambda key=key: read_labels(tmp_path / "b.mat", N, key=key))
        assert "'one' (12, 5), 'two' (12, 5)" in text
        assert "b.mat" in text
        assert "label_key" in text


@pytest.mark.parametrize("shape", [(N,), (N, 1), (1, N)])
@pytest.mark.parametrize("kind", ["v5", "v7.3", "h5"])
def test_class_ids_become_one_hot(tmp_path, kind, shape):
    ids = np.array([0, 3, 2, 1, 4, 4, 0, 1, 2, 3, 0, 6])
    got = read_labels(write_as(kind, tmp_path / "a.mat", ids.reshape(shape).astype(float)), N)
    np.testing.assert_array_equal(got, np.eye(7, dtype=np.uint8)[ids])


def test_class_ids_over_several_files_share_their_columns(tmp_path):
    paths = [write_as("h5", tmp_path / f"{part}.h5", np.array(ids))
             for part, ids in enumerate(([0, 1], [5, 1]))]
    np.testing.assert_array_equal(read_labels(paths, 4), np.eye(6, dtype=np.uint8)[[0, 1, 5, 1]])


def test_class_ids_take_the_width_asked_for(tmp_path):
    path = write_as("h5", tmp_path / "a.h5", np.array([1, 1, 0]))
    np.testing.assert_array_equal(read_labels(path, 3, num_classes=4), np.eye(4, dtype=np.uint8)[[1, 1, 0]])
    assert "class id 1" in message_of(lambda: read_labels(path, 3, num_classes=1))


def test_one_video_of_several_classes_is_no_vector_of_ids(tmp_path):
    row = np.array([[1, 0, 1, 0, 0]])
    np.testing.assert_array_equal(read_labels(write_as("v5", tmp_path / "a.mat", row), 1), row)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    def case(array, num_videos=N):
        path = write_as("h5", tmp_path / "bad.h5", np.asarray(array))
        text = message_of(lambda: read_labels(path, num_videos, role="database"))
        assert path in text
        return text

    text = case(multi_hot(), 13)
    assert "12 videos" in text
    assert "hold 13" in text
    assert "value 2" in case(multi_hot() * 2)
    assert "value nan" in case(np.where(multi_hot(), np.nan, 0))
    assert "values [0, 1]" in case(multi_hot()[:, :1])
    assert "no class ids" in case(np.linspace(0, 1, N))
    assert "no class ids" in case(np.arange(-1, N - 1))
    assert "too many" in case(np.arange(N) * 10_000_000)
    assert "3, 4" in case(np.zeros((N, 3, 4)))


def test_label_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "text.mat").write_text("not labels at all, " * 20)
    (tmp_path / "empty.mat").touch()
    for kind in ("v5", "v7", "v7.3", "npy"):
        data = (tmp_path / write_as(kind, tmp_path / "good", multi_hot())).read_bytes()
        (tmp_path / f"cut {kind}.mat").write_bytes(data[:len(data) * 2 // 3])
    names = ["text.mat", "empty.mat", *(f"cut {kind}.mat" for kind in ("v5", "v7", "v7.3", "npy"))]
    for path in [tmp_path / "missing.mat", tmp_path, *(tmp_path / name for name in names)]:
        assert str(path) in message_of(lambda path=path: read_labels(path, N))
    assert "labels" in message_of(lambda: read_labels([], N))


@pytest.fixture
def config(tmp_path):
    """A config as UCF101's: the training split is the database, other videos are the queries."""
    def feats(name, num_videos):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["feats"] = np.full((num_videos, T, F), 0.5, np.float32)
        return [str(tmp_path / f"{name}.h5")]

    train, query = feats("train", N), feats("query", 7)
    return SimpleNamespace(
        train_feat_path=train, test_feat_path=train, query_feat_path=query, item_shape=[T, F],
        feature_size=F, max_frames=T,
        label_path=[write_as("v5", tmp_path / "labels.mat", multi_hot())],
        query_label_path=[write_as("v7.3", tmp_path / "q_label.mat", multi_hot(7, seed=1), "q_label")],
        feat_key="feats", label_key=None, query_label_key=None, self_retrieval=None,
        train_num_sample=N, test_num_sample=None, query_num_sample=7, nclusters=N,
        semantics="means", supervised=False)


def without_queries(config):
    config.query_feat_path = config.query_label_path = config.query_num_sample = None
    return config


def test_queries_beside_the_database(config):
    retrieval = open_retrieval(config)
    assert (len(retrieval.database), len(retrieval.queries)) == (N, 7)
    np.testing.assert_array_equal(retrieval.database_labels, multi_hot())
    np.testing.assert_array_equal(retrieval.query_labels, multi_hot(7, seed=1))
    assert not retrieval.queries_are_database
    assert not retrieval.self_retrieval
    assert retrieval.include_self
    assert open_train(config).shape == (N, T, F)


@pytest.mark.parametrize(("setting", "kept"), [(None, True), (True, True), (False, False)])
def test_the_database_as_its_own_queries(config, setting, kept):
    without_queries(config).self_retrieval = setting
    retrieval = open_retrieval(config)
    assert retrieval.queries_are_database
    assert (retrieval.self_retrieval, retrieval.include_self) == (kept, kept)
    assert retrieval.queries is retrieval.database
    np.testing.assert_array_equal(retrieval.query_labels, multi_hot())


def test_query_files_that_are_the_database_files_are_seen_as_such(config):
    config.query_feat_path, config.query_label_path = list(config.test_feat_path), list(config.label_path)
    config.query_num_sample = N
    assert open_retrieval(config).queries_are_database


@pytest.mark.parametrize(("change", "words"), [
    ({"query_label_path": None}, ["query_label_path is missing"]),
    ({"query_feat_path": None}, ["query_label_path", "None"]),
    ({"self_retrieval": True}, ["self_retrieval"]),
    ({"test_num_sample": 99}, ["12 database videos", "test_num_sample = 12"]),
    ({"query_num_sample": 99}, ["7 query videos", "query_num_sample = 7"]),
    ({"label_path": []}, ["label_path is missing", "labels of the database"]),
    ({"test_feat_path": []}, ["database features"]),
    ({"query_label_key": "absent"}, ["'absent'", "'q_label' (7, 5)"]),
    ({"item_shape": [T, 9]}, ["feature_size = 4"]),
])
def test_contradictions_are_told_in_one_line(config, change, words):
    vars(config).update(change)
    text = message_of(lambda: open_retrieval(config))
    for word in words:
        assert word in text


def test_classes_of_queries_and_database_must_agree(config, tmp_path):
    config.query_label_path = [write_as("v5", tmp_path / "wide.mat", np.eye(7))]
    text = message_of(lambda: open_retrieval(config))
    assert "7 classes" in text
    assert "have 5" in text


def test_counts_of_the_training_split(config):
    check_split([PSEUDO_LABELS], config, open_train(config))
    config.nclusters = N + 1
    text = message_of(lambda: check_split([PSEUDO_LABELS], config, open_train(config)))
    assert "12 training videos" in text
    assert "nclusters" in text
    config.train_num_sample = 3
    assert "train_num_sample = 12" in message_of(lambda: open_train(config))
