"""The descent to hash centers against plain numpy, brute force and loops, and on semantics that are hard."""

import numpy as np
import pytest

from artefacts.centers import descent as dc
from artefacts.centers.descent_kernels import PATIENCE, sweep_rows, sweep_rows_plainly
from artefacts.centers.measures import gilbert_varshamov, measure_centers
from artefacts.centers.solver import solve_hash_centers
from tests.test_hash_centers import unit_semantics
from utils.errors import UserError


def problem(num_centers, num_bits, seed=0):
    """Random codes with twins among them: columns, products, targets, weights, limit, state."""
    rng = np.random.default_rng(seed)
    codes = rng.choice([-1.0, 1.0], size=(num_centers, num_bits))
    codes[num_centers // 2:] = codes[:num_centers - num_centers // 2]
    targets = np.round(8 * rng.normal(scale=num_bits ** 0.5, size=(num_centers, num_centers))) / 8
    weights = rng.integers(1, 4, size=(num_centers, num_centers)).astype(float)
    state = rng.integers(1, 2 ** 63, size=1).astype(np.uint64)
    return [np.ascontiguousarray(codes.T), codes @ codes.T, targets + targets.T, weights + weights.T,
            float(num_bits - 2 * gilbert_varshamov(num_centers, num_bits)), state]


def total_cost(columns, products, targets, weights, limit, penalty):
    total = 0.0
    for i in range(len(products)):
        for j in range(i):
            product = sum(a * b for a, b in zip(columns[:, i], columns[:, j], strict=True))
            total += weights[i, j] * (product - targets[i, j]) ** 2 + penalty * max(0, product - limit) ** 2
    return total


@pytest.mark.parametrize("temperature", [0.0, 30.0])
@pytest.mark.parametrize(("num_centers", "num_bits"), [(1, 3), (2, 8), (3, 5), (17, 9), (40, 16), (23, 33)])
def test_compiled_sweeps_are_the_plain_ones(num_centers, num_bits, temperature):
    fast, plain = problem(num_centers, num_bits), problem(num_centers, num_bits)
    penalties, temperatures = np.array([1.0, 7.0, 100.0]), temperature * np.array([3.0, 1.0, 0.0])
    flips = [sweep(*arrays[:5], penalties, temperatures, PATIENCE, arrays[5])
             for sweep, arrays in ((sweep_rows, fast), (sweep_rows_plainly, plain))]
    assert flips[0] == flips[1]
    for a, b in zip(fast, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_products_stay_those_of_the_codes():
    columns, products, *rest, state = problem(31, 13)
    before = columns.copy()
    sweep_rows(columns, products, *rest, np.ones(4), np.full(4, 500.0), PATIENCE, state)
    assert (columns != before).any()
    np.testing.assert_array_equal(products, columns.T @ columns)


def test_cold_sweeps_end_where_no_flip_lowers_the_cost():
    columns, products, targets, weights, limit, state = problem(9, 7)
    start = total_cost(columns, products, targets, weights, limit, 5.0)
    assert sweep_rows(columns, products, targets, weights, limit, np.full(50, 5.0), np.zeros(50), PATIENCE, state) == 0
    end = total_cost(columns, products, targets, weights, limit, 5.0)
    assert end < start
    for k in range(7):
        for i in range(9):
            flipped = columns.copy()
            flipped[k, i] *= -1
            assert total_cost(flipped, products, targets, weights, limit, 5.0) >= end


def test_plain_sweeps_lead_to_the_same_centers(monkeypatch):
    monkeypatch.setattr(dc, "FEWEST", 20)
    monkeypatch.setattr(dc, "MOST", 20)
    semantics = unit_semantics(14)
    fast, plain = (dc.solve_by_descent(semantics, 9, seed=3, starts=2, sweep=sweep)
                   for sweep in (sweep_rows, sweep_rows_plainly))
    np.testing.assert_array_equal(fast.codes, plain.codes)


def test_seed_decides_and_threads_do_not():
    semantics = unit_semantics(30)
    first, again, other = (dc.solve_by_descent(semantics, 14, seed=seed, num_threads=num_threads)
                           for seed, num_threads in ((1, 1), (1, 3), (2, 3)))
    np.testing.assert_array_equal(first.codes, again.codes)
    assert (first.start, first.end) == (again.start, again.end)
    assert (first.codes != other.codes).any()


@pytest.mark.parametrize(("num_centers", "num_bits"), [
    (1, 1), (1, 16), (2, 2), (2, 8), (3, 3), (3, 64), (4, 3), (8, 4), (16, 5), (64, 7), (128, 8), (33, 10), (21, 17),
    (9, 32), (13, 48), (100, 16), (5, 1024)])
def test_any_size_reaches_the_bound_with_distinct_codes(num_centers, num_bits):
    solved = dc.solve_by_descent(unit_semantics(num_centers), num_bits, seed=1)
    assert solved.codes.shape == (num_centers, num_bits)
    assert solved.codes.dtype == np.int8
    assert set(np.unique(solved.codes)) <= {-1, 1}
    assert len(np.unique(solved.codes, axis=0)) == num_centers
    if num_centers > 1:
        assert round(solved.end.min_distance) >= gilbert_varshamov(num_centers, num_bits)


@pytest.mark.parametrize("semantics", [
    np.repeat(unit_semantics(1), 30, axis=0), np.tile(unit_semantics(15), (2, 1)), np.sign(unit_semantics(30, 1)),
    unit_semantics(30, 2), np.concatenate([np.zeros((1, 24)), unit_semantics(29)]).astype(np.float32)],
    ids=["all alike", "twins", "one dimension", "two dimensions", "a row of zeros"])
def test_hard_semantics_are_solved(semantics):
    solved = dc.solve_by_descent(semantics, 24, seed=1)
    assert round(solved.end.min_distance) >= gilbert_varshamov(30, 24)


def test_centers_follow_the_semantics_as_admm_does_not():
    """24 centers of 16 bits: no more than twice the bits, so ADMM returns the rows of its Hadamard start."""
    semantics = unit_semantics(24, num_dims=8)
    ours = dc.solve_by_descent(semantics, 16, seed=1).end
    admm = solve_hash_centers(semantics, 16, seed=1, max_sweeps=1).end
    assert ours.pearson > 0.8
    assert ours.spearman > 0.8
    assert admm.pearson < 0.2
    assert round(ours.min_distance) >= ours.gilbert_varshamov


def test_random_start_is_measured():
    solved = dc.solve_by_descent(unit_semantics(40), 16, seed=1)
    assert solved.start.min_distance < solved.end.min_distance
    assert abs(solved.start.pearson) < 0.2


def test_a_greater_distance_costs_correlation():
    semantics = unit_semantics(60, num_dims=12)
    bound, asked = (dc.solve_by_descent(semantics, 32, seed=1, min_distance=distance).end for distance in (None, 12))
    assert round(asked.min_distance) == 12
    assert asked.pearson < bound.pearson


def test_more_distance_is_taken_where_it_costs_nothing():
    """Two centers have no similarity to follow: with their target at 0 they would lie half of the bits apart."""
    semantics = unit_semantics(2)
    assert round(dc.solve_by_descent(semantics, 16, seed=1, min_distance=8).end.min_distance) == 8
    assert round(dc.solve_by_descent(semantics, 16, seed=1).end.min_distance) == 16


def test_a_distance_out_of_reach_gives_the_best_one_found():
    """No four codes of 8 bits lie more than 5 apart: sum of distances <= C^2/4 K = 32 < 6 * 6 over six pairs."""
    solved = dc.solve_by_descent(unit_semantics(4), 8, seed=1, min_distance=8)
    assert 4 <= round(solved.end.min_distance) <= 5


def test_repair_parts_twins_and_keeps_the_targets():
    task = dc._task(unit_semantics(12), 10, 3, 0, sweep_rows)
    descent = dc._Descent(task, np.ones((12, 10)), np.ones(1, dtype=np.uint64))
    targets = descent.targets.copy()
    assert descent.min_distance() == 0
    assert dc._repair(descent, 3)
    assert descent.min_distance() >= 3
    np.testing.assert_array_equal(descent.targets, targets)


def test_near_weight_by_hand():
    """z is 2 / sqrt(2) = 1.41 for the pair of twins, whose weight is 1 + floor(2.83), and negative for the others."""
    task = dc._task(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 8, 1, 2, sweep_rows)
    assert task.weights.tolist() == [[1, 3, 1], [3, 1, 1], [1, 1, 1]]
    assert (dc._task(unit_semantics(5), 8, 1, 0, sweep_rows).weights == 1).all()


def test_scale_makes_error_and_correlation_fall_along_one_line():
    descent = dc._Descent(dc._task(unit_semantics(20), 12, 1, 0, sweep_rows),
                          np.random.default_rng(0).choice([-1, 1], size=(20, 12)), np.ones(1, dtype=np.uint64))
    descent.quench(1, 1.0, 20)
    descent.rescale()
    pairs = np.triu_indices(20, 1)
    p, z = descent.products[pairs], descent.task.similarity[pairs]
    growth = np.array([(np.sqrt((p + step) @ (p + step)) ** -1 * ((p + step) @ z) - (p @ z) / np.sqrt(p @ p)) * 1e4
                       for step in 1e-4 * np.eye(p.size)])
    fall = descent.targets[pairs] - p
    cosine = growth @ fall / np.linalg.norm(growth) / np.linalg.norm(fall)
    assert cosine > 0.999  # 1 but for the targets' eighths and the finite step


def test_standardised_similarity_by_hand():
    """Cosines 1, 0, 0 of three pairs: scores of ranks 3, 1.5, 1.5 are as skewed, so both halves agree."""
    z = dc._standardised(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(z, np.array([[0, 2, -1], [2, 0, -1], [-1, -1, 0]]) / np.sqrt(2), atol=1e-12)


def test_parity_bit_makes_distances_even():
    codes = dc._with_parity(np.array([[1, 1, 1], [1, 1, -1], [-1, -1, 1]], dtype=np.int8))
    assert codes[:, 3].tolist() == [1, -1, 1]
    assert codes.dtype == np.int8
    assert {np.count_nonzero(a != b) for a in codes for b in codes} == {0, 2, 4}


def test_every_second_start_has_parity_where_the_distance_is_even():
    even, odd = (dc._task(unit_semantics(5), 8, distance, 0, sweep_rows) for distance in (4, 3))
    assert [(task.num_bits, task.distance, task.parity) for task in dc._tasks(even, 3)] == [
        (8, 4, False), (7, 3, True), (8, 4, False)]
    assert dc._tasks(odd, 2) == [odd, odd]


def test_progress_counts_the_sweeps_of_all_starts():
    told = []
    dc.solve_by_descent(unit_semantics(7), 8, seed=1, starts=3, progress=lambda done, total: told.append((done, total)))
    total = 3 * dc.num_sweeps(7, 8)
    assert told == [(done, total) for done in range(dc.CHUNK, total + 1, dc.CHUNK)]


def test_large_problems_get_fewer_sweeps():
    assert dc.num_sweeps(10, 16) == dc.MOST
    assert dc.num_sweeps(2000, 1024) == dc.FEWEST
    assert dc.FEWEST < dc.num_sweeps(450, 64) < dc.MOST


def test_measures_are_those_of_the_codes():
    semantics = unit_semantics(25)
    solved = dc.solve_by_descent(semantics, 16, seed=1)
    assert solved.end == measure_centers(solved.codes, semantics)
    assert solved.num_repaired == 0


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="nclusters = 9 hash centers do not fit nbits = 4"):
        dc.solve_by_descent(unit_semantics(9), 4, seed=1)
    for distance in (-1, 9):
        with pytest.raises(UserError, match=f"minimum distance of {distance} bits"):
            dc.solve_by_descent(unit_semantics(4), 8, seed=1, min_distance=distance)
    with pytest.raises(UserError, match="0 starts"):
        dc.solve_by_descent(unit_semantics(4), 8, seed=1, starts=0)
