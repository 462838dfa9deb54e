"""Methods that learn from pairs of videos: what is drawn for them, and runs of each through the scripts."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from dataset.batches import AllRows, Batch
from model import build_model
from model.nets.frame_transformer import RowDropout, masked
from model.nets.neighbor_pairs import DISSIMILAR, MASKS, SIMILAR, PairGraph
from tests.pipeline import assert_same_tensors, make_project, run, succeed
from tests.steps import config_of, step
from training.checkpoints import read_checkpoint
from training.distributed import Share
from training.run import Run
from training.steps import training_step

RECONSTRUCTING = ("bth", "dkph")
METHODS = (*RECONSTRUCTING, "mcmsh")
RATES = {"bth": ("lr=4e-3", "num_epochs=7"), "dkph": ("lr=4e-3", "num_epochs=7"),
         "mcmsh": ("lr=2e-2", "num_epochs=7", "dropout=0.1")}
SETTINGS = {"feature_size": 8, "max_frames": 6, "nbits": 8, "hidden_size": 32, "item_shape": [6, 8], "seed": 0,
            "tied_bits": "sign", "nanchors": 4}


# what is drawn

def graph_of(num_videos=60, num_anchors=12, seed=0):
    rng = np.random.default_rng(seed)
    distances = np.linalg.norm(rng.normal(size=(num_videos, 1, 2)) - rng.normal(size=(num_anchors, 2)), axis=2)
    ids = distances.argsort(axis=1)[:, :5]
    return PairGraph(ids, np.take_along_axis(distances, ids, axis=1).astype(np.float32), num_anchors)


def test_partners_are_neighbors_or_not_and_any_of_them_alike():
    graph = graph_of()
    whole, draws = graph.rows(np.arange(60)).toarray(), (np.arange(500) + 0.5) / 500
    video = int((whole == DISSIMILAR).sum(axis=1).argmax())
    rows = graph.rows(np.full(500, video))
    for kind in (SIMILAR, DISSIMILAR):
        picked, wanted = graph.pick(rows, np.full(500, kind), draws), np.flatnonzero(whole[video] == kind)
        assert len(wanted) > 1
        ids, counts = np.unique(picked, return_counts=True)
        np.testing.assert_array_equal(ids, wanted)
        assert counts.max() - counts.min() <= 1


def test_without_dissimilar_videos_those_that_share_nothing_are_taken():
    graph = graph_of()
    whole = graph.rows(np.arange(60)).toarray()
    whole[whole == DISSIMILAR] = SIMILAR
    rows = SimpleNamespace(indptr=np.array([0, 60]), indices=np.arange(60), data=whole[0])
    picked = [int(graph.pick(rows, np.array([DISSIMILAR]), np.array([draw]))[0]) for draw in np.linspace(0, 1, 200)]
    assert set(picked) == set(np.flatnonzero(whole[0] == 0))


def test_masks_are_drawn_as_bert_draws_them():
    items, draws = torch.rand(400, 6, 8) + 1, torch.rand(400, 6, generator=torch.Generator().manual_seed(0))
    before = items.clone()
    found = masked(items, draws, 0.5)
    assert torch.equal(items, before)
    zero, same = (found == 0).all(dim=2), (found == items).all(dim=2)
    assert torch.equal(zero, draws < 0.4)
    swapped = ~zero & ~same
    assert (swapped <= ((draws >= 0.4) & (draws < 0.45))).all()
    assert 0.025 < swapped.float().mean() < 0.05  # a twentieth, but for those that are swapped with themselves
    for video, frame in swapped.nonzero():
        assert (items[video] == found[video, frame]).all(dim=1).any()
    assert torch.equal(masked(items, draws, 0.0), items)


def test_dropout_is_that_of_the_whole_batch():
    x, index = torch.ones(7, 50, 40), torch.arange(7)
    whole = RowDropout(0.3, Batch(index, x), 1, step(2, 3))(x)
    assert whole.eq(0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert whole.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert not torch.equal(whole, RowDropout(0.3, Batch(index, x), 1, step(2, 4))(x))
    share = SimpleNamespace(gather=lambda rows: index, take=Share((3, 2, 2), 1).take)
    part = RowDropout(0.3, SimpleNamespace(share=share, index=index[3:5], items=x[3:5]), 1, step(2, 3))
    assert torch.equal(part(x[3:5]), whole[3:5])
    assert isinstance(Batch(index, x).share, AllRows)


def make_batch(model, size=9):
    generator, num_uniforms = torch.Generator().manual_seed(0), model.draws().num_uniforms
    return Batch(torch.arange(size), torch.randn(size, 6, 8, generator=generator),
                 uniforms=torch.rand(size, 1, num_uniforms, generator=generator))


@pytest.mark.parametrize("method", RECONSTRUCTING)
def test_masks_reach_the_target_in_the_program_alone(method):
    targets = {}
    for target in ("clean", "masked"):
        model = build_model(config_of(**SETTINGS, method=method, mask_target=target), 9)
        batch = make_batch(model)
        pair = model.pair(batch)
        targets[target] = model.targets(pair)
        hidden = batch.uniforms[:, 0, MASKS:MASKS + 6] < 0.8 * 0.15
        assert hidden.any()
        assert (pair.seen[0][hidden] == 0).all()
        assert pair.similar.tolist() == [1 if coin < 0.5 else -1 for coin in batch.uniforms[:, 0, 0]]
    assert torch.equal(targets["clean"][0], batch.items)
    assert all(torch.equal(target, seen) for target, seen in zip(targets["masked"], pair.seen, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_steps(method):
    losses = []
    for amp in ("none", "bf16"):
        torch.manual_seed(0)
        model = build_model(config_of(**SETTINGS, method=method), 9).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3)
        losses.append(training_step(model, optimizer, make_batch(model), step(0), amp=amp))
    for name, value in losses[1].items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(losses[0][name].item(), rel=0.2), name


# the scripts

@pytest.fixture(scope="module", params=METHODS)
def project(request, tmp_path_factory):
    """A tiny data set, preprocessed and trained on."""
    project = make_project(tmp_path_factory.mktemp(request.param))
    project.options = ["--config", project.config, "--gpu", "cpu", "--set", f"method={request.param}",
                       "model_name=Pairs", "nanchors=9", "latent_epochs=2", "latent_bits=8", "latent_lr=4e-3",
                       "optimizer_name=Adam", "batch_size=13", *RATES[request.param]]
    project.made = succeed("preprocess.py", *project.options)
    succeed("train.py", *project.options)
    project.runs, project.logs = project.folder / "checkpoint/tiny", project.folder / "logs/tiny"
    return project


def rows_of(project):
    text = (project.logs / "Pairs_8bit/metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_preprocess_trains_the_network_of_latents_once(project):
    with h5py.File(project.artefacts / "network_latents.h5") as file:
        assert file["feats"].shape == (40, 32)
        latents = file["feats"][:]
    with h5py.File(project.artefacts / "latent_anchors.h5") as file:
        assert file["ids"].shape == file["distances"].shape == (40, 5)
        gaps = np.linalg.norm(latents[:, None] - file["feats"][:], axis=2)
        np.testing.assert_array_equal(file["ids"][:, 0], gaps.argmin(axis=1))
    assert "training network_latents" in project.made.output
    again = succeed("preprocess.py", *project.options, "nbits=16").output
    assert "training" not in again
    assert again.count("up to date, reused") >= 2


def test_losses_fall_and_codes_are_better_than_chance(project):
    first, *_, last = rows_of(project)
    assert last["loss/total"] < 0.9 * first["loss/total"]
    assert last["mAP@5"] > 0.35  # of five classes alike


def test_a_resumed_run_is_the_run(project, monkeypatch):
    """Stopped in its third epoch."""
    def record(self, row):
        if row["epoch"] == 3:
            raise SystemExit(9)
    options = [*project.options, "run_name=stopped"]
    with monkeypatch.context() as patch:
        patch.setattr(Run, "record", record)
        assert run("train.py", *options).code == 9
    succeed("train.py", "--resume", *options)
    for name in ("Pairs_8bit_stopped", "Pairs_8bit"):
        assert (project.runs / name / "last.pth").exists()
    assert_same_tensors(*(project.runs / name / "last.pth" for name in ("Pairs_8bit_stopped", "Pairs_8bit")))


def test_released_weights_are_evaluated(project, tmp_path):
    """With what a program stores besides, and without what it does not: the scale of tanh."""
    state = read_checkpoint(project.runs / "Pairs_8bit/last.pth")["model_state_dict"]
    table = torch.zeros(1, 512, 32)
    more = {"bert.embedding.position.pe": table, "bert.embedding.token.weight": table[0]}
    without = [] if "scale" not in state else ["tanh_scale=one"]
    released = {name: value for name, value in state.items() if name != "scale"} | ({} if without else more)
    torch.save({"model_state_dict": released}, tmp_path / "released.pth")
    before, after = project.options[:4], project.options[4:]
    theirs, ours = (succeed("eval.py", *before, "--checkpoint", path, *after, *settings).output
                    for path, settings in ((tmp_path / "released.pth", []),
                                           (project.runs / "Pairs_8bit/last.pth", without)))
    assert [line for line in theirs.splitlines() if "expected" in line] == [
        line for line in ours.splitlines() if "expected" in line] != []
