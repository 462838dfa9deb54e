"""A part of a table that is made anew leaves the rest of it standing; an interrupt says what is kept."""

import csv
from unittest import mock

import pytest

from tables.grid.merge import merged
from tables.grid.report import write_csv
from tables.grid.runner import Runner
from tests.forked import fork_cells
from tests.pipeline import message_of, own_table, run
from tests.test_reproduce import PAIR, make_configs
from utils import registry


def record(model="A", bits=16, seed=1, status="done", dataset="x", **values):
    return {"dataset": dataset, "model": model, "bits": bits, "seed": seed, "status": status, "mAP@5": 0.1 + 0.2,
            **values}


def published(model="A", **values):
    return {"dataset": "x", "model": model, "bits": 16, "status": "published", "source": "a paper",
            "published mAP@5": 0.5, **values}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


def test_records_of_other_cells_stay_and_come_back_as_they_were(path):
    first, none = merged(path, [record(encoder_params=7), published(), record("B")], "lr=1")
    assert none == 0
    write_csv(path, first)
    both, kept = merged(path, [record("B", seed=2), record("C", 32), record(dataset="y")], "lr=1")
    assert kept == 3
    assert [(r["dataset"], r["bits"], r["model"], r.get("seed")) for r in both] == [
        ("x", 16, "A", 1), ("x", 16, "A", None), ("x", 16, "B", 1), ("x", 16, "B", 2), ("x", 32, "C", 1),
        ("y", 16, "A", 1)]
    assert both[0] == first[0]
    assert both[1] == first[1]


def test_new_records_replace_old_ones(path):
    write_csv(path, merged(path, [record(), published(), record("B", status="failed")], "")[0])
    both, kept = merged(path, [record() | {"mAP@5": 0.9}, published() | {"published mAP@5": 0.6}], "")
    assert kept == 0
    assert [r["status"] for r in both] == ["done", "published"]
    assert (both[0]["mAP@5"], both[1]["published mAP@5"]) == (0.9, 0.6)


def test_other_overrides_do_not_mix(path):
    write_csv(path, merged(path, [record()], "num_epochs=1")[0])
    assert merged(path, [record("B")], "")[1] == 0
    assert merged(path, [record("B")], "num_epochs=1")[1] == 1
    write_csv(path, [record()])  # as version 0.1 wrote it
    assert merged(path, [record("B")], "")[1] == 0


def test_what_is_no_table_is_refused(path):
    path.write_text("set,bits\n,many\n")
    assert "no table of reproduce.py" in message_of(lambda: merged(path, [record()], ""))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_configs(tmp_path_factory.mktemp("merge"))


def reproduce(project, *flags):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.Registry, "load", own_table(PAIR))
        patch.setenv("OMP_NUM_THREADS", "1")
        return run("reproduce.py", "--table", "pair", "--configs", project.configs, "--out", project.folder / "out",
                   "--gpu", "cpu", "--no-timing", *flags)


def test_an_interrupt_says_what_is_kept_and_how_to_go_on(project):
    with mock.patch.object(Runner, "run", side_effect=KeyboardInterrupt):
        result = reproduce(project, "--restart")
    assert result.code == 130
    assert "kept: 0 of 2 cells are done, 0 have come part of their way. Go on with:\n" in result.errors
    command = result.errors.splitlines()[1]
    assert command.endswith("--no-timing")
    assert "reproduce.py --table pair --configs" in command


def test_a_table_made_row_by_row_is_whole(project, monkeypatch):
    fork_cells(monkeypatch)
    names = [row.name for row in PAIR.rows]
    for name in names:
        result = reproduce(project, "--rows", name)
        assert result.code == 0, result.errors + result.output
    rows = list(csv.DictReader((project.folder / "out/pair.csv").read_text().splitlines()))
    labels = [row.label for row in PAIR.rows]
    assert [row["model"] for row in rows if row["model"] in labels] == labels
    table = (project.folder / "out/pair.md").read_text()
    assert all(label.replace("|", "\\|") in table for label in labels)
    assert "of earlier runs of this table and were kept" in table
