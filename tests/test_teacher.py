"""VHMT's teacher: every variant of tables 3 and 4, its codes and what it rebuilds."""

import copy
import functools

import pytest
import torch

from model.methods.vhmt.teacher import Teacher
from model.methods.vhmt.wavelet import Halve
from model.mixers import mamba
from tests.test_tam import TABLE_4

FEATURES, WIDTH, BITS = 12, 16, 10
DEPTHS = [(4, 2), (4, 2, 2), (8, 4, 2), (16, 8, 4, 2)]  # table 3
HALVINGS = ["haar", "db4", "sym8", "max", "average"]
LATENT_FRAMES = {1: 1, 2: 1, 3: 1, 25: 7, 30: 8}  # after two halvings


def make(frames=25, seed=0, **settings):
    torch.manual_seed(seed)
    settings = {"encoder_depths": (2, 1, 1), "decoder_width": 8, "num_heads": 2} | settings
    return Teacher(FEATURES, WIDTH, frames, BITS, **settings)


def videos(frames=25, size=3):
    return torch.randn(size, frames, FEATURES, generator=torch.Generator().manual_seed(frames))


def assert_trains(teacher, frames):
    views = teacher(videos(frames))
    assert views.reconstructions.shape == (3, frames, FEATURES)
    assert set(views.frame_codes.detach().unique().tolist()) == {-1.0, 1.0}
    (views.reconstructions.square().mean() + views.attention.square().mean()).backward()
    for name, parameter in teacher.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if frames > 4:  # at the last level a single frame attends to itself whatever its query
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("frames", "latent"), [*LATENT_FRAMES.items()])
def test_lengths(frames, latent):
    teacher = make(frames)
    views = teacher(videos(frames))
    assert views.latents.shape == views.attention.shape == (3, latent, WIDTH)
    assert views.frame_codes.shape == (3, latent, BITS)
    assert_trains(teacher, frames)


@pytest.mark.parametrize("depths", DEPTHS)
def test_depths_of_table_3(depths):
    teacher = make(encoder_depths=depths, decoder_depth=2)
    assert [len(level) for level in teacher.encoder.levels] == list(depths)
    assert teacher(videos()).latents.shape[1] == {2: 13, 3: 7, 4: 4}[len(depths)]
    assert_trains(teacher, 25)


@pytest.mark.parametrize("frames", [3, 25, 30])
@pytest.mark.parametrize("halving", HALVINGS)
def test_halvings_of_table_3(halving, frames):
    assert_trains(make(frames, halving=halving), frames)


@pytest.mark.parametrize("frames", [3, 25, 30])
@pytest.mark.parametrize(("mixer", "enhancement"), TABLE_4)
def test_modules_of_table_4(mixer, enhancement, frames):
    assert_trains(make(frames, mixer=mixer, enhancement=enhancement), frames)


def test_the_papers_size():
    teacher = Teacher(2048, 256, 30, 64)
    assert [len(level) for level in teacher.encoder.levels] == [8, 4, 2]
    assert len(teacher.decoder.blocks) == 1
    assert teacher.decoder.head.in_features == 192
    assert {module.num_heads for module in teacher.encoder.modules() if hasattr(module, "num_heads")} == {4}
    with torch.inference_mode():
        assert [tuple(view.shape) for view in teacher(torch.randn(1, 30, 2048))] == [
            (1, 8, 256), (1, 8, 64), (1, 30, 2048), (1, 8, 256)]


def test_forward_equals_its_parts_in_order():
    teacher, features = make().eval(), videos()
    encoder, decoder = teacher.encoder, teacher.decoder
    x = encoder.patch_embed(features) + encoder.positions
    for level, modules in enumerate(encoder.levels):
        x = Halve("haar", x.shape[1])(x) if level > 0 else x
        for module in modules:
            attended = module.mixer(module.norm1(x))
            x, _ = module(x)
    latents = encoder.head(encoder.norm(x))
    codes = torch.where(teacher.ln(teacher.binary(latents)) > 0, 1.0, -1.0)
    tokens = torch.stack([decoder.embed(codes[:, frame // 4]) for frame in range(25)], dim=1)
    rebuilt, _ = decoder.blocks[0](tokens + decoder.positions)
    views = teacher(features)
    torch.testing.assert_close(views.latents, latents)
    torch.testing.assert_close(views.attention, attended)
    assert torch.equal(views.frame_codes, codes)
    torch.testing.assert_close(views.reconstructions, decoder.head(decoder.norm(rebuilt)))


def test_codes_have_the_gradient_of_the_tanh():
    teacher, features, direction = make().eval(), videos(), torch.randn(3, 7, BITS)
    relaxed = teacher.ln(teacher.binary(teacher.encoder(features)[0])).tanh()
    expected = torch.autograd.grad((relaxed * direction).sum(), teacher.binary.weight)
    given = torch.autograd.grad((teacher(features).frame_codes * direction).sum(), teacher.binary.weight)
    torch.testing.assert_close(given, expected)


def test_a_frames_time_counts():
    teacher, features = make().eval(), videos()
    assert not torch.allclose(teacher(features).latents, teacher(features.flip(1)).latents.flip(1), atol=1e-3)


def test_other_numbers_of_frames_are_refused():
    with pytest.raises(AssertionError):
        make()(videos(1))


def test_initialisation():
    teacher = make(mixer=functools.partial(mamba.Mixer, scan_engine="pytorch"))
    for linear in (teacher.encoder.patch_embed, teacher.decoder.head, teacher.encoder.levels[0][0].enhancement.mlp.fc1):
        bound = (6 / (linear.in_features + linear.out_features)) ** 0.5
        assert linear.weight.abs().max() <= bound
        assert linear.weight.abs().max() > 0.9 * bound
        assert linear.bias.abs().max() == 0
    assert teacher.encoder.levels[0][0].mixer.dt_proj.bias.abs().min() > 0  # a mixer's own is left alone


def test_deterministic_and_leaves_its_state_alone():
    teacher, features = make(), videos()
    before = copy.deepcopy(teacher.state_dict())
    teacher(features)
    teacher.eval()
    for one, other in zip(teacher(features), teacher(features), strict=True):
        assert torch.equal(one, other)
    after = teacher.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    make(seed=1).load_state_dict(before)


@pytest.mark.parametrize(("mixer", "enhancement"), TABLE_4)
def test_bfloat16(mixer, enhancement):
    teacher = make(mixer=mixer, enhancement=enhancement)
    with torch.autocast("cpu", torch.bfloat16):
        views = teacher(videos())
    assert views.frame_codes.detach().abs().eq(1).all()
    sum(view.float().square().mean() for view in views).backward()
    assert all(parameter.grad.isfinite().all() for parameter in teacher.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:The .grad attribute:UserWarning")  # torch's own
def test_it_compiles_whole():
    """Code that torch.compile has to leave splits the graph; between halvings the backward pass of one part then fails.

    The backend traces and differentiates like the real one, and generates no code.
    """
    teacher, gradients = make(frames=8, encoder_depths=(2, 1), dropout=0.0), []
    for call in (teacher, torch.compile(teacher, backend="aot_eager", fullgraph=True)):
        teacher.zero_grad()
        views = call(videos(8))
        (views.reconstructions.square().mean() + views.attention.square().mean()).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in teacher.parameters()]))
    torch.testing.assert_close(*gradients)
