"""The S5VH method: views, codes, pseudo-labels, centers, weights from elsewhere."""

import pytest
import torch

from dataset.batches import Batch
from model import build_model, load_weights
from model.mixers.mamba import Mixer
from model.nets.autoencoder import binarize_down, split_frames
from model.nets.blocks import BidirectionalBlock, Stack
from tests.steps import config_of, step
from utils.errors import UserError

SETTINGS = {"model_name": "S5VH", "method": "s5vh", "mixer": "mamba", "S5VH_type": "mini", "feature_size": 12,
            "hidden_size": 32, "decoder_size": 16, "max_frames": 8, "nbits": 10, "nclusters": 6,
            "mask_ratio": 0.5, "directions": "tied", "scan_engine": "pytorch", "d_state": 16, "d_conv": 4, "expand": 2,
            "item_shape": [8, 12], "drop_path_rate": 0.5,
            "mixer_init": "own", "hash_center_mode": "fixed", "tied_bits": "sign",
            "pseudo_label_update": "normalised", "pseudo_label_temperature": 0.5, "warm_up_epoch": 2,
            "smoothing_alpha": 0.1, "temperature": 0.5, "tau_plus": 0.05, "temperature_cluster": 0.5,
            "alpha": 1.0, "a_cluster": 0.1}


def make(num_videos=20, seed=0, **changes):
    config = config_of(**SETTINGS | changes)
    torch.manual_seed(seed)
    centers = torch.where(torch.rand(config.nclusters, config.nbits) < 0.5, -1, 1).to(torch.int8)
    labels = torch.arange(num_videos) % config.nclusters
    return build_model(config, num_videos, pseudo_labels=labels, hash_centers=centers)


def make_batch(size=5, frames=8, features=12, hidden=4, depth=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(size, 2, frames, dtype=torch.bool)
    for row in masks.view(-1, frames):
        row[torch.randperm(frames, generator=generator)[:hidden]] = True
    return Batch(index=torch.arange(size), items=torch.randn(size, frames, features, generator=generator),
                 masks=masks, uniforms=torch.rand(size, 2, depth, generator=generator))


@pytest.mark.parametrize("directions", ["tied", "separate", "forward"])
def test_gradient_reaches_every_parameter(directions):
    model = make(directions=directions)
    model.losses(make_batch(), step(0))["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_forward_leaves_the_state_alone():
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.losses(make_batch(), step(9))
    model.encode(make_batch().items)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_view_depends_on_its_visible_frames_alone():
    model, batch = make(), make_batch()
    codes = model.views(batch.items, batch.masks).frame_codes
    changed = batch.items.clone()
    changed[0, batch.masks[0, 0]] += 3
    other = model.views(changed, batch.masks).frame_codes
    assert torch.equal(codes[0], other[0])
    assert not torch.equal(codes[5], other[5])  # the other view of the same video sees some of them


@pytest.mark.parametrize("hidden", [2, 4, 6])
def test_frames_are_embedded_once_and_alike(hidden):
    """Embedding what the views see, or all frames and picking: the same tokens and gradients."""
    model, batch = make(mask_ratio=hidden / 8), make_batch(hidden=hidden)
    visible, _ = split_frames(batch.masks.transpose(0, 1).reshape(-1, 8), hidden)
    weight, probe = model.encoder.patch_embed.weight, torch.randn(10, 8 - hidden, 32)
    one_by_one = torch.stack([model.encoder.embed(batch.items)[row % 5, frames]
                              for row, frames in enumerate(visible)])
    at_once = model.encoder.embed_frames(batch.items, visible)
    torch.testing.assert_close(at_once, one_by_one)
    torch.testing.assert_close(*(torch.autograd.grad(tokens, weight, probe)[0] for tokens in (at_once, one_by_one)))


@pytest.mark.parametrize("epoch", [0, 9])
@pytest.mark.parametrize("hidden", [4, 6])
def test_sharing_the_embedding_changes_nothing(epoch, hidden):
    """`step_losses` is `before_step` and then `losses`: labels, losses and gradients."""
    results = []
    for shared in (True, False):
        model, batch = make(mask_ratio=hidden / 8), make_batch(hidden=hidden)
        if shared:
            losses = model.step_losses(batch, step(epoch))
        else:
            model.before_step(batch, step(epoch))
            losses = model.losses(batch, step(epoch))
        losses["total"].backward()
        results.append([model.pseudo_labels, *losses.values(), *(each.grad for each in model.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_views_use_the_hidden_frames_as_targets():
    model, batch = make(), make_batch()
    targets = model.views(batch.items, batch.masks).targets
    for view in range(2):
        for video in range(5):
            expected = batch.items[video, batch.masks[video, view]]
            assert torch.equal(targets[view * 5 + video], expected)


def test_split_frames_keeps_time_order():
    masks = torch.tensor([[True, False, True, False], [False, True, True, False]])
    visible, hidden = split_frames(masks, 2)
    assert visible.tolist() == [[1, 3], [0, 3]]
    assert hidden.tolist() == [[0, 2], [1, 2]]


def test_binarize_and_its_gradient():
    h = torch.tensor([-2.0, -0.5, 0.0, 0.3, 1.5], requires_grad=True)
    code = binarize_down(h)
    assert code.tolist() == [-1, -1, -1, 1, 1]
    code.sum().backward()
    assert h.grad.tolist() == [0, 1, 1, 1, 0]


@torch.no_grad()
def test_tied_bits():
    """With 8 frames a mean frame code can be 0; such a bit takes the sign of the mean pre-activation."""
    strict, release = make(), make(tied_bits="zero")
    x = torch.randn(200, 8, 12)
    h, with_zeros = strict.encode(x), release.encode(x)
    tied = with_zeros == 0
    assert tied.any()
    assert torch.equal(h[~tied], with_zeros[~tied])
    pre = strict.ln(strict.binary(strict.encoder(strict.encoder.embed(x)))).mean(1)
    assert torch.equal(h[tied].sign(), pre[tied].sign())
    assert h[tied].abs().max() < 1 / 8


@torch.no_grad()
def test_codes_do_not_depend_on_the_batch():
    model, x = make(), torch.randn(9, 8, 12)
    torch.testing.assert_close(model.encode(x), torch.cat([model.encode(row[None]) for row in x]))


@torch.no_grad()
@pytest.mark.parametrize("rule", ["frozen", "normalised", "release"])
def test_pseudo_labels_move_after_the_warm_up_only(rule):
    model, batch = make(pseudo_label_update=rule), make_batch()
    start = model.pseudo_labels.clone()
    assert torch.equal(start.argmax(1), torch.arange(20) % 6)
    model.before_step(batch, step(1))
    assert torch.equal(model.pseudo_labels, start)
    model.before_step(batch, step(2))
    if rule == "frozen":
        assert torch.equal(model.pseudo_labels, start)
        return
    predicted = model.pseudo_label_logits(model.encoder.embed(batch.items)).softmax(1)
    torch.testing.assert_close(model.pseudo_labels[:5], 0.9 * start[:5] + 0.1 * predicted)
    assert torch.equal(model.pseudo_labels[5:], start[5:])
    torch.testing.assert_close(model.pseudo_labels.sum(1), torch.ones(20))


@torch.no_grad()
def test_label_temperature_sharpens():
    soft, sharp = make(), make(pseudo_label_temperature=0.05)
    tokens = soft.encoder.embed(torch.randn(4, 8, 12))
    torch.testing.assert_close(sharp.pseudo_label_logits(tokens), 10 * soft.pseudo_label_logits(tokens))


def test_fixed_centers_are_the_ones_given_and_get_no_gradient():
    model = make()
    assert "hash_centers" in dict(model.named_buffers())
    assert not hasattr(model, "classifier")
    code = torch.randn(3, 10)
    torch.testing.assert_close(model.center_logits(code), code @ model.hash_centers.float().T)


def test_training_lowers_the_loss():
    model, batch = make(), make_batch(size=20)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = None
    for _ in range(30):
        loss = model.losses(batch, step(0))["total"]
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.9 * first


def test_stochastic_depth_skips_whole_rows_and_keeps_the_mean():
    torch.manual_seed(0)
    block = BidirectionalBlock(32, lambda: Mixer(32), "tied", drop_rate=0.4).eval()
    x = torch.randn(4, 5, 32)
    full = block(x) - x
    partial = block(x, torch.tensor([0.1, 0.39, 0.4, 0.99])) - x
    torch.testing.assert_close(partial[:2], torch.zeros(2, 5, 32))
    torch.testing.assert_close(partial[2:], full[2:] / 0.6, rtol=1e-4, atol=1e-6)


def test_stochastic_depth_grows_linearly():
    stack = Stack(32, 6, lambda dim, layer, depth: Mixer(dim), "tied", 0.5)
    assert [block.drop_rate for block in stack] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_mixers_keep_their_own_initialisation_unless_told():
    own, release = make(), make(mixer_init="xavier")
    assert own.encoder.blocks[0].mamba1.dt_proj.bias.abs().min() > 0
    assert release.encoder.blocks[0].mamba1.dt_proj.bias.abs().max() == 0
    assert own.encoder.patch_embed.bias.abs().max() == 0


def test_weights_of_another_size_or_kind_are_refused_in_one_line():
    model = make()
    for changes, word in ({"nbits": 12}, r"is \(.*12.*\), this"), ({"S5VH_type": "small"}, "blocks.1"):
        with pytest.raises(UserError, match=word) as error:
            load_weights(model, make(**changes).state_dict(), "x.pth")
        assert "\n" not in str(error.value)
        assert str(error.value).startswith("x.pth")


def test_inference_model_takes_a_training_checkpoint():
    trained = make()
    encoder = make(num_videos=0, seed=1)
    load_weights(encoder, trained.state_dict(), "x.pth")
    x = torch.randn(3, 8, 12)
    assert torch.equal(encoder.encode(x), trained.encode(x))
    assert torch.equal(encoder.hash_centers, trained.hash_centers)


def test_release_weights_with_their_extras_load():
    """Unused layers, learned centers and a backward mixer tied to the forward one."""
    model = make()
    state = {name: value for name, value in model.state_dict().items() if "pseudo" not in name and "hash_c" not in name}
    state |= {name.replace("mamba1", "mamba2"): value for name, value in state.items() if "mamba1" in name}
    state |= {"get_token_probs.0.weight": torch.zeros(2, 2), "classifier.weight": torch.zeros(6, 10)}
    other = make(seed=1)
    load_weights(other, state, "release.pth")
    x = torch.randn(3, 8, 12)
    assert torch.equal(other.encode(x), model.encode(x))
    untied = state | {name: value + 1 for name, value in state.items() if name.endswith("mamba2.D")}
    with pytest.raises(UserError, match="Set directions"):
        load_weights(other, untied, "release.pth")
    bent = state | {name: value + 1 for name, value in state.items() if name.endswith("norm2.bias")}
    with pytest.raises(UserError, match="Set directions"):
        load_weights(make(directions="forward"), bent, "release.pth")
    separate = make(directions="separate", seed=1)
    load_weights(separate, state, "release.pth")
    torch.testing.assert_close(separate.encode(x), model.encode(x))
