"""Codes for other programs: as text, as JSON, as an index of faiss."""

import csv
import json
import sys

import faiss
import numpy as np
import pytest

from inference.code_file import write_codes
from inference.code_set import CodeSet
from inference.index import Index
from inference.outputs import bit_strings
from tests.pipeline import run, succeed

IDS = ["a", "b, \"c\"", "d"]


@pytest.fixture
def codes(tmp_path):
    bits = np.packbits([[0, 1, 1, 0, 1, 0, 0, 0, 1, 1], [1] * 10, [0] * 10], axis=1)
    made = CodeSet(bits, np.array(IDS, object), 10, "f00d", {"model": "S5VH"})
    write_codes(tmp_path / "codes.h5", made)
    Index(made).save(tmp_path / "some.index")
    return made


def convert(tmp_path, *arguments):
    return run("search.py", "convert", "--codes", tmp_path / "codes.h5", *arguments)


def test_a_code_is_its_bits(codes, tmp_path):
    assert bit_strings(codes) == ["0110100011", "1111111111", "0000000000"]
    printed = convert(tmp_path).output
    rows = zip(IDS, bit_strings(codes), strict=True)
    assert list(csv.reader(printed.splitlines())) == [["id", "code"], *map(list, rows)]
    assert convert(tmp_path, "--ids", "d", "a").output == "id,code\na,0110100011\nd,0000000000\n"
    (tmp_path / "ids.txt").write_text("d\n")
    assert convert(tmp_path, "--ids-file", tmp_path / "ids.txt").output == "id,code\nd,0000000000\n"
    assert succeed("search.py", "convert", "--codes", tmp_path / "some.index").output == printed
    assert "'ghost' is not among its items" in convert(tmp_path, "--ids", "ghost").errors


def test_files_hold_the_same(codes, tmp_path):
    written = convert(tmp_path, "--out", tmp_path / "codes.csv").output
    written, following = written.split("; next: python ")
    assert written == f"written: {tmp_path}/codes.csv, 3 codes of 10 bits"
    assert following.endswith(f"search.py export --codes {tmp_path}/codes.h5 --to pgvector WHERE --table codes\n")
    assert (tmp_path / "codes.csv").read_text() == convert(tmp_path).output
    assert convert(tmp_path, "--out", tmp_path / "codes.json").code == 0
    assert json.loads((tmp_path / "codes.json").read_text()) == {
        "num_bits": 10, "model": "f00d", "made_from": {"model": "S5VH"}, "ids": IDS, "codes": bit_strings(codes)}
    refused = convert(tmp_path, "--out", tmp_path / "codes.xls")
    assert (refused.code, refused.errors.count("\n")) == (2, 1)
    assert ".csv or .json or .faiss" in refused.errors


def test_faiss_finds_what_the_index_finds(codes, tmp_path):
    written = convert(tmp_path, "--out", tmp_path / "codes.faiss").output
    assert written.partition("; next: ")[0].endswith(
        f"codes.faiss, 3 codes of 10 bits, {tmp_path}/codes.faiss.ids.txt")
    index = faiss.read_index_binary(str(tmp_path / "codes.faiss"))
    names = (tmp_path / "codes.faiss.ids.txt").read_text().splitlines()
    distances, rows = index.search(codes.bits, 3)
    ids, steps = Index(codes).search(codes.bits, 3)
    assert distances.tolist() == steps.tolist()
    assert [[names[row] for row in found] for found in rows] == ids.tolist()
    assert index.d == 16


def test_what_faiss_cannot_hold(codes, tmp_path, monkeypatch):
    lined = CodeSet(codes.bits, np.array(["a", "b\nc", "d"], object), 10)
    write_codes(tmp_path / "lined.h5", lined)
    refused = run("search.py", "convert", "--codes", tmp_path / "lined.h5", "--out", tmp_path / "x.faiss")
    assert (refused.code, "'b\\nc' does not fit into a line" in refused.errors) == (2, True)
    monkeypatch.setitem(sys.modules, "faiss", None)
    refused = convert(tmp_path, "--out", tmp_path / "x.faiss")
    assert (refused.code, "pip install faiss-cpu" in refused.errors) == (2, True)
    assert not list(tmp_path.glob("x.faiss*"))
