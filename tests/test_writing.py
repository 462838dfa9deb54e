"""Files written whole: what they replace, where they appear, and what is left of writers that were killed."""

import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.pipeline import ROOT
from utils.files.new_hdf5 import NewHdf5

WRITERS = {
    "codes": "write_codes(path + '.h5', CodeSet(np.zeros((2000, 8), np.uint8), row_ids(2000), 64))",
    "index": "Index(CodeSet(np.zeros((2000, 8), np.uint8), row_ids(2000), 64)).save(path + '.index')",
    "features": "repack([path], path + '.repacked')",
}
SCRIPT = """import sys
import numpy as np
from dataset.repack import repack
from inference.code_file import CodeSet, row_ids, write_codes
from inference.index import Index
from utils.cli import run_script
path = sys.argv[1]
run_script(lambda: {action})
"""


@pytest.mark.parametrize("kilobytes", [4, 16])
@pytest.mark.parametrize("writer", WRITERS)
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
