"""Tables of costs, which nothing is trained for: what is counted, what is measured, and the command."""

import csv
import os

import pytest
import torch

import tables
from tables.grid import costs
from tables.grid.cells import expand
from tables.grid.costs import cost_figures, cost_lines, cost_records, peak_memory
from tests.pipeline import ROOT, run
from utils.registry import TABLES

CPU = torch.device("cpu")
CONFIGS = str(ROOT / "configs")
SMALL = {"S5VH_type": "mini", "hidden_size": "32", "decoder_size": "16", "feature_size": "8"}


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(costs, "MAX_ROUNDS", 3)


def test_the_peak_is_what_is_held_at_once():
    x = torch.ones(1000)

    def action():
        y = x + 1  # 4,000 bytes, held
        z = torch.cat([y, y])  # 8,000 more
        del z
        return y * 2  # 4,000 in their place

    assert peak_memory(action, CPU) == 12_000
    assert peak_memory(lambda: x[:10], CPU) == 0


def test_memory_that_was_there_before_does_not_count(capfd):
    held = [torch.ones(1000)]
    assert peak_memory(held.clear, CPU) == 0  # freed in between
    assert capfd.readouterr().err == ""


def records_of(*rows, lengths=(40, 80)):
    table = TABLES.load("frames")
    table = tables.Table("", (), tuple(tables.Row(row.label, f"{row.name}x{length}", row.model,
                                                  row.settings | {"max_frames": length})
                                       for row in table.rows if row.name in rows for length in lengths), trained=False)
    cells = expand("costs", table, folder=CONFIGS, datasets=["act"], bits=[16], settings=SMALL)
    return cost_records(cells, CPU, seconds=0)


def test_what_grows_with_the_length_and_what_does_not():
    short, long = records_of("tied25")
    assert (short["frames"], long["frames"]) == (40, 80)
    assert short["encoder_params"] == long["encoder_params"] < long["all_params"]
    assert long["encode_flops"] == pytest.approx(2 * short["encode_flops"], rel=0.02)
    assert long["single_mib"] == pytest.approx(2 * short["single_mib"], rel=0.2)
    assert short["batch_mib"] > 20 * short["single_mib"]
    for record in short, long:
        assert record["bits_per_second"] == pytest.approx(16_000 / record["batch_ms"])
        assert min(record["batch_ms"], record["single_ms"]) > 0


def test_attention_grows_faster_than_its_length():
    short, long = records_of("transformer25", lengths=(100, 1000))
    assert long["encode_flops"] > 12 * short["encode_flops"]
    assert (short["batch"], long["batch"]) == (20, 2)  # 2,048 frames at most


def test_lines_and_charts():
    records = records_of("tied25", "forward25")
    lines = cost_lines(records)
    assert [(line["model"], line["frames"]) for line in lines] == [
        ("S5VH (Mamba), tied", "40"), ("S5VH (Mamba), tied", "80"),
        ("S5VH (Mamba), forward", "40"), ("S5VH (Mamba), forward", "80")]
    assert lines[0]["ms in a batch"].endswith("(of 51)")
    assert len({tuple(line) for line in lines}) == 1
    assert "mAP" not in " ".join(lines[0])
    assert cost_figures(records) == []  # a few lengths stand in the table
    longer = [record | {"frames": record["frames"] * scale} for scale in (1, 10) for record in records]
    assert len(cost_figures(longer)) == 2


def test_a_table_of_costs_needs_no_data_and_keeps_no_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    result = run("reproduce.py", "--table", "efficiency", "--datasets", "act", "--rows", "tied", "lstm", "--gpu", "cpu",
                 "--configs", CONFIGS, "--out", tmp_path / "out", "--set", *settings)
    assert result.code == 0, result.errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    written, following = result.output.splitlines()[-1].split("; next: ")
    names = [f"{tmp_path}/out/efficiency.{end}" for end in ("md", "html", "tex", "csv")]
    assert written == f"written: {', '.join(names)}"
    assert all(map(os.path.isfile, names))
    assert f"train.py --config {CONFIGS}/S5VH/act.py --summary --set " in following
    with open(tmp_path / "out/efficiency.csv", newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["S5VH (Mamba), tied", "LSTM"]
    text = (tmp_path / "out/efficiency.md").read_text()
    for words in ("| LSTM | 30 | ", "Nothing was trained", "bits/s", "| MiB alone |"):
        assert words in text
    assert "seed" not in text


def test_a_dry_run_of_costs(tmp_path):
    result = run("reproduce.py", "--table", "frames", "--datasets", "act", "--configs", CONFIGS, "--dry-run")
    assert result.code == 0
    rows = result.output.splitlines()[1:]
    assert len(rows) == len(TABLES.load("frames").rows)
    assert all(row.startswith("untrained ") for row in rows)
    assert "run_name" not in result.output
    assert "nothing to train" in result.errors
    assert result.errors.endswith(f"reproduce.py --table frames --datasets act --configs {CONFIGS}\n")


@pytest.mark.parametrize("flags", [("--seeds", "2"), ("--jobs", "2")])
def test_seeds_and_jobs_have_no_place_there(flags):
    result = run("reproduce.py", "--table", "efficiency", "--configs", CONFIGS, *flags)
    assert result.code == 2
    assert result.errors.startswith("error: --table efficiency compares costs")
    assert result.errors.count("\n") == 1
