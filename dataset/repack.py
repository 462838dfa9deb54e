"""Rewrites compressed or badly chunked feature files as one file whose videos lie in one piece.

    python -m dataset.repack --out data/fcv/train.h5 [--dtype float16] [--key feats] OLD.h5 ...

Such a file is read many times faster, by several threads at once. The videos of several files follow each other in
the order given; nothing but the features is carried over. Without --dtype the type stays (float64, which is read as
float32 anyway, becomes float32) and so does the fingerprint: artefacts made from the old files remain valid.
"""

import argparse
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.feature_file import FeatureFile
from dataset.features import VideoFeatures, open_features
from utils.cli import close_with, run_script, vh_command
from utils.errors import UserError
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

DTYPES = ("float16", "float32")
BLOCK_BYTES = 64 << 20  # of float32 in memory at a time

Progress = Callable[[int], object]


def repack(paths: Sequence[str | os.PathLike], out: str | os.PathLike, *, dtype: str | None = None,
           key: str = "feats", progress: Progress = lambda num_videos: None) -> VideoFeatures:
    """The features of `paths` as the one contiguous file `out`, written whole, read back and compared.

    Args:
        dtype: "float16", "float32", or None for the stored type.
        key: the dataset's name, in the old files and the new one.
        progress: told of the videos of each block, once when written and once when read back.

    Raises:
        UserError: a file cannot be read or written, holds a value that is not finite or that float16 cannot hold,
            or the new file reads back otherwise than it was written.
    """
    features = _open(paths, key)
    if any(os.path.exists(out) and os.path.samefile(path, out) for path in features.paths):
        raise UserError(f"{out}: is one of the files to read. Name another output.")
    target = np.dtype(dtype) if dtype else _kept_type(features.dtype)
    with whole_file(out) as part:
        sums = _write(features, part, key, target, progress)
        _compare(_open([part], key), sums, target, out, progress)
    return _open([out], key)


def _open(paths: Sequence[str | os.PathLike], key: str) -> VideoFeatures:
    return open_features(paths, item_shape=FeatureFile(paths[0], key, "input").shape[1:], role="input", key=key)


def _kept_type(stored: np.dtype) -> np.dtype:
    return np.dtype(np.float32 if stored.itemsize == 8 else stored.newbyteorder("="))


def _blocks(features: VideoFeatures) -> Iterator[tuple[int, np.ndarray]]:
    _, num_frames, num_features = features.shape
    return features.blocks(max(1, BLOCK_BYTES // (4 * num_frames * num_features)))


def _write(features: VideoFeatures, part: Path, key: str, target: np.dtype, progress: Progress) -> list[int]:
    """Writes the features to `part`; returns the checksum of each block."""
    sums = []
    new = NewHdf5(part)
    with new as file:
        dataset = file.create_dataset(key, features.shape, target)
        for start, block in _blocks(features):
            converted = _convert(block, target)
            _refuse_loss(features, start, block, converted)
            dataset[start:start + len(block)] = converted
            new.check()
            sums.append(zlib.crc32(converted.data))
            progress(len(block))
    return sums


def _compare(written: VideoFeatures, sums: list[int], target: np.dtype, out: str | os.PathLike,
             progress: Progress) -> None:
    for (_, block), expected in zip(_blocks(written), sums, strict=True):
        if zlib.crc32(_convert(block, target).data) != expected:
            raise UserError(f"{out}: reads back otherwise than it was written; nothing was kept. Check the disk.")
        progress(len(block))


def _convert(block: np.ndarray, target: np.dtype) -> np.ndarray:
    """`block`, float32 as features are read, in the type `target`."""
    if target == np.uint8:
        return np.rint(block * 255).astype(np.uint8)
    with np.errstate(over="ignore"):
        return block.astype(target, copy=False)


def _refuse_loss(features: VideoFeatures, start: int, block: np.ndarray, converted: np.ndarray) -> None:
    """What float16 cannot hold becomes infinite in it; everything else is off by rounding alone."""
    if converted.dtype != np.float16 or (finite := np.isfinite(converted)).all():
        return
    row = int(np.argmin(finite.all(axis=(1, 2))))
    path, number = features.locate(start + row)
    raise UserError(f"{path}: row {number} (counted from 0) holds {np.abs(block[row]).max():g}, which float16 (up to "
                    "65504) cannot. Use --dtype float32.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrites the files that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m dataset.repack", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE", help="HDF5 files of features, in the order of their videos")
    parser.add_argument("--out", required=True, metavar="NEW.h5", help="the file to write")
    parser.add_argument("--dtype", choices=DTYPES, help="type of the new file (default: the stored one)")
    parser.add_argument("--key", default="feats", help="name of the features inside the files (default: %(default)s)")
    args = parser.parse_args(arguments)
    with tqdm(desc="repack", unit=" videos", total=2 * len(_open(args.files, args.key)), disable=None,
              leave=False) as bar:
        features = repack(args.files, args.out, dtype=args.dtype, key=args.key, progress=bar.update)
    close_with([f"{args.out}, {' x '.join(map(str, features.shape))} {features.dtype.name}, "
                f"{os.path.getsize(args.out) / 2**20:.1f} MiB, read back and compared"],
               vh_command("init", args.out, "--out", "mine.py"))


if __name__ == "__main__":
    run_script(main)
