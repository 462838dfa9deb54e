"""Times exact retrieval evaluation and exact search, side by side in one run.

    python -m benchmarks.ranking [--items 45600] [--bits 64] [--threads 1] [--sample 100] [--repeats 3]
    python -m benchmarks.ranking --search 10000000 [--kinds multihash ivf ivf:nprobe=16]

The first form lets every code query all codes (self included) and computes mAP at the six cut-offs under both tie
rules, precision and recall, with 239 multi-hot classes. Beside it: the usual way (float products of codes and of
labels, argsort, loops in Python) on a sample of the queries, scaled to all of them, and faiss's exact binary index
searching the top 100 alone. The second form searches 1,000 queries among that many codes, each a copy of one of a
thousandth as many with a sixteenth of its bits flipped; approximate kinds of index come with their tie-aware recall,
the time and memory they take to build, and their speed beside both exact searches.
"""

import argparse
import os
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from inference import index_kinds, nearest_codes
from inference.codes import pack
from inference.metrics import MAP_AT, Evaluation, evaluate
from inference.recall import tie_aware_recall
from utils.cli import run_script
from utils.registry import INDEX_KINDS

NUM_CLASSES = 239
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=45_600)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sample", type=int, default=100, help="queries that the usual way is timed on")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of ours and faiss, in turns")
    parser.add_argument("--search", type=int, metavar="N", help="time top-100 search among N codes instead")
    parser.add_argument("--kinds", nargs="*", default=[], metavar="KIND[:KEY=VALUE...]",
                        help="approximate kinds of index to search with as well, as ivf or ivf:nprobe=16")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if reason := nearest_codes.unavailable():
        print(f"without the compiled search: {reason}")
    with threadpool_limits(args.threads):
        if args.search:
            compare_search(args.search, args.bits, args.threads, args.kinds, args.repeats)
        else:
            compare_evaluation(args.items, args.bits, args.threads, args.sample, args.repeats)


def compare_evaluation(num_items: int, num_bits: int, num_threads: int, sample: int,
                       repeats: int) -> None:
    codes, labels = make(num_items, num_bits)
    print(f"{num_items} codes of {num_bits} bits, each querying all; {num_threads} threads", flush=True)
    evaluate(codes[:10], codes, labels[:10], labels)  # compiles
    before = peak_mib()

    def ours() -> Evaluation:
        return evaluate(codes, codes, labels, labels, queries_are_database=True)

    result = ours()
    print(f"peak memory +{peak_mib() - before:.0f} MiB, mAP@5 {result.map_at['index'][5]:.4f} by index, "
          f"{result.map_at['expected'][5]:.4f} expected", flush=True)
    seconds = compare_with_faiss(ours, pack(codes), pack(codes), num_threads, repeats)[0]
    picked = np.linspace(0, num_items - 1, sample).astype(int)
    usual = timed(lambda: usual_way(codes[picked], codes, labels[picked], labels)).wall * num_items / sample
    print(f"usual way: {usual:.0f} s (from {sample} queries), {usual / seconds:.0f} times ours")


def compare_search(num_items: int, num_bits: int, num_threads: int, kinds: list[str], repeats: int) -> None:
    bits = near_copies(num_items + 1000, num_bits)
    queries, bits = bits[:1000], bits[1000:]
    print(f"1,000 queries among {num_items} codes of {num_bits} bits, top 100; {num_threads} threads", flush=True)
    ours, faiss = compare_with_faiss(lambda: nearest_codes.nearest_items(queries, bits, 100), queries, bits,
                                     num_threads, repeats)
    print(f"ours: {len(queries) * num_items / ours / 1e9:.1f} G codes/s", flush=True)
    _, distances = nearest_codes.nearest_items(queries, bits, 100)
    others = {"exact search": ours} | ({"faiss's flat": faiss} if faiss else {})
    states: dict[str, Mapping[str, np.ndarray]] = {}
    for name in kinds:
        learned_as = re.sub(":nprobe=[0-9]+", "", name)  # which alone learns nothing anew
        states[learned_as] = report_kind(name, queries, bits, others, distances, states.get(learned_as))


def report_kind(name: str, queries: np.ndarray, bits: np.ndarray, others: dict[str, float], distances: np.ndarray,
                state: Mapping[str, np.ndarray] | None) -> Mapping[str, np.ndarray]:
    """Prints what an approximate index takes, beside the seconds of `others`, and how much of `distances` it finds.

    Returns what it learned; what one of the same settings learned before, `state`, is not learned again.
    """
    kind_name, *given = name.split(":")
    kind = INDEX_KINDS.load(kind_name)
    settings = {key.name: key.default for key in kind.KEYS}
    settings |= index_kinds.read_settings(kind_name, given)
    before = held_mib()
    built = timed(lambda: kind(bits, 8 * bits.shape[1], settings, state))
    index = built.result
    held = held_mib() - before
    searched = timed(lambda: index.search(queries, 100))
    seconds = searched.wall
    ratios = ", ".join(f"{other / seconds:.1f} times as fast as {what}" for what, other in others.items())
    print(f"{name}: built in {built.wall:.1f} s, holds {held:.0f} MiB beside the codes (peak of the process "
          f"{peak_mib():.0f} MiB), searched in {seconds:.3f} s, {ratios}, tie-aware recall "
          f"{tie_aware_recall(searched.result[1], distances):.3f}", flush=True)
    return index.state


def near_copies(num_items: int, num_bits: int) -> np.ndarray:
    random = np.random.default_rng(0)
    originals = random.integers(256, size=(num_items // 1000 + 1, num_bits // 8), dtype=np.uint8)
    bits = originals[random.integers(len(originals), size=num_items)]
    for _ in range(num_bits // 16):
        place = random.integers(num_bits, size=num_items)
        bits[np.arange(num_items), place // 8] ^= (1 << (place % 8)).astype(np.uint8)
    return bits


def compare_with_faiss(ours: Callable[[], object], queries: np.ndarray, bits: np.ndarray, num_threads: int,
                       repeats: int) -> tuple[float, float | None]:
    """Times `ours` and faiss's exact index for the top 100 in turns; prints and returns the medians of their seconds.

    The ratio is the median over the pairs, in wall time and, since other programs may run, in processor time.
    """
    try:
        import faiss
    except ImportError:
        print("faiss is not installed (pip install faiss-cpu)")
        return timed(ours).wall, None
    faiss.omp_set_num_threads(num_threads)
    index = faiss.IndexBinaryFlat(8 * bits.shape[1])
    index.add(bits)
    pairs = [(timed(ours), timed(lambda: index.search(queries, 100))) for _ in range(repeats)]
    mine, theirs = (statistics.median(pair[i].wall for pair in pairs) for i in (0, 1))
    wall = statistics.median(b.wall / a.wall for a, b in pairs)
    processor = statistics.median(b.processor / a.processor for a, b in pairs)
    print(f"ours {mine:.2f} s; faiss IndexBinaryFlat, top 100 alone, {theirs:.2f} s: {wall:.1f} times ours "
          f"({processor:.1f} in processor time; {repeats} pairs, load {os.getloadavg()[0]:.1f})", flush=True)
    return mine, theirs


def make(num_items: int, num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (N, K) that flip a fifth of the bits of their class's code, and labels with one class in ten doubled."""
    random = np.random.default_rng(0)
    centers = random.choice([-1, 1], (NUM_CLASSES, num_bits)).astype(np.int8)
    classes = random.integers(NUM_CLASSES, size=num_items)
    codes = centers[classes] * np.where(random.random((num_items, num_bits)) < 0.2, np.int8(-1), np.int8(1))
    labels = np.zeros((num_items, NUM_CLASSES), np.uint8)
    labels[np.arange(num_items), classes] = 1
    second = random.random(num_items) < 0.1
    labels[second, random.integers(NUM_CLASSES, size=second.sum())] = 1
    return codes, labels


def usual_way(query: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray) -> dict:
    """mAP@k by float distances, a whole argsort per query and loops in Python."""
    distances = 0.5 * (database.shape[1] - database.astype(np.float64) @ query.astype(np.float64).T)
    relevant = labels.astype(np.float64) @ query_labels.astype(np.float64).T > 0
    order = distances.argsort(axis=0, kind="stable")
    result = {}
    for k in MAP_AT:
        total = 0.0
        for q in range(len(query)):
            hits, precision = 0, 0.0
            for rank in range(k):
                if relevant[order[rank, q], q]:
                    hits += 1
                    precision += hits / (rank + 1)
            total += precision / k
        result[k] = total / len(query)
    return result


@dataclass(frozen=True)
class Timed(Generic[Result]):
    """What an action returned, the seconds that it took, and those of the processor."""

    result: Result
    wall: float
    processor: float


def timed(action: Callable[[], Result]) -> Timed[Result]:
    started, processor = time.perf_counter(), time.process_time()
    result = action()
    return Timed(result, time.perf_counter() - started, time.process_time() - processor)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held_mib() -> float:
    """Memory that the process holds now; 0 where /proc does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    run_script(main)
