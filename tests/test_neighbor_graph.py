"""The neighbor graph, its embedding and the place of new videos, against plain loops and a dense solver."""

import re

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from artefacts import neighbor_graph as module
from artefacts.neighbor_graph import (
    anchor_graph,
    embed,
    fit_graph,
    leading_eigenpairs,
    nearest,
    symmetric,
    warped_similarities,
)
from artefacts.trajectories import fit_trajectories, trajectories
from tests.trajectory_data import ArrayFeatures, moving_videos
from utils.errors import UserError


@pytest.fixture(scope="module")
def fit():
    """Map and cells of 60 videos, and the cells of 20 others."""
    videos, _ = moving_videos(num_videos=80, num_frames=12)
    fitted, _ = fit_trajectories(ArrayFeatures(videos[:60]), frame_dims=6, num_components=20)
    cells = (videos - fitted.frame_mean) @ fitted.frame_axes
    return fitted, cells[:60], cells[60:]


def naive_similarity(fitted, video, other, compared):
    """The largest cosine of any warp of `video` with `other` as it is; both are cells (R,D)."""
    target = trajectories(fitted, other[None])[0, :compared].astype(np.float64)
    best = -2.0
    for warp in range(len(fitted.warps)):
        g = trajectories(fitted, video[None], warp)[0, :compared].astype(np.float64)
        best = max(best, g @ target / np.linalg.norm(g) / np.linalg.norm(target))
    return best


def nodes_of(fitted, cells, compared=128):
    return module.unit_rows(trajectories(fitted, cells)[:, :compared])


def naive_places(similarities, num_neighbors, num_columns):
    """Widths (N,), E (N,C) and all eigenvalues but the trivial one by the definition: dense W, all eigenpairs."""
    num_videos = len(similarities)
    distances = 1 - similarities.astype(np.float64)
    neighbors = [[j for j in np.argsort(distances[i], kind="stable") if j != i][:num_neighbors]
                 for i in range(num_videos)]
    widths = np.array([distances[i, neighbors[i][-1]] for i in range(num_videos)])
    weights = np.zeros((num_videos, num_videos))
    for i in range(num_videos):
        for j in neighbors[i]:
            weight = np.exp(-distances[i, j] ** 2 / (widths[i] * widths[j]))
            weights[i, j] = weights[j, i] = max(weight, weights[i, j])
    degrees = weights.sum(axis=1)
    trivial = np.sqrt(degrees / degrees.sum())
    values, vectors = scipy.linalg.eigh(weights / np.sqrt(np.outer(degrees, degrees)) - np.outer(trivial, trivial))
    columns = []
    for value, vector in list(zip(values[::-1], vectors.T[::-1], strict=True))[:num_columns]:
        column = vector / np.sqrt(degrees)
        deviation = np.sqrt((degrees * column ** 2).sum() / degrees.sum())
        columns.append(max(value, 0) * column / deviation)
    return widths, np.array(columns).T, values[::-1]


def inner(places):
    """The inner products of all rows: E up to a rotation, as equal eigenvalues leave it."""
    return places.astype(np.float64) @ places.T


def naive_place(graph, similarities):
    """E (C,) of one video from its similarities (M,) to the nodes."""
    distances = np.maximum(1 - similarities.astype(np.float64), 0)
    ids = np.argsort(distances, kind="stable")[:graph.num_neighbors]
    own = distances[ids[-1]]
    weights = [np.exp(-2 * distances[j] ** 2 / (own * graph.widths[j])) for j in ids]
    return sum(weight * graph.places[j] for weight, j in zip(weights, ids, strict=True)) / sum(weights)


def test_similarities_follow_a_plain_loop(fit, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 23)
    fitted, cells, _ = fit
    one_way = np.array([[naive_similarity(fitted, a, b, 9) for b in cells] for a in cells])
    similarities = symmetric(warped_similarities(fitted, cells, nodes_of(fitted, cells, 9)))
    np.testing.assert_allclose(similarities, np.maximum(one_way, one_way.T), atol=2e-5)


def test_the_dense_graph_follows_a_plain_loop(fit):
    fitted, cells, _ = fit
    told = []
    graph = fit_graph(fitted, cells, num_neighbors=5, num_columns=7, progress=told.append)
    widths, places, values = naive_places(symmetric(warped_similarities(fitted, cells, nodes_of(fitted, cells))), 5, 7)
    assert values[6] - values[7] > 1e-3  # else the last column were left open
    np.testing.assert_allclose(graph.widths, widths, rtol=1e-4)
    np.testing.assert_allclose(inner(graph.places), inner(places), atol=1e-3)
    np.testing.assert_allclose(graph.eigenvalues, values[:7], atol=1e-5)
    assert sum(told) == 60


def test_the_place_of_a_new_video_follows_a_plain_loop(fit, monkeypatch):
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 7)
    fitted, cells, others = fit
    graph = fit_graph(fitted, cells, num_neighbors=5, num_columns=6)
    similarities = warped_similarities(fitted, others, graph.nodes)
    expected = np.array([naive_place(graph, row) for row in similarities])
    np.testing.assert_allclose(embed(fitted, graph, others), expected, atol=1e-4)


def test_the_anchor_graph_follows_its_definition(fit):
    """E of a training video is Z D^-1/2 u, from the dense Z of all videos, at unit deviation times the eigenvalue.

    The graph among videos, Z D^-1 Z^T, has the same eigenvalues, and these vectors."""
    fitted, cells, _ = fit
    nodes = module.unit_rows(trajectories(fitted, cells)[::4])
    graph = anchor_graph(fitted, cells, nodes, 3, 4)
    z = np.zeros((60, 15))
    similarities = warped_similarities(fitted, cells, nodes)
    for row, near in zip(z, similarities, strict=True):
        distances = 1 - near.astype(np.float64)
        ids = np.argsort(distances)[:3]
        row[ids] = np.exp(-2 * distances[ids] ** 2 / (distances[ids[-1]] * graph.widths[ids]))
    z /= z.sum(axis=1, keepdims=True)
    root = np.sqrt(z.sum(axis=0))
    values, vectors = np.linalg.eigh((z / root).T @ (z / root))
    expected = (z @ (vectors / root[:, None]))[:, ::-1][:, 1:5]
    expected *= values[::-1][1:5] / expected.std(axis=0)
    among_videos = np.linalg.eigvalsh(z / root ** 2 @ z.T)[::-1]
    assert (np.diff(among_videos[1:6]) < -1e-3).all()
    np.testing.assert_allclose(values[::-1][:15], among_videos[:15], atol=1e-9)
    np.testing.assert_allclose(inner(embed(fitted, graph, cells)), inner(expected), atol=1e-3)
    np.testing.assert_allclose(graph.eigenvalues, among_videos[1:5], atol=1e-5)


def test_many_videos_are_joined_by_anchors(fit):
    fitted, cells, _ = fit
    graph = fit_graph(fitted, cells, dense_limit=59, num_anchors=12, num_columns=5)
    assert graph.nodes.shape == (12, 20)
    assert embed(fitted, graph, cells).shape == (60, 5)
    assert len(fit_graph(fitted, cells, dense_limit=59).nodes) == 30


@pytest.mark.parametrize("size", [40, 900])
def test_eigenpairs_are_those_of_a_dense_solver(size):
    rng = np.random.default_rng(0)
    graph = scipy.sparse.random_array((size, size), density=8 / size, rng=rng)
    graph = (graph + graph.T).tocsr()
    expected, dense = scipy.linalg.eigh(graph.toarray())
    expected, dense = expected[::-1], dense[:, ::-1]
    assert expected[0] - 1 > expected[1]  # as eigenvalue 1 less the trivial pair is in a graph
    values, vectors = leading_eigenpairs(graph - (expected[0] - 1) * scipy.sparse.csr_array(np.outer(
        dense[:, 0], dense[:, 0])), dense[:, 0], 7)
    np.testing.assert_allclose(values, expected[1:8], atol=1e-9)
    np.testing.assert_allclose(np.abs((vectors * dense[:, 1:8]).sum(axis=0)), 1, atol=1e-6)


def test_order_and_scale_do_not_matter(fit):
    fitted, cells, others = fit
    graph = fit_graph(fitted, cells, num_columns=7)
    order = np.random.default_rng(1).permutation(60)
    permuted = fit_graph(fitted, cells[order], num_columns=7)
    np.testing.assert_allclose(inner(permuted.places), inner(graph.places[order]), atol=1e-3)
    np.testing.assert_allclose(inner(embed(fitted, permuted, others)), inner(embed(fitted, graph, others)), atol=1e-3)
    louder = fitted._replace(segment_mean=8 * fitted.segment_mean)
    np.testing.assert_allclose(inner(fit_graph(louder, 8 * cells, num_columns=7).places), inner(graph.places),
                               atol=1e-3)


def test_neighbors_come_nearest_first_and_without_oneself():
    similarities = np.array([[1.0, 0.2, 0.9], [0.2, 1.0, 0.5], [0.9, 0.5, 1.0]], np.float32)
    ids, distances = nearest(similarities, 2, exclude_self=True)
    assert ids.tolist() == [[2, 1], [2, 0], [0, 1]]
    np.testing.assert_allclose(distances[0], [0.1, 0.8], atol=1e-6)
    assert nearest(similarities, 1)[0].tolist() == [[0], [1], [2]]


def test_copies_of_a_video_stand_in_one_place(fit):
    fitted, cells, _ = fit
    copies = np.concatenate([np.repeat(cells[:1], 25, axis=0), cells[1:]])
    graph = fit_graph(fitted, copies)
    assert np.isfinite(graph.places).all()
    embedding = embed(fitted, graph, copies)
    np.testing.assert_allclose(embedding[:25], np.repeat(embedding[:1], 25, axis=0), atol=1e-3)


def test_too_few_videos_are_told_in_one_line(fit):
    fitted, cells, _ = fit
    with pytest.raises(UserError, match=re.escape("there are 9 videos, and a graph of neighbors needs at least 10")):
        fit_graph(fitted, cells[:9])
    assert fit_graph(fitted, cells[:10]).places.shape == (10, 9)
