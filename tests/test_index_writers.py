"""Several processes on one index file: writers take turns, and what killed ones left does no harm."""

import os
import random
import stat
import time

import numpy as np
import pytest

from benchmarks.index_soak import Soak
from inference.code_file import write_codes
from inference.code_set import CodeSet
from inference.index import Index, load_index, sole_writer
from tests.pipeline import run, succeed

# From 3.12 on Python warns of forks where other tests have left threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def codes_of(*ids):
    bits = np.random.default_rng(0).integers(0, 256, (len(ids), 2), np.uint8)
    return CodeSet(bits, np.array(ids, object), 16)


@pytest.fixture
def index(tmp_path):
    Index(codes_of("a", "b", "c")).save(tmp_path / "videos.index")
    write_codes(tmp_path / "more.h5", codes_of("x", "y"))
    return tmp_path / "videos.index"


def while_another_adds(path, action):
    """What `action()` gives, which begins while another process is alone with the index and then adds an item."""
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            with sole_writer(path, print, changes=path.exists()):
                os.write(told, b"x")
                index = load_index(path) if path.exists() else None
                time.sleep(0.5)
                if index is None:
                    index = Index(codes_of("other"))
                else:
                    index.add(codes_of("other"))
                index.save(path)
        finally:
            os._exit(0)
    os.read(heard, 1)
    result = action()
    os.waitpid(child, 0)
    return result


@pytest.mark.parametrize(("command", "left"), [
    (("index", "--codes", "more.h5", "--add"), {"a", "b", "c", "other", "x", "y"}),
    (("remove", "--ids", "a", "c", "--index"), {"b", "other"})])
def test_writers_take_turns(index, command, left, monkeypatch):
    monkeypatch.chdir(index.parent)
    (index.parent / "link.index").symlink_to(index)  # another name of the same
    result = while_another_adds(index, lambda: succeed("search.py", *command, "link.index"))
    assert "in use by process" in result.errors
    assert set(load_index(index).codes.ids) == left
    assert not list(index.parent.glob(".*"))
    assert (index.parent / "link.index").is_symlink()


def test_a_new_index_is_not_made_twice(index):
    path = index.with_name("new.index")
    command = "index", "--codes", index.with_name("more.h5"), "--out", path
    result = while_another_adds(path, lambda: run("search.py", *command))
    assert result.code == 2
    assert "exists already" in result.errors
    assert set(load_index(path).codes.ids) == {"other"}


def test_what_a_killed_writer_left_is_removed(index):
    for name in (".videos.index.abc.part", ".videos.index.lock"):
        (index.parent / name).write_bytes(b"half")
    (index.parent / ".other.index.abc.part").touch()
    index.chmod(0o600)
    succeed("search.py", "remove", "--index", index, "--ids", "a")
    assert [path.name for path in index.parent.glob(".*")] == [".other.index.abc.part"]
    assert stat.S_IMODE(index.stat().st_mode) == 0o600


@pytest.mark.parametrize("command", [("remove", "--ids", "a", "--index"), ("index", "--codes", "more.h5", "--add")])
def test_an_index_that_is_not_there_leaves_no_trace(index, command, monkeypatch):
    monkeypatch.chdir(index.parent)
    result = run("search.py", *command, "nowhere/b.index")
    assert (result.code, "nowhere/b.index: no such file" in result.errors) == (2, True)
    assert not (index.parent / "nowhere").exists()


def test_nothing_acknowledged_is_lost_under_kills(tmp_path):
    """`python -m benchmarks.index_soak` does 200 rounds."""
    Soak(tmp_path, random.Random(5)).run(8)
