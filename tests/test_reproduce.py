"""reproduce.py: the grid of a table, how far each cell is, running it, and the table that comes out."""

import csv
import json
import os
import re
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import tables
from tables import Row, Table
from tables.grid import networks, timing
from tables.grid import runner as runner_module
from tables.grid.cells import State, evaluation, expand, missing_configs, other_settings, state
from tables.grid.networks import count_parameters
from tables.grid.records import baseline_records, spread, table_lines
from tables.grid.report import describe_columns, markdown, write_csv
from tables.grid.runner import Runner, run_cells, side_by_side, threads_per_cell
from tests.forked import fork_cells
from tests.pipeline import ROOT, make_project, message_of, own_table, run
from training.checkpoints import write_checkpoint
from training.run import Run
from utils import registry
from utils.files.writing import write_text
from utils.registry import TABLES

PAIR = Table("A pair", ("tiny",), (
    Row("at rest", "still", "S5VH", {"lr": 1e-12, "min_lr": 0}),  # learns nothing: trained is untrained
    Row("forward | only", "forward", "S5VH", {"directions": "forward"}),
), baselines=True)


def make_configs(folder):
    """A tiny project whose config lies where `--configs` looks for it."""
    project = make_project(folder)
    project.configs = folder / "configs"
    (project.configs / "S5VH").mkdir(parents=True)
    project.config.rename(project.configs / "S5VH/tiny.py")
    return project


@pytest.fixture
def project(tmp_path):
    return make_configs(tmp_path)


def pair_cells(project, **options):
    return expand("pair", PAIR, folder=str(project.configs), datasets=["tiny"], **options)


def leave_run(config, epoch=3, finished=True, **metrics):
    """What a run of `config` leaves behind, with nothing trained."""
    config.dump(f"{config.log_path}/config.py")
    write_checkpoint(f"{config.file_path}/last.pth",
                     {"model_state_dict": {}, "epoch": epoch - 1, "finished": finished})
    write_text(f"{config.log_path}/metrics.json", json.dumps(evaluated(config, epoch) | metrics))


def evaluated(config, epoch=3, measured=None):
    """The metrics.json of an evaluation of the run of `config`, on the data of `measured`."""
    maps, both = {"1": 0.5, "5": 0.25}, {"index": 0.1, "expected": 0.1}
    return {"normaliser": "k", "map_at": {"index": maps, "expected": maps}, "gmap": both, "rss_map": both,
            "details": {"epoch": epoch, "checkpoint": f"{config.file_path}/last.pth",
                        "config_sha256": (measured or config).digest()}}


# the grid

def test_the_grid_has_every_dataset_length_row_and_seed(project):
    (project.configs / "S5VH/other.py").write_text((project.configs / "S5VH/tiny.py").read_text()
                                                   .replace("dataset = 'tiny'", "dataset = 'other'"))
    cells = expand("pair", PAIR, folder=str(project.configs), datasets=["tiny", "other"], bits=[8, 16], num_seeds=3,
                   settings={"num_epochs": "7"})
    found = [(cell.dataset, cell.bits, cell.row.name, cell.seed) for cell in cells]
    assert found == [(dataset, bits, row, seed) for dataset in ("tiny", "other") for bits in (8, 16)
                     for row in ("still", "forward") for seed in (1, 2, 3)]
    assert {cell.config.num_epochs for cell in cells} == {7}
    for key in "file_path", "log_path":
        assert len({cell.config[key] for cell in cells}) == len(cells)
    last = cells[-1]
    assert last.settings == ["num_epochs=7", "directions=forward", "nbits=16", "seed=3", "run_name=pair_forward_seed3"]
    assert last.config.file_path.endswith("checkpoint/other/S5VH_16bit_pair_forward_seed3")
    assert pair_cells(project)[0].bits == 8  # the config's own


def test_settings_that_the_grid_makes_itself_are_refused(project):
    for key, word in (("seed", "--seeds"), ("nbits", "--bits"), ("run_name", "home_root"), ("directions", "rows")):
        message = message_of(lambda key=key: pair_cells(project, settings={key: "1"}))
        assert f"--set {key}" in message
        assert word in message


def test_two_cells_never_share_a_folder(project):
    assert "two cells" in message_of(lambda: pair_cells(project, bits=[16, 16]))
    assert "two cells" in message_of(lambda: pair_cells(project, bits=[8, 16], settings={"log_path": "here"}))


def test_row_names_keep_tables_apart():
    with pytest.raises(AssertionError):
        Table("", (), (Row("a", "x_seed1", "S5VH"),))
    with pytest.raises(AssertionError):
        Table("", (), (Row("a", "x", "S5VH"), Row("b", "x", "S5VH")))


def test_every_table_loads():
    assert "backbones" in TABLES.names()
    for name in TABLES.names():
        assert TABLES.load(name).rows


def test_missing_configs_are_told_one_by_one(project):
    table = Table("", (), (Row("", "a", "S5VH"), Row("", "b", "LSTM"), Row("", "c", "LSTM")))
    missing = missing_configs(table, "c", ["x", "y"])
    assert missing == ["c/S5VH/x.py", "c/S5VH/y.py", "c/LSTM/x.py", "c/LSTM/y.py"]
    result = run("reproduce.py", "--table", "backbones", "--datasets", "tiny", "--configs", project.configs)
    assert result.code == 2
    lines = result.errors.splitlines()
    assert [re.search(r"/(\w+)/tiny.py", line)[1] for line in lines] == ["LSTM", "RetNet", "RWKV", "Transformer"]
    assert not result.output


def test_one_config_of_ones_own_stands_for_every_backbone(tmp_path):
    project = make_project(tmp_path)
    asked = "--config", project.config, "--gpu", "cpu", "--dry-run"
    result = run("reproduce.py", "--table", "backbones", *asked)
    assert result.code == 0, result.errors
    assert result.output.count(f" {project.config} ") == len(TABLES.load("backbones").rows)
    mine = {"config": str(project.config)}
    cells = {cell.row.name: cell.config for cell in expand("b", TABLES.load("backbones"), folder="none",
                                                           datasets=["config"], files=mine)}
    assert {name: (config.model_name, config.mixer) for name, config in cells.items() if name != "separate"} == {
        "tied": ("S5VH", "mamba"), "forward": ("S5VH", "mamba"), "lstm": ("LSTM", "lstm"),
        "retnet": ("RetNet", "retnet"), "rwkv": ("RWKV", "rwkv"), "transformer": ("Transformer", "transformer")}
    over_lstm = tmp_path / "over.py"
    over_lstm.write_text(project.config.read_text() + "mixer = 'lstm'\n")
    row, = expand("m", TABLES.load("main"), folder="none", datasets=["over"], bits=[8], files={"over": str(over_lstm)})
    assert (row.config.mixer, row.config.method) == ("mamba", "s5vh")
    refused = run("reproduce.py", "--table", "winners", *asked)
    assert (refused.code, refused.output) == (2, "")
    assert "the row 'graphcode' is of GraphCode" in refused.errors
    assert run("reproduce.py", "--table", "winners", "--rows", "s5vh", *asked).code == 0
    absent = run("reproduce.py", "--table", "backbones", "--config", "absent.py")
    assert (absent.code, absent.errors) == (2, "error: absent.py: cannot read this config (No such file or "
                                               "directory). Correct the path.\n")


# how far a cell is

def test_missing_part_and_done(project):
    config = pair_cells(project)[0].config
    assert state(config) is State.MISSING
    leave_run(config)
    assert state(config) is State.DONE
    assert evaluation(config)["map_at"]["expected"]["5"] == 0.25
    (project.folder / "checkpoint").rename(project.folder / "elsewhere")
    assert state(config) is State.DONE  # its weights are not needed
    (project.folder / "elsewhere").rename(project.folder / "checkpoint")
    os.remove(f"{config.log_path}/metrics.json")
    assert state(config) is State.PART
    os.remove(f"{config.log_path}/config.py")
    assert state(config) is State.PART


@pytest.mark.parametrize("left", [
    {"epoch": 2, "finished": False}, {"epoch": 3, "normaliser": "hits"}, {"epoch": 3, "details": {}},
    {"epoch": 3, "map_at": {"expected": {"5": 0.25}}}, {"epoch": 3, "details": {"epoch": 1}},
    {"epoch": 3, "gmap": {}}, {"epoch": 3, "rss_map": {"index": "a", "expected": 1}}, {"epoch": 3, "map_at": [1]}])
def test_an_evaluation_of_something_else_does_not_count(project, left):
    config = pair_cells(project)[0].config
    leave_run(config, **left)
    assert state(config) is State.PART


@pytest.mark.parametrize("entry", ["epoch", "checkpoint", "config_sha256"])
def test_an_evaluation_by_hand_does_not_count(project, entry):
    """Of another checkpoint, of another epoch's, or under other settings (tied_bits, say)."""
    config = pair_cells(project)[0].config
    leave_run(config, details=evaluated(config)["details"] | {entry: {"epoch": 2}.get(entry, "other")})
    assert state(config) is State.PART


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"map_at": 3}', "[" * 100_000])
def test_damaged_results_are_made_again(project, content):
    config = pair_cells(project)[0].config
    leave_run(config)
    (Path(config.log_path) / "metrics.json").write_text(content)
    assert state(config) is State.PART
    (Path(config.log_path) / "config.py").write_text(content + "(")
    assert state(config) is State.PART
    (Path(config.log_path) / "untrained.json").write_text(content)
    assert networks._cached(config, "untrained.json", lambda: {"a": 1}) == {"a": 1}


def test_a_metric_beyond_0_and_1_is_no_result(project):
    config = pair_cells(project)[0].config
    for value in (10**400, 9.25, -0.1):  # the second as by a flipped bit
        leave_run(config, gmap={"index": value, "expected": 0.1})
        assert state(config) is State.PART


def test_the_settings_of_a_cell_are_read_and_not_executed(project):
    config = pair_cells(project)[0].config
    leave_run(config)
    mark = Path(config.log_path) / "executed"
    with open(Path(config.log_path) / "config.py", "a") as file:
        file.write(f"open({str(mark)!r}, 'w')\n")
    assert state(config) is State.PART
    assert not mark.exists()


def test_a_run_that_stopped_early_is_done(project):
    config = pair_cells(project, settings={"early_stop": "1"})[0].config
    leave_run(config, epoch=2, finished=True)
    assert state(config) is State.DONE


def test_other_settings(project):
    leave_run(pair_cells(project)[0].config)
    other = pair_cells(project, settings={"batch_size": "8"})[0].config
    assert state(other) is State.OTHER
    assert other_settings(other) == "batch_size 16 -> 8"
    free = pair_cells(project, settings={"map_at": "[1]"})[0].config
    assert state(free) is State.PART  # train.py has nothing left to do, eval.py has
    arguments = "--table", "backbones", "--datasets", "tiny", "--configs", project.configs, "--set"
    table = Table("", ("tiny",), PAIR.rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.Registry, "load", own_table(table))
        leave_run(expand("backbones", table, folder=str(project.configs), datasets=["tiny"])[1].config)
        refused = run("reproduce.py", *arguments, "batch_size=8")
    assert refused.code == 2
    assert "batch_size 16 -> 8" in refused.errors
    assert "--restart" in refused.errors


def test_a_restart_discards_the_evaluation_too(project):
    config = pair_cells(project)[0].config
    leave_run(config)
    write_text(f"{config.log_path}/metrics.csv", "epoch\n1\n")
    with Run(config, restart=True):
        pass
    assert not [name for name in os.listdir(config.log_path) if name.startswith("metrics.")]


# running scripts

SCRIPT = """\
import pathlib, sys, time
row = sys.argv[-1].split("_")[2]
print(sys.argv[1:])
{body}
"""


def make_scripts(folder, train, evaluate="pass"):
    """Stand-ins for train.py and eval.py that know the name of their `row`."""
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT.format(body=train))
    (folder / "eval.py").write_text(SCRIPT.format(body=evaluate))
    return folder


def test_a_failing_cell_does_not_stop_the_others(project):
    scripts = make_scripts(project.folder / "scripts", "print('boom')\nprint()\nsys.exit(3 * (row == 'still'))",
                           "sys.exit('error: no')")
    still, forward = cells = pair_cells(project)
    said = []
    with Runner(1, "cpu", folder=scripts) as runner:
        failures = run_cells(dict(zip(cells, (State.PART, State.OTHER), strict=True)), runner, 1, said.append)
    assert failures == {still: "boom", forward: "error: no"}
    assert [re.sub(r"\d+\.\d s", "- s", line) for line in said] == [
        "tiny, 8 bits, at rest, seed 1: train failed after - s: boom",
        "tiny, 8 bits, forward | only, seed 1: train - s",
        "tiny, 8 bits, forward | only, seed 1: eval failed after - s: error: no"]
    log = (forward.log_path / "cell.log").read_text()
    assert f"$ python train.py --config {forward.path} --gpu cpu --restart --set directions=forward" in log
    assert "'--resume'" in (still.log_path / "cell.log").read_text()


def test_scripts_that_leave_nothing_are_a_failure(project):
    cells = pair_cells(project)
    leave_run(cells[0].config)
    with Runner(1, folder=make_scripts(project.folder / "scripts", "pass")) as runner:
        failures = run_cells(dict.fromkeys(cells, State.PART), runner, 2, lambda line: None)
    assert set(failures) == set(cells)  # the evaluation that was there is not taken for this one


def test_an_interrupt_ends_the_children_and_starts_no_cell(project, monkeypatch):
    monkeypatch.setattr(runner_module, "_GRACE_SECONDS", 0.2)
    started = project.folder / "started"
    scripts = make_scripts(project.folder / "scripts",
                           f"pathlib.Path({str(started)!r}).touch()\ntime.sleep(60)")

    def interrupt():
        while not started.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    cells = pair_cells(project, num_seeds=2)
    threading.Thread(target=interrupt).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Runner(1, folder=scripts) as runner:
        run_cells(dict.fromkeys(cells, State.MISSING), runner, 1, lambda line: None)
    assert time.monotonic() - begin < 20
    assert [cell.log_path.exists() for cell in cells] == [True, False, False, False]
    with pytest.raises(KeyboardInterrupt):
        runner.run("train.py", cells[1])


@pytest.mark.parametrize("status", [130, 143, 129])
def test_an_interrupted_child_is_an_interrupt(status, project):
    cells = pair_cells(project)
    scripts = make_scripts(project.folder / "scripts", f"sys.exit({status})")
    with pytest.raises(KeyboardInterrupt), Runner(1, folder=scripts) as runner:
        run_cells(dict.fromkeys(cells, State.MISSING), runner, 1, lambda line: None)
    assert [cell.log_path.exists() for cell in cells] == [True, False]


def test_threads_are_shared_between_jobs(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert [threads_per_cell(jobs) for jobs in (1, 2, 4, 7)] == [6, 3, 1, 1]
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert threads_per_cell(3) == 2


def test_cells_stand_side_by_side_as_far_as_memory_goes(project, monkeypatch):
    cells, cpu = pair_cells(project), torch.device("cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr(runner_module, "available_memory", lambda: 64 << 30)
    assert side_by_side(cells, cpu) == len(cells) == 2
    assert side_by_side(4 * cells, cpu) == 8
    assert side_by_side(4 * cells, torch.device("cuda")) == side_by_side([], cpu) == 1
    monkeypatch.setattr(runner_module, "available_memory", lambda: 5 * runner_module.BYTES_PER_CELL)
    assert side_by_side(4 * cells, cpu) == 5
    monkeypatch.setattr(runner_module, "available_memory", lambda: runner_module.BYTES_PER_CELL // 2)
    assert side_by_side(cells, cpu) == 1


# what is measured beside

def test_times_are_medians_of_paired_rounds(monkeypatch):
    def subject(network, device):
        steps, encodes = map(iter, network)
        return SimpleNamespace(step=lambda: next(steps), encode=lambda: next(encodes))

    monkeypatch.setattr(timing, "_Subject", subject)
    first, second = timing.measure_times([[(99, 2, 4, 3), (9, 1, 1, 1)], [(99, 4, 4, 9), (9, 2, 3, 4)]],
                                         torch.device("cpu"), seconds=0)
    assert first == timing.Times(step=3, step_ratio=1, encode=1, encode_ratio=1)
    assert second == timing.Times(step=4, step_ratio=2, encode=3, encode_ratio=3)  # 2, 1, 3


def test_parameters_that_the_codes_depend_on():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = torch.nn.Linear(3, 4), torch.nn.Linear(5, 6)
            self.unused.bias.requires_grad_(False)

        def encode(self, x):
            return self.used(x).mean(1).sign()

    config = SimpleNamespace(item_shape=(2, 3))
    assert count_parameters(Model(), config, torch.device("cpu")) == (3 * 4 + 4, 3 * 4 + 4 + 5 * 6)


# the table

def test_mean_and_standard_deviation():
    assert spread([]) == "-"
    assert spread([0.05015]) == "0.0502"
    assert spread([0.04, 0.05, 0.06]) == "0.0500 ± .0100"  # squares .0001 + 0 + .0001, over 2, rooted
    assert spread([1.0, 1.0]) == "1.0000 ± .0000"


def record(model, seed, value, **more):
    return {"dataset": "tiny", "model": model, "bits": 8, "seed": seed, "status": "done", "mAP@5": value,
            "GmAP": value, "mAP@5 by index": value, "GmAP by index": value} | more


def failed(model, seed):
    return {"dataset": "tiny", "model": model, "bits": 8, "seed": seed, "status": "failed"}


def test_lines_over_seeds():
    before = {"untrained": 0.01, "encoder_params": 1_234_567, "all_params": 2_000_000}
    lines = table_lines([
        record("A", 1, 0.1, **before), record("A", 2, 0.3, **before | {"untrained": 0.02}), failed("A", 3),
        failed("B", 1), failed("B", 2), failed("B", 3), *baseline_records(
            SimpleNamespace(dataset="tiny", bits=8, seed=1),
            [{"method": "ITQ", "bits": 8, "ties": ties, "mAP@5": value, "GmAP": value}
             for ties, value in (("index", 0.5), ("expected", 0.4))])])
    assert lines == [
        {"model": "A", "bits": "8", "seeds": "2 (1 failed)", "mAP@5": "0.2000 ± .1414", "GmAP": "0.2000 ± .1414",
         "mAP@5 by index": "0.2000 ± .1414", "untrained": "0.0150", "encoder params": "1.23 M",
         "all params": "2.00 M"},
        {"model": "B: failed", "bits": "8", "seeds": "0 (3 failed)"} | dict.fromkeys(
            ("mAP@5", "GmAP", "mAP@5 by index", "untrained", "encoder params", "all params"), "-"),
        {"model": "ITQ", "bits": "8", "seeds": "1", "mAP@5": "0.4000", "GmAP": "0.4000", "mAP@5 by index": "0.5000",
         "untrained": "-", "encoder params": "-", "all params": "-"}]


def test_lines_of_one_seed_have_times_and_no_seeds():
    times = {"step_ms": 123.4, "step_ratio": 1.5, "encode_ms": 0.0456, "encode_ratio": 2.0}
    lines = table_lines([record("A", 1, 0.1, **times), record("A", 1, 0.2) | {"dataset": "other"}])
    assert [line["dataset"] for line in lines] == ["tiny", "other"]
    assert "seeds" not in lines[0]
    assert (lines[0]["train step"], lines[0]["encode"]) == ("1.50 (123 ms)", "2.00 (0.046 ms)")
    assert (lines[1]["train step"], lines[1]["encode"]) == ("-", "-")


def test_markdown_and_csv(tmp_path):
    text = markdown("Title", "python reproduce.py", "today", [{"model": "a|b", "mAP@5": "0.1"}], ["A note."])
    assert text == ("# Title\n\n    python reproduce.py\n\ntoday.\n\n| model | mAP@5 |\n| - | - |\n| a\\|b | 0.1 |\n\n"
                    "- A note.\n")
    write_csv(tmp_path / "out/t.csv", [record("S5VH, tied", 1, 0.1), failed("B", 1)])
    first, second = csv.DictReader((tmp_path / "out/t.csv").read_text().splitlines())
    assert (first["model"], float(first["mAP@5"])) == ("S5VH, tied", 0.1)
    assert (second["status"], second["mAP@5"]) == ("failed", "")


def test_every_column_is_explained(project):
    cells = pair_cells(project, num_seeds=2, settings={"ap_normaliser": "hits"})
    text = " ".join(describe_columns(cells, [record("A", 1, 0.1, untrained=0.1, step_ms=1.0)], 2))
    for words in ("divided by hits", "n - 1", "untrained", "encoder params", "train step, encode", "2 threads"):
        assert words in text


# all of it, on a tiny dataset

@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A project with a table `pair` of its own, and the result of the first `reproduce` of it."""
    project = make_configs(tmp_path_factory.mktemp("reproduced"))
    (project.folder / "tables").mkdir()
    (project.folder / "tables/pair.py").write_text("from tests.test_reproduce import PAIR as TABLE\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "__path__", [*tables.__path__, str(project.folder / "tables")])
        patch.setenv("OMP_NUM_THREADS", "1")
        fork_cells(patch)
        project.out = project.folder / "results"
        project.reproduce = lambda *flags: run("reproduce.py", "--table", "pair", "--configs", project.configs, "--out",
                                               project.out, "--gpu", "cpu", *flags)
        project.first = project.reproduce("--jobs", "2")
        yield project
    sys.modules.pop("tables.pair", None)


def records_of(project):
    return list(csv.DictReader((project.out / "pair.csv").read_text().splitlines()))


def test_from_features_to_a_table(reproduced):
    assert reproduced.first.code == 0, reproduced.first.errors + reproduced.first.output
    stages = re.findall(r": (\w+) [\d.]+ s$", reproduced.first.output, re.MULTILINE)
    assert sorted(stages) == ["eval", "eval", "preprocess", "train", "train"]
    still, forward, *shallow = records_of(reproduced)
    assert (still["status"], forward["status"]) == ("done", "done")
    assert float(still["mAP@1"]) == pytest.approx(float(still["untrained"]), abs=1e-12)
    assert float(forward["mAP@1"]) > float(forward["untrained"])
    assert int(still["encoder_params"]) > int(forward["encoder_params"])  # a norm more
    assert int(still["all_params"]) > int(still["encoder_params"])
    assert [row["model"] for row in shallow] == [
        "random", "LSH, means", "PCA sign, means", "SH, means", "ITQ, means", "ITQ, 5 segments", "ITQ, half-whitened"]
    last = reproduced.first.output.splitlines()[-1]
    files, following = last.split("; next: ")
    paths = [str(reproduced.out / f"pair{end}") for end in (".md", ".html", ".tex", ".csv", "_figures")]
    assert files == f"written: {', '.join(paths)}"
    assert following.startswith("python ")
    assert following.endswith(" --jobs 2 --seeds 3")
    text = (reproduced.out / "pair.md").read_text()
    assert text.startswith("# A pair\n\n    python reproduce.py --table pair --configs ")
    for words in ("| at rest | 8 | ", "forward \\| only", "| mAP@1 by index | untrained |", "torch ", "1 thread"):
        assert words in text
    assert re.search(r"at rest .* 1\.00 \(.* ms\) +1\.00 \(.* ms\)$", reproduced.first.output, re.MULTILINE)


def times_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_is_done_is_not_done_again(reproduced):
    before = records_of(reproduced)
    files = times_of(reproduced.folder / "logs")
    again = reproduced.reproduce("--no-timing")
    assert again.code == 0, again.errors
    assert " s\n" not in again.output
    assert times_of(reproduced.folder / "logs") == files
    timed = {"step_ms", "step_ratio", "encode_ms", "encode_ratio"}
    assert records_of(reproduced) == [{name: value for name, value in row.items() if name not in timed}
                                      for row in before]


def test_dry_run_lists_and_writes_nothing(reproduced):
    before = sorted(reproduced.folder.rglob("*"))
    result = reproduced.reproduce("--dry-run", "--seeds", "2")
    assert result.code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == ["state", "done", "missing", "done", "missing"]
    assert "run_name=pair_still_seed2" in result.output
    assert result.errors.splitlines()[-1].startswith("next: python ")
    assert result.errors.endswith(" --gpu cpu --seeds 2\n")
    assert sorted(reproduced.folder.rglob("*")) == before


def test_several_seeds_lead_on_to_codes_by_the_best(reproduced):
    told = runpy.run_path(str(ROOT / "reproduce.py"))["_encode_by_best"](pair_cells(reproduced))
    _, forward = pair_cells(reproduced)
    assert told.endswith(f"search.py encode --checkpoint {forward.config.file_path}/last.pth --features FILE --out "
                         "codes.h5")


def test_missing_data_end_everything_before_it_begins(reproduced):
    queries = reproduced.data / "query.h5"
    queries.rename(queries.with_suffix(".away"))
    result = reproduced.reproduce("--seeds", "2")
    queries.with_suffix(".away").rename(queries)
    assert result.code == 2
    assert result.errors.startswith(f"error: {queries}")
    assert result.errors.count("\n") == 1
    assert "preprocess" not in result.output


def test_a_damaged_cell_fails_alone_and_other_networks_are_not_kept(reproduced):
    """Last of all: it spoils a cell."""
    _, forward = pair_cells(reproduced)
    (forward.log_path / "metrics.json").unlink()
    with open(f"{forward.config.file_path}/last.pth", "r+b") as file:
        file.truncate(1000)
    still = reproduced.folder / "logs/tiny/S5VH_8bit_pair_still_seed1/untrained.json"
    kept = still.read_text()
    still.write_text(kept.replace('"config_sha256": "', '"config_sha256": "0').replace('"mAP@1": ', '"mAP@1": 9'))
    result = reproduced.reproduce("--no-timing")
    assert result.code == 1
    assert "train failed after" in result.output
    assert "last.pth: cannot be read" in result.output
    assert re.search(r"^forward \| only: failed +8 +-", result.output, re.MULTILINE)
    assert [row["status"] for row in records_of(reproduced)] == ["done", "failed"] + 7 * ["done"]
    assert still.read_text() == kept
