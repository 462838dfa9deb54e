"""The hash centers as an artefact: solved from the semantics of the clusters. C centers, K bits."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from tqdm import tqdm

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.centers.descent import STARTS, num_sweeps, solve_by_descent
from artefacts.centers.measures import CenterMeasures
from artefacts.centers.solver import GOLDEN_RATIO, HashCenters, solve_hash_centers, too_many_centers
from artefacts.clusters import SEMANTICS
from artefacts.store import plus_minus_one
from utils.config.keys import NON_NEGATIVE, POSITIVE, Key, choice

MAX_SWEEPS = 20
_NOT_SHOWN = {"release_score"}  # every balanced code reaches its maximum
_MEANINGS = ("distances in bits; gilbert varshamov: a least distance that so many codes can surely have;",
             "pearson, spearman: how well distances follow the likeness of the clusters, - where all are equal")


class SolvedCenters(Artefact):
    """(C, K) int8 of +-1; row i belongs to pseudo-label i. The file says how good they are."""

    name = "hash_centers"
    path_key = "hash_center_path"
    KEYS = (
        choice("center_solver", "admm", ["descent"],
               "how hash centers are solved: the paper's ADMM, or flips of bits that follow the semantics"),
        Key("center_min_distance", "int", None, "distance in bits that the descent is asked for; None: the "
            "Gilbert-Varshamov bound, and more where it costs little", NON_NEGATIVE),
        Key("initWithCSQ", "bool", True, "start the hash centers from Hadamard rows"),
        Key("rho", "float", 5e-5, "first penalty of the hash-center solver", POSITIVE),
        Key("gamma", "float", GOLDEN_RATIO, "dual step of the hash-center solver", POSITIVE),
        choice("hash_center_assign", "solver", ["semantic"],
               "which center goes to which cluster: as solved, or permuted to follow the semantics"),
        Key("hash_center_path", "path", None, "hash centers of nbits bits", file="hash_center_{nbits}.h5", free=True),
    )
    needs = (SEMANTICS,)
    shaped_by = ("nbits", "rho", "gamma", "initWithCSQ", "hash_center_assign")

    def settings(self, config) -> dict[str, Any]:
        """Those of the solver that is chosen; ADMM's files do not name it, as they did not when it was the only one."""
        if _by_descent(config):
            return {name: getattr(config, name) for name in ("nbits", "center_solver", "center_min_distance")}
        return super().settings(config)

    def arrays(self, config, split) -> dict[str, Array]:
        return {"matrix": Array((config.nclusters, config.nbits), plus_minus_one)}

    def make(self, making: Making) -> Made:
        solve = _descend if _by_descent(making.config) else _solve
        solved = solve(making.config, making.value(SEMANTICS))
        making.log(quality_table(solved.start, solved.end))
        return Made({"matrix": solved.codes}, _quality(solved))

    def complaint(self, config, num_videos: int) -> str | None:
        return too_many_centers(config.nclusters, config.nbits)

    def read(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        return arrays["matrix"].astype(np.int8)


HASH_CENTERS = SolvedCenters()


def quality_table(start: CenterMeasures, end: CenterMeasures) -> str:
    """A table of the measures, start beside end, one per line, and what they mean."""
    lines = [f"{'hash centers':<22}{'start':>10}{'end':>10}"]
    for (name, before), after in zip(asdict(start).items(), asdict(end).values(), strict=True):
        if name not in _NOT_SHOWN:
            lines.append(f"{name.replace('_', ' '):<22}{_text(before):>10}{_text(after):>10}")
    return "\n".join([*lines, *_MEANINGS])


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _quality(solved: HashCenters) -> dict:
    start = {f"start_{name}": value for name, value in asdict(solved.start).items()}
    return {**asdict(solved.end), **start, "num_sweeps": solved.num_sweeps, "num_repaired": solved.num_repaired}


def _by_descent(config) -> bool:
    return config.center_solver == "descent"


def _descend(config, semantics: np.ndarray) -> HashCenters:
    with tqdm(total=STARTS * num_sweeps(len(semantics), config.nbits), desc="hash centers", disable=None,
              leave=False) as bar:
        return solve_by_descent(semantics, config.nbits, seed=config.preprocess_seed,
                                min_distance=config.center_min_distance,
                                progress=lambda done, total: bar.update(done - bar.n))


def _solve(config, semantics: np.ndarray) -> HashCenters:
    with tqdm(total=MAX_SWEEPS * len(semantics), desc="hash centers", disable=None, leave=False) as bar:
        def progress(num_rows: int, codes: np.ndarray) -> None:
            if not bar.disable and (bar.n % len(semantics)) + num_rows >= len(semantics):
                products = codes @ codes.T - 2.0 * codes.shape[1] * np.eye(len(codes))
                bar.set_postfix(min_distance=int((codes.shape[1] - products.max()) / 2), refresh=False)
            bar.update(num_rows)

        return solve_hash_centers(
            semantics, config.nbits, seed=config.preprocess_seed, rho=config.rho, gamma=config.gamma,
            hadamard_start=bool(config.initWithCSQ), max_sweeps=MAX_SWEEPS, progress=progress,
            assign=config.hash_center_assign)
