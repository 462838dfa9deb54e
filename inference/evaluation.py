"""From an `encode` callable to the metrics of a retrieval task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dataset.features import VideoFeatures
from dataset.protocol import Retrieval
from inference.baselines import Codes, baseline_codes, baseline_table
from inference.codes import binarize_up, ternary
from inference.curves import DistanceCounts, average_precision, count_distances, radius_curve
from inference.encode import encode_features
from inference.intervals import LEVEL, NUM_RESAMPLES, SEED, map_intervals
from inference.metrics import Evaluation, evaluate
from inference.statistics import code_statistics

CODE_RULES = {"sign": binarize_up, "zero": ternary}


@dataclass(frozen=True)
class RetrievalResult:
    """Codes (int8) of database and queries, their metrics, and how well the database uses its bits."""

    database_codes: np.ndarray
    query_codes: np.ndarray
    evaluation: Evaluation
    statistics: dict[str, float | int]

    def summary(self) -> dict[str, float]:
        """Flat names for a log: mAP@k and GmAP with ties by index, the same `expected/`, code statistics."""
        values: dict[str, float] = {}
        for rule, maps in self.evaluation.map_at.items():
            prefix = "" if rule == "index" else f"{rule}/"
            values |= {f"{prefix}mAP@{k}": value for k, value in maps.items()}
            values[f"{prefix}GmAP"] = self.evaluation.gmap[rule]
        return values | self.statistics


def evaluate_retrieval(encode: Callable[[torch.Tensor], torch.Tensor], retrieval: Retrieval, config,
                       device: torch.device) -> RetrievalResult:
    """Encodes database and queries with `encode` ((B, T, F) -> real (B, K)) and ranks one for the other.

    Of `config` it reads tied_bits, test_batch_size, amp, map_at and ap_normaliser.
    """
    take_sign = CODE_RULES[config.tied_bits]

    def codes(features):
        return encode_features(encode, features, batch_size=config.test_batch_size, device=device, amp=config.amp,
                               convert=take_sign)

    database = codes(retrieval.database)
    queries = database if retrieval.queries_are_database else codes(retrieval.queries)
    return evaluate_codes(database, queries, retrieval, config, device)


def evaluate_codes(database_codes: np.ndarray, query_codes: np.ndarray, retrieval: Retrieval, config,
                   device: torch.device | None = None) -> RetrievalResult:
    """The same from codes (int8) that are at hand already, of any method; ranked on `device` where it is a GPU."""
    evaluation = _evaluate(database_codes, query_codes, retrieval, config, ("index", "expected"), device)
    return RetrievalResult(database_codes, query_codes, evaluation, code_statistics(binarize_up(database_codes)))


def first_map(config) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]:
    """The first mAP@k of `map_at`, ties in expectation, of query codes and database codes by the labels of both."""
    k = config.map_at[0]

    def score(queries: np.ndarray, database: np.ndarray, query_labels: np.ndarray, labels: np.ndarray) -> float:
        found = evaluate(queries, database, query_labels, labels, map_at=(k,), normaliser=config.ap_normaliser,
                         ties=("expected",))
        return found.map_at["expected"][k]

    return score


def tie_bounds(result: RetrievalResult, retrieval: Retrieval, config, device: torch.device) -> Evaluation:
    """The evaluation of the same rankings under the tie rules worst and best."""
    return _evaluate(result.database_codes, result.query_codes, retrieval, config, ("worst", "best"), device)


def whole_rankings(query_codes: np.ndarray, database_codes: np.ndarray, retrieval: Retrieval,
                   device: torch.device) -> DistanceCounts:
    """The counts, by distance, of every query's ranking of the whole database."""
    return count_distances(query_codes, database_codes, retrieval.query_labels,
                           retrieval.database_labels, queries_are_database=retrieval.queries_are_database,
                           include_self=retrieval.include_self, device=device)


def further_metrics(evaluation: Evaluation, counts: DistanceCounts) -> dict[str, Any]:
    """What metrics.json holds beside `evaluation`: mAP over whole rankings, precision and recall, confidence intervals.

    `map_all`: {"expected": mAP@all}. `radius_curve`: `radius`, `precision` and `recall` of each radius within which any
    pair lies, see `inference.curves.radius_curve`. `confidence`: `level`, `resamples`, `seed`, and the intervals as
    [low, high] under `map_at` (by tie rule and k) and `map_all`.
    """
    whole = average_precision(counts)
    by_k, by_all = map_intervals(evaluation, whole)
    curve = np.stack([counts.radii, *radius_curve(counts)])
    curve = curve[:, np.isfinite(curve[1])]
    return {"map_all": {"expected": float(whole.mean())},
            "radius_curve": dict(zip(("radius", "precision", "recall"), curve.tolist(), strict=True)),
            "confidence": {"level": LEVEL, "resamples": NUM_RESAMPLES, "seed": SEED,
                           "map_at": by_k, "map_all": {"expected": by_all}}}


def shallow_codes(train: VideoFeatures, retrieval: Retrieval, config) -> Codes:
    """What `inference.baselines.baseline_codes` gives for this task, fit on the `train` features."""
    database = train if train.same_videos(retrieval.database) else retrieval.database
    return baseline_codes(train, database, None if retrieval.queries_are_database else retrieval.queries,
                          num_bits=config.nbits, seed=config.seed)


def evaluate_baselines(codes: Codes, retrieval: Retrieval, config) -> list[dict[str, object]]:
    """The rows of `inference.baselines.baseline_table` for this task."""
    return baseline_table(codes, retrieval.database_labels, retrieval.query_labels, map_at=config.map_at,
                          normaliser=config.ap_normaliser, queries_are_database=retrieval.queries_are_database,
                          include_self=retrieval.include_self)


def _evaluate(database_codes: np.ndarray, query_codes: np.ndarray, retrieval: Retrieval, config,
              ties: Sequence[str], device: torch.device | None) -> Evaluation:
    return evaluate(query_codes, database_codes, retrieval.query_labels, retrieval.database_labels,
                    map_at=config.map_at, normaliser=config.ap_normaliser, ties=ties,
                    queries_are_database=retrieval.queries_are_database, include_self=retrieval.include_self,
                    device=device)
