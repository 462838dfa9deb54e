"""The compiled search against numpy's, and against a naive loop: what is nearest, and the tie groups around it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inference import nearest_codes
from inference.codes import pack
from inference.metrics import evaluate
from inference.nearest_codes import FLAGS, HEADERS, SOURCES, Labels, count_codes, nearest_items, nearest_ranks, words
from utils.native import load_library

REASON = nearest_codes.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def make(num_queries, num_items, num_bits, kind="random", seed=0):
    random = np.random.default_rng(seed)
    if kind == "equal":
        return np.ones((num_queries, num_bits), np.int8), np.ones((num_items, num_bits), np.int8)
    pool = random.choice([-1, 1], (3 if kind == "duplicates" else num_items, num_bits)).astype(np.int8)
    database = pool[random.integers(len(pool), size=num_items)]
    if kind == "sorted away":  # every item nearer than all before it
        order = (database != 1).sum(1).argsort(kind="stable")[::-1]
        return np.ones((num_queries, num_bits), np.int8), database[order]
    return random.choice([-1, 1], (num_queries, num_bits)).astype(np.int8), database


def naive_items(query, database, k):
    distances = (query[:, None] != database).sum(2)
    order = np.stack([sorted(range(len(row)), key=lambda i: (row[i], i))[:k] for row in distances])
    return order, np.take_along_axis(distances, order, 1)


@pytest.mark.parametrize("kind", ["random", "equal", "duplicates", "sorted away"])
@pytest.mark.parametrize("num_bits", [1, 7, 16, 33, 64, 65, 100, 128, 130, 192, 256, 300, 1024])
@pytest.mark.parametrize(("num_items", "k"), [(1, 1), (70, 1), (70, 10), (70, 70), (333, 20)])
def test_items_are_those_of_a_naive_sort(kind, num_bits, num_items, k):
    query, database = make(5, num_items, num_bits, kind)
    items, distances = nearest_items(pack(query), pack(database), k)
    naive, naive_distances = naive_items(query, database, k)
    assert items.tolist() == naive.tolist()
    assert distances.tolist() == naive_distances.tolist()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", ["random", "equal", "duplicates", "sorted away"])
@pytest.mark.parametrize(("num_bits", "k"), [(3, 5), (16, 59), (64, 7), (100, 20)])
def test_ranks_count_whole_tie_groups(own, kind, num_bits, k):
    query, database = make(60, 60, num_bits, kind)
    query = database if own else query
    random = np.random.default_rng(1)
    sets = random.integers(1, 2**9, size=(60, 2), dtype=np.uint64) & random.integers(2**9, size=(60, 2),
                                                                                    dtype=np.uint64)
    ranks = nearest_ranks(words(pack(query)), words(pack(database)), k, Labels(sets, sets),
                          own_from=0 if own else None)
    for i in range(60):
        others = [j for j in range(60) if not (own and j == i)]
        distance = {j: int((query[i] != database[j]).sum()) for j in others}
        relevant = {j: bool((sets[i] & sets[j]).any()) for j in others}
        order = sorted(others, key=lambda j: (distance[j], j))[:k]
        for rank, j in enumerate(order):
            tied = [o for o in others if distance[o] == distance[j]]
            nearer = [o for o in others if distance[o] < distance[j]]
            assert ranks.relevant[i, rank] == relevant[j]
            assert ranks.n[i, rank] == len(tied)
            assert ranks.r[i, rank] == sum(relevant[o] for o in tied)
            assert ranks.above[i, rank] == len(nearer)
            assert ranks.hits_above[i, rank] == sum(relevant[o] for o in nearer)


@pytest.mark.parametrize(("own", "include_self"), [(False, True), (True, True), (True, False)])
@pytest.mark.parametrize("num_bits", [12, 64, 96])
@pytest.mark.parametrize("normaliser", ["k", "min_kr", "hits"])
def test_metrics_are_those_without_a_compiler(monkeypatch, own, include_self, num_bits, normaliser):
    query, database = make(90, 90 if own else 300, num_bits)
    query = database if own else query
    random = np.random.default_rng(1)
    database_labels = random.random((len(database), 70)) < 0.03
    query_labels = database_labels if own else random.random((90, 70)) < 0.03
    options = {"queries_are_database": own, "include_self": include_self}
    rules = ("index", "expected", "best", "worst")

    def measure():
        found = evaluate(query, database, query_labels, database_labels, map_at=(1, 5, 88, 90, 400), ties=rules,
                         normaliser=normaliser, **options)
        return found.map_at, found.precision_at, found.recall_at

    compiled = measure()
    monkeypatch.setattr(nearest_codes, "unavailable", lambda: "switched off")
    for ours, theirs in zip(compiled, measure(), strict=True):
        for rule in rules:
            assert ours[rule] == pytest.approx(theirs[rule], abs=1e-12)


def test_threads_change_nothing(monkeypatch):
    query, database = make(100, 500, 64)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(nearest_items(pack(query), pack(database), 50)[0])
    assert np.array_equal(*results)


OUT_OF_MEMORY = """
import resource
import numpy as np
from inference import nearest_codes
assert nearest_codes.unavailable() is None
database = np.zeros((16_400, 1000), np.uint64)  # its sample takes 8 MiB
labels = nearest_codes.Labels(np.zeros((1, 1), np.uint64), np.zeros((16_400, 1), np.uint64))
labels.members
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**22, -1))
try:
    nearest_codes.nearest_ranks(database[:1], database, 1, labels, threads=2)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells how much memory a process holds")
def test_memory_that_runs_out_is_an_error_and_not_the_end_of_the_process():
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True,
                          cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stdout) == (0, "nearest_codes ran out of memory\n"), done.stderr


def test_searches_that_it_leaves_to_numpy():
    assert nearest_codes.supports(8, 1000, 1000)
    assert not nearest_codes.supports(8, 1000, 1001)
    assert not nearest_codes.supports(8, 1000, 1000, exclude_self=True)
    assert not nearest_codes.supports(8, 2**33, 10)
    assert not nearest_codes.supports(128, 10**6, 10**6)


@pytest.mark.parametrize("num_bits", [64, 128, 192, 256])
@pytest.mark.parametrize("kind", ["random", "sample near", "sample far"])
def test_a_sample_may_mislead_about_many_codes(num_bits, kind):
    """Past 16,384 codes the first reach is guessed from every so many-th: too low, too high or about right."""
    query, database = make(3, 20_000, num_bits)
    step = 20_000 // 2048
    if kind != "random":
        database[:] = -query[0]
        database[::step] = query[0] if kind == "sample near" else -query[0]
        database[1::step, 0] *= -1
    for k in (1, 100, 3000):
        items, distances = nearest_items(pack(query), pack(database), k)
        true = (query[:, None] != database).sum(2)
        order = true.argsort(axis=1, kind="stable")[:, :k]
        assert np.array_equal(items, order)
        assert np.array_equal(distances, np.take_along_axis(true, order, 1))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", ["random", "equal", "duplicates"])
@pytest.mark.parametrize("num_bits", [3, 64, 100, 300])
def test_counts_at_every_distance(own, kind, num_bits):
    query, database = make(41, 41, num_bits, kind)
    query = database if own else query
    sets = np.random.default_rng(1).integers(2**6, size=(41, 3), dtype=np.uint64) & np.uint64(0b101001)
    items, hits = count_codes(words(pack(query)), words(pack(database)), Labels(sets, sets),
                              own_from=0 if own else None)
    distances = (query[:, None] != database).sum(2)
    relevant = (sets[:, None] & sets).any(2)
    for i in range(41):
        others = np.arange(41) != i if own else np.ones(41, bool)
        for d in range(items.shape[1]):
            at = others & (distances[i] == d)
            assert (items[i, d], hits[i, d]) == (at.sum(), (at & relevant[i]).sum())


@pytest.mark.parametrize("num_bits", [1, 64, 100, 192, 256, 1000])
@pytest.mark.parametrize("kind", ["random", "equal", "sorted away"])
def test_a_processor_without_wide_population_counts_finds_the_same(monkeypatch, kind, num_bits):
    query, database = (words(pack(codes)) for codes in make(40, 20_000, num_bits, kind))
    sets = np.random.default_rng(1).integers(2**6, size=(20_000, 2), dtype=np.uint64) & np.uint64(0b101001)
    labels = Labels(sets[:40], sets)

    def measure():
        ranks = nearest_ranks(query, database, 70, labels)
        return [ranks.relevant, ranks.n, ranks.r, ranks.above, ranks.hits_above, *count_codes(query, database, labels),
                *nearest_items(query.view(np.uint8), database.view(np.uint8), 70)]

    chosen = measure()
    plain = load_library(SOURCES, (*FLAGS, "-DPLAIN"), "nearest_codes", HEADERS)
    monkeypatch.setattr(nearest_codes, "_library", lambda: plain)
    for mine, theirs in zip(chosen, measure(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
