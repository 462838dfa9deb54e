"""Settings chosen by held-out training videos: what is held out has no part in what it asks, and the best is taken."""

import csv
from itertools import cycle

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from artefacts.neighbor_graph import embed, fit_graph
from artefacts.rotation import default_weight, fit_rotation
from artefacts.trajectories import fit_trajectories, trajectories
from model.methods.graph_code.selection import FOLDS, WEIGHTS, Setting, choose, folds_of
from tests.pipeline import CLASSES, checkpoint_tensors, make_project, run, succeed
from tests.trajectory_data import ArrayFeatures, moving_videos

SETTINGS = "method=graph_code", "model_name=None", "nbits=16"


@pytest.fixture(scope="module")
def fit():
    """The arguments of `choose` from 60 videos."""
    videos, classes = moving_videos(num_videos=60, num_frames=12)
    fitted, cells = fit_trajectories(ArrayFeatures(videos), frame_dims=6, num_components=20)
    graph = fit_graph(fitted, cells, num_columns=8)
    return fitted, cells, graph, embed(fitted, graph, cells), np.eye(4, dtype=np.uint8)[classes]


def constant(value):
    return lambda *codes_and_labels: value


def test_a_group_is_held_out_whole():
    groups = np.array([3, 0, 5, 5, 1, 0, 3, 2])
    folds = folds_of(np.ones((8, 1), np.uint8), groups)
    assert set(folds) == set(range(FOLDS))
    assert all(len(set(folds[groups == group])) == 1 for group in groups)


def test_without_groups_each_class_is_cut_in_its_order():
    labels = np.eye(2, dtype=np.uint8)[[0, 1] * 8]
    assert folds_of(labels)[::2].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert folds_of(labels)[1::2].tolist() == [1, 1, 2, 2, 3, 3, 0, 0]


def test_a_video_without_a_label_asks_nothing():
    labels = np.array([[1], [0], [1], [1], [1]], np.uint8)
    assert folds_of(labels).tolist() == [0, -1, 1, 2, 3]
    assert folds_of(labels, np.arange(5))[1] == -1


def test_held_out_videos_have_no_part_in_what_they_ask(fit):
    """Codes of the first part by the default setting, against a graph and a rotation of the other videos alone."""
    fitted, cells, graph, embedding, labels = fit
    asked = []
    choose(fitted, cells, graph, embedding, labels, num_bits=8, seed=3,
           score=lambda *all_of_them: asked.append(all_of_them) or 0.0)
    held = folds_of(labels) == 0
    alone = fit_graph(fitted, cells[~held], num_columns=8)
    e_kept, e_held = embed(fitted, alone, cells[~held]), embed(fitted, alone, cells[held])
    g = trajectories(fitted, cells)
    rotation = fit_rotation(g[~held], e_kept, 8, seed=3)
    queries, database, query_labels, database_labels = asked[0]
    for codes, values in ((queries, np.hstack([g[held], e_held])), (database, np.hstack([g[~held], e_kept]))):
        expected = values @ rotation.directions - rotation.offset
        assert ((expected > 0) == (codes > 0)).mean() > 0.99  # values near zero round either way
    np.testing.assert_array_equal(query_labels, labels[held])
    np.testing.assert_array_equal(database_labels, labels[~held])


def test_the_best_weight_then_the_best_graph(fit):
    """A weight of twice the default is best, then five neighbors without warps."""
    fitted, cells, graph, embedding, labels = fit
    by_weight = [0.1, 0.2, 0.3, 0.6, 0.5] * FOLDS
    by_graph = [value for value in (0.1, 0.7, 0.2, 0.9, 0.3) for _ in range(FOLDS)]  # k 5, 10; 7, 5, 10 unwarped
    told = iter(by_weight + by_graph)
    chosen = choose(fitted, cells, graph, embedding, labels, num_bits=8, score=lambda *_: next(told))
    twice = 2 * default_weight(8)
    assert chosen.setting == Setting(twice, 5, False)
    assert chosen.scores[Setting(twice, 10, True)] == pytest.approx(0.7)
    assert len(chosen.scores) == len(WEIGHTS) + 5
    assert len(chosen.fitted.warps) == 1
    again = fit_graph(fitted._replace(warps=fitted.warps[:1]), cells, num_neighbors=5, num_columns=8)
    np.testing.assert_allclose(chosen.graph.widths, again.widths, rtol=1e-5)
    np.testing.assert_allclose(chosen.embedding, embed(chosen.fitted, again, cells), atol=1e-4)


def test_equals_leave_everything_as_it_is(fit):
    chosen = choose(*fit, num_bits=8, score=constant(0.5))
    assert chosen.setting == Setting(default_weight(8), 7, True)
    assert chosen.graph is fit[2]
    assert chosen.embedding is fit[3]


def test_without_weight_no_other_graph_is_tried(fit):
    worth = cycle([0.1, 0.2, 0.1, 0.1, 0.1])
    chosen = choose(*fit, num_bits=8, score=lambda *_: next(worth))
    assert chosen.setting.weight == 0
    assert len(chosen.scores) == len(WEIGHTS)


def test_over_anchors_the_weight_alone_is_chosen(fit):
    fitted, cells, _, _, labels = fit
    graph = fit_graph(fitted, cells, dense_limit=59, num_anchors=12, num_columns=5)
    chosen = choose(fitted, cells, graph, embed(fitted, graph, cells), labels, num_bits=8, score=constant(0.5))
    assert {setting[1:] for setting in chosen.scores} == {(3, True)}
    assert chosen.graph is graph


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("selection"))
    project.command = lambda script, *more: (script, "--config", project.config, "--gpu", "cpu", "--set", *SETTINGS,
                                             *more)
    project.chooses = "select=validation", f"train_label_path={project.data}/train.mat"
    with h5py.File(project.data / "train.h5", "r+") as file:  # else every setting finds all
        file["feats"][...] = file["feats"][()] + 2 * np.random.default_rng(5).normal(size=file["feats"].shape)
    succeed(*project.command("preprocess.py"))
    succeed(*project.command("train.py", *project.chooses))
    project.checkpoint = project.folder / "checkpoint/tiny/GraphCode_16bit/last.pth"
    return project


def test_a_run_records_what_was_tried_and_chosen(project):
    with open(project.folder / "logs/tiny/GraphCode_16bit/metrics.csv") as file:
        row = next(csv.DictReader(file))
    tried = {name: float(value) for name, value in row.items() if name.startswith("held_out/")}
    chosen = (f"held_out/weight={float(row['graph_weight']):.4g},neighbors={row['num_neighbors']},"
              f"warps={int(row['warps'] == '9')}")
    assert len(tried) >= len(WEIGHTS)
    assert tried[chosen] == max(tried.values()) > 0.3
    state = torch.load(project.checkpoint, weights_only=True)["model_state_dict"]
    assert int(state["code.num_neighbors"]) == int(row["num_neighbors"])
    assert len(state["code.warps"]) == int(row["warps"])
    assert "GraphCode" in succeed(*project.command("eval.py", *project.chooses)).output


def test_labels_of_the_test_split_choose_nothing(project):
    with h5py.File(project.data / "query.h5") as file:
        num_queries = len(file["feats"])
    other = project.data / "other.mat"
    scipy.io.savemat(other, {"labels": np.eye(CLASSES, dtype=np.uint8)[np.arange(num_queries)[::-1] // 2]})
    succeed(*project.command("train.py", *project.chooses, f"query_label_path={other}", "run_name=other"))
    one, two = (checkpoint_tensors(path) for path in (
        project.checkpoint, project.folder / "checkpoint/tiny/GraphCode_16bit_other/last.pth"))
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_groups_are_held_out(project):
    groups = project.data / "groups.txt"
    groups.write_text("".join(f"person {row % 4}\n" for row in range(40)))
    settings = *project.chooses, f"train_group_path={groups}", "run_name=groups"
    succeed(*project.command("train.py", *settings))
    with open(project.folder / "logs/tiny/GraphCode_16bit_groups/metrics.csv") as file:
        by_groups = next(csv.DictReader(file))
    with open(project.folder / "logs/tiny/GraphCode_16bit/metrics.csv") as file:
        in_order = next(csv.DictReader(file))
    assert any(by_groups[name] != value for name, value in in_order.items() if name.startswith("held_out/weight=0,"))
    for text, words in (("a\n" * 39, "39 lines, but there are 40 training videos"), ("a\n" * 40, "of one group")):
        groups.write_text(text)
        refused = run(*project.command("train.py", *settings, "run_name=refused"))
        assert (refused.code, refused.errors.count("\n"), words in refused.errors) == (2, 1, True), refused.errors
    missing = run(*project.command("train.py", *project.chooses, "train_group_path=nowhere.txt", "run_name=refused"))
    assert (missing.code, "nowhere.txt: cannot read the groups" in missing.errors) == (2, True)


@pytest.mark.parametrize(("settings", "words"), [
    (("select=validation",), "train_label_path is missing"),
    (("select=validation", "train_label_path=x.mat", "graph_weight=1"), "chooses graph_weight, which is set too"),
    (("select=best_on_test",), "select = 'best_on_test' is not for graph-code. Leave it out, or set it to 'last' or "),
    (("method=s5vh", "model_name=S5VH", "select=validation"), "set it to 'last' or 'best_on_test'")])
def test_each_method_has_its_own_ways_to_select(project, settings, words):
    result = run(*project.command("train.py", *settings))
    assert (result.code, result.errors.count("\n"), words in result.errors) == (2, 1, True), result.errors
