"""ConMH, AutoSSVH and WSCH: what they learn, what they see, their clusters, and runs of the scripts."""

import math
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from artefacts.clustering import k_means
from Loss import own_cluster_loss, prototype_loss
from model import build_model, load_weights
from model.kernels.scan import reference
from model.methods.autossvh.prototypes import Prototypes, assignment, voted
from model.methods.autossvh.sampler import Sampler
from model.methods.wsch.network import HEAD, STATES, StateSpace
from optim import build_optimizer
from tests.distributed_worker import PEERS
from tests.pipeline import assert_same_tensors, make_project, message_of, run, succeed
from tests.steps import config_of, step
from tests.test_extending import stop_after
from tests.test_s5vh import make_batch
from training.checkpoints import read_checkpoint
from training.steps import training_step

COMMON = {"feature_size": 12, "max_frames": 8, "nbits": 10, "item_shape": [8, 12], "hidden_size": 32,
          "decoder_size": 16, "mask_ratio": 0.5, "tied_bits": "sign", "tau_plus": 0.05, "seed": 1}
VIT = {"encoder_depth": 2, "encoder_heads": 3, "decoder_depth": 1, "decoder_heads": 3}
SETTINGS = {"conmh": VIT, "autossvh": VIT | {"prototype_clusters": [3, 6], "warm_up_epoch": 1},
            "wsch": {"hidden_size": 64, "pretrain_epochs": 1, "pretrain_mask_ratio": 0.5, "nclusters": 4}}
METHODS = sorted(SETTINGS)


def make(method, num_videos=20, seed=0, **changes):
    torch.manual_seed(seed)
    return build_model(config_of(method=method, **COMMON | SETTINGS[method] | changes), num_videos)


def videos(num=20, seed=3):
    items = torch.randn(num, 8, 12, generator=torch.Generator().manual_seed(seed))

    class Items:
        def __len__(self):
            return num

        def batches(self, size=7):
            return zip(torch.arange(num).split(size), items.split(size), strict=True)
    return Items()


@torch.no_grad()
def begun(model, epoch):
    model.eval().begin_epoch(epoch, videos())
    return model.train()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_every_term_learns(method, epoch):
    model, batch = begun(make(method), epoch), make_batch()
    optimizer = build_optimizer("Adam", model.parameters(), 3e-3, 0.0)
    totals = [training_step(model, optimizer, batch, step(epoch))["total"].item() for _ in range(30)]
    assert totals[-1] < 0.9 * totals[0]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@torch.no_grad()
@pytest.mark.parametrize("method", METHODS)
def test_a_view_depends_on_its_visible_frames_alone(method):
    model, batch = make(method), make_batch()
    views = model.views(batch.items, batch.masks, 0.5)
    changed = batch.items.clone()
    changed[batch.masks[:, 0]] += 3
    other = model.views(changed, batch.masks, 0.5)
    assert torch.equal(views.frame_codes[:5], other.frame_codes[:5])
    assert torch.equal(views.reconstructions[:5], other.reconstructions[:5])
    assert set(views.frame_codes.unique().tolist()) == {-1, 1}
    torch.testing.assert_close(views.targets[0], batch.items[0, batch.masks[0, 0]])


@pytest.mark.parametrize("method", METHODS)
def test_long_and_short_videos_are_encoded(method):
    codes = [make(method, 0).encode(torch.randn(2, frames, 12)) for frames in (1, 7, 30)]
    assert all(code.shape == (2, 10) and code.isfinite().all() and (code != 0).all() for code in codes)


def test_terms_add_up_by_their_weights():
    batch = make_batch()
    losses = begun(make("autossvh", alpha=0.25, prototype_weight=0.5), 1).losses(batch, step(1))
    wanted = losses["reconstruction"] + 0.25 * losses["contrastive"] + 0.5 * losses["prototypes"]
    torch.testing.assert_close(losses["total"], wanted)
    assert make("autossvh").losses(batch, step(0))["prototypes"] == 0
    model = begun(make("wsch", alpha=0.25, a_cluster=0.5), 1)
    for epoch, weights in ((0, {}), (1, {"cluster": 0.5}), (2, {"contrastive": 0.25}), (3, {"cluster": 0.5})):
        losses = model.losses(batch, step(epoch))
        wanted = losses["reconstruction"] + sum(weight * losses[name] for name, weight in weights.items())
        torch.testing.assert_close(losses["total"], wanted)


# the prototypes of AutoSSVH

def test_prototype_loss_by_hand():
    z = F.normalize(torch.tensor([[1.0, 0], [1, 1]]), dim=1)
    rows = F.normalize(torch.tensor([[1.0, 0], [0, 1], [1, 2]]), dim=1)
    phi, own, negatives = torch.tensor([0.5, 0.25, 1.0]), torch.tensor([1, 0]), torch.tensor([2, 0])
    logits = torch.tensor([[(z[i] @ rows[j] / phi[j]).item() for j in (1, 0, 2)] for i in range(2)])
    wanted = -sum(logits[i, i] - logits[i].exp().sum().log() for i in range(2)) / 2
    found = prototype_loss(z, rows, phi, own, negatives, torch.tensor([True, False]))
    torch.testing.assert_close(found, wanted)


def test_densities_by_hand():
    """Distances of 1 and 3, of 2 each, and a cluster of one: phi is scaled to a mean of .2 after it is cut."""
    codes = torch.tensor([[1.0, 0], [-3, 0], [12, 0], [8, 0], [10, 2], [50, 0]])
    own, phi = assignment(codes, torch.tensor([[0.0, 0], [10, 0], [50, 1]]))
    assert own.tolist() == [0, 0, 1, 1, 1, 2]
    raw = np.array([2 / math.log(12), 2 / math.log(13), 2 / math.log(12)])
    cut = raw.clip(*np.percentile(raw, [10, 90]))
    np.testing.assert_allclose(phi, 0.2 * cut / cut.mean(), rtol=1e-6)
    assert torch.equal(assignment(codes[:1], codes[:1])[1], torch.tensor([0.2]))  # no distance at all


def test_votes_are_majorities():
    codes = torch.tensor([[0.9, -0.1, 0.2], [-0.1, -0.9, 0.1], [0.2, 0.3, -0.9], [0.5, -0.5, 0.5]])
    found = voted(codes, torch.tensor([0, 0, 0, 1]), torch.tensor([[0.3, -0.2, -0.2], [1, 1, 1], [-1, 1, -1]]))
    torch.testing.assert_close(found, torch.tensor([[1, -1, 1], [1, -1, 1], [-1, 1, -1]]) / math.sqrt(3))


def test_negatives_are_nobodys_prototypes():
    clusters = Prototypes(6, [5], 4)
    clusters.assigned[:, 0] = torch.tensor([0, 1, 1, 3, 3, 2])
    seen = set()
    for draw in torch.rand(40, 1, generator=torch.Generator().manual_seed(0)):
        (_, _, own, negatives, drawn), = clusters.contrasts(torch.tensor([1, 2]), draw)
        assert own.tolist() == [1, 1]
        assert len(set(negatives[drawn].tolist())) == 2  # as many as the batch has videos
        seen |= set(negatives[drawn].tolist())
    assert seen == {0, 2, 3}  # 4 is beyond the last that has a video
    (_, _, _, negatives, drawn), = clusters.contrasts(torch.arange(6), torch.tensor([0.3]))
    assert not drawn.any()


@torch.no_grad()
@pytest.mark.parametrize("prototypes", ["means", "votes"])
def test_videos_are_clustered_anew_before_an_epoch(prototypes):
    model = make("autossvh", prototypes=prototypes).eval()
    model.begin_epoch(0, videos())
    assert not model.clusters.rows0.any()
    model.begin_epoch(1, videos())
    rows = model.clusters.rows1
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(6))
    assert (rows.abs().std() < 1e-6) == (prototypes == "votes")
    codes = F.normalize(torch.cat([model.mean_codes(items) for _, items in videos().batches()]), dim=1)
    if prototypes == "means":
        near = [torch.cdist(codes, codes[model.clusters.assigned[:, 1] == group].mean(0, keepdim=True))[:, 0]
                for group in range(6)]
        assert torch.equal(torch.stack(near).argmin(0), model.clusters.assigned[:, 1])
    again = make("autossvh", prototypes=prototypes).eval()
    again.begin_epoch(1, videos())
    assert torch.equal(again.clusters.assigned, model.clusters.assigned)
    few = make("autossvh", prototype_clusters=[21])
    message = message_of(lambda: few.begin_epoch(1, videos()))
    assert "prototype_clusters = 21, but the training videos form only 20" in message


# the sampler of AutoSSVH

def test_the_sampler_prefers_high_grades_and_climbs():
    torch.manual_seed(0)
    sampler, tokens = Sampler(4), torch.randn(300, 6, 4)
    uniforms = torch.rand(300, 2, 6)
    masks, factors = sampler(tokens, uniforms, 2)
    assert (masks.sum(2) == 4).all()
    assert torch.equal(factors, torch.ones_like(factors))
    grades = sampler.importance_score(tokens)
    seen = (~masks).float().mean(1)
    best, worst = (seen.gather(1, order[:, None]).mean() for order in (grades.argmax(1), grades.argmin(1)))
    assert best > 0.33 + 0.05 > worst + 0.1
    wanted, = torch.autograd.grad(factors[0, 0, 1], sampler.importance_score.transf[0].weight)
    noisy = grades[0] - (-uniforms[0, 0].log()).log()
    straight, = torch.autograd.grad(noisy.softmax(0)[1], sampler.importance_score.transf[0].weight)
    torch.testing.assert_close(wanted, -straight)


def test_adversarial_sampling_trains_and_is_left_out_of_what_is_shared():
    model = begun(make("autossvh", frame_sampling="adversarial"), 1)
    assert model.draws().mask_ratio is None
    batch = make_batch().with_tensors({"masks": None, "uniforms": torch.rand(5, 2, 9)})
    model.losses(batch, step(1))["total"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert not [name for name in model.shared_state() if "sample_net" in name or "clusters" in name]
    load_weights(make("autossvh", 0), model.state_dict(), "here")  # as a release has it, which does not run it


# the parts of WSCH

@pytest.mark.parametrize("length", [1, 7, 30])
def test_the_state_space_layer_is_a_scan(length):
    """Outputs and gradients against the recurrence, a number per head spread over the head's channels."""
    torch.manual_seed(length)
    layer, u = StateSpace(2 * HEAD), torch.randn(2, length, 2 * HEAD)
    layer(u).square().sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
    layer.zero_grad()
    dt, B, C = layer.x_proj(u).split((2, STATES, STATES), dim=-1)
    spread = [each.repeat_interleave(HEAD, dim=-1) for each in (dt, layer.A_log, layer.D, layer.dt_bias)]
    y = reference.selective_scan(u, spread[0], -spread[1].exp()[:, None].expand(-1, STATES), B, C, spread[2],
                                 delta_bias=spread[3])
    torch.testing.assert_close(layer(u), y, rtol=1e-4, atol=1e-4)
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        largest = parameter.grad.abs().max().item()
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-3 * largest)


def test_own_cluster_loss_by_hand():
    z, centers = torch.tensor([[2.0, 0], [3, 4]]), torch.tensor([[1.0, 0], [0, -1], [0, 0]])
    logits = torch.tensor([[1.0, 0, 0], [0.6, -0.8, 0]]) / 0.2
    wanted = (logits.exp().sum(1).log() - logits[:, 0]).mean()
    torch.testing.assert_close(own_cluster_loss(z, centers, 0.2), wanted)


@torch.no_grad()
def test_wsch_clusters_every_other_epoch_of_phase_two():
    model = make("wsch", pretrain_epochs=2, pretrain_mask_ratio=0.75).eval()
    ratios, centers = [], []
    for epoch in range(5):
        model.begin_epoch(epoch, videos())
        ratios.append(model.draws().mask_ratio)
        centers.append(model.cluster_centers.clone())
    assert ratios == [0.75, 0.75, 0.5, 0.5, 0.5]
    moved = [bool(centers[epoch].ne(centers[epoch - 1]).any()) for epoch in range(1, 5)]
    assert moved[:3] == [False, True, False]
    signs = torch.sign(model.codes_of_views(videos(), 4)).numpy()
    wanted = np.sign(k_means(signs, 4, init=centers[3].numpy(), n_init=1, algorithm="elkan"))
    np.testing.assert_array_equal(centers[4], wanted)
    few = make("wsch", nclusters=41)
    assert "nclusters = 41, but the training videos form only 40" in message_of(lambda: few.begin_epoch(1, videos()))


# checkpoints and runs

@pytest.mark.parametrize("form", ["model_state_dict", "berthash", None])
def test_a_release_keeps_its_state_under_any_name(form, tmp_path):
    model = make("wsch", 0)
    content = {form: model.state_dict(), "optimizer": {"state": {}}, "epoch": 3} if form else model.state_dict()
    torch.save(content, tmp_path / "a.pth")
    other = make("wsch", 0, seed=1)
    load_weights(other, read_checkpoint(tmp_path / "a.pth")["model_state_dict"], "a.pth")
    assert torch.equal(other.En.in_proj.weight, model.En.in_proj.weight)
    torch.save({"one": model.state_dict(), "two": model.state_dict()}, tmp_path / "b.pth")
    assert "holds no 'model_state_dict'" in message_of(lambda: read_checkpoint(tmp_path / "b.pth"))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("masked"))


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_to_the_same_bits(method, project, monkeypatch):
    """Stopped within its second epoch, whose clusters must not be found again, and within its third."""
    settings = [f"{name}={value}" for name, value in (PEERS[method]).items()]
    arguments = "--config", project.config, "--gpu", "cpu", "--set", *settings
    train = "train.py", "--eval-every", 0, *arguments
    succeed(*train, "run_name=whole")
    for number in (4, 3):  # of the steps that are left
        with monkeypatch.context() as patch:
            stop_after(patch, number, signal.SIGTERM)
            assert run(*train, "run_name=cut", "--resume").code == 143
    succeed(*train, "run_name=cut", "--resume")
    whole, cut = (project.folder / f"checkpoint/tiny/{method}_8bit_{name}/last.pth" for name in ("whole", "cut"))
    assert_same_tensors(cut, whole)
    assert "mAP@5" in succeed("eval.py", *arguments, "run_name=whole").output
