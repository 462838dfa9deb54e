"""What the scripts say: commands that run as they stand, all missing files at once, what was written, what is next."""

import json
import re
import runpy
import shlex
import shutil
import subprocess

import pytest

from dataset import missing
from tests.pipeline import ROOT, make_project, run, succeed
from training.checkpoints import read_checkpoint, write_checkpoint
from training.logs import WIDTH, epoch_line
from utils.cli import first_step, vh_command


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("messages"))
    project.preprocess = succeed("preprocess.py", project.config, "--gpu", "cpu", "--set", "nbits=16")
    project.bits16 = succeed("train.py", project.config, "--gpu", "cpu", "--set", "nbits=16")
    succeed("preprocess.py", "--config", project.config)
    project.train = succeed("train.py", "--config", project.config)
    project.eval = succeed("eval.py", "--config", project.config)
    return project


def next_command(result):
    """The script and the words of the command that the last line names."""
    words = shlex.split(result.output.splitlines()[-1].partition("next: ")[2])
    assert words[0] == "python"
    return words[1].rpartition("/")[2], words[2:]


def test_the_next_command_repeats_config_and_overrides(trained):
    given = ["--config", str(trained.config), "--gpu", "cpu", "--set", "nbits=16"]
    assert next_command(trained.preprocess) == ("train.py", given)
    assert next_command(trained.bits16) == ("eval.py", given)
    script, words = next_command(trained.bits16)
    assert next_command(succeed(script, *words)) == ("search.py", [
        "encode", "--config", str(trained.config), "--features", "FILE", "--out", "codes.h5", "--gpu", "cpu", "--set",
        "nbits=16"])


def test_search_goes_on_from_step_to_step(trained, tmp_path):
    fill = {"FILE": str(trained.data / "query.h5"), "codes.h5": str(tmp_path / "codes.h5"),
            "videos.index": str(tmp_path / "videos.index")}
    result, seen = trained.eval, []
    for _ in range(3):
        script, words = next_command(result)
        result = succeed(script, *[fill.get(word, word) for word in words])
        seen.append(words[0])
    assert seen == ["encode", "index", "query"]
    assert result.output.startswith("query,rank,id,distance")


def test_the_last_line_names_what_was_written(trained):
    checkpoint, logs = trained.checkpoint, trained.logs
    names = [checkpoint, *(logs / name for name in ("log.txt", "metrics.jsonl", "metrics.csv", "config.py"))]
    assert trained.train.output.splitlines()[-1].startswith(f"written: {', '.join(map(str, names))}; next: ")
    assert trained.eval.output.splitlines()[-1].startswith(f"written: {logs}/map.txt, {logs}/metrics.json; next: ")
    first, again = (result.output.splitlines()[-1] for result in (
        trained.preprocess, succeed("preprocess.py", "--config", trained.config)))
    assert first.startswith(f"written: {trained.artefacts}/final_train_latent_feats.h5, ")
    assert f", {trained.artefacts}/hash_center_16.h5; next: " in first
    assert again.startswith("next: ")  # all was there


@pytest.mark.parametrize("script", ["search.py", "vh/__main__.py"])
def test_a_command_without_more_words_helps(script, monkeypatch):
    shown = run(script)
    assert (shown.code, shown.errors) == (0, "")
    assert "usage: " in shown.output
    assert "query" in shown.output or "compare" in shown.output


def test_search_names_what_it_wrote_and_what_is_next(trained, tmp_path):
    codes, index, results = tmp_path / "codes.h5", tmp_path / "videos.index", tmp_path / "results.csv"
    more = tmp_path / "more.h5"
    for out, name in (codes, "database"), (more, "query"):
        ids = tmp_path / f"{name}.txt"
        ids.write_text("".join(f"{name}{row}\n" for row in range(30 if name == "database" else 10)))
        succeed("search.py", "encode", "--config", trained.config, "--features", trained.data / f"{name}.h5", "--ids",
                ids, "--out", out)
    succeed("search.py", "index", "--codes", codes, "--out", index)
    found = succeed("search.py", "query", "--index", index, "--codes", more, "--out", results)
    assert found.output.startswith(f"written: {results}, 10 items for each of 10 queries; next: ")
    script, words = next_command(found)
    added = succeed(script, *[str(more) if word == "FILE" else word for word in words])
    assert f"written: {index}, flat, 40 codes" in added.output
    removed = succeed("search.py", "remove", "--index", index, "--ids", "query3")
    assert removed.output.startswith(f"written: {index}, 1 item removed, 39 left; next: ")
    script, words = next_command(removed)
    assert words[:3] == ["query", "--index", str(index)]
    assert succeed(script, *[str(trained.data / "query.h5") if word == "FILE" else word
                             for word in words]).output.startswith("query,rank,id,distance")


def test_what_is_taken_out_of_a_server_leads_on(monkeypatch):
    monkeypatch.setattr("inference.export.delete", lambda *arguments: None)
    told = succeed("search.py", "remove", "--from", "pgvector", "postgresql://me:secret@host/base", "--table", "videos",
                   "--ids", "a", "b")
    assert told.output.startswith("written: videos (pgvector), 2 items removed; next: python ")
    assert next_command(told)[1] == ["export", "--codes", "FILE", "--to", "pgvector", "WHERE", "--table", "videos",
                                     "--upsert"]
    assert "secret" not in told.output


@pytest.mark.parametrize(("arguments", "wanted"), [
    (("configs/S5VH/digits.py", "data/digits/", "data/digits"), []),
    (("configs/SHC/cifar10.py", "/x y", "data/cifar10"), ["--set", "data_root=/x y/"])])
def test_a_sample_set_leads_to_its_config_from_any_folder(monkeypatch, arguments, wanted):
    for folder in ROOT, ROOT / "docs":
        monkeypatch.chdir(folder)
        python, script, flag, config, *more = shlex.split(first_step(*arguments))
        assert (python, flag, more) == ("python", "--config", wanted)
        assert (folder / script).resolve() == ROOT / "preprocess.py"
        assert (folder / config).resolve() == ROOT / arguments[0]


def test_a_command_of_vh_runs_as_it_stands(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert vh_command("init", "a b.h5") == "python -m vh init 'a b.h5'"
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert vh_command("init") == "vh init"


def test_missing_artefacts_and_checkpoints_name_the_whole_command(trained):
    for script, wanted in (("train.py", "preprocess.py"), ("eval.py", "train.py")):
        refused = run(script, trained.config, "--nbits", 32, "--set", "seed=2", "run_name=a b".replace(" ", "_"))
        command = f"{wanted} --config {trained.config} --set nbits=32 seed=2 run_name=a_b"
        assert refused.code == 2
        assert command in refused.errors
        assert "None" not in refused.errors


def test_an_unfinished_run_is_told_in_table_and_files(trained, tmp_path):
    content = read_checkpoint(trained.checkpoint)
    own = (trained.logs / "map.txt").read_text()
    assert own.startswith(f"S5VH on tiny, checkpoint {trained.checkpoint}\n")
    write_checkpoint(tmp_path / "half.pth", content | {"finished": False, "epoch": 1})
    result = succeed("eval.py", "--config", trained.config, "--checkpoint", tmp_path / "half.pth", "--report")
    assert len(re.findall(r"^S5VH, epoch 2 of 3, unfinished +8 ", result.output, re.MULTILINE)) == 2
    folder = trained.logs / f"of_{tmp_path.name}_half"
    assert f"S5VH, epoch 2 of 3, unfinished on tiny, checkpoint {tmp_path}/half.pth" in (folder / "map.txt").read_text()
    assert json.loads((folder / "metrics.json").read_text())["details"]["unfinished"] is True
    assert (trained.logs / "map.txt").read_text() == own
    assert "<h1>S5VH, epoch 2 of 3, unfinished on tiny, 8 bits</h1>" in (folder / "report.html").read_text()
    assert f"--checkpoint {tmp_path}/half.pth" in result.output.splitlines()[-1]


def test_all_missing_files_are_told_at_once(tmp_path):
    project = make_project(tmp_path)
    for path in project.data.iterdir():
        path.unlink()
    files = {"train.h5": "train_feat_path", "database.h5": "test_feat_path", "query.h5": "query_feat_path",
             "database.mat": "label_path", "query.mat": "query_label_path"}
    for script, names in {"preprocess.py": [*files][:1], "train.py": [*files], "eval.py": [*files][1:]}.items():
        refused = run(script, "--config", project.config)
        assert refused.code == 2
        lines = refused.errors.splitlines()
        assert [line.split(": ")[:2] for line in lines] == [["error", str(project.data / name)] for name in names]
        assert all(f"or {files[name]} in {project.config}" in line for name, line in zip(names, lines, strict=True))


@pytest.mark.parametrize(("config", "command"), [
    ("S5VH/digits.py", "python -m dataset.digits --out {0}"), ("S5VH/watch.py", "python -m dataset.watch --out {0}"),
    ("S5VH/digits100.py", "python -m dataset.digits --variant digits100 --out {0}")])
def test_sample_sets_name_their_own_command(tmp_path, config, command):
    refused = run("train.py", "--config", ROOT / "configs" / config, "--set", f"data_root={tmp_path}/d/")
    assert refused.errors.count("\n") == 1
    assert f"`{command.format(f'{tmp_path}/d/')}`" in refused.errors
    assert "digits" in missing.SAMPLES


def test_published_sets_name_their_link(tmp_path):
    refused = run("train.py", "--config", ROOT / "configs/S5VH/ucf.py", "--set", f"data_root={tmp_path}/")
    lines = refused.errors.splitlines()
    assert len(lines) == 4
    assert all("pan.baidu.com" in line and "UCF101" in line for line in lines)


def test_a_dry_run_of_tables_says_what_is_absent(tmp_path):
    result = succeed("reproduce.py", "--table", "main", "--datasets", "hmdb", "--bits", 16, "--dry-run", "--set",
                     f"data_root={tmp_path}/", f"home_root={tmp_path}/", "S5VH_type=mini", "hidden_size=8",
                     "decoder_size=8")
    assert "missing" in result.output
    assert result.errors.count(": not there; hmdb has its ") == 4


def test_a_run_is_extended_and_says_so(trained):
    arguments = ["--config", trained.config, "--run-name", "longer", "--gpu", "cpu"]
    succeed("train.py", *arguments, "--num-epochs", 2)
    refused = run("train.py", *arguments, "--resume", "--num-epochs", 1)
    assert "num_epochs 2 -> 1" in refused.errors
    assert "lr" in run("train.py", *arguments, "--resume", "--num-epochs", 4, "--lr", "1e-3").errors
    output = succeed("train.py", *arguments, "--resume", "--num-epochs", 4).output
    assert "extended from 2 epochs" in output
    assert "epoch 3/4" in output
    assert "epoch 2/4" not in output
    rows = (trained.folder / "logs/tiny/S5VH_8bit_longer/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2, 3, 4]
    evaluated = succeed("eval.py", *arguments, "--num-epochs", 4)
    assert "S5VH, extended from 2 epochs" in evaluated.output
    assert "finished; nothing to do" in succeed("train.py", *arguments, "--resume", "--num-epochs", 4).output
    succeed("train.py", *arguments, "--resume", "--num-epochs", 5)
    content = read_checkpoint(trained.folder / "checkpoint/tiny/S5VH_8bit_longer/last.pth")
    assert (content["extended_from"], content["config"]["num_epochs"], content["epoch"]) == ([2, 4], 5, 4)
    assert "extended_from" not in read_checkpoint(trained.checkpoint)


def test_lines_of_epochs_are_short_and_say_what_is_left(trained):
    lines = [line for line in trained.train.output.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    assert all(len(line) <= 120 for line in lines)
    assert re.match(r"epoch 1/3, \d+ s left: total ", lines[0])
    assert re.match(r"epoch 3/3 total [\d.]+ mAP@1 ", lines[-1])
    many = {"epoch": 7, "lr": 1e-3, "loss/total": 1.5, **{f"loss/term{i}": i / 3 for i in range(40)}, "mAP@5": 0.25}
    line = epoch_line(many, 350, 7200.0)
    assert line.startswith("epoch 7/350, 2.0 h left: total 1.5 mAP@5 0.25 term0 0 ")
    assert WIDTH - 20 < len(line) <= WIDTH
    assert "None" not in epoch_line({"epoch": 1}, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")
                                        if "__main__" in path.read_text()))
def test_help_of_a_benchmark_starts_no_work(name, monkeypatch, capsys):
    def start(*arguments, **settings):
        raise AssertionError("it has started something")

    monkeypatch.setattr("sys.argv", [name, "--help"])
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / f"benchmarks/{name}.py"), run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")
