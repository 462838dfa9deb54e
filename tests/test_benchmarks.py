"""The literal form of the benchmarks computes what the model does, and so does the step with an item left out."""

import re

import numpy as np
import pytest
import torch

from benchmarks import encode, graph_code, picture_loader, ranking, train_step
from benchmarks.literal import Literal
from benchmarks.side_by_side import parse, take_turns
from tests.pipeline import ROOT, message_of
from tests.steps import step
from tests.test_s5vh import make, make_batch
from training.steps import training_step
from utils.errors import UserError


def small():
    return make(S5VH_type="small", scan_engine="auto", tied_bits="zero").train(), make_batch(size=6, depth=6)


def test_the_literal_form_agrees():
    model, batch = small()
    (theirs, their_gradients), (ours, our_gradients) = (train_step.losses_and_gradients(model, form, batch)
                                                        for form in (Literal(model), model))
    assert ours == pytest.approx(theirs, rel=1e-5)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5)


def test_packed_codes_are_those_of_the_literal_form():
    model, batch = small()
    features = encode.InMemory(batch.items.numpy())
    with torch.inference_mode():
        literal = Literal(model.eval()).encode(batch.items).numpy()
    bits = np.unpackbits(encode.encode(model, features), axis=1, count=10).astype(bool)
    decided = literal != 0
    assert decided.mean() > 0.5
    assert (bits == (literal > 0))[decided].all()


@pytest.mark.parametrize("name", train_step.ITEMS)
def test_a_step_without_an_item_is_the_step(name):
    results = []
    for without in (train_step.nothing, train_step.ITEMS[name]):
        model, batch = small()
        with without(model):
            losses = training_step(model, torch.optim.SGD(model.parameters(), lr=1e-2), batch, step())
        weights = [parameter.detach().flatten() for parameter in model.parameters()]
        results.append(torch.cat([losses["total"].detach().view(1), *weights]))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)
    assert model.step_losses(batch, step(0))["total"].isfinite()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_a_benchmark_of_it_ends_in_one_line(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_step", "--device", "cuda"])
    assert "no CUDA device" in message_of(train_step.main)


def test_graph_code_is_timed_beside_the_small_encoder(monkeypatch, capsys):
    """On 40 tiny videos; the code that is timed is the one that was fitted."""
    monkeypatch.setattr("sys.argv", ["graph_code", "--videos", "40", "--frames", "6", "--size", "5", "--bits", "8",
                                     "--threads", str(torch.get_num_threads()), "--encoded", "30", "--repeats", "1"])
    graph_code.main()
    printed = capsys.readouterr().out
    assert "random features 40 x 6 x 5, 8 bits" in printed
    assert re.search(r"fit +trajectories [\d.]+ +graph [\d.]+ +embedding [\d.]+ +rotation [\d.]+ +together", printed)
    assert re.search(r"encoding +GraphCode [\d.]+ ms a video +S5VH small [\d.]+ ms a video", printed)
    features = encode.random_videos(40, 6, 5)
    bits = encode.encode(graph_code.fit(features, 8, 20), features)
    assert bits.shape == (40, 1)
    assert len(np.unique(bits)) > 5


def test_help_of_a_benchmark_starts_no_work(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["graph_code", "--help"])
    monkeypatch.setattr(graph_code, "fit", None)
    with pytest.raises(SystemExit) as end:
        graph_code.main()
    assert end.value.code == 0
    assert "--features FILE.h5" in capsys.readouterr().out


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_step_is_timed_on_cuda(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train_step", "--device", "cuda", "--batch", "16", "--repeats", "1"])
    train_step.main()
    assert "bf16, graph" in capsys.readouterr().out


def test_only_configs_with_a_literal_form_are_taken(monkeypatch):
    for config in ("configs/VHMT/digits.py", "configs/LSTM/act.py"):
        monkeypatch.setattr("sys.argv", ["x", "--threads", str(torch.get_num_threads()), "--config",
                                         str(ROOT / config)])
        with pytest.raises(UserError, match="S5VH on the mamba mixer"):
            parse(None)


def test_forms_take_turns():
    calls = []
    times = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert [len(each) for each in times.values()] == [2, 2]


def test_lists_are_learned_anew_for_another_number_of_lists(monkeypatch, capsys):
    learned, report = [], ranking.report_kind
    monkeypatch.setattr(ranking, "report_kind", lambda *args: learned.append(report(*args)) or learned[-1])
    ranking.compare_search(1000, 16, 1, ["ivf:nlist=3", "ivf:nlist=5:nprobe=2", "ivf:nlist=5:nprobe=1"], 1)
    assert [len(state["centroids"]) for state in learned] == [3, 5, 5]
    assert learned[1]["centroids"] is learned[2]["centroids"]
    assert "ivf:nlist=5:nprobe=1: built" in capsys.readouterr().out


def test_every_way_to_load_pictures_gives_the_same(tmp_path, capsys):
    ways = picture_loader.make_ways(picture_loader.write_pictures(tmp_path, 9, 8), 8, num_workers=0)
    picture_loader.compare(ways, torch.tensor([8, 0, 3]))
    picture_loader.report(ways, 9, 4, 1)
    assert [line.partition("  ")[0] for line in capsys.readouterr().out.splitlines()] == list(ways)
    other = ways | {"another": lambda batches: iter([torch.zeros(3, 8, 8, 3, dtype=torch.uint8)])}
    with pytest.raises(AssertionError):
        picture_loader.compare(other, torch.tensor([8, 0, 3]))
