"""Average precision of rankings with ties.

Hamming distances of K bits take K + 1 values, so a ranking is a row of *tie groups*, and AP depends on the
order within them. Per query: a tie group holds `n` items, `r` of them relevant; `above` items, `hits_above`
of them relevant, lie nearer. Rank p is place j = p - above of its group.

Rules
    index     ties in database order: reproducible, but a sorted database flatters or punishes.
    release   the same order under its own name: S5VH's ranking of codes whose zeros are kept, made stable
              (its own argsort is unstable, so its figures cannot be had to the last digit).
    expected  exact mean over all orders of every group (McSherry & Najork, ECIR 2008; He et al., CVPR 2018).
    best, worst   the extremes over all such orders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """The first k ranks of q rankings; every array is (q, k).

    `relevant` in index order (bool); `n`, `r`, `above`, `hits_above` of the rank's tie group (int64).
    """

    relevant: np.ndarray
    n: np.ndarray
    r: np.ndarray
    above: np.ndarray
    hits_above: np.ndarray

    @property
    def rank(self) -> np.ndarray:
        """p = 1..k, shape (k,)."""
        return np.arange(1, self.n.shape[1] + 1)

    @property
    def place(self) -> np.ndarray:
        """j = 1..n, the place of each rank in its group."""
        return self.rank - self.above


@dataclass(frozen=True)
class Rule:
    """How one tie rule sees the ranks.

    `terms` maps Ranks to (chance, gain), both (q, k): the chance that the item at rank p is relevant, and
    the mean of [item at p is relevant] * precision at p, whose sum over p is what AP divides.
    `mean_over_hits` maps (Ranks, gain, cut) to (q,): the mean precision at the hits within ranks 1..cut.
    """

    terms: Callable[[Ranks], tuple[np.ndarray, np.ndarray]]
    mean_over_hits: Callable[[Ranks, np.ndarray, int], np.ndarray]


def _index_terms(ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
    chance = ranks.relevant.astype(float)
    return chance, chance * ranks.relevant.cumsum(axis=1) / ranks.rank


def _expected_terms(ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
    # Given a relevant item at place j, the j - 1 places before it hold a fair share of the other r - 1.
    chance = ranks.r / ranks.n
    before = (ranks.place - 1) * (ranks.r - 1) / np.maximum(ranks.n - 1, 1)
    return chance, chance * (ranks.hits_above + 1 + before) / ranks.rank


def _best_terms(ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
    chance = (ranks.place <= ranks.r).astype(float)
    return chance, chance * (ranks.hits_above + ranks.place) / ranks.rank


def _worst_terms(ranks: Ranks) -> tuple[np.ndarray, np.ndarray]:
    irrelevant = ranks.n - ranks.r
    chance = (ranks.place > irrelevant).astype(float)
    return chance, chance * (ranks.hits_above + ranks.place - irrelevant) / ranks.rank


def _index_mean(ranks: Ranks, gain: np.ndarray, cut: int) -> np.ndarray:
    hits = ranks.relevant[:, :cut].sum(axis=1)
    return _ratio(gain[:, :cut].sum(axis=1), hits)


@dataclass(frozen=True)
class _Cut:
    """The tie group that holds rank `cut`: its first m = cut - above places lie within it, with h hits.

    h runs over all values it can take: `h` and `possible` are (q, S), the others (q, 1). `before` is the sum
    of the gains of the groups above, which are whole: their number of hits does not depend on the order.
    """

    h: np.ndarray
    possible: np.ndarray
    m: np.ndarray
    n: np.ndarray
    r: np.ndarray
    above: np.ndarray
    hits_above: np.ndarray
    before: np.ndarray

    @classmethod
    def of(cls, ranks: Ranks, gain: np.ndarray, cut: int) -> "_Cut":
        at_cut = (slice(None), slice(cut - 1, cut))
        n, r = ranks.n[at_cut], ranks.r[at_cut]
        above, hits_above = ranks.above[at_cut], ranks.hits_above[at_cut]
        m = cut - above
        least, most = np.maximum(0, m - (n - r)), np.minimum(r, m)
        h = least + np.arange((most - least).max() + 1)
        before = np.where(ranks.rank <= above, gain, 0).sum(axis=1, keepdims=True)
        return cls(h, h <= most, m, n, r, above, hits_above, before)

    def mean(self, inside: np.ndarray) -> np.ndarray:
        """Mean precision per hit (q, S) when the cut group's own hits sum to `inside`; 0 without a hit."""
        return _ratio(self.before + inside, self.hits_above + self.h)

    def probability(self) -> np.ndarray:
        """P(h), hypergeometric (r relevant among n, m drawn), (q, S), 0 where impossible.

        Built from the ratios P(h + 1) / P(h) and normalised, which keeps full precision for large groups.
        """
        h, next_possible = self.h[:, :-1], self.possible[:, 1:]
        up = np.where(next_possible, (self.r - h) * (self.m - h), 1)
        down = np.where(next_possible, (h + 1) * (self.n - self.r - self.m + h + 1), 1)
        log_p = np.zeros(self.h.shape)
        log_p[:, 1:] = np.log(up / down).cumsum(axis=1)
        p = np.where(self.possible, np.exp(log_p - log_p.max(axis=1, keepdims=True)), 0)
        return p / p.sum(axis=1, keepdims=True)


def _expected_mean(ranks: Ranks, gain: np.ndarray, cut: int) -> np.ndarray:
    """Mean over h, then over the orders with h hits: as `_expected_terms` with (h, m) for (r, n)."""
    c = _Cut.of(ranks, gain, cut)
    harmonic = _harmonic(cut)
    reciprocals = harmonic[c.above + c.m] - harmonic[c.above]  # sum over j <= m of 1 / (above + j)
    places = c.m - (c.above + 1) * reciprocals  # sum over j <= m of (j - 1) / (above + j)
    inside = c.h / c.m * ((c.hits_above + 1) * reciprocals + (c.h - 1) / np.maximum(c.m - 1, 1) * places)
    return (c.probability() * c.mean(inside)).sum(axis=1)


def _best_mean(ranks: Ranks, gain: np.ndarray, cut: int) -> np.ndarray:
    """Hits first, for the best h: not always the most, as a late hit can lower the mean."""
    c = _Cut.of(ranks, gain, cut)
    harmonic = _harmonic(cut)
    h = np.minimum(c.h, c.m)
    inside = h - (c.above - c.hits_above) * (harmonic[c.above + h] - harmonic[c.above])
    return np.where(c.possible, c.mean(inside), -np.inf).max(axis=1)


def _worst_mean(ranks: Ranks, gain: np.ndarray, cut: int) -> np.ndarray:
    """Hits on the last places within the cut, for the worst h: not always the least, likewise."""
    c = _Cut.of(ranks, gain, cut)
    harmonic = _harmonic(cut)
    h = np.minimum(c.h, c.m)
    inside = h - (cut - c.hits_above - h) * (harmonic[cut] - harmonic[cut - h])
    return np.where(c.possible, c.mean(inside), np.inf).min(axis=1)


def _harmonic(last: int) -> np.ndarray:
    """Harmonic numbers 0, 1, 1 + 1/2, ... up to index `last`."""
    return np.concatenate([[0.0], (1 / np.arange(1, last + 1)).cumsum()])


def _ratio(value: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """value / divisor, 0 where the divisor is 0."""
    return np.where(divisor > 0, value / np.maximum(divisor, 1), 0)


RULES = {
    "index": Rule(_index_terms, _index_mean),
    "release": Rule(_index_terms, _index_mean),
    "expected": Rule(_expected_terms, _expected_mean),
    "best": Rule(_best_terms, _best_mean),
    "worst": Rule(_worst_terms, _worst_mean),
}


def score(ranks: Ranks, ties: str, normaliser: str, at: tuple[int, ...],
          num_relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AP@k of each query for each k of `at`, and the relevant items within rank k, (q, len(at)) each.

    `ranks` reach to max(at) or to N if that is less. `num_relevant` (q,) counts the relevant items of the whole
    database; queries with none have AP 0. `normaliser` is one of 'k', 'min_kr' and 'hits' (see
    `inference.metrics.evaluate`).
    """
    rule = RULES[ties]
    chance, gain = rule.terms(ranks)
    cuts = [min(k, gain.shape[1]) for k in at]
    hits, total = _sums_to(chance, cuts), _sums_to(gain, cuts)
    if normaliser == "hits":
        return np.stack([rule.mean_over_hits(ranks, gain, cut) for cut in cuts], axis=1), hits
    return _ratio(total, np.minimum(at, num_relevant[:, None]) if normaliser == "min_kr" else np.array(at)), hits


def _sums_to(values: np.ndarray, cuts: list[int]) -> np.ndarray:
    """The sums of the first c columns of `values`, (q, len(cuts)), for each c >= 1 of `cuts`."""
    ends, place = np.unique(cuts, return_inverse=True)
    parts = np.add.reduceat(values[:, :ends[-1]], [0, *ends[:-1]], axis=1)
    return parts.cumsum(axis=1)[:, place]
