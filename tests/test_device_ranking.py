"""Rankings by PyTorch, here on the CPU, against the compiled search and numpy's: the same integers, all of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference import device_ranking, metrics
from inference.curves import count_distances
from inference.device_ranking import DeviceRanking
from inference.metrics import Search, evaluate
from tests.test_nearest_codes import make

KINDS = ["random", "equal", "duplicates", "sorted away"]
CPU = torch.device("cpu")
FEW, SOME, MANY = 1, 96 * 100, 2**28  # bytes: a pair at a time, a hundred, all


def task(num_queries, num_items, num_bits, kind, own, *, zeros=False):
    query, database = make(num_queries, num_items, num_bits, kind)
    random = np.random.default_rng(2)
    if zeros:
        query, database = (codes * (random.random(codes.shape) < 0.8).astype(np.int8) for codes in (query, database))
    labels = (random.random((num_items, 70)) < 0.05).astype(np.uint8)
    labels[::7] = 0  # nothing relevant
    if own:
        return database, database, labels, labels
    return query, database, (random.random((num_queries, 70)) < 0.2).astype(np.uint8), labels


def ranking(arguments, own, memory_limit):
    levels = 2 if any((codes == 0).any() for codes in arguments[:2]) else 1
    return DeviceRanking(*arguments, levels_per_bit=levels, exclude_self=own, device=CPU, memory_limit=memory_limit)


def expect_same(arguments, own, k, memory_limit):
    search = Search(*arguments, queries_are_database=own, include_self=not own)
    expected = {}
    search.each_block(k, 2**28, lambda rows, ranks: expected.update({rows.start: (rows, ranks)}))
    whole = {name: np.concatenate([getattr(ranks, name) for _, (_, ranks) in sorted(expected.items())])
             for name in ("relevant", "n", "r", "above", "hits_above")}
    next_row = 0
    for rows, ranks in ranking(arguments, own, memory_limit).ranks(min(k, len(arguments[1]))):
        assert rows.start == next_row
        next_row = rows.stop
        for name, table in whole.items():
            np.testing.assert_array_equal(getattr(ranks, name), table[rows], err_msg=name)
            assert getattr(ranks, name).dtype == table.dtype
    assert next_row == len(arguments[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_bits", [1, 7, 64, 65, 130, 300, 1024])
@pytest.mark.parametrize(("num_items", "k"), [(1, 1), (70, 1), (70, 10), (70, 70), (70, 90)])
def test_ranks_are_those_of_the_cpu(kind, num_bits, num_items, k):
    for memory_limit in (SOME, MANY):
        expect_same(task(5, num_items, num_bits, kind, False), False, k, memory_limit)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 9, 14, 15, 20])
def test_a_query_may_stay_out_of_its_own_ranking(kind, k):
    for memory_limit in (SOME, MANY):
        expect_same(task(15, 15, 24, kind, True), True, k, memory_limit)


@pytest.mark.parametrize("own", [False, True])
def test_codes_that_hold_zeros(own):
    expect_same(task(30, 30, 12, "random", own, zeros=True), own, 8, SOME)


def test_one_pair_at_a_time():
    expect_same(task(6, 6, 9, "duplicates", True), True, 4, FEW)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_the_cpu(own, zeros, kind):
    arguments = task(23, 23, 33, kind, own, zeros=zeros)
    expected = count_distances(*arguments, queries_are_database=own, include_self=not own)
    for memory_limit in (FEW, SOME, MANY):
        items, hits = ranking(arguments, own, memory_limit).counts()
        np.testing.assert_array_equal(items, expected.items)
        np.testing.assert_array_equal(hits, expected.hits)


@pytest.mark.parametrize("num_bits", [2047, 2048, 2049, 3000])
def test_products_are_exact_at_any_length(num_bits):
    """At the ends of float16's whole numbers and beyond: equal, opposite and nearly equal codes."""
    code = np.random.default_rng(0).choice([-1, 1], num_bits).astype(np.int8)
    database = np.repeat(code[None], 6, axis=0)
    database[1] *= -1
    for item in (2, 3, 4):
        database[item, :item - 1] *= -1
    labels = np.ones((6, 1), np.uint8)
    items, _ = ranking((code[None], database, labels[:1], labels), False, MANY).counts()
    found = {int(d): int(items[0, d]) for d in np.flatnonzero(items[0])}
    assert found == {0: 2, 1: 1, 2: 1, 3: 1, num_bits: 1}


def test_many_shared_classes_are_no_fewer_than_one():
    """More than float16 can count (65,504): an infinite sum is still no zero."""
    labels = np.ones((2, 70_000), np.uint8)
    codes = np.ones((2, 3), np.int8)
    _, hits = ranking((codes, codes, labels, labels), False, MANY).counts()
    assert hits[:, 0].tolist() == [2, 2]


def test_memory_stays_within_its_limit(monkeypatch):
    """The largest tensor of a block holds no more pairs than the limit allows."""
    arguments = task(50, 400, 16, "random", False)
    sizes = []
    pairs = DeviceRanking._pairs
    monkeypatch.setattr(DeviceRanking, "_pairs", lambda *args: sizes.append(pairs(*args)) or sizes[-1])
    list(ranking(arguments, False, SOME).ranks(5))
    assert max(distance.numel() for distance, _ in sizes) <= SOME // device_ranking._BYTES_PER_PAIR
    assert sum(distance.numel() for distance, _ in sizes) == 50 * 400


def test_many_ranks_stay_within_the_memory_too():
    """A ranking of all items is as long as a row of distances: fewer queries have to be ranked at once."""
    arguments, limit = task(50, 400, 16, "random", False), 2**18
    sizes = [sum(getattr(ranks, name).nbytes for name in ("relevant", "n", "r", "above", "hits_above"))
             for _, ranks in ranking(arguments, False, limit).ranks(400)]
    assert max(sizes) <= limit
    assert sum(sizes) == 50 * 400 * (1 + 4 * 8)


def test_a_gpu_is_used_where_one_is_given_and_the_cpu_never(monkeypatch):
    arguments, made = task(20, 60, 32, "duplicates", False), []

    def on_the_cpu(*args, device, **options):
        made.append(device)
        return DeviceRanking(*args, device=CPU, **options)

    monkeypatch.setattr(metrics, "DeviceRanking", on_the_cpu)
    results = [evaluate(*arguments, device=device) for device in (None, CPU, SimpleNamespace(type="cuda"))]
    counts = [count_distances(*arguments, device=device) for device in (CPU, SimpleNamespace(type="cuda"))]
    assert [device.type for device in made] == ["cuda", "cuda"]
    assert results[0] == results[1] == results[2]
    np.testing.assert_array_equal(counts[0].hits, counts[1].hits)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    arguments = task(100, 3000, 64, "random", False)
    on_gpu, on_cpu = (evaluate(*arguments, device=device) for device in (torch.device("cuda"), None))
    assert on_gpu == on_cpu
