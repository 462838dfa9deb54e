"""What videos are clustered by, classes that make clusters, and how labels are judged."""

import re
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from artefacts.artefact import closure, made_from
from artefacts.cache import load, provide
from artefacts.clustering import cluster, seeded_clusters
from artefacts.clusters import PSEUDO_LABELS, SEMANTICS, classes_of
from artefacts.neighbor_graph import Graph, proposed_clusters
from artefacts.teacher_codes import TEACHER_CODES
from dataset.protocol import read_train_labels
from tests.test_artefacts import FakeFeatures
from tests.trajectory_data import moving_videos
from utils.errors import UserError


@pytest.fixture(scope="module")
def videos():
    return moving_videos(num_videos=120, seed=3)


class Settings(SimpleNamespace):
    """A config by hand: settings by attribute or by item."""

    def __getitem__(self, name):
        return getattr(self, name)


def make_config(folder, **changes):
    settings = {"nbits": 8, "nclusters": 4, "latent_dim_pca": 5, "preprocess_seed": 1, "num_anchor_neighbours": 5,
                "semantics": "graph", "supervised": False, "frame_dims": 6, "whitening": 0.5, "num_segments": None,
                "trajectory_dims": 20, "warp": 0.06, "num_neighbors": 7, "embedding_dims": 8, "compared_dims": 20,
                "dense_limit": 6000, "num_graph_anchors": 30, "graph_anchor_neighbors": 3, "graph_anchor_dims": 192,
                "select": None, "train_group_path": None, "graph_weight": None, "train_label_path": None,
                "train_label_key": None, "train_label_share": 1.0, "model_name": "S5VH", "artefact_root": "elsewhere/",
                **changes}
    names = {name: str(folder / f"{name}.h5") for name in (
        "latent_feat_path", "anchor_path", "train_assist_path", "semantic_center_path", "frame_components_path",
        "trajectory_path", "neighbor_graph_path", "teacher_code_path")}
    return Settings(**settings, **names)


def labels_of(config, videos, **options):
    features, lines = FakeFeatures(videos), []
    provide([PSEUDO_LABELS, SEMANTICS], config, features, log=lines.append, **options)
    made = load([PSEUDO_LABELS, SEMANTICS], config, features)
    return made["pseudo_labels"], made["semantics"], lines


@pytest.mark.parametrize(("space", "files"), [
    ("means", {"latent_feat_path"}), ("trajectories", {"frame_components_path", "trajectory_path"}),
    ("graph", {"frame_components_path", "trajectory_path", "neighbor_graph_path"})])
def test_only_what_the_space_needs_is_made(space, files, videos, tmp_path):
    config = make_config(tmp_path, semantics=space)
    labels, semantics, _ = labels_of(config, videos[0])
    assert {path.stem for path in tmp_path.glob("*.h5")} == files | {"anchor_path", "train_assist_path",
                                                                     "semantic_center_path"}
    assert set(labels) == {0, 1, 2, 3}
    np.testing.assert_allclose(np.linalg.norm(semantics, axis=1), 1, rtol=1e-5)


def test_the_graph_finds_the_classes_and_says_how_well(videos, tmp_path):
    values, classes = videos
    labels, _, lines = labels_of(make_config(tmp_path), values, true_labels=lambda: np.eye(4, dtype=np.uint8)[classes])
    counts = np.histogram2d(labels, classes, bins=4)[0]
    purity = counts.max(axis=1).sum() / len(classes)
    said, = [line for line in lines if "purity" in line]
    assert float(re.search(r"purity (\S+),", said)[1]) == pytest.approx(purity, abs=1e-3)
    assert purity > 0.9
    assert [line for line in lines if "eigengap proposes" in line]
    other = labels_of(make_config(tmp_path), values, true_labels=lambda: np.ones((120, 4), np.uint8))[2]
    assert not [line for line in other if "purity" in line]  # videos of several classes


def test_another_space_makes_labels_stale(videos, tmp_path):
    labels_of(make_config(tmp_path), videos[0])
    with pytest.raises(UserError, match="space was graph, now trajectories"):
        load([PSEUDO_LABELS], make_config(tmp_path, semantics="trajectories"), FakeFeatures(videos[0]))


def test_files_from_before_the_choice_stay_fresh(tmp_path):
    made = made_from(PSEUDO_LABELS, make_config(tmp_path, semantics="means"), "film")
    assert {name: value for name, value in made.items() if value is not None} == {
        "features": "film", "latent_dim_pca": 5, "nclusters": 4, "preprocess_seed": 1, "num_anchor_neighbours": 5}
    assert [one.name for one in closure([PSEUDO_LABELS], make_config(tmp_path, semantics="means"))] == [
        "latents", "anchors", "pseudo_labels"]


def test_proposed_clusters_are_the_parts_of_a_graph():
    eigenvalues = np.array([1, 0.99, 0.97, 0.4, 0.35, 0.3], np.float32)  # four parts: the trivial 1 is left out
    assert proposed_clusters({"graph": Graph(None, None, None, eigenvalues, 7)}) == 4


def test_classes_are_numbered_among_those_that_occur():
    labels = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert classes_of(labels).tolist() == [1, -1, 0, 0, -1]
    assert classes_of(np.zeros((3, 4))).tolist() == [-1, -1, -1]


def test_seeded_clusters_keep_their_classes():
    rng = np.random.default_rng(0)
    centers = np.array([[0, 9], [9, 0], [9, 9], [0, 0]])
    truth = np.repeat(np.arange(4), 30)
    points = (centers[truth] + rng.standard_normal((120, 2))).astype(np.float32)
    known = np.where((np.arange(120) % 30 < 3) & (truth < 2), 1 - truth, -1)  # six labels; two classes, swapped
    found = seeded_clusters(points, known, 4, seed=0)
    np.testing.assert_allclose(found[:2], centers[[1, 0]], atol=1)
    assert {tuple(np.round(row / 9).astype(int)) for row in found[2:]} == {(1, 1), (0, 0)}
    everyone = seeded_clusters(points, truth, 6, seed=0)
    np.testing.assert_allclose(everyone[:4], [points[truth == number].mean(axis=0) for number in range(4)], rtol=1e-5)
    np.testing.assert_allclose(everyone[4:], np.tile(points.mean(axis=0), (2, 1)), rtol=1e-5)
    with pytest.raises(UserError, match=r"4 classes\. Set nclusters to 4 or more"):
        seeded_clusters(points, truth, 3, seed=0)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_labelled_videos_are_clusters_of_their_class(share, videos, tmp_path):
    values, classes = videos
    known = np.random.default_rng(1).random(120) < share
    labels = np.where(known[:, None], np.eye(5, dtype=np.uint8)[classes], 0).astype(np.uint8)
    with h5py.File(tmp_path / "labels.hdf5", "w") as file:
        file["labels"] = labels
    config = make_config(tmp_path, supervised=True, train_label_path=[str(tmp_path / "labels.hdf5")])
    found, _, _ = labels_of(config, values)
    assert (found[known] == classes_of(labels)[known]).all()
    config.supervised = False
    _, _, lines = labels_of(config, values)
    assert [line for line in lines if "supervised was True, now not recorded" in line]


def test_other_labels_make_supervised_clusters_stale(videos, tmp_path):
    values, classes = videos
    config = make_config(tmp_path, supervised=True, train_label_path=[str(tmp_path / "labels.hdf5")])
    for shown in (40, 80):
        with h5py.File(tmp_path / "labels.hdf5", "w") as file:
            file["labels"] = np.where(np.arange(120)[:, None] < shown, np.eye(4, dtype=np.uint8)[classes], 0)
        if shown == 80:
            with pytest.raises(UserError, match="labels was"):
                load([PSEUDO_LABELS], config, FakeFeatures(values))
        labels_of(config, values)


def test_teacher_codes_are_graph_codes(videos, tmp_path):
    """Those that the method GraphCode gives the training videos."""
    import torch

    from artefacts.neighbor_graph import NEIGHBOR_GRAPH
    from artefacts.trajectories import TRAJECTORIES
    from model.methods.graph_code.method import Method
    config = make_config(tmp_path, seed=1)
    provide([TEACHER_CODES], config, FakeFeatures(videos[0]), log=lambda line: None)
    made = load([TRAJECTORIES, NEIGHBOR_GRAPH, TEACHER_CODES], config, FakeFeatures(videos[0]))
    method = Method(config, 120, trajectories=made["trajectories"], neighbor_graph=made["neighbor_graph"])
    method.fit(None)
    codes = method.encode(torch.from_numpy(videos[0]))
    clear = codes.abs() > 1e-3  # what lies on the edge may round to either side
    assert clear.float().mean() > 0.98
    assert ((codes > 0) == torch.from_numpy(made["teacher_codes"] > 0))[clear].all()


def test_clusters_of_one_seed_are_those_of_k_means(videos, tmp_path):
    labels_of(make_config(tmp_path), videos[0])
    with h5py.File(tmp_path / "neighbor_graph_path.h5") as file:
        anchors = cluster(file["embedding"][()], 4, 1)
    with h5py.File(tmp_path / "anchor_path.h5") as file:
        np.testing.assert_array_equal(file["feats"][()], anchors)


def test_a_smaller_share_of_labels_is_part_of_a_larger_one(tmp_path):
    with h5py.File(tmp_path / "labels.hdf5", "w") as file:
        file["labels"] = np.eye(5, dtype=np.uint8)[np.arange(200) % 5]
    config = make_config(tmp_path, train_label_path=[str(tmp_path / "labels.hdf5")])
    shown = {}
    for config.train_label_share in (0, 0.01, 0.1, 1.0):
        labels = read_train_labels(config, 200)
        shown[config.train_label_share] = set(np.flatnonzero(labels.any(axis=1)))
        assert len(shown[config.train_label_share]) == 200 * config.train_label_share
    assert shown[0.01] < shown[0.1] < shown[1.0]
