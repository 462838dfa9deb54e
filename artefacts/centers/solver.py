"""Semantic hash centers: well separated codes, one per cluster (S5VH, semantic hash center generation).

Letters: C centers, n = C - 1 others, K bits, P semantic dimensions; H (n,K) the other centers' codes.

Each row in turn is relaxed to real values and driven by ADMM towards the hypercube (box and sphere) under
the constraint that every other center stays at least d_max away, d_max the Gilbert-Varshamov bound. We
compute the release's iteration; what differs is how: one eigen-decomposition of H^T H per row stands for
some 5,500 inversions (`kernels.settle_row`), and rows are solved ahead on spare cores.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from artefacts.centers.kernels import settle_row, swap_to_match, weigh_rows
from artefacts.centers.measures import CenterMeasures, gilbert_varshamov, measure_centers, release_score
from utils.cpus import available_cpus
from utils.errors import UserError

GOLDEN_RATIO = (1 + 5 ** 0.5) / 2
RHO_GROWTH, RHO_CEILING = 1.07, 1e9
APART_RHO, APART_GROWTH, APART_CEILING = 1e-5, 1.09, 1e7
ASSIGNMENTS = ("solver", "semantic")
BALANCED_DRAWS = 10
ENUMERABLE_BITS, POOL = 12, 4096


@dataclass(frozen=True)
class HashCenters:
    """`codes` (C,K) int8 of +-1, no two alike; the measures of the start beside those of the end."""

    codes: np.ndarray
    start: CenterMeasures
    end: CenterMeasures
    num_sweeps: int
    num_repaired: int


def solve_hash_centers(semantics: np.ndarray, num_bits: int, *, seed: int, rho: float = 5e-5,
                       gamma: float = GOLDEN_RATIO, hadamard_start: bool = True, assign: str = "solver",
                       max_sweeps: int = 20, patience: int = 5, num_threads: int | None = None,
                       progress: Callable[[int, np.ndarray], None] | None = None) -> HashCenters:
    """C hash centers of `num_bits` bits for the unit rows `semantics` (C,P).

    Sweeps until `patience` of them in a row bring no better release score, and keeps the best. That score
    and the choice of a row look at distances alone; with C <= 2K and K a power of two the Hadamard start
    comes back unchanged, and which row stands for which cluster carries no semantics. `assign="semantic"`
    then reorders the rows by `match_semantics`; the distances stay what they were.

    No two centers of the result coincide: where the sweeps leave duplicates (small K, many centers), each
    is replaced by a code as far from all others as can be found, and counted in `num_repaired`.
    The result is a function of `seed` and not of `num_threads`. `progress(num_rows, codes)` is told
    of each step on.

    Raises:
        UserError: C > 2^(K-1), more centers than that many bits can tell apart well; an unknown `assign`.
    """
    num_centers = len(semantics)
    check_settings(num_centers, num_bits, assign)
    rng = np.random.default_rng(seed)
    semantics = np.asarray(semantics, dtype=np.float64)
    start = start_codes(num_centers, num_bits, rng, hadamard_start)
    best, num_sweeps = _best_of_sweeps(start, semantics, rng, rho=rho, gamma=gamma, max_sweeps=max_sweeps,
                                       patience=patience, num_threads=num_threads, progress=progress)
    codes, num_repaired = part_duplicates(best, rng)
    if assign == "semantic":
        codes = match_semantics(codes, semantics)
    return HashCenters(codes, measure_centers(start, semantics), measure_centers(codes, semantics),
                       num_sweeps, num_repaired)


def check_settings(num_centers: int, num_bits: int, assign: str) -> None:
    """Raises UserError where `solve_hash_centers` would."""
    if complaint := too_many_centers(num_centers, num_bits):
        raise UserError(f"config: {complaint}")
    if assign not in ASSIGNMENTS:
        raise UserError(f"config: hash_center_assign = {assign!r} is unknown; choose one of {ASSIGNMENTS}.")


def too_many_centers(num_centers: int, num_bits: int) -> str | None:
    """What is wrong, and the fix, where there are more centers than so many bits can tell apart well, 2^(K-1)."""
    most = 2 ** (num_bits - 1)
    return None if num_centers <= most else (f"nclusters = {num_centers} hash centers do not fit nbits = {num_bits}; "
                                             f"set nclusters to at most {most}, or nbits higher.")


def start_codes(num_centers: int, num_bits: int, rng: np.random.Generator,
                hadamard: bool = True) -> np.ndarray:
    """The start (C,K) int8: rows of the Hadamard matrix, then of its negative, then balanced random rows.

    The balanced rows are drawn up to ten times, until all rows lie more than K/4 apart and K/2 on average;
    else the draw with the greatest minimum distance stands. Where K is no power of two, or without
    `hadamard`, every row is random. Coinciding rows are parted (`part_duplicates`).
    """
    if not hadamard or num_bits & (num_bits - 1):
        codes = rng.choice(np.array([-1, 1], dtype=np.int8), size=(num_centers, num_bits))
        return part_duplicates(codes, rng)[0]
    matrix = hadamard_matrix(num_bits)
    fixed = np.concatenate([matrix, -matrix])[:num_centers]
    if len(fixed) == num_centers:
        return fixed
    best, best_distance = fixed, -1.0
    for _ in range(BALANCED_DRAWS):
        codes = np.concatenate([fixed, _balanced_rows(num_centers - len(fixed), num_bits, rng)])
        distances = _pair_distances(codes)
        if distances.min() > best_distance:
            best, best_distance = codes, distances.min()
        if distances.min() > num_bits / 4 and distances.mean() >= num_bits / 2:
            best = codes
            break
    return part_duplicates(best, rng)[0]


def hadamard_matrix(order: int) -> np.ndarray:
    """The Sylvester-Hadamard matrix (order, order) int8; `order` is a power of two."""
    assert order > 0
    assert order & (order - 1) == 0, "a Sylvester matrix needs a power of two"
    matrix = np.ones((1, 1), dtype=np.int8)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def sweep(codes: np.ndarray, semantics: np.ndarray, duals: tuple[np.ndarray, np.ndarray, np.ndarray], *,
          rho: float = 5e-5, gamma: float = GOLDEN_RATIO, num_threads: int | None = None,
          progress: Callable[[int, np.ndarray], None] | None = None) -> np.ndarray:
    """`codes` (C,K) after every row was solved once, in order, against the others as they then stand.

    `duals` are the draws y1 (C,K), y2 (C,K), y3 (C,n), one row of each per center. Rows ahead are solved on
    spare threads against the present codes; they count only if no row before them changed, so the result is
    that of one row after the other.
    """
    similarity = semantics @ semantics.T
    return _sweep(codes, lambda current, i: solve_row(current, i, similarity[i], [dual[i] for dual in duals], rho=rho,
                                                      gamma=gamma), num_threads, progress)


def sweep_apart(codes: np.ndarray, duals: Sequence[np.ndarray], *, tolerance: float = 0.0,
                num_threads: int | None = None) -> np.ndarray:
    """As `sweep`, by distances alone (maximal distance separation, SHC, section 3.2): no semantics pull, and a row is
    taken if mean + minimum - variance of its distances or their minimum rises. `tolerance`: see `settle_row`; the
    authors' program has 1e-6, and so never takes what meets all constraints."""
    def solve(current: np.ndarray, i: int) -> np.ndarray:
        return _settled(current, i, np.zeros(current.shape[1]), [dual[i] for dual in duals], APART_RHO, GOLDEN_RATIO,
                        APART_GROWTH, APART_CEILING, tolerance, 0.0, True)

    return _sweep(codes, solve, num_threads, None)


def _sweep(codes: np.ndarray, solve: Callable[[np.ndarray, int], np.ndarray], num_threads: int | None,
           progress: Callable[[int, np.ndarray], None] | None) -> np.ndarray:
    """`codes` after `solve(codes, i)` has given every row anew, in order."""
    num_centers = len(codes)
    current = codes.astype(np.float64)
    if num_centers < 2:
        return codes.astype(np.int8)
    num_threads = num_threads or min(8, available_cpus())
    # One BLAS thread: how BLAS splits its sums must not depend on what else runs.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_threads) as pool:
        index = 0
        while index < num_centers:
            ahead = range(index, min(index + num_threads, num_centers))
            rows = pool.map(lambda i: solve(current, i), ahead)
            accepted = _accept(current, index, list(rows))
            index += accepted
            if progress is not None:
                progress(accepted, current)
    return current.astype(np.int8)


def solve_row(codes: np.ndarray, index: int, similarity: np.ndarray, duals: Sequence[np.ndarray], *,
              rho: float = 5e-5, gamma: float = GOLDEN_RATIO) -> np.ndarray:
    """The new row `index` (K,) of `codes` (C,K) float64, C >= 2, all other rows held.

    `similarity` (C,) are the cosines of center `index` with all; `duals` its draws y1 (K,), y2 (K,), y3 (n,).
    """
    others, num_bits = np.delete(codes, index, axis=0), codes.shape[1]
    drive = np.empty(num_bits)
    weigh_rows(2.0 * _spread(np.delete(similarity, index), num_bits), others, drive)
    return _settled(codes, index, drive, duals, float(rho), float(gamma), RHO_GROWTH, RHO_CEILING, 0.0, 2.0, False)


def _settled(codes: np.ndarray, index: int, drive: np.ndarray, duals: Sequence[np.ndarray],
             *settings: float) -> np.ndarray:
    """`settle_row` for row `index` of `codes` (C,K), pushed by `drive` (K,) and away from the mean of the others;
    `settings` from its rho on."""
    num_centers, num_bits = codes.shape
    others = np.delete(codes, index, axis=0)
    columns = np.ascontiguousarray(others.T)
    eigenvalues, basis = np.linalg.eigh(others.T @ others)
    drive -= others.mean(axis=0)
    y1, y2, y3 = (np.array(dual, dtype=np.float64) for dual in duals)
    limit = float(num_bits - 2 * gilbert_varshamov(num_centers, num_bits))
    return settle_row(codes[index].copy(), others, columns, np.ascontiguousarray(basis),
                      np.ascontiguousarray(basis.T), np.maximum(eigenvalues, 0.0), drive, y1, y2, y3, limit,
                      *settings)


def part_duplicates(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """`codes` (C,K) with every later twin of a row replaced, and how many were.

    Each takes the code farthest from all others: among all 2^K for K <= 12, else among 4,096 random ones.
    """
    _, firsts = np.unique(codes, axis=0, return_index=True)
    twins = np.setdiff1d(np.arange(len(codes)), firsts)
    if not twins.size:
        return codes, 0
    codes, num_bits = codes.copy(), codes.shape[1]
    kept = codes[np.sort(firsts)].astype(np.float32)
    pool, closest = _pool(num_bits, kept, rng)
    for twin in twins:
        while closest.min() >= num_bits:
            pool, closest = _pool(num_bits, kept, rng)
        codes[twin] = pool[closest.argmin()]
        fresh = codes[twin].astype(np.float32)
        kept = np.concatenate([kept, fresh[None]])
        closest = np.maximum(closest, pool @ fresh)
    return codes, len(twins)


def match_semantics(codes: np.ndarray, semantics: np.ndarray, max_passes: int = 50) -> np.ndarray:
    """The rows of `codes` (C,K) reordered so that similar clusters get similar codes.

    Distances between rows are untouched; the Pearson correlation of code similarity with `semantics` (C,P)
    never falls. A quadratic assignment, climbed by pairwise swaps until none helps.
    """
    real = codes.astype(np.float64)
    order = np.arange(len(codes))
    swap_to_match(real @ real.T, np.asarray(semantics @ semantics.T, dtype=np.float64), order, max_passes)
    return codes[order]


def _best_of_sweeps(codes, semantics, rng, *, max_sweeps, patience, **settings) -> tuple[np.ndarray, int]:
    """The codes of the sweep with the best release score, and the number of sweeps made.

    As in the release, the start itself does not compete.
    """
    num_centers, num_bits = codes.shape
    best, best_score, fruitless, num_sweeps = codes, -np.inf, 0, 0
    while num_sweeps < max_sweeps and fruitless < patience:
        draws = rng.random((num_centers, 2 * num_bits + num_centers - 1))
        y1, y2, y3 = np.split(draws, [num_bits, 2 * num_bits], axis=1)
        codes = sweep(codes, semantics, (y1, y2, y3), **settings)
        num_sweeps += 1
        score = release_score(codes, semantics)
        fruitless = 0 if score > best_score else fruitless + 1
        if score > best_score:
            best, best_score = codes, score
    return best, num_sweeps


def _accept(codes: np.ndarray, index: int, rows: list[np.ndarray]) -> int:
    """Writes `rows` into `codes` from `index` on, up to and with the first that changes; returns how many."""
    for ahead, row in enumerate(rows):
        if not np.array_equal(codes[index + ahead], row):
            codes[index + ahead] = row
            return ahead + 1
    return len(rows)


def _spread(similarity: np.ndarray, num_bits: int) -> np.ndarray:
    """`similarity` (n,) scaled from its least and greatest value to [-K, K]; zeros where all are equal."""
    similarity = similarity - similarity.mean()
    width = similarity.max() - similarity.min()
    if width <= 0.0:
        return np.zeros_like(similarity)
    return (similarity - similarity.min()) / width * 2.0 * num_bits - num_bits


def _balanced_rows(num_rows: int, num_bits: int, rng: np.random.Generator) -> np.ndarray:
    half = np.repeat(np.array([-1, 1], dtype=np.int8), [num_bits // 2, num_bits - num_bits // 2])
    return rng.permuted(np.tile(half, (num_rows, 1)), axis=1)


def _pair_distances(codes: np.ndarray) -> np.ndarray:
    products = codes.astype(np.float32) @ codes.T.astype(np.float32)
    return 0.5 * (codes.shape[1] - products[np.triu_indices(len(codes), 1)])


def _pool(num_bits: int, kept: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Candidate codes (M,K) float32 and the inner product of each with the nearest of `kept`."""
    if num_bits <= ENUMERABLE_BITS:
        bits = (np.arange(2 ** num_bits)[:, None] >> np.arange(num_bits)) & 1
    else:
        bits = rng.integers(0, 2, size=(POOL, num_bits))
    pool = (2 * bits - 1).astype(np.float32)
    return pool, (pool @ kept.T).max(axis=1)
