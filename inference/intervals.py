"""How sure a mean over queries is. Q queries, M metrics, B resamples."""

import numpy as np

from inference.metrics import Evaluation

LEVEL, NUM_RESAMPLES, SEED = 0.95, 1000, 1
_DRAWS_AT_ONCE = 2**22


def bootstrap_interval(values: np.ndarray, *, level: float = LEVEL, num_resamples: int = NUM_RESAMPLES,
                       seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (M,) of a confidence interval for the mean over queries of each column of `values` (Q, M).

    Percentile bootstrap over queries (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): the
    quantiles (1 - level) / 2 and (1 + level) / 2 of the means of B resamples of the Q rows. All columns are resampled
    alike. It tells how much the choice of the queries matters; model and database are taken as given.

    Raises:
        ValueError: no query, or `values` is not (Q, M).
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"values have shape (Q, M) with Q >= 1, not {values.shape}.")
    rng = np.random.default_rng(seed)
    num_queries = len(values)
    means = np.empty((num_resamples, values.shape[1]))
    at_once = max(1, _DRAWS_AT_ONCE // num_queries)
    for start in range(0, num_resamples, at_once):
        block = means[start:start + at_once]
        drawn = rng.integers(num_queries, size=(len(block), num_queries))
        times = np.stack([np.bincount(row, minlength=num_queries) for row in drawn])
        block[:] = times @ values / num_queries
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def map_intervals(evaluation: Evaluation, ap_all: np.ndarray) -> tuple[dict[str, dict[int, tuple[float, float]]],
                                                                       tuple[float, float]]:
    """The ends of the `bootstrap_interval` of each mAP@k, as [ties][k], and of the mean of `ap_all` (Q,).

    All come from the same resamples, which are drawn once.
    """
    low, high = bootstrap_interval(np.column_stack([*evaluation.ap.values(), ap_all]))
    ends = zip(low.tolist(), high.tolist(), strict=True)
    return {ties: {k: next(ends) for k in maps} for ties, maps in evaluation.map_at.items()}, next(ends)
