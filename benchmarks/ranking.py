"""Times exact retrieval evaluation and exact search, side by side in one run.

    python -m benchmarks.ranking [--items 45600] [--bits 64] [--threads 1] [--sample 100]
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
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from inference import index_kinds, nearest_codes
from inference.codes import pack
from inference.metrics import MAP_AT, evaluate
from inference.recall import tie_aware_recall

NUM_CLASSES = 239
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=45_600)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sample", type=int, default=100, help="queries that the usual way is timed on")
    parser.add_argument("--search", type=int, metavar="N", help="time top-100 search among N codes instead")
    parser.add_argument("--kinds", nargs="*", default=[], metavar="KIND[:KEY=VALUE...]",
                        help="approximate kinds of index to search with as well, as ivf or ivf:nprobe=16")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if reason := nearest_codes.unavailable():
        print(f"without the compiled search: {reason}")
    with threadpool_limits(args.threads):
        if args.search:
            compare_search(args.search, args.bits, args.threads, args.kinds)
        else:
            compare_evaluation(args.items, args.bits, args.threads, args.sample)


def compare_evaluation(num_items: int, num_bits: int, num_threads: int, sample: int) -> None:
    codes, labels = make(num_items, num_bits)
    print(f"{num_items} codes of {num_bits} bits, each querying all; {num_threads} threads", flush=True)
    evaluate(codes[:10], codes, labels[:10], labels)  # compiles
    before = peak_mib()
    ours, result = timed(lambda: evaluate(codes, codes, labels, labels, queries_are_database=True))
    print(f"ours: {ours:.2f} s, peak memory +{peak_mib() - before:.0f} MiB, mAP@5 "
          f"{result.map_at['index'][5]:.4f} by index, {result.map_at['expected'][5]:.4f} expected")
    picked = np.linspace(0, num_items - 1, sample).astype(int)
    usual, _ = timed(lambda: usual_way(codes[picked], codes, labels[picked], labels))
    usual *= num_items / sample
    print(f"usual way: {usual:.0f} s (from {sample} queries), {usual / ours:.0f} times ours")
    report_faiss(pack(codes), pack(codes), num_threads, ours)


def compare_search(num_items: int, num_bits: int, num_threads: int, kinds: list[str]) -> None:
    bits = near_copies(num_items + 1000, num_bits)
    queries, bits = bits[:1000], bits[1000:]
    ours, (_, distances) = timed(lambda: nearest_codes.nearest_items(queries, bits, 100))
    print(f"1,000 queries among {num_items} codes of {num_bits} bits, top 100, {num_threads} threads: {ours:.2f} s, "
          f"{len(queries) * num_items / ours / 1e9:.1f} G codes/s", flush=True)
    faiss = report_faiss(queries, bits, num_threads, ours)
    others, states = {"exact search": ours} | ({"faiss's flat": faiss} if faiss else {}), {}
    for name in kinds:
        states[name.split(":")[0]] = report_kind(name, queries, bits, others, distances, states)


def report_kind(name: str, queries: np.ndarray, bits: np.ndarray, others: dict[str, float], distances: np.ndarray,
                states: Mapping[str, Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """Prints what an approximate index takes, beside the seconds of `others`, and how much of `distances` it finds.

    Returns what it learned; what one of its kind learned before is in `states` and is not learned again.
    """
    kind_name, *given = name.split(":")
    kind = index_kinds.load(kind_name)
    settings = {key: setting.default for key, setting in kind.SETTINGS.items()}
    settings |= index_kinds.read_settings(kind_name, given)
    before = held_mib()
    build, index = timed(lambda: kind(bits, 8 * bits.shape[1], settings, states.get(kind_name)))
    held = held_mib() - before
    seconds, (_, found) = timed(lambda: index.search(queries, 100))
    ratios = ", ".join(f"{other / seconds:.1f} times as fast as {what}" for what, other in others.items())
    print(f"{name}: built in {build:.1f} s, holds {held:.0f} MiB beside the codes (peak of the process "
          f"{peak_mib():.0f} MiB), searched in {seconds:.3f} s, {ratios}, tie-aware recall "
          f"{tie_aware_recall(found, distances):.3f}", flush=True)
    return index.state


def near_copies(num_items: int, num_bits: int) -> np.ndarray:
    random = np.random.default_rng(0)
    originals = random.integers(256, size=(num_items // 1000 + 1, num_bits // 8), dtype=np.uint8)
    bits = originals[random.integers(len(originals), size=num_items)]
    for _ in range(num_bits // 16):
        place = random.integers(num_bits, size=num_items)
        bits[np.arange(num_items), place // 8] ^= (1 << (place % 8)).astype(np.uint8)
    return bits


def report_faiss(queries: np.ndarray, bits: np.ndarray, num_threads: int, ours: float) -> float | None:
    """Prints and returns the seconds of faiss's exact index; None where faiss is not installed."""
    try:
        import faiss
    except ImportError:
        print("faiss is not installed (pip install faiss-cpu)")
        return None
    faiss.omp_set_num_threads(num_threads)
    index = faiss.IndexBinaryFlat(8 * bits.shape[1])
    index.add(bits)
    seconds, _ = timed(lambda: index.search(queries, 100))
    print(f"faiss IndexBinaryFlat, top 100 alone: {seconds:.2f} s, {seconds / ours:.1f} times ours", flush=True)
    return seconds


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


def timed(action: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


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
    main()
