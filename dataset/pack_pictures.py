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
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from dataset.pictures import Listed, decoded, of_folders, of_list
from utils.cli import close_with, run_script, vh_command
from utils.cpus import available_cpus
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

_ROWS_PER_BLOCK = 256


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
    close_with([f"{arguments.out}, {len(listed.paths)} pictures of {arguments.size} x {arguments.size}, "
                f"{listed.labels.shape[1]} classes"],
               vh_command("init", arguments.out, "--labels", arguments.out, "--out", "mine.py"))


if __name__ == "__main__":
    run_script(main)
