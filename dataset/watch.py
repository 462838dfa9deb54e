"""Real motion in the first minute: shoulder exercises recorded by a smartwatch, cut to windows of two seconds.

    pip install seglearn==1.2.5
    python -m dataset.watch [--file watch_dataset.npy] [--out data/watch]

Ten people did seven exercises; accelerometer and gyroscope, three axes each, 50 samples a second (Burns et al. 2018,
"Shoulder physiotherapy exercise recognition", arXiv:1802.01489).
The recordings come with the Python package seglearn (BSD license), which is not imported: its file alone is read.
N windows, T frames, F features.
"""

import argparse
import hashlib
import io
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dataset.labels import one_hot_file
from dataset.packaged import within_package
from utils.cli import close_with, first_step, run_script
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

RECIPE_VERSION = 1
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
INSTALL = "`pip install seglearn==1.2.5`"
NUM_FRAMES, SAMPLES_PER_FRAME, NUM_CHANNELS = 25, 4, 6  # two seconds at 50 samples a second
TRAIN_SUBJECTS = 7  # people 1 to 7 train, 8 to 10 ask
SPLITS = ("train", "test")
EXERCISES = {"PEN": "pendulum", "ABD": "abduction", "FEL": "forward elevation", "IR": "internal rotation",
             "ER": "external rotation", "TRAP": "trapezius extension", "ROW": "upright row"}


def find_recordings() -> Path:
    """The path of watch_dataset.npy in the installed package seglearn.

    Raises:
        UserError: the package is not installed, or comes without the file.
    """
    if path := within_package("seglearn", "data", "watch_dataset.npy"):
        return path
    raise UserError(f"watch_dataset.npy: the package seglearn, which brings it, is not installed. Install it with "
                    f"{INSTALL}, or name the file with --file.")


def read_recordings(path: str | os.PathLike) -> dict:
    """The recordings: `X` a list of 140 float64 (samples, 6), `y` (140,) exercises, `subject` (140,) people 1 to 10,
    `y_labels` the names of the exercises.

    The file is a pickle, which can run any program, so nothing but the one known file is opened.

    Raises:
        UserError: the file cannot be read, or its SHA-256 is another.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read ({error.strerror}). Name the file with --file.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"{path}: its SHA-256 is {found[:16]}..., not {SHA256[:16]}... of seglearn 1.2.5, and a "
                        f"pickled file of unknown content is not opened. Get it with {INSTALL}.")
    return np.load(io.BytesIO(content), allow_pickle=True).item()


def cut_windows(recordings: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of two seconds without overlap: features float64 (N, 25, 24), exercises (N,), people (N,).

    A frame is four consecutive samples of six channels, side by side. What a recording has beyond whole windows is
    left out.
    """
    length = NUM_FRAMES * SAMPLES_PER_FRAME
    counts = [len(samples) // length for samples in recordings["X"]]
    shape = NUM_FRAMES, SAMPLES_PER_FRAME * NUM_CHANNELS
    windows = [np.asarray(samples)[:count * length].reshape(count, *shape)
               for samples, count in zip(recordings["X"], counts, strict=True)]
    return np.concatenate(windows), np.repeat(recordings["y"], counts), np.repeat(recordings["subject"], counts)


def make_splits(recordings: dict) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each split the features float32 (N, 25, 24), exercises (N,) and people (N,): nobody is in both.

    Every feature has mean 0 and standard deviation 1 over the frames of the training split.
    """
    windows, exercises, people = cut_windows(recordings)
    in_train = people <= TRAIN_SUBJECTS
    frames = windows[in_train].reshape(-1, windows.shape[2])
    scaled = ((windows - frames.mean(axis=0)) / frames.std(axis=0)).astype(np.float32)
    return {split: (scaled[rows], exercises[rows], people[rows])
            for split, rows in zip(SPLITS, (in_train, ~in_train), strict=True)}


def write_watch(folder: str | os.PathLike, source: str | os.PathLike | None = None) -> dict[str, int]:
    """Writes the data set into `folder`; returns the number of windows of each split.

    The files are watch_{train,test}_feats.h5 (`feats` float32 (N, 25, 24)), watch_{train,test}_labels.mat (`labels`
    one-hot uint8 (N, 7)), watch_{train,test}_people.txt (a line for each window) and classes.txt. The same source
    gives the same bytes.

    Raises:
        UserError: as `find_recordings` and `read_recordings`; or a file cannot be written.
    """
    folder = Path(folder)
    recordings = read_recordings(find_recordings() if source is None else source)
    splits = make_splits(recordings)
    names = "".join(f"{EXERCISES[name]}\n" for name in recordings["y_labels"])
    with ExitStack() as stack:
        for split, (features, exercises, people) in splits.items():
            with NewHdf5(stack.enter_context(whole_file(folder / f"watch_{split}_feats.h5"))) as file:
                file.create_dataset("feats", data=features)
                file.attrs["made_from"] = f"seglearn 1.2.5, recipe {RECIPE_VERSION}, {split}"
            labels = stack.enter_context(whole_file(folder / f"watch_{split}_labels.mat"))
            labels.write_bytes(one_hot_file(exercises, len(EXERCISES), "smartwatch exercises"))
            names_of_people = "".join(f"{person}\n" for person in people)
            stack.enter_context(whole_file(folder / f"watch_{split}_people.txt")).write_bytes(names_of_people.encode())
        stack.enter_context(whole_file(folder / "classes.txt")).write_bytes(names.encode())
    return {split: len(features) for split, (features, *_) in splits.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the data set where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m dataset.watch",
                                     description="Write the smartwatch exercises as videos of 25 frames.")
    parser.add_argument("--file", help=f"watch_dataset.npy of seglearn 1.2.5 (default: from {INSTALL})")
    parser.add_argument("--out", default="data/watch", help="folder of the files (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    counts = write_watch(parsed.out, parsed.file)
    close_with([f"{parsed.out}, {counts['train']:,} training windows, {counts['test']} queries, "
                f"{len(EXERCISES)} exercises"], first_step("configs/S5VH/watch.py", parsed.out, "data/watch"))


if __name__ == "__main__":
    run_script(main)
