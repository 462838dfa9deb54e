"""The sample dataset of pictures: scikit-learn's 1,797 handwritten digits, ten classes, that need no download.

    python -m dataset.digit_pictures [--out data/digit_pictures]

8 x 8 grey values become 16 x 16 pictures. Of each class, in their order, the first 40 are queries and the rest the
database, whose first 100 are also the training pictures.
"""

import argparse
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.labels import one_hot_file
from utils.cli import close_with, first_step, run_script
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

NUM_CLASSES, QUERIES_PER_CLASS, TRAIN_PER_CLASS = 10, 40, 100
SIZE = 16


def write_digit_pictures(folder: str | os.PathLike) -> dict[str, int]:
    """Writes <split>.h5 (`feats` uint8 (N, 16, 16, 3)) and <split>_labels.mat of three splits; how many each has."""
    from sklearn.datasets import load_digits  # takes a second
    digits = load_digits()
    grey = np.round(digits.images * (255 / digits.images.max())).astype(np.uint8)
    pictures = np.repeat(grey.repeat(2, axis=1).repeat(2, axis=2)[..., None], 3, axis=3)
    of_class = [np.flatnonzero(digits.target == label) for label in range(NUM_CLASSES)]
    cuts = {"query": slice(QUERIES_PER_CLASS), "database": slice(QUERIES_PER_CLASS, None),
            "train": slice(QUERIES_PER_CLASS, QUERIES_PER_CLASS + TRAIN_PER_CLASS)}
    splits = {name: np.concatenate([rows[cut] for rows in of_class]) for name, cut in cuts.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for name, rows in splits.items():
            with NewHdf5(stack.enter_context(whole_file(Path(folder) / f"{name}.h5"))) as file:
                file.create_dataset("feats", data=pictures[rows])
            labels = stack.enter_context(whole_file(Path(folder) / f"{name}_labels.mat"))
            labels.write_bytes(one_hot_file(digits.target[rows], NUM_CLASSES, "handwritten digits"))
    return {name: len(rows) for name, rows in splits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset.digit_pictures", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="data/digit_pictures", help="folder of the files (default: %(default)s)")
    arguments = parser.parse_args()
    counts = write_digit_pictures(arguments.out)
    close_with([f"{arguments.out}, {', '.join(f'{count:,} {name}' for name, count in counts.items())}"],
               first_step("configs/SHC/digit_pictures.py", arguments.out, "data/digit_pictures"))


if __name__ == "__main__":
    run_script(main)
