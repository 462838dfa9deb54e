"""Times how fast batches of random videos arrive from a file of features, way by way in one run.

    python -m benchmarks.loader [--videos 4000] [--dtype float16] [--folder .] [--batch 512] [--repeats 3] [--packed 8]

A file of 25 x 4096 features is made in --folder and deleted afterwards. The ways: one video at a time from HDF5,
collated by torch's DataLoader; rows of a sorted batch from HDF5; our file source; our main-memory source. With --packed
the file is gzipped in chunks of that many videos, and our streaming source with a quarter of it buffered stands beside
the file source; both go through a whole epoch in their own order, as training does. "Warm" finds
the file in the page cache; before each "cold" pass the system is asked to drop it, and "the disk itself" reads the same
rows past the cache (O_DIRECT, where the file system has it), unconverted, with sixteen threads: what the disk gives for
such requests. Printed are videos/s (median over interleaved repeats) and the median of the ratios to the first way
when warm, to rows from HDF5 when cold.
Every way but the disk itself is checked to give the same values; float16 stays float16, for the device to widen.
"""

import argparse
import mmap
import os
import queue
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dataset.features import VideoFeatures, open_features
from dataset.sources import FileSource, HostResident
from dataset.stream import StreamSource
from dataset.views import Draws, EpochDraws
from utils.cli import run_script

NUM_FRAMES, NUM_FEATURES = 25, 4096
NUM_CLASSES = 600
BLOCK = 256
DISK_REQUESTS = 16

Way = Callable[[list[torch.Tensor]], Iterator[torch.Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=4000)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--folder", default=".", help="where the file is made; its disk is the one measured")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--packed", type=int, default=0, metavar="VIDEOS", help="gzip the file in chunks of so many")
    args = parser.parse_args()
    torch.set_num_threads(1)  # as in a DataLoader's worker; on busy processors torch's threads wait for each other
    with tempfile.TemporaryDirectory(prefix="loader_benchmark_", dir=args.folder) as folder:
        path = Path(folder, "features.h5")
        write_features(path, args.videos, args.dtype, packed=args.packed)
        print(f"{args.videos} videos of {NUM_FRAMES} x {NUM_FEATURES} {args.dtype}, {path.stat().st_size / 2**30:.2f} "
              f"GiB, batches of {args.batch}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
        with h5py.File(path, "r") as file:
            ways = make_ways(path, file["feats"])
            compare(ways, args.videos)
            for cold in (False, True):
                if cold and hasattr(os, "O_DIRECT") and not args.packed:
                    ways["the disk itself"] = make_disk_way(path, file["feats"])
                report("cold" if cold else "warm", path if cold else None, ways, args.videos, args.batch, args.repeats)


def write_features(path: Path, num_videos: int, dtype: str, seed: int = 0, packed: int = 0) -> np.ndarray:
    """Writes `feats` (N, 25, 4096): frames around the center of the video's class. Returns the classes.

    They lie in one piece, or gzipped in chunks of `packed` videos.

    Noise is taken from a pool of frames, since drawing it anew would take longer than what is to be timed.
    """
    rng = np.random.default_rng(seed)
    centers, pool = (rng.standard_normal((rows, NUM_FEATURES), np.float32) for rows in (NUM_CLASSES, 2048))
    classes = rng.integers(NUM_CLASSES, size=num_videos)
    with h5py.File(path, "w") as file, tqdm(total=num_videos, desc="make features", disable=None, leave=False) as bar:
        layout = {"chunks": (packed, NUM_FRAMES, NUM_FEATURES), "compression": "gzip"} if packed else {}
        dataset = file.create_dataset("feats", (num_videos, NUM_FRAMES, NUM_FEATURES), dtype, **layout)
        for start in range(0, num_videos, BLOCK):
            some = classes[start:start + BLOCK]
            frames = pool[rng.integers(len(pool), size=(len(some), NUM_FRAMES))]
            frames += centers[some][:, None]
            dataset[start:start + len(some)] = torch.from_numpy(frames).to(getattr(torch, dtype)).numpy()
            bar.update(len(some))
    drop_from_cache(path)
    return classes


def drop_from_cache(path: Path) -> None:
    """Asks the system to forget the file's pages, so that the next read comes from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Items(Dataset):
    """One video at a time from HDF5."""

    def __init__(self, stored: h5py.Dataset) -> None:
        self.stored = stored

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.stored[index])


def make_ways(path: Path, stored: h5py.Dataset) -> dict[str, Way]:
    def per_item(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        return iter(DataLoader(Items(stored), batch_sampler=[batch.tolist() for batch in batches]))

    def sorted_rows(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        for batch in batches:
            out = np.empty((len(batch), *stored.shape[1:]), stored.dtype)
            for slot in batch.argsort().tolist():
                stored.read_direct(out, np.s_[int(batch[slot])], np.s_[slot])
            yield torch.from_numpy(out)

    features = open_features(path, item_shape=(NUM_FRAMES, NUM_FEATURES), role="training")
    in_file, in_memory = FileSource(features), HostResident(features)
    ways: dict[str, Way] = {
        "per item": per_item, "HDF5 rows": sorted_rows, "file source": lambda batches: map(in_file.batch, batches),
        "main memory": lambda batches: map(in_memory.batch, batches)}
    if not features.contiguous:
        ways["stream"] = make_stream_way(features)
    return ways


def make_stream_way(features: VideoFeatures) -> Way:
    num_bytes = len(features) * NUM_FRAMES * NUM_FEATURES * features.batch_dtype.itemsize
    source = StreamSource(features, num_bytes // 4)

    def stream(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """As many batches of the same sizes, in the order of the source."""
        if len(batches) == 1:
            return map(source.batch, batches)
        order = source.order(EpochDraws(1, int(batches[0][0]), len(features), Draws()))
        return map(source.batch, order.split(len(batches[0]))[:len(batches)])

    return stream


def make_disk_way(path: Path, stored: h5py.Dataset) -> Way:
    """Reads the rows of every batch past the page cache and throws them away."""
    size = stored.dtype.itemsize * NUM_FRAMES * NUM_FEATURES
    offset = stored.id.get_offset()
    buffers: queue.SimpleQueue[mmap.mmap] = queue.SimpleQueue()
    for _ in range(DISK_REQUESTS):
        buffers.put(mmap.mmap(-1, size + 2 * mmap.PAGESIZE))  # direct reads take whole pages into whole pages

    def read(file: int, row: int) -> None:
        first = (offset + row * size) // mmap.PAGESIZE * mmap.PAGESIZE
        last = -(-(offset + (row + 1) * size) // mmap.PAGESIZE) * mmap.PAGESIZE
        buffer = buffers.get()
        os.preadv(file, [memoryview(buffer)[:last - first]], first)
        buffers.put(buffer)

    def disk(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with ThreadPoolExecutor(DISK_REQUESTS) as pool:
            for batch in batches:
                deque(pool.map(lambda row: read(file, row), sorted(batch.tolist())), 0)
                yield batch
        os.close(file)

    return disk


def compare(ways: dict[str, Way], num_videos: int) -> None:
    index = torch.randperm(num_videos, generator=torch.Generator().manual_seed(0))[:64]
    first, *others = (next(iter(way([index]))) for way in ways.values())
    assert all(torch.equal(first, other) for other in others)


def report(state: str, path: Path | None, ways: dict[str, Way], num_videos: int, batch: int, repeats: int) -> None:
    """Times every way on the same random batches, `path` dropped from the cache before each pass if given."""
    seconds: dict[str, list[float]] = {name: [] for name in ways if path is None or name != "main memory"}
    for repeat in range(repeats):
        order = torch.randperm(num_videos, generator=torch.Generator().manual_seed(repeat + 1))
        batches = [index for index in order.split(batch) if len(index) == batch] or [order]
        for name, each in seconds.items():
            if path is not None:
                drop_from_cache(path)
            started = time.perf_counter()
            for _ in ways[name](batches):
                pass
            each.append((time.perf_counter() - started) / sum(map(len, batches)))
    base = seconds["per item" if path is None else "HDF5 rows"]
    for name, each in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(base, each, strict=True))
        print(f"{state}  {name:<15} {1 / statistics.median(each):>8,.0f} videos/s  {ratio:5.1f}x", flush=True)


if __name__ == "__main__":
    run_script(main)
