"""Indexes over packed codes: what they find, growing and thinning out, and their files."""

import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import index_kinds
from inference.code_file import read_codes, read_ids, write_codes
from inference.code_set import CodeSet, row_ids
from inference.codes import pack
from inference.index import Index, load_index
from inference.index_kinds.flat import ENGINES
from inference.ranking import top_k
from inference.recall import compare_with_exact, tie_aware_recall
from tests.pipeline import ROOT, message_of
from utils.registry import INDEX_KINDS

KINDS = INDEX_KINDS.names()


def random_bits(num_items, num_bits, seed, num_different=None):
    """Packed codes; with `num_different`, drawn from as many codes only, so that most are equal."""
    generator = np.random.default_rng(seed)
    codes = generator.choice(np.array([-1, 1], np.int8), (num_different or num_items, num_bits))
    return pack(codes[generator.integers(0, len(codes), num_items)] if num_different else codes)


def clustered_bits(num_items, num_bits, seed, num_clusters=40, noise=0.06):
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(0).random((num_clusters, num_bits)) < 0.5
    flips = generator.random((num_items, num_bits)) < noise
    return np.packbits(centers[generator.integers(0, num_clusters, num_items)] ^ flips, axis=1)


def code_set(bits, num_bits, first_id=0, **about):
    return CodeSet(bits, np.array([f"v{first_id + i}" for i in range(len(bits))], object), num_bits, **about)


def naive(query_bits, database_bits, k):
    """Positions and distances by sorting (distance, position) pairs."""
    items, distances = [], []
    for query in query_bits.tolist():
        pairs = sorted((sum((a ^ b).bit_count() for a, b in zip(query, item, strict=True)), place)
                       for place, item in enumerate(database_bits.tolist()))[:k]
        items.append([place for _, place in pairs])
        distances.append([distance for distance, _ in pairs])
    return np.array(items), np.array(distances)


def check_against_naive(index, query_bits, k):
    ids, distances = index.search(query_bits, k)
    items, expected = naive(query_bits, index.codes.bits, k)
    assert ids.tolist() == index.codes.ids[items].tolist()
    assert distances.tolist() == expected.tolist()


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(num_items=st.integers(1, 60), num_bits=st.integers(1, 130), k=st.integers(1, 70), seed=st.integers(0, 999),
       num_different=st.sampled_from([1, 3, None]))
def test_flat_equals_naive(engine, num_items, num_bits, k, seed, num_different):
    bits = random_bits(num_items, num_bits, seed, num_different)
    index = Index(code_set(bits, num_bits), "flat", {"engine": engine})
    check_against_naive(index, np.concatenate([random_bits(3, num_bits, seed + 1), bits[:1]]), k)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lists_min_of_k_and_n_items_at_their_true_distances(kind):
    bits, queries = random_bits(500, 64, 1), random_bits(20, 64, 2)
    index = Index(code_set(bits, 64), kind)
    place = {name: i for i, name in enumerate(index.codes.ids)}
    for k in (1, 10, 500, 800):
        ids, distances = index.search(queries, k)
        assert ids.shape == distances.shape == (20, min(k, 500))
        assert distances.dtype == np.uint16
        for query, row, steps in zip(queries, ids, distances.astype(int), strict=True):
            items = [place[name] for name in row]
            assert len(set(items)) == len(items)
            assert np.bitwise_count(bits[items] ^ query).sum(axis=1, dtype=int).tolist() == steps.tolist()
            assert sorted(zip(steps, items, strict=True)) == list(zip(steps, items, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_bits", [3, 16, 64, 100])
def test_every_kind_finds_clustered_codes(kind, num_bits):
    bits, queries = clustered_bits(4000, num_bits, 1), clustered_bits(50, num_bits, 2)
    index = Index(code_set(bits, num_bits), kind)
    _, found = index.search(queries, 20)
    _, true = top_k(queries, bits, 20)
    assert tie_aware_recall(found, true) >= (1 if index.exact else 0.95)


def test_multihash_finds_all_below_its_guaranteed_distance():
    """4 substrings with up to one flip each: every code at a distance below 8."""
    generator = np.random.default_rng(3)
    query = generator.random((1, 64)) < 0.5
    codes = np.repeat(query, 700, axis=0)
    for i, row in enumerate(codes):
        row[generator.choice(64, i % 7 + 1, replace=False)] ^= True
    far = generator.random((3000, 64)) < 0.5
    bits = np.packbits(np.concatenate([codes, far]), axis=1)
    index = Index(code_set(bits, 64), "multihash", {"nhash": 4})
    check_against_naive(index, np.packbits(query, axis=1), 700)


def test_ivf_that_probes_every_list_is_exact():
    bits, queries = clustered_bits(2000, 32, 1), random_bits(10, 32, 5)
    index = Index(code_set(bits, 32), "ivf", {"nlist": 25, "nprobe": 25})
    _, distances = index.search(queries, 50)
    np.testing.assert_array_equal(distances, top_k(queries, bits, 50)[1])
    _, few = Index(code_set(bits, 32), "ivf", {"nlist": 25, "nprobe": 1}).search(queries, 50)
    assert 0 < tie_aware_recall(few, distances) < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_that_finds_too_few_is_searched_exactly(kind):
    """Items all alike and a query far from them: no table or list near it holds them."""
    bits = np.zeros((100, 8), np.uint8)
    index = Index(code_set(bits, 64), kind)
    ids, distances = index.search(np.full((1, 8), 255, np.uint8), 5)
    assert ids.tolist() == [["v0", "v1", "v2", "v3", "v4"]]
    assert distances.tolist() == [[64] * 5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_new", [300, 2500])  # below and beyond where it learns anew
def test_adding_removing_and_files_change_no_answer(kind, num_new, tmp_path):
    bits, queries = clustered_bits(1000 + num_new, 64, 1), clustered_bits(30, 64, 2)
    grown = Index(code_set(bits[:1000], 64), kind)
    grown.add(code_set(bits[1000:], 64, first_id=1000))
    grown.remove([f"v{i}" for i in range(0, 1000, 3)])
    grown.save(tmp_path / "grown.index")
    loaded = load_index(tmp_path / "grown.index")
    assert (loaded.kind, loaded.settings, len(loaded)) == (grown.kind, grown.settings, len(grown))

    kept = np.array([i for i in range(len(bits)) if i >= 1000 or i % 3])
    assert loaded.codes.ids.tolist() == [f"v{i}" for i in kept]
    np.testing.assert_array_equal(loaded.codes.bits, bits[kept])
    for found, same in zip(grown.search(queries, 20), loaded.search(queries, 20), strict=True):
        np.testing.assert_array_equal(found, same)
    _, distances = loaded.search(queries, 20)
    _, true = top_k(queries, bits[kept], 20)
    assert tie_aware_recall(distances, true) >= (1 if loaded.exact else 0.95)
    if loaded.exact:
        check_against_naive(loaded, queries[:5], 20)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_can_be_emptied_and_filled_again(kind, tmp_path):
    index = Index(code_set(random_bits(5, 20, 1), 20), kind)
    index.remove(["v4", "v0", "v1", "v2", "v3"])
    index.save(tmp_path / "empty.index")
    index = load_index(tmp_path / "empty.index")
    ids, distances = index.search(random_bits(2, 20, 2), 3)
    assert ids.shape == distances.shape == (2, 0)
    again = random_bits(7, 20, 3)
    index.add(code_set(again, 20))
    assert index.search(again[2:3], 1)[0].tolist() == [["v2"]]


def test_learning_anew_beyond_twice_the_codes():
    bits = random_bits(900, 32, 1)
    index = Index(code_set(bits[:300], 32), "ivf")
    before = index._structure.state["centroids"]
    index.add(code_set(bits[300:600], 32, first_id=300))
    assert index._structure.state["centroids"] is before
    index.add(code_set(bits[600:], 32, first_id=600))
    assert len(index._structure.state["centroids"]) == 900 // 39


@pytest.mark.parametrize(("distances", "true", "recall"), [
    ([[0, 1, 1]], [[0, 1, 1]], 1),
    ([[1, 1, 1]], [[0, 1, 1]], 1),  # another of several at the k-th distance is as right
    ([[0, 2, 3]], [[0, 1, 1]], 1 / 3),
    ([[0, 1], [5, 6]], [[0, 1], [4, 5]], 3 / 4),
])
def test_tie_aware_recall_by_hand(distances, true, recall):
    assert tie_aware_recall(np.array(distances), np.array(true)) == pytest.approx(recall)


@pytest.mark.parametrize(("distances", "true"), [([[1, 2]], [[1]]), (np.empty((2, 0)), np.empty((2, 0)))])
def test_tie_aware_recall_refuses(distances, true):
    with pytest.raises(ValueError, match="shape"):
        tie_aware_recall(np.array(distances), np.array(true))


def test_comparison_with_exact_search():
    index = Index(code_set(clustered_bits(2000, 64, 1), 64), "ivf", {"nprobe": 1})
    found = compare_with_exact(index, k=50, num_queries=30)
    assert (found.num_queries, found.k) == (30, 50)
    assert 0.2 < found.recall < 1
    assert found.speedup > 0
    tiny = compare_with_exact(Index(code_set(random_bits(3, 8, 1), 8), "multihash"), k=50)
    assert (tiny.num_queries, tiny.k, tiny.recall) == (3, 3, 1)


def test_search_refuses_what_are_no_queries():
    index = Index(code_set(random_bits(4, 16, 1), 16))
    for bits, k, message in ((np.zeros((1, 3), np.uint8), 1, "uint8"), (np.zeros((1, 2)), 1, "float64"),
                             (np.zeros((1, 2), np.uint8), 0, "at least 1")):
        with pytest.raises(ValueError, match=message):
            index.search(bits, k)
    assert index.search(np.zeros((0, 2), np.uint8), 3)[0].shape == (0, 3)


@pytest.mark.parametrize("ending", [".h5", ".npz"])
@pytest.mark.parametrize("num_bits", [7, 16])
def test_codes_survive_their_file(ending, num_bits, tmp_path):
    bits = random_bits(5, num_bits, 1)
    ids = np.array(["a", "b c", "ü/é.mp4", "001", "x" * 300], object)
    path = tmp_path / f"codes{ending}"
    write_codes(path, CodeSet(bits, ids, num_bits, "abc", {"model": "S5VH"}))
    back = read_codes(path)
    np.testing.assert_array_equal(back.bits, bits)
    assert back.ids.tolist() == ids.tolist()
    assert (back.num_bits, back.fingerprint, back.source) == (num_bits, "abc", str(path))
    assert back.made_from == {"model": "S5VH"}


def test_codes_made_elsewhere_need_codes_and_length_only(tmp_path):
    bits = random_bits(3, 16, 1)
    np.savez(tmp_path / "codes.npz", codes=bits, num_bits=16)
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        file["codes"], file.attrs["num_bits"] = bits, 16
        file["ids"] = [5, 6, 7]
    assert read_codes(tmp_path / "codes.npz").ids.tolist() == row_ids(3).tolist() == ["0", "1", "2"]
    assert read_codes(tmp_path / "codes.h5").ids.tolist() == ["5", "6", "7"]


def test_an_index_file_is_a_file_of_codes(tmp_path):
    codes = code_set(random_bits(6, 16, 1), 16, fingerprint="f")
    Index(codes).save(tmp_path / "some.index")
    assert read_codes(tmp_path / "some.index").ids.tolist() == codes.ids.tolist()


def _corrupt(path, kind):
    whole = path.read_bytes()
    return {"truncated": whole[:len(whole) // 2], "empty": b"", "text": b"codes\n", "stub": whole[:9]}[kind]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "stub"])
@pytest.mark.parametrize("ending", [".h5", ".npz"])
def test_a_damaged_file_is_one_line(damage, ending, tmp_path):
    path = tmp_path / f"codes{ending}"
    write_codes(path, code_set(random_bits(300, 16, 1), 16))
    path.write_bytes(_corrupt(path, damage))
    for read in (read_codes, load_index):
        assert str(path) in message_of(lambda read=read: read(path))


@pytest.mark.parametrize(("stored", "message"), [
    ({"codes": np.zeros((2, 3), np.uint8), "num_bits": 16}, "num_bits = 16"),
    ({"codes": np.zeros((2, 2)), "num_bits": 16}, "float64"),
    ({"codes": np.full((2, 2), 255, np.uint8), "num_bits": 12}, "beyond"),
    ({"codes": np.zeros((2, 2), np.uint8)}, "num_bits"),
    ({"num_bits": 16}, "codes"),
    ({"codes": np.zeros((2, 2), np.uint8), "num_bits": 16, "ids": ["a"]}, "'ids'"),
])
def test_files_that_are_no_codes(stored, message, tmp_path):
    np.savez(tmp_path / "codes.npz", **stored)
    assert message in message_of(lambda: read_codes(tmp_path / "codes.npz"))


def test_wrong_names_and_missing_files(tmp_path):
    codes = code_set(random_bits(3, 16, 1), 16)
    assert ".npz" in message_of(lambda: write_codes(tmp_path / "codes.txt", codes))
    assert "no such file" in message_of(lambda: read_codes(tmp_path / "codes.h5"))
    assert "no such file" in message_of(lambda: load_index(tmp_path / "codes.h5"))
    assert "folder" in message_of(lambda: read_codes(tmp_path))
    write_codes(tmp_path / "codes.h5", codes)
    assert "not an index" in message_of(lambda: load_index(tmp_path / "codes.h5"))


def test_codes_that_do_not_go_together():
    index = Index(code_set(random_bits(3, 16, 1), 16, fingerprint="one", made_from={"model": "S5VH"}, source="a.index"))
    assert "24 bits" in message_of(lambda: index.add(code_set(random_bits(2, 24, 1), 24, 10)))
    other = code_set(random_bits(2, 16, 2), 16, 10, fingerprint="two", source="b.h5")
    text = message_of(lambda: index.add(other))
    assert "b.h5: another model than that of a.index (S5VH)" in text
    assert "--any-model" in text
    assert len(index) == 3
    index.add(other, any_model=True)
    index.add(code_set(random_bits(2, 16, 2), 16, 20))  # of an unknown model
    assert len(index) == 7


def test_ids_are_unique_and_known():
    twice = CodeSet(random_bits(3, 16, 1), np.array(["a", "b", "a"], object), 16)
    assert "'a' occurs twice" in message_of(lambda: Index(twice))
    index = Index(code_set(random_bits(5, 16, 1), 16))
    assert "'v3', 'v4' are" in message_of(lambda: index.add(code_set(random_bits(4, 16, 2), 16, 3)))
    assert "'x', 'y', 'z' and 1 more are" in message_of(lambda: index.remove(["x", "y", "v0", "z", "w"]))
    assert len(index) == 5
    index.remove(["v0", "v0"])
    assert index.codes.ids.tolist() == ["v1", "v2", "v3", "v4"]


@pytest.mark.parametrize(("content", "message"), [
    (b"a\nb\na\n", "line 3 repeats the id 'a' of line 1"),
    (b"a\n\nb\n", "line 2"),
    (b"a\n\xff\n", "UTF-8"),
])
def test_lists_of_ids(content, message, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b" one\r\ntwo words \n\n")
    assert read_ids(path) == ["one", "two words"]
    path.write_bytes(content)
    assert message in message_of(lambda: read_ids(path))
    assert "ids.txt" in message_of(lambda: read_ids(tmp_path / "no" / "ids.txt"))


@pytest.mark.parametrize(("kind", "given", "message"), [
    ("ivf", ["nlists=3"], "nlist, nprobe"),
    ("ivf", ["nlist=0"], "expected a whole number >= 1"),
    ("ivf", ["nlist"], "expected a whole number >= 1"),
    ("flat", ["engine=fast"], "'auto' or 'own' or 'faiss'"),
    ("tree", [], "flat, ivf, multihash"),
])
def test_settings_of_kinds(kind, given, message):
    assert message in message_of(lambda: index_kinds.read_settings(kind, given))
    assert index_kinds.read_settings("multihash", ["nhash=3", "nflip=0"]) == {"nhash": 3, "nflip": 0}


@pytest.mark.parametrize(("kind", "chosen", "message"), [
    ("ivf", {"nlist": 9}, "9"), ("multihash", {"nhash": 8}, "substrings"), ("multihash", {"nflip": 16}, "substrings")])
def test_settings_that_codes_cannot_fill(kind, chosen, message):
    assert message in message_of(lambda: Index(code_set(random_bits(5, 8, 1), 8), kind, chosen))


KILLED = """
import sys, time
import inference.index as index
path = sys.argv[1]
whole = index.put_codes
def half(file, codes):
    whole(file, codes)
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
index.put_codes = half
found = index.load_index(path)
found.remove(["v0"])
found.save(path)
"""


def test_a_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "some.index"
    Index(code_set(random_bits(50, 16, 1), 16)).save(path)
    before = path.read_bytes()
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"writing\n"
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    assert len(load_index(path)) == 50


def test_without_a_compiler_flat_search_is_by_faiss_and_finds_the_same(monkeypatch):
    bits = np.random.default_rng(0).integers(4, size=(200, 2), dtype=np.uint8)
    index = Index(code_set(bits, 16))
    own = index.search(bits[:20], 30)
    monkeypatch.setattr("inference.nearest_codes.unavailable", lambda: "no compiler")
    monkeypatch.setattr("inference.index_kinds.flat.top_k", None)
    for mine, theirs in zip(own, index.search(bits[:20], 30), strict=True):
        assert np.array_equal(mine, theirs)


def test_a_machine_without_a_compiler(tmp_path):
    """PATH leads nowhere and nothing was compiled before: the same answers, by faiss, and one line that says why."""
    bits = np.random.default_rng(1).integers(4, size=(300, 3), dtype=np.uint8)
    items, distances = top_k(bits[:9], bits, 40)
    Index(code_set(bits, 24)).save(tmp_path / "index.h5")
    script = """if True:
        import sys
        from inference import nearest_codes
        from inference.index import load_index
        print(nearest_codes.unavailable())
        index = load_index(sys.argv[1])
        ids, distances = index.search(index.codes.bits[:9], 40)
        print(ids.tolist(), distances.tolist(), "faiss" in sys.modules, sep="\\n")
    """
    done = subprocess.run([sys.executable, "-W", "error", "-c", script, str(tmp_path / "index.h5")], text=True,
                          capture_output=True, check=True, cwd=ROOT,
                          env={"PATH": str(tmp_path), "VIDEO_HASHING_CACHE": str(tmp_path / "cache")})
    reason, found, found_distances, uses_faiss = done.stdout.splitlines()
    assert "no C++ compiler" in reason
    assert found == str(code_set(bits, 24).ids[items].tolist())
    assert found_distances == str(distances.tolist())
    assert uses_faiss == "True"
