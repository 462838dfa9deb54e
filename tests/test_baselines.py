"""Shallow baselines against their definitions, and the report that prints them."""

import itertools
import json
import math

import numpy as np
import pytest

from artefacts.trajectories import fit_trajectories, trajectories
from inference.baselines import (
    Itq,
    Lsh,
    PcaSign,
    SpectralHashing,
    baseline_codes,
    baseline_table,
    frame_means,
    half_whitened,
    random_codes,
    segment_means,
)
from inference.metrics import evaluate
from inference.report import format_table, metric_row, write_results
from utils.errors import UserError


class ArrayFeatures:
    """Features held in memory, handed out in blocks of at most three videos."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)
        self.shape = self.values.shape

    def blocks(self, num_rows):
        for start in range(0, len(self.values), min(3, num_rows)):
            yield start, self.values[start:start + min(3, num_rows)]


def clustered(num_items, seed, num_frames=6, feature_size=20, num_classes=4):
    """Videos around one center per class, and their one-hot labels."""
    centers = np.random.default_rng(0).standard_normal((num_classes, feature_size))
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, num_classes, num_items)
    noise = rng.standard_normal((num_items, num_frames, feature_size))
    labels = np.eye(num_classes, dtype=np.uint8)[classes]
    return ArrayFeatures(centers[classes][:, None] + 0.8 * noise), labels


@pytest.mark.parametrize(("num_frames", "cuts"), [
    (25, [0, 5, 10, 15, 20, 25]), (7, [0, 2, 4, 5, 6, 7]), (5, [0, 1, 2, 3, 4, 5]), (3, [0, 1, 2, 3])])
def test_segment_means_by_definition(num_frames, cuts):
    values = np.random.default_rng(0).standard_normal((7, num_frames, 4))
    expected = np.concatenate([values[:, a:b].mean(axis=1) for a, b in itertools.pairwise(cuts)], axis=1)
    found = segment_means(ArrayFeatures(values))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(frame_means(ArrayFeatures(values)), values.mean(axis=1), atol=1e-6)


def test_random_codes_are_fair_and_seeded():
    code = random_codes(2000, 32, seed=1)
    assert code.dtype == np.int8
    assert set(np.unique(code)) == {-1, 1}
    # 64,000 flips: five standard deviations of their mean are 0.02.
    assert abs(code.mean()) < 0.02
    np.testing.assert_array_equal(code, random_codes(2000, 32, seed=1))
    assert (code != random_codes(2000, 32, seed=2)).any()


def vectors(num_items=200, size=12, rank=12, seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.standard_normal((rank, size)) * np.geomspace(1, 0.2, rank)[:, None]
    return (3 + rng.standard_normal((num_items, rank)) @ spread).astype(np.float32)


def test_pca_sign_equals_a_plain_svd():
    x = vectors()
    centered = x.astype(float) - x.mean(axis=0, dtype=float)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:8]
    scores = centered @ axes.T
    code = PcaSign().fit(x, 8, seed=0).encode(x)
    clear = np.abs(scores) > 1e-4
    for bit in range(8):
        agree = (code[:, bit] == np.sign(scores[:, bit]))[clear[:, bit]]
        assert agree.all() or not agree.any()


def quantisation_error(baseline, x):
    """|B - V R|^2 of a fitted baseline."""
    real = (x - baseline._mean) @ baseline._directions
    return float(((baseline.encode(x) - real) ** 2).sum())


def test_itq_comes_closer_to_its_signs_at_every_iteration(monkeypatch):
    x = vectors()
    errors = []
    for iterations in (0, 1, 2, 5, 20, 50):
        monkeypatch.setattr("inference.baselines._ITQ_ITERATIONS", iterations)
        errors.append(quantisation_error(Itq().fit(x, 8, seed=3), x))
    # float32 encoding moves the error by a relative 1e-7 or so.
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in itertools.pairwise(errors))
    assert errors[-1] < 0.95 * errors[0]


def test_itq_only_rotates_the_principal_axes():
    x = vectors()
    directions = Itq().fit(x, 8, seed=0)._directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(8), atol=1e-5)


@pytest.mark.parametrize("make", [Lsh, PcaSign, Itq])
def test_fits_are_seeded(make):
    x = vectors(rank=5)
    first, again, other = (make().fit(x, 9, seed=seed).encode(x) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("make", [Lsh, PcaSign, SpectralHashing, Itq])
@pytest.mark.parametrize(("num_items", "size", "rank"), [(200, 12, 12), (200, 12, 3), (4, 12, 12), (2, 5, 1)])
def test_more_bits_than_the_data_has_rank(make, num_items, size, rank):
    x = vectors(num_items, size, rank)
    code = make().fit(x, 64, seed=0).encode(x)
    assert code.shape == (num_items, 64)
    assert code.dtype == np.int8
    assert set(np.unique(code)) == {-1, 1}
    assert len(np.unique(code, axis=0)) > 1


def test_itq_keeps_lengths_beyond_the_rank():
    x = vectors(rank=3)
    directions = Itq().fit(x, 16, seed=0)._directions
    lengths = np.linalg.norm((x - x.mean(axis=0)) @ directions, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(x - x.mean(axis=0), axis=1), rtol=1e-4)


@pytest.mark.parametrize("make", [PcaSign, Itq])
def test_data_without_variance_is_a_one_line_error(make):
    with pytest.raises(UserError, match="9 training videos all have the same features"):
        make().fit(np.ones((9, 4), np.float32), 8, seed=0)
    with pytest.raises(ValueError, match="fit the baseline"):
        make().encode(np.ones((9, 4), np.float32))


def test_lsh_by_definition():
    x = vectors()
    directions = np.random.default_rng(5).standard_normal((12, 20))
    scores = (x - x.mean(axis=0, dtype=float)) @ directions
    agree = Lsh().fit(x, 20, seed=5).encode(x) == np.sign(scores)
    assert agree[np.abs(scores) > 1e-4].all()


def test_spectral_hashing_by_a_loop():
    """One axis four times as wide as the other: bits 1 to 3 are its waves, the fourth is a tie of two."""
    rng = np.random.default_rng(0)
    wide = np.concatenate([[0.0, 4.0], rng.uniform(0, 4, 98)])
    x = np.stack([wide, rng.permutation(np.concatenate([[0.0, 0.9], rng.uniform(0, 0.9, 98)]))], axis=1)
    code = SpectralHashing().fit(x, 5, seed=0).encode(x)
    centered = x - x.mean(axis=0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    values = centered @ axes.T
    waves = []
    for axis in range(2):
        low, extent = values[:, axis].min(), np.ptp(values[:, axis])
        waves += [(mode / extent, np.cos(mode * np.pi * (values[:, axis] - low) / extent)) for mode in range(1, 6)]
    for bit, (_, wave) in enumerate(sorted(waves, key=lambda pair: pair[0])[:5]):
        agree = (code[:, bit] == np.sign(wave))[np.abs(wave) > 1e-6]
        assert agree.mean() in (0.0, 1.0) or (bit % 2 == 1 and not agree.all()), bit  # an axis may point either way


def test_half_whitened_vectors_have_the_root_of_the_deviation():
    train, _ = clustered(120, 1)
    x = half_whitened(train)(train)
    variances = x.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()
    whole = fit_trajectories(train, exponent=0.0)
    np.testing.assert_allclose(variances, trajectories(*whole).std(axis=0), rtol=1e-3)


def test_table_ranks_learned_codes_above_chance():
    (train, train_labels), (queries, query_labels) = clustered(120, 1), clustered(40, 2)
    rows = baseline_table(baseline_codes(train, train, queries, num_bits=8), train_labels, query_labels, map_at=(5, 20))
    assert [(row["method"], row["ties"]) for row in rows] == [
        (method, ties) for method in ("random", "LSH, means", "PCA sign, means", "SH, means", "ITQ, means",
                                      "ITQ, 5 segments", "ITQ, half-whitened")
        for ties in ("index", "expected")]
    assert all(list(row)[3:] == ["mAP@5", "mAP@20", "GmAP", "intervals"] for row in rows)
    assert all(row["intervals"][5][0] <= row["mAP@5"] <= row["intervals"][5][1] for row in rows)
    found = {row["method"]: row["GmAP"] for row in rows if row["ties"] == "index"}
    # Four balanced classes: precision 1/4, so AP well below 0.3; the clusters are well apart, in three directions: of
    # the eight bits of PCA signs, five are noise.
    assert found.pop("random") < 0.3
    assert min(found.values()) > 0.45
    assert min(value for name, value in found.items() if name.startswith("ITQ")) > 0.9


def test_table_of_self_retrieval_finds_each_query_first():
    features, labels = clustered(60, 1)
    options = {"map_at": (1,), "ties": ("worst", "expected"), "queries_are_database": True}
    codes = baseline_codes(clustered(50, 3)[0], features, None, num_bits=32)
    rows = baseline_table(codes, labels, labels, **options)
    assert rows[0] == {"method": "random", "bits": 32, "ties": "worst", "mAP@1": 1.0, "GmAP": 1.0,
                       "intervals": {1: (1.0, 1.0)}}
    alone = baseline_table(codes, labels, labels, include_self=False, **options)
    assert alone[0]["mAP@1"] < 0.6


def test_format_table():
    rows = [{"method": "ITQ", "bits": 16, "mAP@5": 0.25},
            {"method": "random codes", "bits": 128, "mAP@5": None}]
    assert format_table(rows, ("method", "bits", "mAP@5", "note")) == (
        "method        bits   mAP@5  note\n"
        "ITQ             16  0.2500     -\n"
        "random codes   128       -     -\n")
    assert format_table([], ("a", "b")) == "a  b\n"


def small_evaluation(**options):
    codes = np.array([[1, 1], [1, -1], [-1, -1]], np.int8)
    labels = np.array([[1, 0], [1, 0], [0, 0]])
    return evaluate(codes, codes, labels, labels, map_at=(1, 2), **options)


def test_results_on_disk(tmp_path):
    result = small_evaluation(ties=("index", "worst"), queries_are_database=True)
    folder = tmp_path / "logs" / "run"
    write_results(folder, result, details={"dataset": "toy", "loss": math.nan, "bits": np.int64(2),
                                           "rate": np.float32(0.5), "list": [1, (True, None, math.inf)]})
    assert (folder / "map.txt").read_text() == (
        "2 bits, 3 queries, 3 database items, AP normaliser k, each query in its own ranking, "
        "1 queries with nothing relevant\n"
        "ties   metric    value\n"
        "index  mAP@1    0.6667\n"
        "index  mAP@2    0.6667\n"
        "index  GmAP     0.6667\n"
        "index  rss_mAP  0.9428\n"
        "worst  mAP@1    0.6667\n"
        "worst  mAP@2    0.5000\n"
        "worst  GmAP     0.5774\n"
        "worst  rss_mAP  0.8333\n")

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    saved = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    assert saved["map_at"]["worst"] == {"1": pytest.approx(2 / 3), "2": pytest.approx(1 / 2)}
    assert saved["gmap"]["index"] == pytest.approx(2 / 3)
    assert saved["rss_map"]["index"] == pytest.approx(math.sqrt(8 / 9))
    assert saved["details"] == {"dataset": "toy", "loss": None, "bits": 2, "rate": 0.5,
                                "list": [1, [True, None, None]]}
    expected = {"normaliser": "k", "num_bits": 2, "num_without_relevant": 1, "include_self": True}
    assert {name: saved[name] for name in expected} == expected
    assert sorted(path.name for path in folder.iterdir()) == ["map.txt", "metrics.json"]


def test_results_refuse_what_json_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match="cannot hold a set"):
        write_results(tmp_path / "run", small_evaluation(), details={"ids": {1}})
    assert not list((tmp_path / "run").glob("*"))


def test_metric_row():
    result = small_evaluation(ties=("index",))
    assert list(metric_row(result, "index")) == ["mAP@1", "mAP@2", "GmAP"]
