"""The methods side by side: who leads, what the seeds do not tell apart, what has not learned."""

import pytest

from tables.grid import leaderboard
from tables.grid.collect import BEGIN, END
from tables.grid.merge import SHARED, read_records
from tables.grid.records import BY_INDEX
from tables.grid.report import write_csv
from tests.pipeline import message_of


def records(model, *values, shallow=False, dataset="x", **more):
    own = {} if shallow else {"config": f"configs/{model}/x.py", "untrained": 0.1, "encoder_params": 2_000_000,
                              "epochs": 25}
    return [{"dataset": dataset, "bits": 64, "model": model, "seed": seed, "status": "done", SHARED: "",
             **{name + ending: value for name in leaderboard.SHOWN for ending in ("", BY_INDEX)}, **own, **more}
            for seed, value in enumerate(values, 1)]


def test_the_reading_follows_from_the_seeds():
    text = leaderboard.leaderboard([
        *records("A", 0.50, 0.51, 0.52, step_ratio=1.0, encode_ratio=1.0),
        *records("B", 0.50, 0.52, 0.54, step_ratio=0.5, encode_ratio=2.0, epochs=100),
        *records("C", 0.30, 0.31, 0.32), *records("D", 0.11, 0.10, 0.12), *records("ITQ", 0.4, shallow=True),
        *records("E", 0.9, status="failed")])
    table = [line for line in text.splitlines() if line.startswith("|") and " seeds " not in line]
    ranked = [line.split(" | ")[0].strip("|* ") for line in table if "±" in line or "ITQ" in line]
    assert ranked == ["B", "A", "ITQ", "C", "D"]
    assert "**B** | 3 | 0.5200 ± .0200" in text
    # four times the epochs, half the time of a step
    assert next(line for line in table if "**B**" in line).endswith("| 100 | 2.00 | 2.00 |")
    assert ("B leads, 1.30 times ITQ, the best shallow code. Below it by more than the seeds differ: C and D. "
            "Not told apart from it: A.") in text
    assert "Not above ITQ: C and D. Less than 1.2 times their untrained start: D." in text
    assert "E" not in ranked


def test_one_seed_tells_nothing_apart():
    text = leaderboard.leaderboard([*records("A", 0.5), *records("B", 0.9)])
    assert "B leads. Too few seeds to say: A." in text
    assert "ITQ" not in text


def test_the_overview_ranks_by_the_geometric_mean():
    text = leaderboard.leaderboard([
        *records("A", 0.8), *records("A", 0.2, dataset="y"), *records("B", 0.3), *records("B", 0.9, dataset="y"),
        *records("C", 0.9), *records("ITQ", 0.2, shallow=True), *records("ITQ", 0.25, shallow=True, dataset="y")])
    overview = text.partition("### x")[0]
    assert "| B | 1.50 | 3.60 | 2.32 |\n| A | 4.00 | 0.80 | 1.79 |\n| C | 4.50 | - | - |\n" in overview
    assert "Above the best shallow code everywhere: B." in overview


def test_the_command_writes_between_the_marks(tmp_path, monkeypatch, capsys):
    document, path = tmp_path / "doc.md", tmp_path / "methods.csv"
    document.write_text(f"before\n{BEGIN}old\n{END}after\n")
    monkeypatch.setattr("sys.argv", ["leaderboard", "--results", str(path), "--into", str(document)])
    assert "reproduce.py --table methods" in message_of(leaderboard.main)
    write_csv(path, records("A", 0.5, status="failed"))
    assert "no record of a finished cell" in message_of(leaderboard.main)
    write_csv(path, [*records("A", 0.5), *records("ITQ", 0.4, shallow=True)])
    leaderboard.main()
    text = document.read_text()
    assert (text.partition(BEGIN)[0], text.partition(END)[2]) == ("before\n", "after\n")
    assert "old" not in text
    assert leaderboard.leaderboard(read_records(path)) in text
    assert "2 records" in capsys.readouterr().out


@pytest.mark.parametrize(("one", "other", "like"), [((0.5, 0.5), (0.5, 0.5), True), ((0.5, 0.5), (0.6, 0.6), False),
                                                    ((0.5,), (0.6, 0.6), None)])
def test_methods_without_spread(one, other, like):
    assert leaderboard.Entry(records("A", *one)).like(leaderboard.Entry(records("B", *other))) is like
