"""The closed-form code: the torch encoder against numpy loops, and a code that is the same alone and in a batch."""

import numpy as np
import pytest
import torch

from artefacts.neighbor_graph import embed, fit_graph
from artefacts.rotation import default_weight, fit_rotation
from artefacts.trajectories import fit_trajectories, trajectories
from inference.codes import binarize_up
from inference.metrics import evaluate
from model.methods.graph_code.encoder import VIDEOS_ON_CPU, WarpedGraphCode, buffers_of
from tests.test_neighbor_graph import naive_place, naive_similarity
from tests.trajectory_data import ArrayFeatures, moving_videos
from utils.errors import UserError


def fit_code(videos, num_bits=16, seed=0, **graph_settings):
    fitted, cells = fit_trajectories(ArrayFeatures(videos), frame_dims=6, num_components=20)
    graph = fit_graph(fitted, cells, num_columns=8, **graph_settings)
    rotation = fit_rotation(trajectories(fitted, cells), embed(fitted, graph, cells), num_bits, seed=seed)
    code = WarpedGraphCode(buffers_of(fitted, graph, rotation))
    return fitted, cells, graph, rotation, code


@pytest.fixture(scope="module")
def videos():
    return moving_videos(num_videos=140, num_frames=12)[0]


@pytest.fixture(scope="module")
def fit(videos):
    return fit_code(videos[:100])


@pytest.mark.parametrize("num_frames", [1, 7, 12, 60])
def test_the_encoder_follows_plain_loops(num_frames):
    videos, _ = moving_videos(num_videos=75, num_frames=num_frames)
    fitted, _, graph, rotation, code = fit_code(videos[:70])
    expected = []
    for video in videos[70:]:
        cells = ((fitted.cell_averages @ video if len(fitted.cell_averages) < len(video) else video)
                 - fitted.frame_mean) @ fitted.frame_axes
        similarities = []
        for node in graph.nodes:
            best = -2.0
            for warp in range(len(fitted.warps)):
                g = trajectories(fitted, cells[None], warp)[0, :graph.nodes.shape[1]]
                best = max(best, float(g @ node) / float(np.linalg.norm(g)))
            similarities.append(best)
        place = naive_place(graph, np.array(similarities))
        g = trajectories(fitted, cells[None])[0]
        expected.append(np.concatenate([g, place]) @ rotation.directions - rotation.offset)
    h = code.encode(torch.from_numpy(videos[70:])).numpy()
    np.testing.assert_allclose(h, np.array(expected), atol=2e-3 * np.abs(expected).max())


def test_similarities_of_both_languages_agree(fit, videos):
    """The node a video is most like, by the encoder and by the loop over pairs of cells."""
    fitted, cells, graph, _, code = fit
    other = (videos[100:101] - fitted.frame_mean) @ fitted.frame_axes
    g = code._warped_trajectories(torch.from_numpy(videos[100:101]))[0, :, :graph.nodes.shape[1]]
    found = (g / g.norm(dim=1, keepdim=True) @ code.nodes.T).amax(dim=0)
    expected = [naive_similarity(fitted, other[0], node, graph.nodes.shape[1]) for node in cells[:10]]
    np.testing.assert_allclose(found[:10], expected, atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, VIDEOS_ON_CPU, VIDEOS_ON_CPU + 1])
def test_a_code_is_the_same_alone_and_in_a_batch(fit, videos, size):
    code = fit[-1]
    x = torch.from_numpy(videos[:80])
    together = code.encode(x)
    assert torch.equal(torch.cat([code.encode(part) for part in x.split(size)]), together)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    assert torch.equal(code.encode(x[order]), together[order])


def test_autocast_leaves_the_code_alone(fit, videos):
    x = torch.from_numpy(videos[:5])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fit[-1].encode(x), fit[-1].encode(x.clone()))
        low = fit[-1].encode(x)
    assert torch.equal(low, fit[-1].encode(x))


@pytest.mark.parametrize("num_bits", [8, 16, 100, 1024])
def test_any_number_of_bits(videos, num_bits):
    code = fit_code(videos[:60], num_bits)[-1]
    h = binarize_up(code.encode(torch.from_numpy(videos)).numpy())
    assert h.shape == (140, num_bits) == (140, code.num_bits)
    assert len(np.unique(h, axis=0)) > 4


def test_a_state_dict_holds_all_of_it(fit, videos):
    code = fit[-1]
    again = WarpedGraphCode(code.state_dict())
    x = torch.from_numpy(videos[:9])
    assert torch.equal(again.encode(x), code.encode(x))
    assert not list(code.parameters())


def test_anchors_keep_no_training_video(videos):
    _, _, graph, _, code = fit_code(videos[:100], dense_limit=50, num_anchors=20)
    assert graph.nodes.shape[0] == 20
    assert all(100 not in buffer.shape for buffer in code.buffers())
    assert code.encode(torch.from_numpy(videos)).isfinite().all()


def test_order_of_the_training_videos_and_scale_do_not_matter(videos):
    x = torch.from_numpy(videos)
    first = binarize_up(fit_code(videos[:100])[-1].encode(x).numpy())
    order = np.random.default_rng(2).permutation(100)
    other = binarize_up(fit_code(videos[:100][order])[-1].encode(x).numpy())
    louder = binarize_up(fit_code(16 * videos[:100])[-1].encode(16 * x).numpy())
    # Signs of values within rounding of zero may differ, and ITQ carries them on.
    assert (first == other).mean() > 0.99
    assert (first == louder).mean() > 0.99


def test_fits_are_seeded(videos):
    x = torch.from_numpy(videos)
    first, again, other = (fit_code(videos[:100], seed=seed)[-1].encode(x) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_rotation_is_one(videos):
    """Beside the scale of E, directions are orthonormal, and h has mean zero."""
    fitted, cells, graph, rotation, _ = fit_code(videos[:100], num_bits=8)
    g, place = trajectories(fitted, cells), embed(fitted, graph, cells)
    scale = default_weight(8) * np.sqrt(g.var(axis=0).sum() / place.var(axis=0).sum())
    plain = rotation.directions.copy()
    plain[g.shape[1]:] /= scale
    np.testing.assert_allclose(plain.T @ plain, np.eye(8), atol=1e-4)
    h = np.hstack([g, place]) @ rotation.directions - rotation.offset
    np.testing.assert_allclose(h.mean(axis=0), 0, atol=1e-3)


def test_without_weight_the_place_is_left_out(videos):
    fitted, cells, graph, _, _ = fit_code(videos[:100])
    g = trajectories(fitted, cells)
    rotation = fit_rotation(g, embed(fitted, graph, cells), 8, weight=0)
    assert not rotation.directions[g.shape[1]:].any()
    assert rotation.directions[:g.shape[1]].any()


def test_videos_of_one_class_are_found():
    videos, classes = moving_videos(num_videos=140, num_frames=12)
    code = fit_code(videos[:100])[-1]
    h = binarize_up(code.encode(torch.from_numpy(videos)).numpy())
    labels = np.eye(4, dtype=np.uint8)[classes]
    assert evaluate(h[100:], h[:100], labels[100:], labels[:100], map_at=(5,)).map_at["expected"][5] > 0.9


@pytest.mark.parametrize(("videos", "message"), [
    (np.zeros((1, 5, 3)), "there is 1 video"), (np.ones((40, 5, 3)), "are the same"),
    (moving_videos(num_videos=9)[0], "there are 9 videos"), (np.full((40, 5, 3), np.nan), "video 0 holds NaN or Inf")])
def test_bad_input_is_told_in_one_line(videos, message):
    with pytest.raises(UserError, match=message) as caught:
        fit_code(videos)
    assert "\n" not in str(caught.value)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_codes_of_a_gpu_are_those_of_the_cpu(fit, videos):
    x = torch.from_numpy(videos)
    on_cpu = fit[-1].encode(x)
    on_gpu = WarpedGraphCode(fit[-1].state_dict()).cuda().encode(x.cuda()).cpu()
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-2 * on_cpu.abs().max().item(), rtol=0)
    assert (on_gpu.sign() == on_cpu.sign()).float().mean() > 0.995
