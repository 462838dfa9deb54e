"""The VHMT method: its student, its teacher, what learns from what, checkpoints, and one run of the scripts."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from Loss import debiased_contrastive_loss, distillation_loss, structure_loss
from model import build_model, load_weights
from model.costs.summary import summarise
from model.fingerprint import model_fingerprint
from model.methods.vhmt.method import stretch
from model.nets.autoencoder import binarize_down, split_frames
from optim import build_optimizer
from tests.pipeline import ROOT, make_project, run, succeed
from tests.steps import config_of, step
from tests.test_s5vh import SETTINGS as S5VH_SETTINGS
from tests.test_s5vh import make as make_s5vh
from tests.test_s5vh import make_batch
from training.checkpoints import chosen_checkpoint, read_checkpoint
from training.run import Run, changed_settings, plain_settings
from training.steps import training_step
from utils.config import load_config
from utils.errors import UserError

SETTINGS = S5VH_SETTINGS | {
    "model_name": "VHMT", "method": "vhmt", "student_depth": 1, "student_decoder_depth": 1, "student_views": "whole",
    "teacher_depths": [2, 1], "teacher_decoder_depth": 1, "teacher_halving": "haar", "teacher_mixer": "attention",
    "teacher_enhancement": "tre", "teacher_dropout": 0.0, "nanchors": 7, "reconstruction_weight": 1.0,
    "structure_weight": 0.1, "distill_reconstruction": 1.0, "distill_attention": 0.1, "distill_spacing": "halvings"}
VIEWS = "whole", "masked", "siamese"


def make(num_videos=20, seed=0, **changes):
    config = config_of(**SETTINGS | changes)
    torch.manual_seed(seed)
    distances = torch.rand(num_videos, 7)
    near = distances.sort(dim=1)
    nearest = {"ids": near.indices[:, :5], "distances": near.values[:, :5]}
    graph = {"nearest_anchors": nearest} if num_videos else {}
    torch.manual_seed(seed)
    return build_model(config, num_videos, **graph)


@pytest.mark.parametrize("views", VIEWS)
def test_gradient_reaches_every_parameter(views):
    model = make(student_views=views).train()
    model.losses(make_batch(), step(0))["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("change", [{"teacher_halving": "db4"}, {"teacher_halving": "max"}, {"teacher_mixer": "mamba"},
                                    {"teacher_enhancement": "none"}, {"teacher_enhancement": "kan"},
                                    {"teacher_depths": [1]}, {"student_depth": 2, "student_decoder_depth": 2}])
def test_variants_learn(change):
    model, batch = make(**change).train(), make_batch(depth=change.get("student_depth", 1))
    optimizer = build_optimizer("Adam", model.parameters(), 1e-3, 0.0)
    totals = [training_step(model, optimizer, batch, step(0))["total"].item() for _ in range(20)]
    assert totals[-1] < 0.9 * totals[0]


@pytest.mark.parametrize("views", VIEWS)
def test_terms_add_up_by_their_weights(views):
    weights = {"reconstruction_weight": 0.5, "alpha": 0.25, "structure_weight": 0.125, "distill_reconstruction": 2.0,
               "distill_attention": 3.0}
    model = make(student_views=views, **weights)
    losses = model.losses(make_batch(), step(0))
    expected = {"reconstruction": 0.5, "structure": 0.125, "contrastive": 0.25}
    if views != "siamese":
        expected |= {"teacher_reconstruction": 0.5, "distilled_reconstruction": 2.0, "distilled_attention": 3.0}
    assert losses.keys() == expected.keys() | {"total"}
    assert losses["total"].item() == pytest.approx(sum(weight * losses[name].item()
                                                       for name, weight in expected.items()), rel=1e-5)


@torch.no_grad()
def test_the_terms_are_those_of_the_paper():
    """The whole student beside the teacher, from the parts of both; S read off the graph pair by pair."""
    model, batch = make(), make_batch()
    losses, teacher = model.losses(batch, step(0)), model.teacher(batch.items)
    latents = model.encoder(model.encoder.embed(batch.items), batch.uniforms[:, 0])
    codes = binarize_down(model.ln(model.binary(latents)).tanh())
    decoded = model.decoder.reconstruct_all(model.encoder_to_decoder(codes))
    assert set(codes.unique().tolist()) == {-1, 1}
    assert losses["reconstruction"].item() == pytest.approx((decoded - batch.items).square().mean().item())
    assert losses["teacher_reconstruction"].item() == pytest.approx(
        (teacher.reconstructions - batch.items).square().mean().item())
    contrastive = debiased_contrastive_loss(codes.mean(1), teacher.frame_codes.mean(1), temperature=0.5, tau_plus=0.05,
                                            both_ways=False)
    torch.testing.assert_close(losses["contrastive"], contrastive)
    similarity = torch.zeros(5, 5)
    for i in range(5):
        for m in range(5):
            three, four, five = ((model.anchor_ids[i, :s, None] == model.anchor_ids[m, :s]).any() for s in (3, 4, 5))
            similarity[i, m] = 1 if three else -1 if five and not four else 0
    torch.testing.assert_close(losses["structure"], structure_loss(latents.mean(1), similarity))
    assert set(similarity.unique().tolist()) >= {0, 1}
    assert losses["distilled_reconstruction"].item() == pytest.approx(
        (decoded - teacher.reconstructions).square().mean().item())
    attention = distillation_loss(model.to_attention(latents), stretch(teacher.attention, 8))
    torch.testing.assert_close(losses["distilled_attention"], attention)


@torch.no_grad()
@pytest.mark.parametrize("views", ["masked", "siamese"])
def test_masked_students_reconstruct_what_they_do_not_see(views):
    model, batch = make(student_views=views), make_batch()
    num_views = 1 if views == "masked" else 2
    student = model.views(batch)
    assert student.reconstructions.shape == (num_views * 5, 4, 12)
    changed = batch.items.clone()
    changed[0, batch.masks[0, 0]] += 3
    other = model.views(SimpleNamespace(**vars(batch) | {"features": changed}))
    assert torch.equal(student.frame_codes[0], other.frame_codes[0])
    _, hidden = split_frames(batch.masks[:, 0], 4)
    assert torch.equal(student.hidden[:5], hidden)
    targets = torch.stack([batch.items[i % 5, frames] for i, frames in enumerate(student.hidden)])
    losses = model.losses(batch, step(0))
    assert losses["reconstruction"].item() == pytest.approx((student.reconstructions - targets).square().mean().item())
    if views == "masked":
        taught = model.teacher(batch.items).reconstructions
        taught = torch.stack([taught[i, frames] for i, frames in enumerate(student.hidden)])
        assert losses["distilled_reconstruction"].item() == pytest.approx(
            (student.reconstructions - taught).square().mean().item())


@pytest.mark.parametrize(("term", "teacher_learns", "student_learns"), [
    ("reconstruction", False, True), ("teacher_reconstruction", True, False), ("contrastive", True, True),
    ("structure", False, True), ("distilled_reconstruction", False, True), ("distilled_attention", False, True)])
def test_who_learns_from_which_term(term, teacher_learns, student_learns):
    model = make()
    model.losses(make_batch(), step(0))[term].backward()
    for part, learns in ((model.teacher, teacher_learns), (model.encoder, student_learns)):
        assert any(parameter.grad is not None for parameter in part.parameters()) == learns


def test_the_structure_reaches_the_latents():
    """After some steps on the structure loss alone, products of latents follow the graph."""
    model, batch = make(reconstruction_weight=0, alpha=0, distill_reconstruction=0, distill_attention=0), make_batch()
    optimizer = build_optimizer("Adam", model.parameters(), 1e-2, 0.0)
    values = [training_step(model, optimizer, batch, step(0))["structure"].item() for _ in range(60)]
    assert values[-1] < 0.2 * values[0]


def test_stretch():
    """Two halved frames of four stand for frames 0-1 and 2-3: their middles are .5 and 2.5."""
    x = torch.tensor([0.0, 4.0]).reshape(1, 2, 1)
    assert stretch(x, 4).flatten().tolist() == [0, 1, 3, 4]
    assert torch.equal(stretch(x, 2), x)
    sevenths = stretch(torch.arange(7.0).reshape(1, 7, 1), 25, 4).flatten()
    assert sevenths.tolist() == [min(max((frame - 1.5) / 4, 0), 6) for frame in range(25)]  # middles at 1.5, 5.5, ...


def test_attention_is_followed_where_its_frames_were_made():
    """Of 13 frames the teacher makes three of four each and one of one; nothing but the distillation sees it."""
    losses = {}
    for spacing, frames_each in (("halvings", 4), ("even", None)):
        model = make(max_frames=13, teacher_depths=[1, 1, 1], distill_spacing=spacing).eval()
        batch = make_batch(frames=13)
        losses[spacing] = model.losses(batch, step(0))
        attention = model.teacher(batch.items).attention
        assert attention.shape[1] == 4
        latents = model.views(batch).latents
        expected = distillation_loss(model.to_attention(latents), stretch(attention, 13, frames_each))
        torch.testing.assert_close(losses[spacing]["distilled_attention"], expected)
    same = [name for name, value in losses["even"].items() if torch.equal(value, losses["halvings"][name])]
    assert losses["even"].keys() - same == {"distilled_attention", "total"}


def test_a_run_of_before_goes_on_only_as_it_began():
    config = load_config(ROOT / "configs/VHMT/digits.py")
    before = {name: value for name, value in plain_settings(config).items() if name != "distill_spacing"}
    assert changed_settings(before, config) == "distill_spacing 'even' -> 'halvings'"
    assert not changed_settings(before, load_config(ROOT / "configs/VHMT/digits.py", {"distill_spacing": "even"}))


# the student is S5VH's

@torch.no_grad()
def test_the_student_is_s5vhs_encoder():
    """The same modules, the same weights from one seed, the same codes, the same operations."""
    torch.manual_seed(3)
    student = build_model(config_of(**SETTINGS))
    torch.manual_seed(3)
    s5vh = build_model(config_of(**S5VH_SETTINGS))
    ours, theirs = ([(name, type(module)) for name, module in model.named_modules()][1:] for model in (student, s5vh))
    assert ours == theirs
    x = torch.randn(4, 8, 12)
    assert torch.equal(student.encode(x), s5vh.encode(x))


@pytest.mark.parametrize("dataset", ["digits", "fcv"])
def test_encoding_costs_what_s5vhs_does(dataset):
    small = {"feature_size": 16, "max_frames": 10, "frame_shape": None, "nbits": 16}
    ours, theirs = (summarise(load_config(ROOT / f"configs/{name}/{dataset}.py", small | more))
                    for name, more in (("VHMT", {}), ("S5VH", {"nclusters": 8})))
    assert ours.encode_flops == theirs.encode_flops > 0
    encoding = ("encoder", "binary", "ln")
    assert [(name, count) for name, count in ours.parts.items() if name.startswith(encoding)] == [
        (name, count) for name, count in theirs.parts.items() if name.startswith(encoding)]


# checkpoints

def test_what_is_shared_is_the_student_alone():
    trained = make(teacher_dropout=0.1)
    shared, everything = trained.shared_state(), trained.state_dict()
    assert shared.keys() == make(num_videos=0).state_dict().keys()
    assert {name.split(".")[0] for name in everything.keys() - shared.keys()} == {"teacher", "to_attention"}
    x = torch.randn(3, 8, 12)
    for state in (shared, everything):
        encoder = make(num_videos=0, seed=1)
        load_weights(encoder, state, "x.pth")
        assert encoder.teacher is None
        assert torch.equal(encoder.encode(x), trained.encode(x))


def test_training_may_start_from_a_shared_student():
    trained, other = make(), make(seed=1)
    start = {name: value.clone() for name, value in other.teacher.state_dict().items()}
    load_weights(other, trained.shared_state(), "x.pth")
    assert all(torch.equal(value, start[name]) for name, value in other.teacher.state_dict().items())
    assert torch.equal(other.binary.weight, trained.binary.weight)


def test_another_teacher_is_refused():
    trained = make(teacher_depths=[2, 1, 1])
    with pytest.raises(UserError, match="not a checkpoint of this model"):
        load_weights(make(), trained.state_dict(), "x.pth")
    with pytest.raises(UserError, match="unknown: teacher"):
        load_weights(make_s5vh(), trained.state_dict(), "x.pth")


@pytest.mark.parametrize("views", VIEWS)
def test_bfloat16_steps(views):
    model, batch = make(student_views=views).train(), make_batch()
    optimizer = build_optimizer("Adam", model.parameters(), 1e-3, 0.0)
    exact = model.losses(batch, step(0))
    losses = training_step(model, optimizer, batch, step(0), amp="bf16")
    for name, value in losses.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact[name].item(), rel=0.2), name
    assert all(parameter.isfinite().all() for parameter in model.parameters())


# the scripts

@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A tiny data set, preprocessed and trained on."""
    project = make_project(tmp_path_factory.mktemp("vhmt"))
    project.options = ["--config", project.config, "--gpu", "cpu", "--set", "model_name=VHMT", "student_depth=1",
                       "teacher_depths=[1,1]", "nanchors=9", "optimizer_name=Adam", "schedule=StepLR"]
    succeed("preprocess.py", *project.options)
    project.made = {path.name for path in project.artefacts.glob("*.h5")}
    succeed("train.py", *project.options)
    project.checkpoints = project.folder / "checkpoint/tiny"
    return project


def test_preprocess_makes_the_graph_and_no_hash_centers(project):
    assert project.made == {"final_train_latent_feats.h5", "structure.h5"}
    with h5py.File(project.artefacts / "structure.h5") as file:
        assert file["ids"].shape == file["distances"].shape == (40, 5)
        assert file["feats"].shape == (9, 6)


def test_a_resumed_run_is_the_run(project, monkeypatch):
    """Stopped in its second epoch; the teacher and the optimiser's state come back."""
    def record(self, row):
        if row["epoch"] == 2:
            raise SystemExit(9)
    options = [*project.options, "run_name=stopped"]
    with monkeypatch.context() as patch:
        patch.setattr(Run, "record", record)
        assert run("train.py", *options).code == 9
    folder = project.checkpoints / "VHMT_8bit_stopped"
    assert [path.name for path in folder.iterdir()] == ["last.pth"]
    assert read_checkpoint(folder / "last.pth")["epoch"] == 0
    succeed("train.py", "--resume", *options)
    resumed, whole = (read_checkpoint(path / "last.pth") for path in (folder, project.checkpoints / "VHMT_8bit"))
    assert any(name.startswith("teacher.") for name in whole["model_state_dict"])
    assert resumed["model_state_dict"].keys() == whole["model_state_dict"].keys()
    assert all(torch.equal(value, whole["model_state_dict"][name])
               for name, value in resumed["model_state_dict"].items())
    assert (folder / "model.pth").exists()


def test_evaluation_takes_either_checkpoint(project):
    folder = project.checkpoints / "VHMT_8bit"
    results = [succeed("eval.py", *project.options[:4], "--checkpoint", folder / name, *project.options[4:]).output
               for name in ("last.pth", "model.pth")]
    assert results[0].replace("last.pth", "model.pth").replace("logs/tiny/VHMT_8bit/",
                                                               "logs/tiny/VHMT_8bit/of_VHMT_8bit_model/") == results[1]


def test_codes_of_either_checkpoint_belong_together(project):
    folder = project.checkpoints / "VHMT_8bit"
    content = []
    for name in ("last.pth", "model.pth"):
        succeed("search.py", "encode", *project.options[:4], "--checkpoint", folder / name, "--features",
                project.data / "query.h5", "--out", project.folder / f"{name}.npz", *project.options[4:])
        content.append(np.load(project.folder / f"{name}.npz", allow_pickle=False))
    for key in content[0]:
        if key not in ("made_from", "checksum"):  # which names the file
            np.testing.assert_array_equal(content[0][key], content[1][key])


def test_a_shared_model_stands_for_its_run(project, tmp_path):
    config = load_config(project.config, {"model_name": "VHMT", "home_root": str(tmp_path)})
    target = tmp_path / "checkpoint/tiny/VHMT_8bit/model.pth"
    target.parent.mkdir(parents=True)
    target.write_bytes((project.checkpoints / "VHMT_8bit/model.pth").read_bytes())
    assert chosen_checkpoint(config) == target
    content = read_checkpoint(target)
    assert not [name for name in content["model_state_dict"] if name.startswith("teacher")]
    assert content["epoch"] == 2
    assert "optimizer_state_dict" not in content
    assert len(model_fingerprint(content["model_state_dict"], config)) == 64
