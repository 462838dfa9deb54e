"""Long sequences in pieces: what comes out is what the whole gives, and no layer sees more than a piece."""

import pytest
import torch

from model.nets import blocks
from model.nets.blocks import sinusoid_table
from tests.test_mixers import DIM, build, mixer_class
from tests.test_s5vh import make
from utils import registry

CARRYING = [name for name in registry.MIXERS.names() if mixer_class(name).carries_state]


@pytest.fixture
def in_pieces(monkeypatch):
    """Makes everything beyond 14 steps long."""
    monkeypatch.setattr(blocks, "PIECE", 14)


def widest_calls(model):
    """The lengths that the input projections inside `model` will have seen."""
    lengths = []
    for name, module in model.named_modules():
        if name.endswith(("in_proj", "lstm", "patch_embed", "head")):
            module.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    return lengths


def test_the_mixers_that_carry_a_state():
    assert CARRYING == ["lstm", "mamba"]


@pytest.mark.parametrize("name", CARRYING)
def test_the_pieces_of_a_sequence_make_the_whole(name):
    mixer, x = build(name).double(), torch.randn(2, 20, DIM, dtype=torch.float64)
    with torch.no_grad():
        state, parts = None, []
        for piece in x.split([1, 2, 9, 8], dim=1):
            part, state = mixer.piece(piece, state)
            parts.append(part)
        torch.testing.assert_close(torch.cat(parts, dim=1), mixer(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("directions", ["tied", "separate", "forward"])
@pytest.mark.parametrize("name", CARRYING)
def test_a_long_video_has_the_codes_of_the_whole(name, directions, request):
    model, x = make(mixer=name, S5VH_type="small", max_frames=40, directions=directions), torch.randn(2, 40, 12)
    lengths = widest_calls(model.encoder)
    with torch.inference_mode():
        whole, bits = model.encoder(model.encoder.embed(x)), model.encode(x) < 0
        assert set(lengths) == {40}
        lengths.clear()
        request.getfixturevalue("in_pieces")
        parted = model.encoder(model.encoder.embed(x))
        assert set(lengths) == {7, 5}  # 40 steps of two rows in pieces of 7 steps
        assert torch.equal(model.encode(x) < 0, bits)
    torch.testing.assert_close(parted, whole, rtol=1e-5, atol=1e-6)


def test_bf16_in_pieces_is_near_bf16_at_once(request):
    model, x = make(S5VH_type="small", max_frames=40), torch.randn(2, 40, 12)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        whole = model.encoder(model.encoder.embed(x)).float()
        request.getfixturevalue("in_pieces")
        parted = model.encoder(model.encoder.embed(x)).float()
    assert (parted - whole).norm() < 0.02 * whole.norm()


@pytest.mark.parametrize("name", registry.MIXERS.names())
def test_every_mixer_encodes_long_videos_alike(name, in_pieces, monkeypatch):
    """Those without a state to carry run whole."""
    model, x = make(mixer=name, max_frames=25), torch.randn(1, 25, 12)
    with torch.inference_mode():
        parted = model.encoder(model.encoder.embed(x))
        monkeypatch.setattr(blocks, "PIECE", 100)
        torch.testing.assert_close(parted, model.encoder(model.encoder.embed(x)), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_whole(in_pieces):
    """Where a gradient is wanted nothing is cut."""
    model, x = make(max_frames=25), torch.randn(1, 25, 12)
    lengths = widest_calls(model.encoder)
    model.encoder(model.encoder.embed(x)).sum().backward()
    assert set(lengths) == {25}


def test_videos_longer_than_those_of_training_have_positions_too():
    short, long = make(max_frames=8), make(max_frames=20)
    long.load_state_dict(short.state_dict())
    x = torch.randn(2, 20, 12)
    with torch.inference_mode():
        assert torch.equal(short.encode(x), long.encode(x))


@pytest.mark.parametrize("dim", [5, 6])
def test_positions_are_the_formula(dim):
    table = sinusoid_table(30, dim)
    for frame in (0, 1, 29):
        for column in range(dim):
            angle = torch.tensor(frame / 10000 ** (2 * (column // 2) / dim), dtype=torch.float64)
            assert table[frame, column] == (angle.cos() if column % 2 else angle.sin()).float()
