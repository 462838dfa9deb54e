"""CIFAR-10's protocols, packed from files of its binary form."""

import h5py
import numpy as np
import pytest

from dataset.cifar10 import BATCHES, QUERIES_AND_TRAIN, read_batches, split_rows
from tests.pipeline import ROOT, message_of, run, succeed
from utils.config import load_config


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """Six files of 60 pictures, each with the number of its file in red and its place in green; the classes in turn."""
    folder = tmp_path_factory.mktemp("batches")
    for number, name in enumerate(BATCHES):
        records = np.zeros((60, 1 + 3 * 1024), np.uint8)
        records[:, 0] = np.arange(60) % 10
        records[:, 1:1025] = number
        records[:, 1025:2049] = np.arange(60)[:, None]
        records[:, 2049 + 31] = 7  # blue, the end of the first row
        records.tofile(folder / name)
    return folder


@pytest.mark.parametrize("protocol", QUERIES_AND_TRAIN)
def test_protocols_have_the_sizes_of_their_configs(protocol):
    classes = np.arange(60000) % 10
    rows, config = split_rows(classes, protocol, 0), load_config(ROOT / f"configs/CSQ/{protocol}.py")
    database = rows.get("database", rows["train"])
    assert [len(rows["train"]), len(database), len(rows["query"])] == [
        config.train_num_sample, config.test_num_sample, config.query_num_sample]
    assert not set(rows["query"]) & {*rows["train"], *database}
    assert (set(rows["train"]) <= set(database)) == (protocol != "cifar10")
    assert len({*rows["query"], *rows["train"], *database}) == 60000
    assert (np.bincount(classes[rows["train"]]) == len(rows["train"]) // 10).all()


def test_the_command_packs_what_the_files_hold(batches, tmp_path):
    pictures, classes = read_batches(batches)
    assert pictures.shape == (360, 32, 32, 3)
    assert pictures[61, 0, 31].tolist() == [1, 1, 7]
    assert pictures[61, 1, 31].tolist() == [1, 1, 0]
    output = succeed("dataset/cifar10.py", "--source", batches, "--protocol", "cifar10_2", "--out", tmp_path).output
    assert "360 query, 0 train" in output  # of so few, the first 1,000 of each class
    assert output.endswith(f"configs/SHC/cifar10_2.py --set data_root={tmp_path}/\n")
    with h5py.File(tmp_path / "query.h5") as file:
        rows = split_rows(classes, "cifar10_2", 2025)["query"]
        np.testing.assert_array_equal(file["feats"][:], pictures[rows])
        np.testing.assert_array_equal(file["labels"][:].argmax(1), classes[rows])


def test_bad_files_end_in_one_line(batches, tmp_path):
    assert "data_batch_1.bin: cannot be read" in message_of(lambda: read_batches(tmp_path))
    for name in BATCHES:
        (tmp_path / name).write_bytes((batches / name).read_bytes()[:-1])
    done = run("dataset/cifar10.py", "--source", tmp_path, "--out", tmp_path / "out")
    assert (done.code, done.errors.count("\n")) == (2, 1)
    assert "are not records" in done.errors
    assert not (tmp_path / "out").exists()
