"""CIFAR-10 in the three protocols of image hashing, packed from its binary version (cifar-10-binary.tar.gz, unpacked).

    python -m dataset.cifar10 --source cifar-10-batches-bin [--protocol cifar10_1] [--seed 2025] [--out data/cifar10_1]

Of each class, `cifar10` draws 100 queries and 500 training pictures from all 6,000, and the rest is the database;
`cifar10_1` adds the training pictures to the database; `cifar10_2` draws 1,000 queries, and trains on the other 5,000,
which are the database. DeepHash-pytorch has the protocols and no seed, MambaHash draws the first with seed 2025.
"""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from utils.cli import close_with, first_step, run_script
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

BATCHES = *(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"
QUERIES_AND_TRAIN = {"cifar10": (100, 500), "cifar10_1": (100, 500), "cifar10_2": (1000, 5000)}  # of each class
NUM_CLASSES, SIDE = 10, 32
_RECORD = 1 + 3 * SIDE * SIDE  # bytes: the class, then its red, green and blue values


def split_rows(classes: np.ndarray, protocol: str, seed: int) -> dict[str, np.ndarray]:
    """The rows of `train`, `query` and, where it is another set than `train`, `database`.

    `classes` (N,): of the training pictures, then of the test ones. Class by class, numpy's older generator permutes
    its rows: the first are queries, the next to train.
    """
    draw, (num_queries, num_train) = np.random.RandomState(seed), QUERIES_AND_TRAIN[protocol]
    permuted = [draw.permutation(np.flatnonzero(classes == label)) for label in range(NUM_CLASSES)]
    query, train, rest = (np.concatenate([rows[cut] for rows in permuted]) for cut in (
        slice(num_queries), slice(num_queries, num_queries + num_train), slice(num_queries + num_train, None)))
    rows = {"query": query, "train": train}
    return rows if protocol == "cifar10_2" else rows | {
        "database": np.concatenate([train, rest]) if protocol == "cifar10_1" else rest}


def read_batches(folder: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (N, 32, 32, 3) and classes (N,) of the files `BATCHES` in `folder`, one after the other.

    Raises:
        UserError: a file is missing, or is not made of such records.
    """
    parts = []
    for name in BATCHES:
        path = Path(folder, name)
        try:
            content = np.fromfile(path, np.uint8)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}). Unpack cifar-10-binary.tar.gz, and name its "
                            "folder with --source.") from error
        if not len(content) or len(content) % _RECORD or content[::_RECORD].max() >= NUM_CLASSES:
            raise UserError(f"{path}: {len(content)} bytes are not records of a class and {_RECORD - 1} values. Unpack "
                            "cifar-10-binary.tar.gz again.")
        parts.append(content.reshape(-1, _RECORD))
    records = np.concatenate(parts)
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), records[:, 0]


def write_cifar10(folder: str | os.PathLike, source: str | os.PathLike, protocol: str, seed: int) -> dict[str, int]:
    """Writes <split>.h5, with `feats` uint8 (N, 32, 32, 3) and `labels` (N, 10), of every split; how many each has."""
    pictures, classes = read_batches(source)
    splits: Mapping[str, np.ndarray] = split_rows(classes, protocol, seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name, rows in splits.items():
            with NewHdf5(stack.enter_context(whole_file(Path(folder) / f"{name}.h5"))) as file:
                file.create_dataset("feats", data=pictures[rows])
                file.create_dataset("labels", data=np.eye(NUM_CLASSES, dtype=np.uint8)[classes[rows]])
    return {name: len(rows) for name, rows in splits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset.cifar10", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, metavar="DIR", help="folder of data_batch_1.bin and so on")
    parser.add_argument("--protocol", choices=tuple(QUERIES_AND_TRAIN), default="cifar10", help="(default: cifar10)")
    parser.add_argument("--seed", type=int, default=2025, help="of the split (default: 2025)")
    parser.add_argument("--out", metavar="DIR", help="folder of the files (default: data/<protocol>)")
    arguments = parser.parse_args()
    out = arguments.out or f"data/{arguments.protocol}"
    counts = write_cifar10(out, arguments.source, arguments.protocol, arguments.seed)
    close_with([f"{out}, {', '.join(f'{count:,} {name}' for name, count in counts.items())}"],
               first_step(Path("configs/SHC/cifar10.py").with_stem(arguments.protocol), out,
                          f"data/{arguments.protocol}"))


if __name__ == "__main__":
    run_script(main)
