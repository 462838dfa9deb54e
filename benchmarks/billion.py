"""Exact search among a billion codes on one machine: a mapped index, made, opened, searched and deleted.

    python -m benchmarks.billion --folder /data/scratch
    python -m benchmarks.billion --items 300000000 --queries 100 --topk 100

Random 64-bit codes from seeded blocks, among them planted neighbours: for every query `PLANTED` codes that differ from
it in 0, 1, 2, ... bits, at random places. The queries are searched three times; the first search may read from the
disk, later ones find what fits in the memory of the machine. Every planted neighbour that belongs among the nearest
must be found, and `--check` queries must have the very items and distances that a search block by block in numpy finds;
exit status 1 if not. Anonymous memory is what the program itself holds; mapped files are not counted.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inference.code_set import CodeSet
from inference.segments.index import MappedIndex
from inference.segments.segment import MOST_ITEMS
from utils.cli import run_script
from utils.errors import UserError

NUM_BITS, PLANTED = 64, 5
_BLOCK_BYTES = 8 * MOST_ITEMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10**9)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--topk", type=int, default=100)
    parser.add_argument("--check", type=int, default=2, help="queries searched once more by other means")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="a disk with 8 bytes free per code")
    args = parser.parse_args()
    free = shutil.disk_usage(args.folder).free
    if free < 8 * args.items + 2 * _BLOCK_BYTES:
        raise UserError(f"{args.folder}: {free / 1e9:.0f} GB free, {args.items} codes take {8e-9 * args.items:.0f}. "
                        "Name another --folder, or fewer --items.")
    with tempfile.TemporaryDirectory(prefix="billion_", dir=args.folder) as folder:
        if not measure(Path(folder) / "codes.index", args.items, args.queries, args.topk, args.check):
            raise SystemExit(1)


def measure(path: Path, num_items: int, num_queries: int, k: int, num_checked: int) -> bool:
    """Prints the figures; whether everything was found."""
    queries = np.random.default_rng(0).integers(0, 2**64, (num_queries, 1), np.uint64)
    planted = plant(queries, num_items)
    print(f"{num_items} codes of {NUM_BITS} bits, {num_queries} queries, top {k}", flush=True)
    seconds = timed(lambda: build(path, num_items, planted))
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"built in {seconds:.1f} s, {num_items / seconds / 1e6:.1f} M codes/s, {size / 1e9:.2f} GB", flush=True)
    index = MappedIndex.load(path)
    opened = timed(lambda: MappedIndex.load(path))
    print(f"opened in {1e3 * opened:.1f} ms: {len(index)} codes, {index.num_segments} segments", flush=True)
    before = anonymous_bytes()
    for turn in ("first", "second", "third"):
        started = time.perf_counter()
        ids, distances = index.search(queries.view(np.uint8), k)
        seconds = time.perf_counter() - started
        rate = num_items * num_queries / seconds / 1e9
        print(f"{turn} search: {seconds:.2f} s, {rate:.1f} G comparisons/s", flush=True)
    some = np.random.default_rng(3).integers(0, num_items, min(num_items // 100, 10**6)).astype(str).tolist()
    within = timed(lambda: index.search(queries.view(np.uint8), k, some))
    print(f"within {len(set(some))} of the items: {within:.2f} s, {seconds / within:.1f} times as fast", flush=True)
    print(f"anonymous memory: {before / 2**20:.0f} MiB before the searches, {anonymous_bytes() / 2**20:.0f} after")
    found = [planted_found(planted, row, ids[row], distances[row], k) for row in range(num_queries)]
    print(f"planted neighbours found: {sum(found)} of {num_queries}, all of a query's or none")
    rows = range(min(num_checked, num_queries))
    same = [by_numpy(num_items, planted, queries[row, 0], k) == list(zip(ids[row].tolist(), distances[row].tolist(),
                                                                       strict=True)) for row in rows]
    print(f"equal to a search in numpy: {sum(same)} of {len(same)} queries")
    return all(found) and all(same)


def plant(queries: np.ndarray, num_items: int) -> dict[int, tuple[int, np.uint64]]:
    """By item: the query's row and the code, which differs from it in 0 to PLANTED - 1 bits."""
    draws = np.random.default_rng(1)
    places = draws.choice(num_items, (len(queries), PLANTED), replace=False)
    planted = {}
    for row, items in enumerate(places):
        for flips, item in enumerate(items):
            code = queries[row, 0]
            for bit in draws.choice(NUM_BITS, flips, replace=False):
                code ^= np.uint64(1) << np.uint64(bit)
            planted[int(item)] = (row, code)
    return planted


def blocks(num_items: int, planted: dict[int, tuple[int, np.uint64]]) -> Iterator[np.ndarray]:
    """The codes, uint64 (n, 1) each, the same whenever they are asked for."""
    places = np.array(sorted(planted))
    for number, start in enumerate(range(0, num_items, MOST_ITEMS)):
        draws = np.random.default_rng([2, number])
        block = draws.integers(0, 2**64, (min(MOST_ITEMS, num_items - start), 1), np.uint64)
        for item in places[(places >= start) & (places < start + len(block))].tolist():
            block[item - start, 0] = planted[item][1]
        yield block


def build(path: Path, num_items: int, planted: dict[int, tuple[int, np.uint64]]) -> None:
    like = CodeSet(np.empty((0, NUM_BITS // 8), np.uint8), np.empty(0, object), NUM_BITS)
    with MappedIndex.writing(path, print, like) as index:
        index.add_numbered(blocks(num_items, planted), first=0)


def planted_found(planted: dict[int, tuple[int, np.uint64]], row: int, ids: np.ndarray, distances: np.ndarray,
                  k: int) -> bool:
    """Whether the neighbours planted for a query are where they belong."""
    found = dict(zip(ids.tolist(), distances.tolist(), strict=True))
    own = [item for item, (of, _) in planted.items() if of == row]
    expected = {str(item): flips for flips, item in enumerate(own)}
    nearer = {item: distance for item, distance in expected.items() if len(found) < k or distance < max(distances)}
    return all(found.get(item) == distance for item, distance in nearer.items())


def by_numpy(num_items: int, planted: dict, query: np.uint64, k: int) -> list[tuple[str, int]]:
    """Ids and distances of a query's k nearest codes."""
    best: list[tuple[int, int]] = []
    for number, block in enumerate(blocks(num_items, planted)):
        distances = np.bitwise_count(block[:, 0] ^ query)
        near = np.flatnonzero(distances <= np.partition(distances, min(k, len(block)) - 1)[min(k, len(block)) - 1])
        best = sorted([*best, *zip(distances[near].tolist(), (near + number * MOST_ITEMS).tolist(), strict=True)])[:k]
    return [(str(item), distance) for distance, item in best]


def anonymous_bytes() -> int:
    """What this process holds beside mapped files; 0 where the system does not tell (other than Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def timed(action) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    run_script(main)
