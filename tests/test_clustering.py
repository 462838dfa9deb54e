"""Frame means, PCA, k-means, nearest anchors and the anchor graph against naive constructions."""

import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from artefacts import clustering
from artefacts.anchor_graph import AnchorGraph, graph_block, rbf_weights, similarity_block
from utils.errors import UserError
from utils.files import writing as files


class FakeFeatures:
    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def blocks(self, num_rows, fingerprint=False):
        for start in range(0, len(self.array), num_rows):
            yield start, self.array[start:start + num_rows]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_frame_means_stream_over_blocks(rng, monkeypatch):
    monkeypatch.setattr(clustering, "ROWS_PER_BLOCK", 4)
    array = rng.standard_normal((11, 3, 5)).astype(np.float32)
    told = []
    means = clustering.frame_means(FakeFeatures(array), told.append)
    np.testing.assert_allclose(means, array.astype(np.float64).mean(axis=1), rtol=1e-12)
    assert told == [4, 4, 3]


@pytest.mark.parametrize("shape", [(40, 6), (7, 30)])
def test_latents_keep_the_distances(shape, rng):
    """All components together are a rotation of the centered means."""
    means = rng.standard_normal(shape)
    latents = clustering.project(means, min(shape)).astype(np.float64)
    distances = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(latents[:, None] - latents[None], axis=2), distances, atol=1e-5)
    variances = latents.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()


@pytest.mark.parametrize(("shape", "num_dims"), [((60, 12), 5), ((60, 12), 12), ((9, 30), 4), ((20, 20), 7)])
def test_latents_are_those_of_scikit_learn(shape, num_dims, rng, monkeypatch):
    """Signs included, from means far from zero, in one block and in several."""
    means = 100 + rng.standard_normal(shape) * np.linspace(1, 3, shape[1])
    expected = PCA(num_dims, svd_solver="full").fit_transform(means)
    for num_rows in (4096, 7):
        monkeypatch.setattr(clustering, "MEANS_PER_BLOCK", num_rows)
        np.testing.assert_allclose(clustering.project(means, num_dims), expected, atol=2e-5)


def test_latents_of_a_mapped_file_are_those_of_memory(rng, tmp_path, monkeypatch):
    array = rng.standard_normal((50, 3, 12)).astype(np.float32)
    expected = clustering.project(clustering.frame_means(FakeFeatures(array)), 5)
    monkeypatch.setattr(files, "SCRATCH_IN_MEMORY", 50 * 12 * 8 - 1)
    with files.scratch_array((50, 12), tmp_path / "new") as means:
        assert isinstance(means, np.memmap)
        assert clustering.frame_means(FakeFeatures(array), out=means) is means
        np.testing.assert_array_equal(clustering.project(means, 5), expected)
        assert not list((tmp_path / "new").iterdir())


def test_a_scratch_file_too_large_for_the_disk_is_told(tmp_path):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: cannot keep")), \
            files.scratch_array((1 << 53,), tmp_path):
        pass


def test_latents_are_the_same_each_time(rng):
    means = rng.standard_normal((50, 12))
    np.testing.assert_array_equal(clustering.project(means, 5), clustering.project(means.copy(), 5))


def test_equal_videos_have_latents_of_zero():
    assert np.abs(clustering.project(np.ones((6, 4)), 2)).max() < 1e-6


def test_nearest_anchors_agree_with_a_loop(rng):
    latents = rng.standard_normal((30, 4)).astype(np.float32)
    anchors = rng.standard_normal((9, 4)).astype(np.float32)
    ids, distances = clustering.nearest_anchors(latents, anchors, 5)
    for i, video in enumerate(latents):
        apart = [float(np.linalg.norm(video.astype(np.float64) - anchor)) for anchor in anchors]
        expected = sorted(range(9), key=lambda j: apart[j])[:5]
        assert ids[i].tolist() == expected
        np.testing.assert_allclose(distances[i], [apart[j] for j in expected], rtol=1e-5)


def test_ties_go_to_the_lower_id_and_few_anchors_are_few_columns():
    anchors = np.array([[1.0], [-1.0]], dtype=np.float32)
    ids, distances = clustering.nearest_anchors(np.zeros((1, 1), dtype=np.float32), anchors, 5)
    assert ids.tolist() == [[0, 1]]
    assert distances.tolist() == [[1.0, 1.0]]


def test_clusters_find_separated_groups_and_repeat(rng):
    centers = 20 * np.eye(6, 8)
    latents = (centers[np.arange(60) % 6] + rng.standard_normal((60, 8))).astype(np.float32)
    anchors = clustering.cluster(latents, 6, seed=1)
    labels = clustering.nearest_anchors(latents, anchors, 1)[0][:, 0]
    assert all(len(set(labels[group::6])) == 1 for group in range(6))
    assert len(set(labels)) == 6
    np.testing.assert_array_equal(anchors, clustering.cluster(latents, 6, seed=1))


@pytest.mark.parametrize(("num_videos", "num_distinct"), [(3, 3), (40, 4), (40, 1)])
def test_too_few_distinct_videos_are_told(num_videos, num_distinct, rng):
    groups = rng.standard_normal((num_distinct, 8)).astype(np.float32)
    latents = groups[np.arange(num_videos) % num_distinct]
    with pytest.raises(UserError, match=f"nclusters = 6, but the training videos form only {num_distinct} "):
        clustering.cluster(latents, 6, seed=1)


def test_unit_rows_leave_a_row_of_zeros():
    np.testing.assert_allclose(clustering.unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def naive_graph(latents, anchors):
    """The N x N graph by its definition: dense distances, dense Z, dense A."""
    distances = np.linalg.norm(latents[:, None].astype(np.float64) - anchors[None], axis=2)
    shared = {}
    for s in (3, 4, 5):
        s_used = min(s, len(anchors))
        nearest = np.sort(distances, axis=1)[:, :s_used]
        sigma = nearest[:, -1].mean() / np.sqrt(2)
        kernel = np.exp(-distances ** 2 / (2 * sigma ** 2))
        z = np.where(distances <= nearest[:, -1:], kernel, 0)
        z /= z.sum(axis=1, keepdims=True)
        mass = z.sum(axis=0)
        mass[mass == 0] = 1
        shared[s] = (z @ np.diag(1 / mass) @ z.T > 1e-5).astype(int)
    return shared[3] + 2 * (shared[5] - shared[4])


@pytest.mark.parametrize("num_anchors", [2, 4, 12])
def test_graph_blocks_agree_with_the_dense_graph(num_anchors, rng):
    latents = rng.standard_normal((40, 3)).astype(np.float32)
    anchors = rng.standard_normal((num_anchors, 3)).astype(np.float32)
    expected = naive_graph(latents, anchors)
    ids, distances = clustering.nearest_anchors(latents, anchors, 5)
    graph = AnchorGraph(ids, distances, num_anchors)
    np.testing.assert_array_equal(graph.block(np.arange(40), np.arange(40)), expected)
    rows, columns = rng.permutation(40)[:7], rng.permutation(40)[:5]
    np.testing.assert_array_equal(graph_block(ids, distances, num_anchors, rows, columns),
                                  expected[np.ix_(rows, columns)])
    if num_anchors == 12:
        assert set(np.unique(expected)) == {0, 1, 2}


def eq_25(adjacency):
    """S of VHMT from the sum A_3 + 2 (A_5 - A_4)."""
    return np.select([adjacency % 2 == 1, adjacency == 2], [1, -1], 0)


@pytest.mark.parametrize("num_anchors", [2, 4, 12, 30])
def test_similarity_blocks_agree_with_the_dense_graph(num_anchors, rng):
    latents = rng.standard_normal((60, 3)).astype(np.float32)
    anchors = rng.standard_normal((num_anchors, 3)).astype(np.float32)
    ids, distances = clustering.nearest_anchors(latents, anchors, 5)
    graph = AnchorGraph(ids, distances, num_anchors)
    factors = graph.factors()
    assert factors.shape == (60, 3, min(5, num_anchors))
    batch = rng.permutation(60)[:17]
    block = similarity_block(torch.from_numpy(ids[batch]), torch.from_numpy(factors[batch]), num_anchors).numpy()
    np.testing.assert_array_equal(block, eq_25(naive_graph(latents, anchors))[np.ix_(batch, batch)])
    np.testing.assert_array_equal(block, eq_25(graph.block(batch, batch)))
    assert (np.diagonal(block) == 1).all()
    if num_anchors == 30:
        assert set(np.unique(block)) == {-1, 0, 1}


def test_a_similarity_block_by_hand():
    """Videos 1 and 2 share their first anchor, 1 and 3 only their fifth, 1 and 4 the fourth, 1 and 5 none."""
    ids = torch.tensor([[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [9, 10, 11, 12, 4], [13, 14, 15, 3, 16],
                        [17, 18, 19, 20, 21]])
    factors = torch.from_numpy(AnchorGraph(ids.numpy(), np.ones((5, 5)), 22).factors())
    assert similarity_block(ids, factors, 22)[0].tolist() == [1, 1, -1, 0, 0]


def test_videos_on_their_anchors_weigh_equally():
    """sigma = 0 when every s-th distance is 0."""
    np.testing.assert_array_equal(rbf_weights(np.zeros((4, 3))), np.full((4, 3), 1 / 3))


def test_a_far_video_keeps_weights_that_sum_to_one():
    distances = np.full((1000, 3), 1.0)
    distances[0] = [400.0, 401.0, 402.0]
    weights = rbf_weights(distances)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights[0, 0] > 0.99


def test_graph_refuses_arrays_that_do_not_belong_together():
    with pytest.raises(ValueError, match="must both be"):
        AnchorGraph(np.zeros((4, 3), dtype=int), np.zeros((4, 5)), 6)
