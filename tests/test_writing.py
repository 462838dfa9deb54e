"""Files written whole: what they replace, where they appear, and what is left of writers that were killed."""

import os
import resource
import stat
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.pipeline import ROOT, message_of
from utils.files import writing
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import keep_as, remove_parts, write_text

WRITERS = {
    "codes": "write_codes(path + '.h5', CodeSet(np.zeros((2000, 8), np.uint8), row_ids(2000), 64))",
    "index": "Index(CodeSet(np.zeros((2000, 8), np.uint8), row_ids(2000), 64)).save(path + '.index')",
    "features": "repack([path], path + '.repacked')",
}
SCRIPT = """import sys
import numpy as np
from dataset.repack import repack
from inference.code_file import write_codes
from inference.code_set import CodeSet, row_ids
from inference.index import Index
from utils.cli import run_script
path = sys.argv[1]
run_script(lambda: {action})
"""


@pytest.mark.parametrize(("writer", "kilobytes"), [*((writer, 4) for writer in WRITERS), ("features", 16)])
def test_hdf5_on_a_full_disk_ends_in_one_line(tmp_path, writer, kilobytes):
    """Its library alone ends in a segmentation fault, as the program does."""
    path = tmp_path / "a"
    with h5py.File(path, "w") as file:
        file["feats"] = np.zeros((50, 10, 100), np.float32)
    limit = kilobytes * 1024
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(action=WRITERS[writer]), str(path)], cwd=ROOT, text=True,
                          capture_output=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr.startswith(f"error: {path}.")
    assert "cannot write" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_through_a_disk_that_tells_is_read_back(tmp_path):
    values = {name: np.random.default_rng(0).normal(size=(300, 7)) for name in "abc"}
    with NewHdf5(tmp_path / "a.h5") as file:
        for name, layout in zip("abc", ({}, {"chunks": (9, 7), "compression": "gzip"}, {"maxshape": (None, 7)}),
                                strict=True):
            dataset = file.create_dataset(name, (300, 7), "f8", **layout)
            for start in range(0, 300, 50):
                dataset[start:start + 50] = values[name][start:start + 50]
                file.flush()
        file.attrs["text"] = "x" * 100
        np.testing.assert_array_equal(file["b"][()], values["b"])
        del file["c"]
        file["c"] = values["c"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["text"] == "x" * 100
        for name in "abc":
            np.testing.assert_array_equal(file[name][()], values[name])


def test_what_the_block_raises_is_not_hidden(tmp_path):
    def write():
        with NewHdf5(tmp_path / "a.h5"):
            raise KeyError("other")

    with pytest.raises(KeyError, match="other"):
        write()
    with NewHdf5(tmp_path / "a.h5") as file:
        file["a"] = 1


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real/a.txt", tmp_path / "a.txt"
    link.symlink_to("real/a.txt")
    for text in ("first", "second"):
        write_text(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    (tmp_path / "real/.a.txt.x.part").touch()
    remove_parts(link)
    assert sorted(tmp_path.rglob("*.txt*")) == [link, target]
    assert not list(tmp_path.rglob("*.part"))


def test_the_file_before_is_kept_where_the_name_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    link, second = tmp_path / "last", tmp_path / "previous"
    link.symlink_to("real/last")
    write_text(link, "first")
    keep_as(link, second)
    write_text(link, "second")
    assert (link.read_text(), second.read_text()) == ("second", "first")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_of_a_file_that_is_replaced_stay(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("first")
    path.chmod(mode)
    write_text(path, "second")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    (tmp_path / "b.txt").touch(0o644)
    keep_as(path, tmp_path / "b.txt")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode) == mode
    write_text(tmp_path / "new.txt", "")
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o666 & ~writing._umask()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_of_a_file_that_is_replaced_stays(tmp_path):
    (tmp_path / "a.txt").touch()
    os.chown(tmp_path / "a.txt", 1234, 1235)
    write_text(tmp_path / "a.txt", "text")
    status = (tmp_path / "a.txt").stat()
    assert (status.st_uid, status.st_gid) == (1234, 1235)


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "folder", "link"):
        text = message_of(lambda name=name: write_text(tmp_path / name, ""))
        assert f"{tmp_path / name}: cannot write (not a file" in text
