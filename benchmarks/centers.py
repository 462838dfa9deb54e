"""Solves hash centers by ADMM and by descent, side by side in one run.

    python -m benchmarks.centers 100x16 100x32 100x64 [--vectors FILE.npy] [--distance D] [--starts 4] [--no-admm]

Each size is C x K: C centers of K bits. The semantics are the unit rows of C k-means centroids of the vectors (N,P) in
the file or, without one, of 4,000 synthetic ones whose variances fall off as 1/i over 128 dimensions. ADMM runs its
20 sweeps at most; without `--no-admm`, 450x64 takes minutes. Compilation is not timed.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from artefacts.centers.descent import STARTS, solve_by_descent
from artefacts.centers.solver import HashCenters, solve_hash_centers
from artefacts.clustering import cluster, unit_rows
from utils.cli import run_script
from utils.cpus import available_cpus

COLUMNS = ("solver", "least", "bound", "mean", "Pearson", "Spearman", "parted", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", type=size, metavar="CxK")
    parser.add_argument("--vectors", metavar="FILE.npy", help="what to cluster, (N,P)")
    parser.add_argument("--distance", type=int, help="minimum distance asked of the descent; else the bound or more")
    parser.add_argument("--near-weight", type=int, default=0)
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=available_cpus())
    parser.add_argument("--no-admm", action="store_true")
    args = parser.parse_args()
    vectors = np.load(args.vectors) if args.vectors else synthetic(4000, 128, args.seed)
    common = {"seed": args.seed, "num_threads": args.threads}
    solvers = {} if args.no_admm else {"admm": lambda rows, bits: solve_hash_centers(rows, bits, **common)}
    solvers["descent"] = lambda rows, bits: solve_by_descent(
        rows, bits, min_distance=args.distance, near_weight=args.near_weight, starts=args.starts, **common)
    compile_all()
    print(f"{args.vectors or 'synthetic vectors'} {vectors.shape}, {args.threads} threads, seed {args.seed}")
    semantics: dict[int, np.ndarray] = {}
    for num_centers, num_bits in args.sizes:
        if num_centers not in semantics:
            semantics[num_centers] = unit_rows(cluster(vectors, num_centers, args.seed, restarts=1))
        compare(solvers, semantics[num_centers], num_bits)


def size(text: str) -> tuple[int, int]:
    """C and K from `text`, as 100x16."""
    num_centers, num_bits = text.split("x")
    return int(num_centers), int(num_bits)


def synthetic(num_vectors: int, num_dims: int, seed: int) -> np.ndarray:
    """(N,P) float32: normal vectors whose variance in dimension i falls off as 1/i."""
    rows = np.random.default_rng(seed).standard_normal((num_vectors, num_dims))
    return (rows / np.sqrt(np.arange(1, num_dims + 1))).astype(np.float32)


def compile_all() -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((5, 4)))
    for solve in (solve_hash_centers, solve_by_descent):
        solve(rows, 4, seed=0)


def compare(solvers: dict[str, Callable[[np.ndarray, int], HashCenters]], semantics: np.ndarray,
            num_bits: int) -> None:
    """Prints a line of measures per solver."""
    print(f"\n{len(semantics)} centers of {num_bits} bits\n" + "".join(f"{name:>10}" for name in COLUMNS))
    for name, solve in solvers.items():
        begin = time.perf_counter()
        solved = solve(semantics, num_bits)
        seconds, end = time.perf_counter() - begin, solved.end
        print(f"{name:>10}{end.min_distance:>10.0f}{end.gilbert_varshamov:>10}{end.mean_distance:>10.2f}"
              f"{end.pearson:>10.3f}{end.spearman:>10.3f}{solved.num_repaired:>10}{seconds:>10.2f}", flush=True)


if __name__ == "__main__":
    run_script(main)
