"""What is written into documents by commands: published numbers into configs, tables into docs/results.md."""

import csv
import re

import pytest

from tables.grid import collect, headers
from tables.grid.collect import BEGIN, END, with_tables
from tables.grid.headers import published_part, with_published
from tables.grid.published import FILES
from tests.pipeline import ROOT, message_of

CONFIGS = sorted((ROOT / "configs").glob("[!_]*/*.py"))
_TABLE = re.compile(r"# Not run here. Published mAP@k, (.*?)(?:, which .*)?:\n#     bits(.*)\n((?:#  .*\n)+)")
TITLES = [f"{path.parent.name}/{path.stem}" for path in CONFIGS]


@pytest.mark.parametrize("path", CONFIGS, ids=TITLES)
def test_headers_say_what_was_reached_and_what_is_published(path):
    text = path.read_text()
    head = text.partition("\n_base_ =")[0] + "\n"
    assert ("# Not run here." in head) != ("# Measured" in head)
    assert with_published(text, path.parent.name, path.stem) == text, "run `python -m tables.grid.headers`"


def test_every_number_of_a_header_is_one_of_published_csv():
    lines = []
    for name in FILES:
        with open(ROOT / "tables" / name, newline="") as file:
            lines += csv.DictReader(file)
    found = 0
    for path in CONFIGS:
        head = path.read_text().partition("\n_base_ =")[0] + "\n"
        for block in _TABLE.finditer(head):
            metrics = block[2].split()
            of_source = [line for line in lines if line["dataset"] == path.stem and
                         re.sub(" Table .$", "", line["source"]) == block[1]]
            for row in block[3].splitlines():
                bits, *values = row.strip("# ").split()
                for metric, value in zip(metrics, values, strict=True):
                    assert any(f"{float(line['value']):.3f}" == value and line["metric"] == f"mAP{metric}" and
                               line["bits"] == bits for line in of_source), (path, row)
                    found += 1
    assert found > 100


def test_a_header_follows_the_file():
    assert published_part("LSTM", "act") == "# Not run here. tables/published.csv has nothing of it.\n"
    assert "#       64 0.267 0.187 0.143 0.117 0.097 0.084\n" in published_part("RetNet", "hmdb")
    text = "# A\n# Not run here. Once 0.9:\n#     bits @5\n#       16 0.9\n# B\n_base_ = ''\n"
    assert with_published(text, "LSTM", "act") == (
        "# A\n# Not run here. tables/published.csv has nothing of it.\n# B\n_base_ = ''\n")
    assert with_published("# Measured: 1\n", "LSTM", "act") == "# Measured: 1\n"


def test_the_command_writes_what_has_drifted_only(tmp_path, monkeypatch, capsys):
    (tmp_path / "LSTM").mkdir()
    (tmp_path / "LSTM/act.py").write_text("# Not run here.\n")
    (tmp_path / "LSTM/digits.py").write_text("# Measured\n")
    monkeypatch.setattr(headers, "CONFIGS", tmp_path)
    monkeypatch.setattr("sys.argv", ["headers"])
    headers.main()
    headers.main()
    assert capsys.readouterr().out == f"{tmp_path}/LSTM/act.py: written\n"


def test_tables_stand_between_the_marks():
    text = f"# Doc\n{BEGIN}old\n{END}after\n"
    once = with_tables(text, ["# A\n\n    cmd\n\n# not a title\n", "# B\n"], "x.md")
    assert once == f"# Doc\n{BEGIN}### A\n\n    cmd\n\n# not a title\n\n### B\n\n{END}after\n"
    assert with_tables(once, [], "x.md") == once
    assert with_tables(once, ["# B\nnew", "# AB"], "x.md") == (
        f"# Doc\n{BEGIN}### A\n\n    cmd\n\n# not a title\n\n### AB\n\n### B\nnew\n\n{END}after\n")


def test_a_table_of_other_datasets_stands_beside():
    one, other, again = (f"# A\n\n    reproduce.py --datasets {names} --bits 16\n\n{text}\n"
                         for names, text in (("x", "1"), ("x y", "2"), ("x", "3")))
    text = with_tables(with_tables(f"{BEGIN}{END}", [one, other], "x.md"), [again], "x.md")
    assert text == f"{BEGIN}##{again}\n##{other}\n{END}"
    for without in text.replace(BEGIN, ""), text.replace(END, ""):
        assert "x.md" in message_of(lambda text=without: with_tables(text, ["# A"], "x.md"))


def test_the_command_collects_a_folder(tmp_path, monkeypatch, capsys):
    document = tmp_path / "doc.md"
    document.write_text(BEGIN + END)
    monkeypatch.setattr("sys.argv", ["collect", "--results", str(tmp_path / "out"), "--into", str(document)])
    assert "no table is here" in message_of(collect.main)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.md").write_text("# A\n")
    collect.main()
    assert document.read_text() == f"{BEGIN}### A\n\n{END}"
    assert capsys.readouterr().out == f"written: {document}, 1 table from {tmp_path}/out\n"


@pytest.mark.parametrize("count", [24, 25])
def test_a_long_table_is_folded_below_its_charts(tmp_path, count):
    (tmp_path / "a_figures").mkdir()
    for name in "time", "memory":
        (tmp_path / f"a_figures/act_{name}.svg").write_text('<svg viewBox="0 0 1 1"></svg>\n')
    text = "# A\n\n| x |\n| - |\n" + count * "| 1 |\n" + "\n- note\n"
    (tmp_path / "a.md").write_text(text)
    found = collect.shown(tmp_path / "a.md", tmp_path / "docs/images")
    if count == 24:
        assert found == text
        return
    assert found.startswith("# A\n\nact memory:\n\n![act memory](images/a_act_memory.svg)\n\n"
                            "act time:\n\n![act time](images/a_act_time.svg)\n\n"
                            "<details><summary>All 25 rows</summary>\n\n| x |\n")
    assert found.endswith("| 1 |\n\n</details>\n\n- note\n")
    assert found.count("| 1 |") == 25
    assert (tmp_path / "docs/images/a_act_time.svg").read_text().startswith('<svg style="background: #fff" viewBox')


def test_the_results_have_the_marks():
    assert with_tables((ROOT / "docs/results.md").read_text(), [], "docs/results.md")
