"""GraphCode through the scripts: fitted at once, evaluated, searched, resumed, refused where it cannot be."""

import h5py
import numpy as np
import pytest
import torch

from artefacts.neighbor_graph import NEIGHBOR_GRAPH
from model import build_model, load_weights
from tests.forked import run_side_by_side
from tests.pipeline import ROOT, checkpoint_tensors, make_project, run, succeed
from utils.config import load_config

SETTINGS = "method=graph_code", "model_name=None", "nbits=16"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("graph_code"))
    project.command = lambda script, *more: (script, "--config", project.config, "--gpu", "cpu", "--set", *SETTINGS,
                                             *more)
    succeed(*project.command("preprocess.py"))
    project.trained = succeed(*project.command("train.py"))
    project.checkpoint = project.folder / "checkpoint/tiny/GraphCode_16bit/last.pth"
    return project


def test_it_is_fitted_in_one_go(project):
    assert "epoch 1/1" in project.trained.output
    assert "nothing to do" in succeed(*project.command("train.py"), "--resume").output
    assert "GraphCode" in succeed(*project.command("eval.py"), "--baselines", "--report").output
    assert "<dt>Epoch</dt>" not in (project.folder / "logs/tiny/GraphCode_16bit/report.html").read_text()


def test_its_codes_are_better_than_chance(project):
    output = succeed(*project.command("eval.py"), "--baselines").output
    mean = {line.split()[0]: float(line.split()[4]) for line in output.splitlines() if " expected " in line
            and line.split()[0] in ("GraphCode", "random")}
    assert mean["GraphCode"] > 2 * mean["random"]


def test_one_file_encodes_and_a_code_is_the_same_alone_and_in_a_batch(project):
    config = load_config(project.config, dict(pair.split("=") for pair in SETTINGS))
    model = build_model(config)
    load_weights(model, torch.load(project.checkpoint, weights_only=True)["model_state_dict"], "last.pth")
    with h5py.File(project.data / "query.h5") as file:
        videos = torch.from_numpy(file["feats"][()])
    with torch.inference_mode():
        assert torch.equal(model.encode(videos), torch.cat([model.encode(video[None]) for video in videos]))


def test_codes_are_searched(project):
    codes, index = project.folder / "codes.h5", project.folder / "all.index"
    settings = "--config", project.config, "--set", *SETTINGS
    succeed("search.py", "encode", "--features", project.data / "database.h5", "--out", codes, *settings)
    succeed("search.py", "index", "--codes", codes, "--out", index)
    found = succeed("search.py", "query", "--index", index, "--features", project.data / "query.h5", "--topk", 1,
                    *settings)
    assert len(found.output.splitlines()) == 11


def test_every_process_has_the_same_code(project, tmp_path):
    done = run_side_by_side(2, tmp_path, ROOT / "train.py", *project.command("train.py", "run_name=two")[1:])
    assert done.codes == [0, 0], done.output
    two = checkpoint_tensors(project.folder / "checkpoint/tiny/GraphCode_16bit_two/last.pth")
    one = checkpoint_tensors(project.checkpoint)
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("nbits", [8, 300, 1024])
def test_lengths(project, nbits):
    succeed(*project.command("train.py", f"nbits={nbits}"))
    path = project.folder / f"checkpoint/tiny/GraphCode_{nbits}bit/last.pth"
    assert torch.load(path, weights_only=True)["model_state_dict"]["code.offset"].shape == (nbits,)


def test_the_weight_of_the_graph_is_a_key(project):
    succeed(*project.command("train.py", "graph_weight=0", "run_name=none"))
    state = torch.load(project.folder / "checkpoint/tiny/GraphCode_16bit_none/last.pth", weights_only=True)
    weights = state["model_state_dict"]
    num_components = weights["code.segment_axes"].shape[1]
    assert weights["code.directions"][num_components:].abs().max() == 0
    assert weights["code.directions"][:num_components].abs().max() > 0


def test_anchors_have_settings_of_their_own(project):
    def made(*more):
        settings = "dense_limit=20", f"neighbor_graph_path={project.data}/anchors.h5", *more
        output = succeed(*project.command("preprocess.py", *settings)).output
        with h5py.File(project.data / "anchors.h5") as file:
            return output, int(file["num_neighbors"][0]), file["places"].shape, settings

    assert made()[1:3] == (3, (20, 19))
    output, k, places, settings = made("graph_anchor_neighbors=4", "graph_anchor_dims=5")
    assert (k, places, "graph_anchor_neighbors was not recorded, now 4" in output) == (4, (20, 5), True)
    succeed(*project.command("train.py", *settings, "run_name=anchors"))
    config = load_config(project.config, dict(pair.split("=") for pair in (*SETTINGS, "num_neighbors=9")))
    model = build_model(config)
    path = project.folder / "checkpoint/tiny/GraphCode_16bit_anchors/last.pth"
    load_weights(model, torch.load(path, weights_only=True)["model_state_dict"], "last.pth")
    assert int(model.code.num_neighbors) == model.code._k == 4
    assert made()[1:3] == (3, (20, 19))  # what the other values made does not pass for it


def test_defaults_of_anchors_leave_what_a_dense_graph_is_made_from_as_it_was(project):
    config = load_config(project.config, dict(pair.split("=") for pair in SETTINGS))
    settings = NEIGHBOR_GRAPH.settings(config)
    later = {"graph_anchor_neighbors": None, "graph_anchor_dims": None}  # as what a file does not name
    assert settings.items() >= later.items()
    assert settings.keys() - later == {"num_neighbors", "embedding_dims", "compared_dims", "dense_limit",
                                       "num_graph_anchors", "preprocess_seed"}


def test_a_checkpoint_that_does_not_say_its_neighbors_has_those_of_its_config(project, tmp_path):
    content = torch.load(project.checkpoint, weights_only=True)
    whole = content["model_state_dict"]
    earlier = {name: value for name, value in whole.items() if name != "code.num_neighbors"}
    with h5py.File(project.data / "query.h5") as file:
        videos = torch.from_numpy(file["feats"][()])
    codes = {}
    for name, state, k in (("whole", whole, 7), ("earlier", earlier, 7), ("other", earlier, 2)):
        model = build_model(load_config(project.config, dict(pair.split("=") for pair in SETTINGS) |
                                        {"num_neighbors": k}))
        load_weights(model, state, "last.pth")
        codes[name] = model.encode(videos)
    assert torch.equal(codes["whole"], codes["earlier"])
    assert not torch.equal(codes["whole"], codes["other"])
    path = project.folder / "checkpoint/tiny/GraphCode_16bit_earlier/last.pth"
    path.parent.mkdir()
    torch.save(content | {"model_state_dict": earlier}, path)
    assert "nothing to do" in succeed(*project.command(
        "train.py", f"file_path={project.folder}/checkpoint/tiny/GraphCode_16bit_earlier"), "--resume").output


@pytest.mark.parametrize("k", [0, 41, torch.tensor([1, 2]), torch.tensor([1.5])])
def test_a_damaged_number_of_neighbors_is_refused_in_one_line(project, tmp_path, k):
    content = torch.load(project.checkpoint, weights_only=True)
    content["model_state_dict"]["code.num_neighbors"] = k if torch.is_tensor(k) else torch.tensor([k])
    torch.save(content, tmp_path / "odd.pth")
    result = run(*project.command("eval.py"), "--checkpoint", tmp_path / "odd.pth")
    assert (result.code, result.errors.count("\n")) == (2, 1), result.errors


def test_another_shape_is_refused_in_one_line(project):
    for setting in ("nbits=8", "max_frames=5", "feature_size=3"):
        result = run("eval.py", "--config", project.config, "--checkpoint", project.checkpoint, "--set", *SETTINGS,
                     setting)
        assert (result.code, result.errors.count("\n")) == (2, 1), result.errors


@pytest.mark.parametrize(("values", "words"), [
    (np.zeros((1, 6, 8)), "at least 10"), (np.ones((40, 6, 8)), "all videos are the same"),
    (np.full((40, 6, 8), np.nan), "NaN"), (np.random.default_rng(0).normal(size=(9, 6, 8)), "at least 10")])
def test_features_that_make_no_graph_are_told_in_one_line(tmp_path, values, words):
    project = make_project(tmp_path)
    with h5py.File(project.data / "train.h5", "w") as file:
        file["feats"] = values.astype(np.float32)
    result = run("preprocess.py", "--config", project.config, "--set", *SETTINGS)
    assert (result.code, result.errors.count("\n"), words in result.errors) == (2, 1, True), result.errors
