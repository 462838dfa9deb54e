"""Stage 2 of SHC: hash centers of the classes, far apart and, within that, as alike as the classes are.

Chen et al., arXiv 2507.08404, sections 3.2 and 3.3. Letters: C classes, K bits; H (C, K) the centers, S (C, C) the
similarity of the classes, d the Gilbert-Varshamov distance that all pairs keep.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.centers.artefact import quality_table
from artefacts.centers.descent import solve_by_descent
from artefacts.centers.measures import gilbert_varshamov, measure_centers
from artefacts.centers.solver import start_codes, sweep_apart
from artefacts.clustering import unit_rows
from artefacts.store import plus_minus_one
from model.methods.shc.similarity import CLASS_SIMILARITY
from utils.config.keys import Key, choice

LAMBDA_START, RHO, MU, ETA, BETA = 0.1, 0.2, 0.625, 0.5, 1e-6
ROUNDS, INNER = 30, 3
MAX_SWEEPS = 50
RELEASE_DIVISOR, RELEASE_TOLERANCE = 10000, 1e-6


def separated_centers(num_classes: int, num_bits: int, seed: int, *, release: bool = False,
                      progress: Callable[[], object] = lambda: None) -> np.ndarray:
    """(C, K) int8: codes that are d apart where 50 sweeps reach it (section 3.2); of all sweeps the one whose distances
    have the largest mean + minimum - variance. `release`: rows that meet all constraints are not taken, see
    `sweep_apart`. `progress` is called after every sweep."""
    rng = np.random.default_rng(seed)
    codes = start_codes(num_classes, num_bits, rng)
    best, best_score = codes, -np.inf
    for _ in range(MAX_SWEEPS):
        draws = rng.random((num_classes, 2 * num_bits + num_classes - 1))
        codes = sweep_apart(codes, np.split(draws, [num_bits, 2 * num_bits], axis=1),
                            tolerance=RELEASE_TOLERANCE if release else 0.0)
        score, least = scores(codes)
        progress()
        if score > best_score:
            best, best_score = codes, score
        if least >= gilbert_varshamov(num_classes, num_bits):
            break
    return best


def scores(codes: np.ndarray) -> tuple[float, float]:
    """(mean + minimum - variance, minimum) of the distances between all pairs of rows of `codes` (C, K)."""
    products = codes.astype(np.float64) @ codes.T.astype(np.float64)
    distances = (codes.shape[1] - products[np.triu_indices(len(codes), 1)]) / 2
    return float(distances.mean() + distances.min() - distances.var()), float(distances.min())


@dataclass
class SemanticRounds:
    """The alternating rounds of section 3.3, from centers that are d apart. Arrays are float64, H here (K, C).

    Each round solves for M, a real copy of H, and for the slack k of the distances, then takes three gradient steps
    with each column's signs; a step after which not all columns are d apart is not taken. `release`: the distance
    terms as the authors' program has them (K h_i for h_j (h_j.h_i), a ten-thousandth of it all, alpha left at 0).
    """

    H: np.ndarray
    S: np.ndarray
    release: bool = False

    def __post_init__(self) -> None:
        self.H, self.S = self.H.astype(np.float64), self.S.astype(np.float64)
        self.lambda_, self.alpha = np.full(self.H.shape, LAMBDA_START), np.zeros(self.S.shape)
        self.distance = gilbert_varshamov(self.H.shape[1], len(self.H))
        self._near = len(self.H) - 2 * self.distance < self.H.T @ self.H
        np.fill_diagonal(self._near, False)

    def fit_loss(self) -> float:
        """Mean of (S - H^T H / K)^2 (eq. 9)."""
        return float(np.square(self.S - self.H.T @ self.H / len(self.H)).mean())

    def round(self) -> None:
        """M, k, H, then the multipliers."""
        H, K = self.H, len(self.H)
        self.M = np.linalg.solve(2 / K**2 * H @ H.T + RHO * np.eye(K), 2 / K * H @ self.S + self.lambda_ + RHO * H)
        self.k = np.maximum(K - 2 * self.distance - H.T @ H + self.alpha / BETA, 0)
        square, drive = 2 / K**2 * self.M @ self.M.T, self.lambda_ - 2 / K * self.M @ self.S - RHO * self.M
        for _ in range(INNER):
            for i in range(H.shape[1]):
                gradient = square @ H[:, i] + drive[:, i] + RHO * H[:, i] + self._distance_terms(i)
                self._take(i, np.sign(H[:, i] - gradient / ETA))
        self.lambda_ += RHO * (H - self.M)
        if not self.release:
            self.alpha += BETA * (K - 2 * self.distance - H.T @ H - self.k)

    def _distance_terms(self, i: int) -> np.ndarray:
        """(K,): the gradient by h_i of the terms that keep it apart from all other columns."""
        H, K = self.H, len(self.H)
        others = np.arange(H.shape[1]) != i
        rest, alpha, room = H[:, others], self.alpha[i, others], K - 2 * self.distance - self.k[i, others]
        along = rest @ (2 * MU - 2 * alpha - 2 * BETA * room)
        if self.release:
            return (along + 2 * BETA * K * len(alpha) * H[:, i]) / RELEASE_DIVISOR
        return along + 2 * BETA * rest @ (rest.T @ H[:, i])

    def _take(self, i: int, code: np.ndarray) -> None:
        """Puts `code` (K,) in column i if all columns are d apart then."""
        near = code @ self.H > len(code) - 2 * self.distance
        near[i] = False
        if not near.any() and self._near.sum() == 2 * self._near[i].sum():
            self.H[:, i] = code
            self._near[i] = self._near[:, i] = False


def semantic_centers(start: np.ndarray, similarity: np.ndarray, *, release: bool = False,
                     progress: Callable[[], object] = lambda: None) -> np.ndarray:
    """(C, K) int8: of 30 rounds from `start` (C, K) the one whose codes fit `similarity` (C, C) best. `progress` is
    called after every round."""
    rounds = SemanticRounds(start.T.copy(), similarity, release)
    best, least = start, np.inf
    for _ in range(ROUNDS):
        rounds.round()
        progress()
        if rounds.fit_loss() < least:
            best, least = rounds.H.T.astype(np.int8), rounds.fit_loss()
    return best


class SemanticClassCenters(Artefact):
    """(C, K) int8 of +-1: a center for each class, row i of class i. The file says how good they are."""

    name = "class_centers"
    path_key = "class_center_path"
    KEYS = (
        choice("class_center_solver", "rounds", ["descent", "release"], "how centers of classes are solved: by the "
               "paper's rounds, by flips of bits that follow the similarity, or by the rounds of the authors' program"),
        Key("class_center_path", "path", None, "hash centers of classes", file="class_centers_{nbits}.h5", free=True),
    )
    needs = (CLASS_SIMILARITY,)
    shaped_by = ("nbits", "class_center_solver", "preprocess_seed")

    def arrays(self, config, split) -> dict[str, Array]:
        return {"matrix": Array((None, config.nbits), plus_minus_one)}

    def make(self, making: Making) -> Made:
        config, similarity = making.config, making.value(CLASS_SIMILARITY)
        semantics = unit_vectors(similarity)
        if config.class_center_solver == "descent":
            start = start_codes(len(similarity), config.nbits, np.random.default_rng(config.preprocess_seed))
            codes = solve_by_descent(semantics, config.nbits, seed=config.preprocess_seed).codes
        else:
            release = config.class_center_solver == "release"
            with tqdm(total=MAX_SWEEPS + ROUNDS, desc="class centers", disable=None, leave=False) as bar:
                start = separated_centers(len(similarity), config.nbits, config.preprocess_seed, release=release,
                                          progress=bar.update)
                bar.update(MAX_SWEEPS - bar.n)
                codes = semantic_centers(start, similarity, release=release, progress=bar.update)
        making.log(quality_table(measure_centers(start, semantics), measure_centers(codes, semantics)))
        return Made({"matrix": codes})


def unit_vectors(similarity: np.ndarray) -> np.ndarray:
    """(C, C) float64 unit rows whose cosines are `similarity` (C, C), symmetric, as far as any can be."""
    values, vectors = np.linalg.eigh((similarity + similarity.T).astype(np.float64) / 2)
    return unit_rows(vectors * np.sqrt(np.maximum(values, 0)))


CLASS_CENTERS = SemanticClassCenters()
