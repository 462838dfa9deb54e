"""Pictures a second in batches: from a packed file, from a list of JPEG files, and from a plain DataLoader of these.

    python -m benchmarks.picture_loader [--pictures 2000] [--size 256] [--batch 64] [--repeats 3] [--folder DIR]

The usual loop is a `Dataset` that decodes a picture with Pillow, resizes it and makes a tensor of it, in a `DataLoader`
of two workers. Each way goes through the same random batches, all files in the page cache, taking turns;
printed are pictures/s (median over the repeats) and the median of the ratios to the DataLoader. All are checked to give
the same pictures. The JPEG files (quality 90) are noise that was made smooth, a quarter longer than `--size`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from dataset.features import open_features
from dataset.pack_pictures import pack
from dataset.pictures import of_list
from dataset.sources import FileSource, HostResident
from utils.ahead import read_ahead
from utils.cli import run_script

Way = Callable[[list[torch.Tensor]], Iterator[torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=".", help="where the files are made")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="picture_benchmark_", dir=args.folder) as folder:
        ways = make_ways(write_pictures(Path(folder), args.pictures, args.size), args.size)
        compare(ways, torch.arange(min(args.pictures, 8)))
        print(f"{args.pictures} pictures of {args.size} x {args.size}, batches of {args.batch}, {os.cpu_count()} "
              f"processors, load {os.getloadavg()[0]:.1f}", flush=True)
        report(ways, args.pictures, args.batch, args.repeats)


def write_pictures(folder: Path, count: int, size: int) -> Path:
    """A list of `count` JPEG files in `folder`, which it lies in."""
    rng, lines = np.random.default_rng(0), []
    for number in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        large = noise.resize((size * 5 // 4, size * 5 // 4), Image.Resampling.BICUBIC)
        large.save(folder / f"{number}.jpg", quality=90)
        lines.append(f"{number}.jpg {number % 2} {1 - number % 2}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


class Pictures(Dataset):
    """A picture at a time from its file."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        picture = Image.open(self.paths[index]).convert("RGB")
        return torch.from_numpy(np.array(picture.resize((self.size, self.size), Image.Resampling.BILINEAR)))


def make_ways(path: Path, size: int, num_workers: int = 2) -> dict[str, Way]:
    """How to get the pictures of the list `path`, by name; the packed file is made beside it."""
    listed, packed = of_list(path, path.parent), path.with_suffix(".h5")
    pack(listed, packed, size)
    sources = {name: open_features(one, item_shape=(size, size, 3), role="training")
               for name, one in (("packed", packed), ("list", path))}
    in_memory, in_file, in_list = HostResident(sources["packed"]), *map(FileSource, sources.values())

    def usual(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        return iter(DataLoader(Pictures(list(listed.paths), size), num_workers=num_workers,
                               batch_sampler=[batch.tolist() for batch in batches]))

    return {"DataLoader": usual, "list, decoded ahead": lambda batches: read_ahead(map(in_list.batch, batches)),
            "packed, from its file": lambda batches: read_ahead(map(in_file.batch, batches)),
            "packed, in main memory": lambda batches: map(in_memory.batch, batches)}


def compare(ways: dict[str, Way], index: torch.Tensor) -> None:
    first, *others = (next(iter(way([index]))) for way in ways.values())
    assert all(torch.equal(first, other) for other in others)


def report(ways: dict[str, Way], num_pictures: int, batch: int, repeats: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        batches = list(torch.randperm(num_pictures, generator=torch.Generator().manual_seed(repeat)).split(batch))
        for name, way in ways.items():
            started = time.perf_counter()
            for _ in way(batches):
                pass
            seconds[name].append((time.perf_counter() - started) / num_pictures)
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds["DataLoader"], each, strict=True))
        print(f"{name:<23} {1 / statistics.median(each):>9,.0f} pictures/s  {ratio:6.1f}x", flush=True)


if __name__ == "__main__":
    run_script(main)
