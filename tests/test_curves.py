"""Curves over whole rankings, mAP@all and bootstrap intervals, against loops by definition and cases by hand."""

import itertools
import math

import numpy as np
import pytest

from inference.curves import (
    average_precision,
    count_distances,
    log_ranks,
    radius_curve,
    rank_curve,
)
from inference.intervals import bootstrap_interval, map_intervals
from inference.metrics import evaluate
from inference.ranking import levels_per_bit
from inference.statistics import bit_correlation, code_statistics, code_usage

# Both sides are float64 sums of at most a few hundred terms in [0, 1].
EXACT = 1e-12


def task(seed, num_queries=7, num_database=23, num_bits=5, values=(-1, 1)):
    """Random codes with many ties and multi-hot labels of three classes, some rows without any."""
    rng = np.random.default_rng(seed)
    return (rng.choice(values, (num_queries, num_bits)).astype(np.int8),
            rng.choice(values, (num_database, num_bits)).astype(np.int8),
            (rng.random((num_queries, 3)) < 0.4).astype(np.uint8),
            (rng.random((num_database, 3)) < 0.4).astype(np.uint8))


def self_task(seed, values=(-1, 1)):
    codes, _, labels, _ = task(seed, num_queries=17, values=values)
    return codes, codes, labels, labels


def by_hand():
    """One query; at distance 0 an irrelevant and a relevant item, at 2 a relevant one, at 3 an irrelevant one."""
    database = np.array([[1, 1, 1], [1, 1, 1], [-1, -1, 1], [-1, -1, -1]], np.int8)
    labels = np.array([[0, 1], [1, 0], [1, 0], [0, 1]])
    return count_distances(np.ones((1, 3), np.int8), database, np.array([[1, 0]]), labels)


def naive_rankings(queries, database, query_labels, database_labels, leave_out_self=False):
    """Per query, (distance, relevant) of every item, by the definitions."""
    for i, (query, wanted) in enumerate(zip(queries.astype(int), query_labels, strict=True)):
        yield [((len(query) - query @ item) / 2, bool((wanted & has).any()))
               for j, (item, has) in enumerate(zip(database.astype(int), database_labels, strict=True))
               if not (leave_out_self and i == j)]


@pytest.mark.parametrize("values", [(-1, 1), (-1, 0, 1)])
@pytest.mark.parametrize(("memory_limit", "compiled"), [(1, False), (2**28, False), (2**28, True)])
def test_counts_are_those_of_a_loop(values, memory_limit, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("inference.nearest_codes.unavailable", lambda: "switched off")
    arguments = task(1, values=values)
    counts = count_distances(*arguments, memory_limit=memory_limit)
    assert levels_per_bit(*arguments[:2]) == (2 if 0 in values else 1)
    np.testing.assert_array_equal(counts.radii, np.arange(0, 5.5, 0.5) if 0 in values else np.arange(6))
    for query, ranking in enumerate(naive_rankings(*arguments)):
        for level, radius in enumerate(counts.radii):
            relevant = [hit for distance, hit in ranking if distance == radius]
            assert counts.items[query, level] == len(relevant)
            assert counts.hits[query, level] == sum(relevant)
    assert counts.num_items == 23


@pytest.mark.parametrize("include_self", [True, False])
def test_counts_where_the_queries_are_the_database(include_self):
    arguments = self_task(2)
    counts = count_distances(*arguments, queries_are_database=True, include_self=include_self)
    assert counts.num_items == (17 if include_self else 16)
    for query, ranking in enumerate(naive_rankings(*arguments, leave_out_self=not include_self)):
        assert counts.items[query].tolist() == [sum(d == r for d, _ in ranking) for r in range(6)]
        assert counts.hits[query].tolist() == [sum(d == r and hit for d, hit in ranking) for r in range(6)]


def test_counts_of_more_classes_than_a_word_holds():
    codes, labels = np.ones((3, 2), np.int8), np.zeros((3, 130), np.uint8)
    labels[[0, 1, 2], [1, 129, 129]] = 1
    counts = count_distances(codes, codes, labels, labels, queries_are_database=True, include_self=False)
    assert counts.hits[:, 0].tolist() == [0, 1, 1]


def test_curves_by_hand():
    counts = by_hand()
    assert counts.items.tolist() == [[2, 0, 1, 1]]
    assert counts.hits.tolist() == [[1, 0, 1, 0]]
    precision, recall = radius_curve(counts)
    assert precision.tolist() == [1 / 2, 1 / 2, 2 / 3, 1 / 2]
    assert recall.tolist() == [1 / 2, 1 / 2, 1, 1]
    precision, recall = rank_curve(counts, [1, 2, 3, 4, 8])
    assert precision.tolist() == pytest.approx([1 / 2, 1 / 2, 2 / 3, 2 / 4, 2 / 8])
    assert recall.tolist() == pytest.approx([1 / 4, 1 / 2, 1, 1, 1])
    # The first hit stands at rank 1 or 2, the second at 3: (1 + 2/3) / 2 or (1/2 + 2/3) / 2.
    assert average_precision(counts).tolist() == [pytest.approx((5 / 6 + 7 / 12) / 2)]


def test_a_radius_pools_the_pairs_of_all_queries():
    # One query finds 1 of 1 within radius 0, the other 0 of 3: 1 of 4 pairs, not the mean of 1 and 0.
    queries = np.array([[1, 1], [-1, -1]], np.int8)
    database = queries[[0, 1, 1, 1]]
    counts = count_distances(queries, database, np.array([[1, 0], [0, 1]]), np.array([[1, 0]] * 4))
    precision, recall = radius_curve(counts)
    assert precision.tolist() == [1 / 4, 1 / 4, 4 / 8]
    assert recall.tolist() == [1 / 4, 1 / 4, 1]


def test_precision_is_unknown_where_no_pair_is_near():
    counts = count_distances(np.ones((1, 2), np.int8), -np.ones((3, 2), np.int8), np.array([[1]]), np.array([[0]] * 3))
    precision, recall = radius_curve(counts)
    assert np.isnan(precision[:2]).all()
    assert precision[2] == 0
    assert recall.tolist() == [0, 0, 0]
    assert average_precision(counts).tolist() == [0]


@pytest.mark.parametrize("values", [(-1, 1), (-1, 0, 1)])
def test_radius_curve_is_that_of_a_loop(values):
    arguments = task(3, values=values)
    pairs = list(itertools.chain(*naive_rankings(*arguments)))
    counts = count_distances(*arguments)
    for radius, precision, recall in zip(counts.radii, *radius_curve(counts), strict=True):
        within = [hit for distance, hit in pairs if distance <= radius]
        assert recall == pytest.approx(sum(within) / sum(hit for _, hit in pairs), abs=EXACT)
        assert precision == pytest.approx(sum(within) / len(within) if within else math.nan, abs=EXACT, nan_ok=True)


def test_rank_curve_is_the_mean_over_every_order_of_the_ties():
    arguments = task(4, num_queries=3, num_database=5, num_bits=2)
    counts = count_distances(*arguments)
    found = np.zeros((3, 5))
    for query, ranking in enumerate(naive_rankings(*arguments)):
        rows = [[hit for _, hit in order] for order in itertools.permutations(ranking)
                if [d for d, _ in order] == sorted(d for d, _ in order)]
        found[query] = np.mean(np.cumsum(rows, axis=1), axis=0)
    precision, recall = rank_curve(counts, range(1, 6))
    np.testing.assert_allclose(precision, found.mean(axis=0) / np.arange(1, 6), atol=EXACT)
    num_relevant = np.maximum(found[:, -1:], 1)
    np.testing.assert_allclose(recall, (found / num_relevant).mean(axis=0), atol=EXACT)


@pytest.mark.parametrize("options", [{}, {"queries_are_database": True}, {"queries_are_database": True,
                                                                         "include_self": False}])
@pytest.mark.parametrize("values", [(-1, 1), (-1, 0, 1)])
def test_the_whole_ranking_agrees_with_the_cut_one(options, values):
    """mAP@all is mAP@N over min(N, R); precision@n and recall@n are those of `evaluate`, which goes rank by rank."""
    arguments = self_task(5, values) if options else task(5, values=values)
    counts = count_distances(*arguments, **options)
    num_items = len(arguments[1])
    whole = evaluate(*arguments, map_at=(num_items,), normaliser="min_kr", ties=("expected",), **options)
    np.testing.assert_allclose(average_precision(counts), whole.ap["expected"][:, 0], atol=EXACT)
    assert whole.map_at["expected"][num_items] == pytest.approx(average_precision(counts).mean(), abs=EXACT)
    at = (1, 3, 7, 16, 40)
    cut = evaluate(*arguments, map_at=at, ties=("expected",), **options)
    for ours, walked in zip(rank_curve(counts, at), (cut.precision_at, cut.recall_at), strict=True):
        np.testing.assert_allclose(ours, list(walked["expected"].values()), atol=EXACT)


def test_average_precision_of_one_large_tie():
    """Every item equally far: the expectation over all orders, against a mean over random ones."""
    num_items, num_relevant = 400, 30
    codes = np.ones((num_items, 4), np.int8)
    labels = (np.arange(num_items) < num_relevant).astype(np.uint8)[:, None]
    found = average_precision(count_distances(codes[:1], codes, labels[:1], labels))[0]
    rng = np.random.default_rng(0)
    ranks = np.sort([rng.choice(num_items, num_relevant, replace=False) + 1 for _ in range(4000)], axis=1)
    samples = (np.arange(1, num_relevant + 1) / ranks).mean(axis=1)
    assert abs(found - samples.mean()) < 5 * samples.std() / math.sqrt(len(samples))


def test_a_ranking_of_nothing():
    """A single video that queries itself and is left out."""
    code = np.ones((1, 2), np.int8)
    counts = count_distances(code, code, [[1]], [[1]], queries_are_database=True, include_self=False)
    assert counts.num_items == 0
    assert average_precision(counts).tolist() == [0]
    assert [values.tolist() for values in rank_curve(counts, log_ranks(counts.num_items))] == [[0], [0]]


@pytest.mark.parametrize("num_items", [1, 2, 9, 1000, 45_585])
def test_log_ranks_cover_the_ranking(num_items):
    ranks = log_ranks(num_items)
    assert ranks[0] == 1
    assert ranks[-1] == num_items
    assert all(a < b for a, b in itertools.pairwise(ranks))
    assert len(ranks) <= 50


def test_ap_of_each_query_has_the_map_as_its_mean():
    evaluation = evaluate(*task(6), map_at=(3, 1, 3), ties=("index", "expected"))
    for ties, maps in evaluation.map_at.items():
        assert evaluation.ap[ties].shape == (7, 2)
        np.testing.assert_allclose(evaluation.ap[ties].mean(axis=0), list(maps.values()), atol=EXACT)


def test_bootstrap_is_that_of_a_loop(monkeypatch):
    values = np.random.default_rng(7).random((11, 2))
    rng = np.random.default_rng(5)
    means = [values[rng.integers(11, size=11)].mean(axis=0) for _ in range(200)]
    wanted = np.quantile(means, [0.05, 0.95], axis=0)
    for at_once in (1, 30, 2**22):
        monkeypatch.setattr("inference.intervals._DRAWS_AT_ONCE", at_once)
        found = bootstrap_interval(values, level=0.9, num_resamples=200, seed=5)
        np.testing.assert_allclose(found, wanted, atol=EXACT)


def test_bootstrap_interval_of_many_values_is_the_normal_one():
    values = np.random.default_rng(8).normal(size=(4000, 1))
    low, high = bootstrap_interval(values)
    error = values.std() / math.sqrt(4000)
    # With B = 1000 the ends' own deviation is about 0.07 standard errors.
    assert low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=2) != (low, high)


def test_bootstrap_of_a_constant_is_a_point_and_of_nothing_an_error():
    assert [end.tolist() for end in bootstrap_interval(np.full((5, 1), 0.25))] == [[0.25], [0.25]]
    with pytest.raises(ValueError, match="Q >= 1"):
        bootstrap_interval(np.zeros((0, 3)))


def test_map_intervals_hold_the_map():
    evaluation = evaluate(*task(9, num_queries=40), map_at=(1, 5))
    ap_all = np.random.default_rng(9).random(40)
    intervals, of_all = map_intervals(evaluation, ap_all)
    assert of_all == pytest.approx([end[0] for end in bootstrap_interval(ap_all[:, None])])
    for ties, maps in evaluation.map_at.items():
        for column, (k, value) in enumerate(maps.items()):
            low, high = intervals[ties][k]
            assert low < value < high
            alone = bootstrap_interval(evaluation.ap[ties][:, [column]])
            assert (low, high) == pytest.approx((alone[0][0], alone[1][0]))


def test_bit_correlation_is_numpys():
    code = task(10, num_queries=50)[0]
    code[:, 2] = 1
    found = bit_correlation(code)
    alive = [0, 1, 3, 4]
    np.testing.assert_allclose(found[np.ix_(alive, alive)], np.corrcoef(code[:, alive].T), atol=1e-12)
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()
    assert code_statistics(code)["bit_correlation"] == pytest.approx(
        np.abs(np.corrcoef(code[:, alive].T))[np.triu_indices(4, 1)].mean())


def test_code_usage():
    code = np.array([[1, -1], [1, 1], [1, -1], [-1, -1], [1, -1], [-1, -1]], np.int8)
    codes, counts = code_usage(code)
    assert codes.tolist() == [[1, -1], [-1, -1], [1, 1]]
    assert counts.tolist() == [3, 2, 1]
