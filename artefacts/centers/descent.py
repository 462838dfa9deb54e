"""Semantic hash centers by descent: well separated codes whose distances follow the semantics.

Letters: C centers, K bits, P semantic dimensions; p_ij the inner product of two codes, z_ij the standardised
similarity of two clusters.

Single bits flip while sum_{i<j} w_ij (p_ij - a z_ij)^2 + penalty max(0, p_ij - (K - 2d))^2 falls, d the distance
asked for. S5VH's ADMM looks at distances alone when it chooses; this cost has the semantics in it. In turn:

1. annealing (Kirkpatrick et al. 1983, "Optimization by Simulated Annealing"): the temperature falls while the
   penalty rises, and the scale a follows the codes (`_Descent.rescale`);
2. repair: the targets of pairs that are still too near are pushed apart until none is left (Morris 1993, "The
   Breakout Method for Escaping from Local Minima": weights of violated constraints grow);
3. settling: the first targets again, under a penalty that no gain can pay;
4. where no distance was asked for: one bit more, as long as the correlations hardly suffer.

Where d is even, every second start descends with K - 1 bits and d - 1 and is given a parity bit at the end: codes of
even weight lie an even number of bits apart, so d - 1 becomes d. Where many centers crowd few bits that is the better
way, for a single flip cannot go from one code of even weight to another (omniglot, 450 centers of 16 bits 4 apart:
correlations of .56 and .57 for .51 and .52).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from threading import Lock

import numpy as np
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from artefacts.centers.descent_kernels import PATIENCE, sweep_rows
from artefacts.centers.measures import CenterMeasures, gilbert_varshamov, measure_centers, ranks
from artefacts.centers.solver import HashCenters, check_settings, part_duplicates
from utils.cpus import available_cpus
from utils.errors import UserError

STARTS = 4
RANK_SHARE = 0.5  # of the ranks' normal scores in z: for the Spearman beside the Pearson correlation
HOTTEST, COLDEST = 0.15, 0.03  # temperatures, in units of a row's stiffness without any penalty
PENALTY, FORBIDDING = 1e3, 1e5
NARROWEST, SCALE, WIDEST = 0.5, 1.3, 3.0  # of a, in units of sqrt(K)
CHUNK, FEWEST, MOST = 10, 60, 600  # sweeps
OPERATIONS, OVERHEAD = 5e9, 24  # of one start's annealing, C^2 (K + OVERHEAD) a sweep
PUSH = 200.0  # of a target, per round of repair
PATIENT, REPAIR_SWEEPS, SETTLING_SWEEPS = 15, 20, 60
TOLERATED = 0.01  # loss of the mean of both correlations for a greater minimum distance


def solve_by_descent(semantics: np.ndarray, num_bits: int, *, seed: int, min_distance: int | None = None,
                     near_weight: int = 0, starts: int = STARTS, progress: Callable[[int, int], None] | None = None,
                     num_threads: int | None = None, sweep: Callable[..., int] = sweep_rows) -> HashCenters:
    """C hash centers of `num_bits` bits for the unit rows `semantics` (C,P), the best of `starts` random starts.

    `min_distance` is asked for in bits; without it the Gilbert-Varshamov bound is, and more is taken where the mean of
    both correlations with the semantics falls by less than .01 for it. The best start is the one that comes nearest to
    the distance asked for and, among equals, follows the semantics best. The result's first measures are those of the
    random codes it came from, `num_sweeps` its sweeps of annealing. No two centers coincide: where C is so near 2^(K-1)
    that the descent leaves twins, `part_duplicates` parts them, counted in `num_repaired`.

    A pair of similarity z weighs w = 1 + floor(`near_weight` max(0, min(z, 3))). With 1, more of a cluster's five
    nearest lie among the ten nearest codes (omniglot, 100 clusters, 32 bits: .88 for .81; at 16 bits no more), but the
    correlations fall (Pearson .81 for .82, Spearman .83 for .85).

    The result is a function of `seed`, not of `num_threads`. `progress(done, total)` is told of sweeps done so far,
    of all starts, from whichever thread did them but never from two at once. `sweep` is `sweep_rows` or its like.

    Raises:
        UserError: C > 2^(K-1), more centers than that many bits can tell apart well; `min_distance` outside [0, K];
            no start.
    """
    num_centers = len(semantics)
    check_settings(num_centers, num_bits, "solver")
    _check(min_distance, starts, num_bits)
    tell = _Progress(progress, starts * num_sweeps(num_centers, num_bits))
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_threads or available_cpus()) as pool:
        task = _task(np.asarray(semantics, dtype=np.float64), num_bits, min_distance, near_weight, sweep)
        seeds = np.random.SeedSequence(seed).spawn(starts)
        found = pool.map(_run, _tasks(task, starts), seeds, repeat(tell))
        return max(found, key=lambda centers: _worth(centers, task.distance))


def num_sweeps(num_centers: int, num_bits: int) -> int:
    """The sweeps of annealing that each start makes: as many as `OPERATIONS` allow, in whole chunks."""
    affordable = OPERATIONS / (num_centers ** 2 * (num_bits + OVERHEAD))
    return CHUNK * int(min(max(affordable, FEWEST), MOST) // CHUNK)


@dataclass(frozen=True)
class _Task:
    """What starts share; `similarity` and `weights` are (C,C) float64. A parity bit comes on top of `num_bits`."""

    semantics: np.ndarray
    similarity: np.ndarray
    weights: np.ndarray
    num_bits: int
    distance: int
    may_raise: bool
    sweeps: int
    sweep: Callable[..., int]
    parity: bool = False


class _Progress:
    """Adds up what several threads report, and passes it on from one at a time."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done, self.lock = progress, total, 0, Lock()

    def __call__(self, num: int) -> None:
        with self.lock:
            self.done += num
            if self.progress is not None:
                self.progress(self.done, self.total)


class _Descent:
    """Codes on their way down: `columns` (K,C) and `products` (C,C), float64, always in step."""

    def __init__(self, task: _Task, codes: np.ndarray, state: np.ndarray) -> None:
        self.task, self.state = task, state
        self.columns = np.ascontiguousarray(codes.T, dtype=np.float64)
        self.products = self.columns.T @ self.columns
        self.targets = np.empty_like(self.products)
        self.aim(SCALE)

    @property
    def codes(self) -> np.ndarray:
        return np.ascontiguousarray(self.columns.T).astype(np.int8)

    def aim(self, scale: float) -> None:
        """Sets the targets a z for a = `scale` sqrt(K), in whole eighths."""
        np.round(8 * scale * self.task.num_bits ** 0.5 * self.task.similarity, out=self.targets)
        self.targets /= 8

    def rescale(self) -> None:
        """Sets a = sum p^2 / sum p z: there, and only there, the squared error falls as the correlation rises.

        With q = sum p^2 and c = sum p z, the correlation c / sqrt(q) grows along z - (c / q) p, and
        sum (p - a z)^2 falls along a z - p. The two directions are one for a = q / c.
        """
        square = np.vdot(self.products, self.products) - len(self.products) * self.task.num_bits ** 2
        follows = np.vdot(self.products, self.task.similarity)
        scale = square / follows / self.task.num_bits ** 0.5 if follows > 0 else WIDEST
        self.aim(min(max(scale, NARROWEST), WIDEST))

    def sweep(self, distance: int, penalties: np.ndarray, temperatures: np.ndarray) -> None:
        self.task.sweep(self.columns, self.products, self.targets, self.task.weights,
                        float(self.task.num_bits - 2 * distance), penalties, temperatures, PATIENCE, self.state)

    def quench(self, distance: int, penalty: float, sweeps: int) -> None:
        self.sweep(distance, np.full(sweeps, penalty), np.zeros(sweeps))

    def too_near(self, distance: int) -> np.ndarray:
        """Whether two centers (C,C) are less than `distance` bits apart; never a center and itself."""
        near = self.products > self.task.num_bits - 2 * distance
        np.fill_diagonal(near, False)
        return near

    def min_distance(self) -> int:
        products = self.products - 2 * self.task.num_bits * np.eye(len(self.products))
        return int(self.task.num_bits - products.max()) // 2


def _run(task: _Task, seed: np.random.SeedSequence, tell: _Progress) -> HashCenters:
    """The centers that one random start leads to."""
    rng = np.random.default_rng(seed)
    start = rng.choice(np.array([-1, 1], dtype=np.int8), size=(len(task.semantics), task.num_bits))
    descent = _Descent(task, start, rng.integers(1, 2 ** 63, size=1).astype(np.uint64))
    _anneal(descent, tell)
    apart = len(start) == 1 or _repair(descent, task.distance)
    codes, num_parted = part_duplicates(_raised(descent) if apart and task.may_raise else descent.codes, rng)
    if task.parity:
        start, codes = _with_parity(start), _with_parity(codes)
    return HashCenters(codes, measure_centers(start, task.semantics), measure_centers(codes, task.semantics),
                       task.sweeps, num_parted)


def _with_parity(codes: np.ndarray) -> np.ndarray:
    """`codes` (C,K-1) with one bit more, their product: two that lie an odd number of bits apart differ in it."""
    return np.concatenate([codes, codes.prod(axis=1, keepdims=True, dtype=codes.dtype)], axis=1)


def _anneal(descent: _Descent, tell: _Progress) -> None:
    progress = np.arange(descent.task.sweeps) / (descent.task.sweeps - 1)
    penalties = np.round(PENALTY ** progress)
    temperatures = 8 * len(descent.products) * HOTTEST * (COLDEST / HOTTEST) ** progress
    for first in range(0, descent.task.sweeps, CHUNK):
        chunk = slice(first, first + CHUNK)
        descent.sweep(descent.task.distance, penalties[chunk], temperatures[chunk])
        descent.rescale()
        tell(CHUNK)
    descent.quench(descent.task.distance, PENALTY, SETTLING_SWEEPS)


def _repair(descent: _Descent, distance: int) -> bool:
    """Brings all centers `distance` bits apart, if it can, and settles; returns whether it could.

    It gives up after `PATIENT` rounds in a row that left no fewer pairs too near. The codes with the greatest minimum
    distance on the way are then settled at that distance.
    """
    targets, fewest, fruitless = descent.targets.copy(), descent.products.size, 0
    best, columns, products = -1, descent.columns, descent.products
    while fruitless < PATIENT and best < distance:
        near = descent.too_near(distance)
        num_near = int(np.count_nonzero(near))
        fruitless = 0 if num_near < fewest else fruitless + 1
        fewest = min(num_near, fewest)
        if (reached := descent.min_distance()) > best:
            best, columns, products = reached, descent.columns.copy(), descent.products.copy()
        if num_near:
            descent.targets[near] -= PUSH
            descent.quench(distance, PENALTY, REPAIR_SWEEPS)
    descent.targets, descent.columns, descent.products = targets, columns, products
    descent.quench(min(best, distance), FORBIDDING, SETTLING_SWEEPS)
    return best >= distance


def _raised(descent: _Descent) -> np.ndarray:
    """The codes (C,K) of a descent at its distance, or at the greatest one that costs hardly any correlation."""
    task, codes = descent.task, descent.codes
    least = _follows(measure_centers(codes, task.semantics)) - TOLERATED
    distance = descent.min_distance() + 1
    while distance <= task.num_bits and _repair(descent, distance):
        if _follows(measure_centers(descent.codes, task.semantics)) < least:
            break
        codes, distance = descent.codes, descent.min_distance() + 1
    return codes


def _task(semantics: np.ndarray, num_bits: int, min_distance: int | None, near_weight: int,
          sweep: Callable[..., int]) -> _Task:
    similarity = _standardised(semantics)
    weights = 1 + np.floor(near_weight * similarity.clip(0, 3))
    distance = gilbert_varshamov(len(semantics), num_bits) if min_distance is None else min_distance
    return _Task(semantics, similarity, weights, num_bits, distance, min_distance is None and len(semantics) > 1,
                 num_sweeps(len(semantics), num_bits), sweep)


def _tasks(task: _Task, starts: int) -> list[_Task]:
    """The task of each start: the given one and, where its distance is even, in turn with it the one with parity."""
    if task.distance < 2 or task.distance % 2 or task.num_bits == 1:
        return [task] * starts
    shorter = replace(task, num_bits=task.num_bits - 1, distance=task.distance - 1, may_raise=False, parity=True)
    return [shorter if start % 2 else task for start in range(starts)]


def _standardised(semantics: np.ndarray) -> np.ndarray:
    """z (C,C): the cosines of the unit rows `semantics` (C,P) halfway to the normal scores of their ranks.

    Over pairs i < j it has mean 0 and, unless all are alike, standard deviation 1; 0 on the diagonal.
    """
    pairs = np.triu_indices(len(semantics), 1)
    cosines = (semantics @ semantics.T)[pairs]
    z = np.zeros((len(semantics), len(semantics)))
    if cosines.size:
        scores = ndtri((ranks(cosines) - 0.5) / cosines.size)
        z[pairs] = _unit((1 - RANK_SHARE) * _unit(cosines) + RANK_SHARE * _unit(scores))
    return z + z.T


def _unit(values: np.ndarray) -> np.ndarray:
    """`values` with mean 0 and standard deviation 1; zeros where they are all alike."""
    values = values - values.mean()
    deviation = values.std()
    return values / deviation if deviation > 1e-9 else np.zeros_like(values)


def _worth(found: HashCenters, distance: int) -> tuple[float, float]:
    """By what the best start is chosen: the distance reached, of that asked for, then the correlations."""
    reached = np.rint(found.end.min_distance)
    return min(reached, distance), _follows(found.end) + TOLERATED * (reached > distance)


def _follows(measures: CenterMeasures) -> float:
    """The mean of both correlations; 0 where they are undefined."""
    return float(np.nan_to_num((measures.pearson + measures.spearman) / 2))


def _check(min_distance: int | None, starts: int, num_bits: int) -> None:
    if min_distance is not None and not 0 <= min_distance <= num_bits:
        raise UserError(f"config: a minimum distance of {min_distance} bits cannot be had from nbits = {num_bits}; "
                        f"ask for one from 0 to {num_bits}, or for none to get the Gilbert-Varshamov bound.")
    if starts < 1:
        raise UserError(f"config: {starts} starts give no hash centers; ask for 1 or more.")
