"""Retrieval metrics against cases worked by hand, a naive loop, and every order of every tie group."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.metrics import NORMALISERS, evaluate, geometric_mean, root_sum_square

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
# Both sides are float64 sums of at most a few hundred terms in [0, 1].
EXACT = 1e-12


def codes_at(distances, num_bits=8):
    """One all-+1 query and an item at each of `distances` from it."""
    database = np.ones((len(distances), num_bits), np.int8)
    for item, distance in enumerate(distances):
        database[item, :distance] = -1
    return np.ones((1, num_bits), np.int8), database


def one_query(distances, relevant, **options):
    """mAP of a single query: {ties: {k: AP@k}}."""
    query, database = codes_at(distances)
    labels = np.array([[bit, 1 - bit] for bit in relevant], np.uint8)
    return evaluate(query, database, np.array([[1, 0]]), labels, **options).map_at


def ap(relevant, k, normaliser, num_relevant):
    hits, total = 0, 0.0
    for rank, hit in enumerate(relevant[:k], start=1):
        if hit:
            hits += 1
            total += hits / rank
    divisor = {"k": k, "min_kr": min(k, num_relevant), "hits": hits}[normaliser]
    return total / divisor if divisor else 0.0


def orders(distances, relevant):
    """The relevance rows of every order within every tie group."""
    groups = [[r for d, r in zip(distances, relevant, strict=True) if d == level]
              for level in sorted(set(distances))]
    for choice in itertools.product(*(itertools.permutations(group) for group in groups)):
        yield list(itertools.chain(*choice))


def naive(distances, relevant, k, normaliser):
    """AP@k under each tie rule."""
    num_relevant = sum(relevant)
    all_ap = [ap(row, k, normaliser, num_relevant) for row in orders(distances, relevant)]
    stable = [r for _, r in sorted(zip(distances, relevant, strict=True), key=lambda pair: pair[0])]
    return {"index": ap(stable, k, normaliser, num_relevant), "expected": math.fsum(all_ap) / len(all_ap),
            "best": max(all_ap), "worst": min(all_ap)}


RULES = ("index", "expected", "best", "worst")
ALL_RULES = (*RULES, "release")


@pytest.mark.parametrize(("normaliser", "at_2", "at_5"), [
    ("k", 1 / 2, 29 / 60), ("min_kr", 1 / 2, 29 / 36), ("hits", 1, 29 / 36)])
def test_without_ties(normaliser, at_2, at_5):
    # Hits at ranks 1, 3, 4: precisions 1, 2/3, 3/4, sum 29/12.
    found = one_query([0, 1, 2, 3, 4], [1, 0, 1, 1, 0], map_at=(2, 5), ties=RULES, normaliser=normaliser)
    for rule in RULES:
        assert found[rule] == {2: pytest.approx(at_2), 5: pytest.approx(at_5)}


def test_tie_group_across_the_cut():
    # One hit at distance 0, then a group of three with one hit; k = 2 cuts the group after its first place.
    found = one_query([0, 1, 1, 1], [1, 0, 1, 0], map_at=(2,), ties=RULES)
    assert found["index"][2] == pytest.approx(1 / 2)
    assert found["expected"][2] == pytest.approx((1 + 1 / 3) / 2)
    assert found["best"][2] == pytest.approx(1)
    assert found["worst"][2] == pytest.approx(1 / 2)


def test_worst_over_hits_is_not_relevant_last():
    # Hits last leaves only the first hit within k = 3 (mean 1); a second one at rank 3 lowers the mean.
    found = one_query([0, 1, 1, 1], [1, 1, 0, 0], map_at=(3,), ties=("worst", "index"), normaliser="hits")
    assert found["worst"][3] == pytest.approx((1 + 2 / 3) / 2)
    assert found["index"][3] == pytest.approx(1)


def test_best_over_hits_is_not_relevant_first():
    # A hit at rank 1 alone has mean 1; one more at rank 4, first of its group, would make it 3/4.
    found = one_query([0, 1, 1, 2, 2], [1, 0, 0, 1, 0], map_at=(4,), ties=("best",), normaliser="hits")
    assert found["best"][4] == pytest.approx(1)


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_nothing_relevant_counts_zero(normaliser):
    query, database = codes_at([0, 1, 1, 2])
    result = evaluate(np.repeat(query, 2, axis=0), database, [[1, 0], [0, 0]], np.eye(2, dtype=int)[[0] * 4],
                      map_at=(1, 3), normaliser=normaliser, ties=RULES)
    assert result.num_without_relevant == 1
    for rule in RULES:
        assert result.map_at[rule] == {1: 0.5, 3: 0.5 if normaliser != "k" else pytest.approx(0.5)}


@pytest.mark.parametrize(("normaliser", "expected"), [("k", 3 / 10), ("min_kr", 1), ("hits", 1)])
def test_k_beyond_the_database(normaliser, expected):
    found = one_query([0, 1, 2], [1, 1, 1], map_at=(10,), normaliser=normaliser, ties=RULES)
    assert all(found[rule][10] == pytest.approx(expected) for rule in RULES)


def test_labels_share_any_class():
    query, database = codes_at([0, 1, 2, 3])
    labels = np.zeros((4, 130), np.uint8)
    labels[0, [3, 129]] = 1
    labels[1, [4, 5]] = 1
    labels[2, 129] = 1
    wanted = np.zeros((1, 130), np.uint8)
    wanted[0, [5, 129]] = 1
    found = evaluate(query, database, wanted, labels, map_at=(4,), ties=("index",)).map_at["index"][4]
    assert found == pytest.approx(3 / 4)
    wanted[0, 129] = 0
    found = evaluate(query, database, wanted, labels, map_at=(4,), ties=("index",)).map_at["index"][4]
    assert found == pytest.approx(1 / 2 / 4)


def test_self_exclusion_by_hand():
    # Items 0 and 1 share code and class, item 2 lies apart with another class.
    codes = np.array([[1, 1, 1], [1, 1, 1], [-1, -1, -1]], np.int8)
    labels = np.eye(2, dtype=np.uint8)[[0, 0, 1]]
    inside = evaluate(codes, codes, labels, labels, map_at=(1, 5), ties=("index",), queries_are_database=True)
    assert inside.map_at["index"] == {1: 1.0, 5: pytest.approx((2 + 2 + 1) / 3 / 5)}
    outside = evaluate(codes, codes, labels, labels, map_at=(1, 5), ties=RULES, queries_are_database=True,
                       include_self=False)
    for rule in RULES:
        assert outside.map_at[rule] == {1: pytest.approx(2 / 3), 5: pytest.approx(2 / 3 / 5)}
    assert (inside.num_without_relevant, outside.num_without_relevant) == (0, 1)


def test_zeros_rank_by_half_distances():
    # Distances 1/2, 1, 0 (doubled 1, 2, 0): binary codes with 0 -> +1 would tie items 0 and 2.
    query = np.array([[1, 1, 1]], np.int8)
    database = np.array([[0, 1, 1], [-1, 1, 1], [1, 1, 1]], np.int8)
    labels = np.array([[1, 0], [0, 1], [0, 1]])
    found = evaluate(query, database, [[1, 0]], labels, map_at=(3,), ties=("index", "release", "expected"))
    assert found.map_at == {rule: {3: pytest.approx(1 / 6)} for rule in ("index", "release", "expected")}


def test_gmap_and_its_vhmt_namesake():
    assert geometric_mean([0.1, 0.4, 0.2]) == pytest.approx(0.2)
    assert geometric_mean([0.5, 0.0]) == 0
    assert root_sum_square([0.3, 0.4]) == pytest.approx(0.5)
    query, database = codes_at([0, 1, 2])
    result = evaluate(query, database, [[1]], [[1], [1], [1]], map_at=(3, 6), ties=("index",))
    assert result.gmap == {"index": pytest.approx(math.sqrt(1 * 0.5))}
    assert result.rss_map == {"index": pytest.approx(math.sqrt(1.25))}


def test_precision_and_recall_by_hand():
    query, database = codes_at([0, 1, 1, 2])
    labels = np.array([[1, 0], [0, 1], [1, 0], [1, 0]])
    found = evaluate(query, database, [[1, 0]], labels, map_at=(2, 4, 8), ties=tuple(RULES))
    assert found.precision_at["index"] == {2: 1 / 2, 4: 3 / 4, 8: 3 / 8}
    assert found.precision_at["expected"][2] == pytest.approx(3 / 4)
    assert (found.precision_at["best"][2], found.precision_at["worst"][2]) == (1, 1 / 2)
    assert found.recall_at["index"] == {2: 1 / 3, 4: 1, 8: 1}
    assert found.recall_at["expected"][2] == pytest.approx(1.5 / 3)


def test_a_query_with_nothing_to_find_has_no_recall():
    query, database = codes_at([0, 1])
    assert evaluate(query, database, [[0, 1]], [[1, 0], [1, 0]], map_at=(2,)).recall_at["index"] == {2: 0}


@QUICK
@given(st.data(), st.sampled_from(NORMALISERS))
def test_every_rule_equals_its_enumeration(data, normaliser):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    distances = [level for level, size in enumerate(sizes) for _ in range(size)]
    distances = data.draw(st.permutations(distances))
    relevant = data.draw(st.lists(st.integers(0, 1), min_size=len(distances), max_size=len(distances)))
    ks = tuple(range(1, len(distances) + 3))
    found = one_query(distances, relevant, map_at=ks, normaliser=normaliser, ties=RULES)
    for k in ks:
        expected = naive(distances, relevant, k, normaliser)
        for rule in RULES:
            assert found[rule][k] == pytest.approx(expected[rule], abs=EXACT), (rule, k)


@QUICK
@given(num_items=st.integers(1, 30), num_bits=st.integers(1, 20), num_classes=st.integers(1, 70),
       density=st.floats(0, 1), seed=st.integers(0, 999), own=st.booleans(), include_self=st.booleans(),
       normaliser=st.sampled_from(NORMALISERS), zeros=st.booleans())
def test_metrics_keep_their_bounds(num_items, num_bits, num_classes, density, seed, own, include_self, normaliser,
                                   zeros):
    rng = np.random.default_rng(seed)
    values = np.array([-1, 0, 1] if zeros else [-1, 1], np.int8)
    database, labels = rng.choice(values, (num_items, num_bits)), rng.random((num_items, num_classes)) < density
    queries, wanted = rng.choice(values, (7, num_bits)), rng.random((7, num_classes)) < density
    if own:
        queries, wanted = database, labels
    found = evaluate(queries, database, wanted, labels, map_at=(1, 3, 10, 50), ties=ALL_RULES, normaliser=normaliser,
                     queries_are_database=own, include_self=include_self)
    for rule in ALL_RULES:
        assert ((found.ap[rule] >= 0) & (found.ap[rule] <= 1 + EXACT)).all()
        assert (found.ap[rule] >= found.ap["worst"] - EXACT).all()
        assert (found.ap[rule] <= found.ap["best"] + EXACT).all()
        maps, precision, recall = (list(table[rule].values())
                                   for table in (found.map_at, found.precision_at, found.recall_at))
        assert all(0 <= value <= 1 + EXACT for value in (*precision, *recall))
        assert all(low <= high + EXACT for low, high in itertools.pairwise(recall))
        assert min(maps) - EXACT <= found.gmap[rule] <= max(maps) + EXACT
        assert max(maps) - EXACT <= found.rss_map[rule] <= 2 * max(maps) + EXACT
    np.testing.assert_array_equal(found.ap["release"], found.ap["index"])


@pytest.mark.parametrize("values", [(-1, 1), (-1, 0, 1)])
@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("include_self", [True, False])
def test_many_queries_equal_a_triple_loop(values, normaliser, include_self):
    rng = np.random.default_rng(3)
    codes = rng.choice(np.array(values, np.int8), (30, 6))
    labels = (rng.random((30, 9)) < 0.15).astype(np.uint8)
    ks = (1, 4, 10, 29, 30, 44)
    expected = np.zeros(len(ks))
    for i in range(30):
        items = [j for j in range(30) if include_self or j != i]
        items.sort(key=lambda j: 6 - sum(int(a) * int(b) for a, b in zip(codes[i], codes[j], strict=True)))
        relevant = [bool(labels[i] @ labels[j]) for j in items]
        expected += [ap(relevant, k, normaliser, sum(relevant)) for k in ks]
    for memory_limit in (1, 20_000, 2**28):
        result = evaluate(codes, codes, labels, labels, map_at=ks, normaliser=normaliser, ties=RULES,
                          queries_are_database=True, include_self=include_self, memory_limit=memory_limit)
        np.testing.assert_allclose(list(result.map_at["index"].values()), expected / 30, atol=EXACT)
        for k in ks:
            index, mean, best, worst = (result.map_at[rule][k] for rule in RULES)
            assert worst - EXACT <= index <= best + EXACT
            assert worst - EXACT <= mean <= best + EXACT


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_expected_equals_the_mean_over_shuffled_databases(normaliser):
    """Groups too large to enumerate: 400 shuffles; the bound is five standard errors."""
    rng = np.random.default_rng(5)
    query, database = codes_at(rng.integers(0, 3, 90))
    labels = np.eye(2, dtype=np.uint8)[(rng.random(90) < 0.3).astype(int)]
    options = {"map_at": (5, 20, 60), "normaliser": normaliser}
    exact = evaluate(query, database, [[1, 0]], labels, ties=("expected",), **options).map_at["expected"]
    samples = []
    for _ in range(400):
        order = rng.permutation(90)
        found = evaluate(query, database[order], [[1, 0]], labels[order], ties=("index",), **options)
        samples.append(list(found.map_at["index"].values()))
    error = np.std(samples, axis=0) / math.sqrt(len(samples))
    np.testing.assert_array_less(np.abs(np.mean(samples, axis=0) - list(exact.values())), 5 * error)


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_collapsed_codes_give_the_mean_over_all_rankings(normaliser):
    """One tie group of 3,000. Hits sum to r/n (H_k + (r-1)/(n-1) (k - H_k)), H_k the harmonic number."""
    n, r, k = 3000, 600, 100
    labels = np.eye(2, dtype=np.uint8)[[0] * r + [1] * (n - r)]
    codes = np.ones((n, 8), np.int8)
    found = evaluate(codes[:1], codes, labels[:1], labels, map_at=(k,), normaliser=normaliser,
                     ties=("worst", "expected", "best")).map_at
    harmonic = math.fsum(1 / p for p in range(1, k + 1))
    mean_sum = r / n * (harmonic + (r - 1) / (n - 1) * (k - harmonic))
    if normaliser == "hits":
        hits = [math.comb(r, h) * math.comb(n - r, k - h) / math.comb(n, k) for h in range(k + 1)]
        mean = math.fsum(p * (harmonic + (h - 1) / (k - 1) * (k - harmonic)) / k
                         for h, p in enumerate(hits) if h)
    else:
        mean = mean_sum / k
    assert found["expected"][k] == pytest.approx(mean, rel=1e-11)
    assert found["best"][k] == 1
    assert found["worst"][k] == 0


def test_query_rows_beyond_one_block_keep_their_labels():
    """A ranking that only the right pairing of query and label row can make perfect."""
    rng = np.random.default_rng(0)
    centers = rng.choice(np.array([-1, 1], np.int8), (12, 64))
    classes = rng.integers(0, 12, 700)
    labels = np.eye(12, dtype=np.uint8)[classes]
    result = evaluate(centers[classes], centers[classes], labels, labels, map_at=(10,), normaliser="min_kr",
                      memory_limit=3_000_000)
    assert result.map_at["index"][10] == result.map_at["expected"][10] == pytest.approx(1)
    assert (result.num_queries, result.num_database, result.num_bits) == (700, 700, 64)


@pytest.mark.parametrize(("change", "message"), [
    ({"normaliser": "r"}, "normaliser is one of"),
    ({"ties": ("random",)}, "ties names"),
    ({"ties": ()}, "ties names"),
    ({"map_at": (0, 5)}, "start at 1"),
    ({"map_at": ()}, "start at 1"),
    ({"queries_are_database": True}, "2 queries and 3 database"),
    ({"query_labels": np.ones((3, 4))}, "3 and 3 label rows"),
    ({"query_labels": np.ones((2, 5))}, r"\(2, 5\) and \(3, 4\)"),
    ({"query_labels": np.ones(2)}, r"\(2,\) and \(3, 4\)"),
    ({"query_codes": np.ones((0, 8)), "query_labels": np.ones((0, 4))}, "0 queries"),
    ({"query_codes": np.ones((2, 9))}, "9 bits"),
    ({"query_codes": np.full((2, 8), 2)}, "codes hold"),
])
def test_mistakes_are_told(change, message):
    arguments = {"query_codes": np.ones((2, 8)), "database_codes": np.ones((3, 8)),
                 "query_labels": np.ones((2, 4)), "database_labels": np.ones((3, 4))} | change
    with pytest.raises(ValueError, match=message):
        evaluate(**arguments)
