"""Hamming distances and exact top-k rankings against slow definitions."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import nearest_codes
from inference.codes import pack
from inference.ranking import (
    doubled_distances,
    hamming,
    hamming_reference,
    iterate_blocks,
    nearest,
    rank_by_index,
    top_k,
)

QUICK = settings(max_examples=80, deadline=None, derandomize=True)


def random_codes(shape, seed, values=(-1, 1)):
    return np.random.default_rng(seed).choice(np.array(values, np.int8), shape)


@pytest.mark.parametrize("num_bits", [1, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 128, 200, 248, 249, 256, 300])
def test_hamming_equals_its_definition_at_every_width(num_bits):
    query, database = random_codes((5, num_bits), 1), random_codes((23, num_bits), 2)
    database[0] = -query[0]
    database[1] = query[0]
    distances = hamming(pack(query), pack(database), memory_limit=1)
    assert distances.dtype == (np.uint8 if num_bits <= 248 else np.uint16)
    np.testing.assert_array_equal(distances, hamming_reference(query, database))
    assert distances[0, 0] == num_bits
    assert distances[0, 1] == 0


@pytest.mark.parametrize("memory_limit", [1, 400, 10_000, 2**20])
def test_hamming_does_not_depend_on_its_memory(memory_limit):
    query, database = random_codes((11, 64), 1), random_codes((40, 64), 2)
    found = hamming(pack(query), pack(database), memory_limit=memory_limit)
    np.testing.assert_array_equal(found, hamming_reference(query, database))


def test_hamming_refuses_other_widths():
    with pytest.raises(ValueError, match="2 bytes"):
        hamming(np.zeros((1, 2), np.uint8), np.zeros((1, 3), np.uint8))


def test_doubled_distances_by_hand():
    query = np.array([[1, 0, -1, 0]], np.int8)
    database = np.array([[1, 1, -1, 0], [-1, 0, 1, 1], [0, 0, 0, 0]], np.int8)
    # A pair of bits that agree counts 0, that differ 2, with a zero in it 1.
    assert doubled_distances(query, database).tolist() == [[2, 6, 4]]


@pytest.mark.parametrize("num_bits", [1, 16, 300])
def test_doubled_distances_double_the_hamming_distance_of_binary_codes(num_bits):
    query, database = random_codes((4, num_bits), 1), random_codes((9, num_bits), 2)
    np.testing.assert_array_equal(doubled_distances(query, database), 2 * hamming_reference(query, database))


@pytest.mark.parametrize("query_values", [(-1, 1), (-1, 0, 1)])
@pytest.mark.parametrize("database_values", [(-1, 1), (-1, 0, 1)])
@pytest.mark.parametrize("num_rows", [1, 3, 10, 99])
def test_blocks_cover_all_queries(query_values, database_values, num_rows):
    query, database = random_codes((10, 12), 1, query_values), random_codes((7, 12), 2, database_values)
    blocks = list(iterate_blocks(query, database, num_rows))
    assert [start for start, _ in blocks] == list(range(0, 10, num_rows))
    found = np.concatenate([distances for _, distances in blocks])
    half = 1 if len(query_values) == len(database_values) == 2 else 2
    expected = half * (12 - query.astype(int) @ database.T.astype(int)) // 2
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("query", "database", "message"), [
    (np.ones((2, 8)), np.ones((2, 9)), "8 bits"),
    (np.ones(8), np.ones((2, 8)), "shape"),
    (np.ones((2, 0)), np.ones((2, 0)), "shape"),
    (np.full((2, 8), 0.5), np.ones((2, 8)), "-1, \\+1"),
])
def test_blocks_refuse_what_are_no_codes(query, database, message):
    with pytest.raises(ValueError, match=message):
        list(iterate_blocks(query, database, 4))


@QUICK
@given(num_queries=st.integers(1, 5), num_items=st.integers(1, 40), levels=st.integers(1, 300),
       k=st.integers(1, 50), seed=st.integers(0, 999))
def test_top_k_equals_a_full_stable_sort(num_queries, num_items, levels, k, seed):
    dtype = np.uint8 if levels <= 256 else np.uint16
    distances = np.random.default_rng(seed).integers(0, levels, (num_queries, num_items)).astype(dtype)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rank_by_index(distances, k), expected)


def test_top_k_with_keys_beyond_sixteen_bits():
    distances = np.random.default_rng(0).integers(0, 999, (200, 30)).astype(np.uint16)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(rank_by_index(distances, 10), expected)


def test_nearest_holds_whole_tie_groups():
    distances = np.array([[2, 1, 2, 0, 2, 3], [1, 1, 1, 1, 1, 1]], np.uint8)
    found = nearest(distances, 3)
    assert found.queries.tolist() == [0] * 5 + [1] * 6
    assert found.items.tolist() == [3, 1, 0, 2, 4, 0, 1, 2, 3, 4, 5]
    assert found.sizes.tolist() == [[1, 1, 3, 1], [0, 6, 0, 0]]
    assert found.groups.tolist() == [0, 1, 2, 2, 2, 5, 5, 5, 5, 5, 5]


def naive_top_k(query, database, k):
    """By three loops and a stable sort."""
    items, distances = [], []
    for code in query:
        row = []
        for other in database:
            distance = 0
            for bit, other_bit in zip(code, other, strict=True):
                distance += bit != other_bit
            row.append(distance)
        order = sorted(range(len(row)), key=row.__getitem__)[:k]
        items.append(order)
        distances.append([row[i] for i in order])
    return items, distances


def check_top_k(query, database, k, **options):
    for reason in (nearest_codes.unavailable(), "switched off"):
        with mock.patch.object(nearest_codes, "unavailable", lambda reason=reason: reason):
            check_one_top_k(query, database, k, **options)


def check_one_top_k(query, database, k, **options):
    items, distances = top_k(pack(query), pack(database), k, **options)
    assert items.dtype == np.int64
    assert distances.dtype == np.uint16
    expected = naive_top_k(query, database, k)
    assert (items.tolist(), distances.tolist()) == expected


@QUICK
@given(num_items=st.integers(1, 40), num_bits=st.integers(1, 130), k=st.integers(1, 50), seed=st.integers(0, 999),
       num_different=st.sampled_from([1, 2, 5, 40]), memory_limit=st.sampled_from([1, 1000, 2**26]))
def test_nearest_codes_equal_three_loops(num_items, num_bits, k, seed, num_different, memory_limit):
    generator = np.random.default_rng(seed)
    different = random_codes((num_different, num_bits), seed)
    database = different[generator.integers(0, num_different, num_items)]
    query = np.concatenate([random_codes((2, num_bits), seed + 1), -different[:1], different[:1]])
    check_top_k(query, database, k, memory_limit=memory_limit)


@pytest.mark.parametrize("num_bits", [1, 3, 8, 13, 64, 65, 130])
@pytest.mark.parametrize("k", [1, 3, 4, 5])
def test_nearest_of_equal_codes_come_in_database_order(num_bits, k):
    code = random_codes((1, num_bits), 1)
    check_top_k(code, np.repeat(-code, 4, axis=0), k)


@pytest.mark.parametrize("memory_limit", [1, 64 * 8, 64 * 100, 2**26])
def test_nearest_codes_do_not_depend_on_the_memory(memory_limit):
    query, database = random_codes((7, 24), 1), random_codes((90, 24), 2)
    check_top_k(query, database, 8, memory_limit=memory_limit)


def test_nearest_among_more_than_255_distances():
    check_top_k(random_codes((3, 700), 1), random_codes((5, 700), 2), 4)


def test_nearest_codes_of_nothing():
    one, none = np.zeros((1, 2), np.uint8), np.zeros((0, 2), np.uint8)
    assert [found.shape for found in top_k(none, one, 3)] == [(0, 1), (0, 1)]
    assert [found.shape for found in top_k(one, none, 3)] == [(1, 0), (1, 0)]
    with pytest.raises(ValueError, match="at least 1"):
        top_k(one, one, 0)
    with pytest.raises(ValueError, match="codes 3"):
        top_k(one, np.zeros((1, 3), np.uint8), 1)
