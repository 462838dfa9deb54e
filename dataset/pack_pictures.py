"""Packs pictures of any size and format into one file that every script reads: uint8 (N, size, size, 3), and labels.

    python -m dataset.pack_pictures --list train.txt --root images/ --size 256 --out data/mine/train.h5
    python -m dataset.pack_pictures --folders images/train/ --size 256 --out data/mine/train.h5

A line of a list is a path, then the label as numbers of 0 and 1, all parted by spaces; --folders takes the pictures of
each sub-folder as a class, in the order of names. A picture's short side becomes `size`, and its middle is kept; with
--stretch both sides do. The file has `feats`, `labels` (N, classes) and `ids`, so a config names it for features and
for labels alike.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from utils.cli import run_script
from utils.cpus import available_cpus
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_ROWS_PER_BLOCK = 256


@dataclass(frozen=True)
class Listed:
    """Pictures and what they show: `paths` N of them, `labels` uint8 (N, classes), `ids` what searches call them."""

    paths: Sequence[Path]
    labels: np.ndarray
    ids: Sequence[str]


def of_list(path: str | os.PathLike, root: str | os.PathLike) -> Listed:
    """The pictures of a list file; paths in it are relative to `root`.

    Raises:
        UserError: the file cannot be read, or a line is no path with a label of as many numbers as the first has.
    """
    try:
        lines = [line.split() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this list cannot be read ({error}). Correct --list.") from error
    if not lines:
        raise UserError(f"{path}: the list is empty. Name one with a picture on each line.")
    width = len(lines[0])
    for number, words in enumerate(lines, 1):
        if len(words) != width or width < 3 or not set(words[1:]) <= {"0", "1"}:
            raise UserError(f"{path}: line {number} is not a path and {max(2, width - 1)} numbers of 0 and 1. Write "
                            "every line so.")
    names = [words[0] for words in lines]
    labels = np.array([words[1:] for words in lines]).astype(np.uint8)
    return Listed([Path(root, name) for name in names], labels, names)


def of_folders(root: str | os.PathLike) -> Listed:
    """The pictures in the sub-folders of `root`, each a class.

    Raises:
        UserError: there are no two sub-folders with pictures.
    """
    found = [(folder, sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS))
             for folder in sorted(Path(root).iterdir() if Path(root).is_dir() else ()) if folder.is_dir()]
    found = [(folder, paths) for folder, paths in found if paths]
    if len(found) < 2:
        raise UserError(f"{root}: {len(found)} sub-folders with pictures are here, a class each; two are needed. Name "
                        "the folder above them with --folders.")
    classes = np.repeat(np.arange(len(found)), [len(paths) for _, paths in found])
    paths = [path for _, listed in found for path in listed]
    return Listed(paths, np.eye(len(found), dtype=np.uint8)[classes], [str(path.relative_to(root)) for path in paths])


def decoded(path: Path, size: int, stretch: bool) -> np.ndarray:
    """uint8 (size, size, 3).

    Raises:
        UserError: there is no picture at `path`, or it is damaged.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError("the package pillow, which reads pictures, is not installed. Install it with `pip install -r "
                        "requirements-pictures.txt`.") from error
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
        if not stretch:
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            picture = picture.crop((left, top, left + side, top + side))
        return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    except Exception as error:  # a damaged file makes a decoder raise nearly anything
        raise UserError(f"{path}: this picture cannot be read ({' '.join(str(error).split())[:120]}). Replace it, or "
                        "take it out of the list.") from error


def pack(listed: Listed, out: str | os.PathLike, size: int, *, stretch: bool = False,
         progress: Any = lambda blocks: blocks) -> None:
    """Writes the file `out`, whole or not at all; pictures are decoded on all processors.

    Raises:
        UserError: a picture cannot be read.
    """
    with whole_file(out) as path, NewHdf5(path) as file, ThreadPoolExecutor(available_cpus()) as pool:
        feats = file.create_dataset("feats", (len(listed.paths), size, size, 3), np.uint8)
        for start, block in progress(_blocks(listed.paths, pool, size, stretch)):
            feats[start:start + len(block)] = block
        file.create_dataset("labels", data=listed.labels)
        file.create_dataset("ids", data=np.array(listed.ids, dtype=object), dtype=h5py.string_dtype())


def _blocks(paths: Sequence[Path], pool: ThreadPoolExecutor, size: int,
            stretch: bool) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(paths), _ROWS_PER_BLOCK):
        yield start, np.stack(list(pool.map(partial(decoded, size=size, stretch=stretch),
                                            paths[start:start + _ROWS_PER_BLOCK])))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dataset.pack_pictures", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--list", metavar="FILE", help="a list of pictures with their labels")
    source.add_argument("--folders", metavar="DIR", help="a folder with a sub-folder per class")
    parser.add_argument("--root", default="", metavar="DIR", help="what the paths of a list are relative to")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of a packed picture (default: 256)")
    parser.add_argument("--stretch", action="store_true", help="bring both sides to the size, cutting nothing off")
    parser.add_argument("--out", required=True, metavar="FILE", help="the HDF5 file to write")
    arguments = parser.parse_args()
    if arguments.size < 1:
        raise UserError(f"--size {arguments.size}: a picture has at least one row. Name a larger one.")
    listed = of_folders(arguments.folders) if arguments.folders else of_list(arguments.list, arguments.root)

    def bar(blocks: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        with tqdm(total=len(listed.paths), unit=" pictures", desc=os.path.basename(arguments.out)) as shown:
            for start, block in blocks:
                yield start, block
                shown.update(len(block))

    pack(listed, arguments.out, arguments.size, stretch=arguments.stretch, progress=bar)
    print(f"written: {arguments.out}, {len(listed.paths)} pictures of {arguments.size} x {arguments.size}, "
          f"{listed.labels.shape[1]} classes")


if __name__ == "__main__":
    run_script(main)
