"""Mapped indexes: they find what indexes in memory find, whatever was done to them, and refuse what is not theirs."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.billion import measure
from benchmarks.index_soak import Soak
from inference import segments
from inference.code_file import read_codes, write_codes
from inference.code_set import CodeSet
from inference.index import Index
from inference.segments import index as mapped
from inference.segments import search, segment
from inference.segments.ids import Consecutive, Numbers, Texts, concatenate, ids_of
from inference.segments.index import MappedIndex
from tests.pipeline import message_of, run, succeed

NAMES = [*map(str, range(12)), *(f"v{number}" for number in range(12)), "", "007", "-1", "é", "v\udc80", str(2**63 - 1),
         str(2**63), str(10**30)]


def codes_of(ids, num_bits=20):
    """Of two bits' worth of variety only, so that most distances are ties."""
    bits = [np.random.default_rng([len(item), *item.encode("utf-8", "surrogatepass")]).integers(0, 2, -(-num_bits // 8))
            for item in ids]
    return CodeSet(np.array(bits, np.uint8).reshape(len(bits), -(-num_bits // 8)) << 5, np.array(ids, object), num_bits)


def made(folder, *sets):
    with MappedIndex.writing(folder, print, sets[0]) as index:
        index.add(sets)
    return folder


@pytest.fixture
def path(tmp_path):
    return made(tmp_path / "videos.index", codes_of(["a", "b", "c"]), codes_of(["5", "6", "7"]))


def assert_same(path, truth):
    here = MappedIndex.load(path)
    queries = codes_of(["q1", "q2", "v1"]).bits
    assert len(here) == len(truth)
    assert here.codes.ids.tolist() == truth.codes.ids.tolist()
    assert np.array_equal(here.codes.bits, truth.codes.bits)
    some = truth.codes.ids[::3].tolist()
    for k in (1, 4, 99):
        for within in (None, some):
            ours, theirs = here.search(queries, k, within), truth.search(queries, k, within)
            assert ours[0].tolist() == theirs[0].tolist()
            assert ours[1].tolist() == theirs[1].tolist()
    assert here.damage() is None


class Clumsy:
    """An index in memory, which cannot be empty, as one that can."""

    def __init__(self, codes):
        self.codes = codes

    def __len__(self):
        return len(self.codes)

    def search(self, bits, k, within=None):
        if not len(self):
            return np.empty((len(bits), 0), object), np.empty((len(bits), 0), np.uint16)
        return Index(self.codes).search(bits, k, within)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "compact"]), st.sets(st.sampled_from(NAMES), min_size=1)),
                max_size=5), st.sampled_from([3, 8, 2**24]), st.sampled_from([0, 2, 64]))
def test_it_finds_what_an_index_in_memory_finds(tmp_path_factory, steps, most, few):
    folder = tmp_path_factory.mktemp("mapped") / "videos.index"
    with pytest.MonkeyPatch.context() as patch:
        for place, name, value in ((mapped, "MOST_ITEMS", most), (segment, "MOST_ITEMS", most),
                                   (search, "FEW_REMOVED", few), (search, "ROWS_AT_ONCE", 5),
                                   (mapped, "QUERIES_AT_ONCE", 2)):
            patch.setattr(place, name, value)
        truth = codes_of(["v1", "start", "3"])
        made(folder, truth)
        for step, ids in steps:
            here = set(truth.ids)
            with MappedIndex.writing(folder, print) as index:
                if step == "add" and ids - here:
                    new = codes_of(sorted(ids - here))
                    index.add([new])
                    truth = truth.joined(new)
                elif step == "remove":
                    gone = sorted(ids & here)
                    index.remove(gone)
                    truth = truth.without(gone)
                elif step == "compact":
                    index.compact()
            assert_same(folder, Clumsy(truth))
        with MappedIndex.writing(folder, print) as index:
            index.compact()
        assert index.num_segments <= -(-len(truth) // max(1, most // 2)) + 1
        assert_same(folder, Clumsy(truth))


@pytest.mark.parametrize(("given", "form"), [(["4", "5", "6"], Consecutive), (["6", "4"], Numbers), (["4", "x"], Texts),
                                             (["04"], Texts), (["3", ""], Texts), (["12", "7", "07"], Texts),
                                             (["9" * 25], Texts), ([str(2**63)], Texts), (["0"], Consecutive)])
def test_ids_take_the_least_room(given, form):
    ids = ids_of(given)
    assert type(ids) is form
    assert ids.texts(np.arange(len(given))) == given
    assert ids.keys().tolist() == [slow_key(item) for item in given]
    both = concatenate([ids, ids_of(["9", "y"]), ids_of(["1", "2"])])
    assert both.texts(np.arange(len(given) + 4)) == [*given, "9", "y", "1", "2"]
    assert both.part(1, len(given) + 3).texts(np.arange(len(given) + 2)) == [*given, "9", "y", "1", "2"][1:-1]


def slow_key(item):
    """The key of an id by its definition."""
    if item.isascii() and item.isdecimal() and str(int(item)) == item and int(item) < 2**63:
        return int(item)
    terms = ((byte + 1) * 0x9E3779B97F4A7C15**place
             for place, byte in enumerate(item.encode("utf-8", "surrogatepass"), 1))
    return sum(terms) % 2**64 | 2**63


@given(st.lists(st.one_of(st.text(max_size=5), st.sampled_from(NAMES), st.integers(0, 2**65).map(str)), max_size=9))
@settings(max_examples=20, deadline=None)
def test_keys_are_those_of_each_id(ids):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inference.segments.ids._TEXTS_AT_ONCE", 2)
        assert ids_of(ids).keys().tolist() == [slow_key(item) for item in ids]
    assert [int(ids_of([item]).keys()[0]) for item in ids] == [slow_key(item) for item in ids]


def test_numbers_are_looked_up_without_a_text_for_each(tmp_path, monkeypatch):
    """What searching few queries within many items costs depends on it."""
    ids = np.random.default_rng(0).permutation(10**6)[:500]
    path = made(tmp_path / "i", codes_of(ids[:300].astype(str).tolist()), codes_of(sorted(map(str, ids[300:]))))
    index, asked = MappedIndex.load(path), []
    texts = Numbers.texts
    monkeypatch.setattr(Numbers, "texts", lambda self, items: asked.extend(items) or texts(self, items))
    found, _ = index.search(codes_of(["q"]).bits, 3, [*map(str, ids[::2]), str(ids[0])])
    assert found.shape == (1, 3)
    assert len(asked) == 3
    assert "'1000000' is not among" in message_of(lambda: index.search(codes_of(["q"]).bits, 3, ["1000000"]))


def test_ids_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("inference.segments.ids._hashes",
                        lambda texts: 2**63 + np.diff(texts.ends, prepend=np.uint64(0)))
    path = made(tmp_path / "i", codes_of(["ab", "cd", "x"]), codes_of(["ef"]))
    with MappedIndex.writing(path, print) as index:
        assert "'cd' is in" in message_of(lambda: index.add([codes_of(["gh", "cd"])]))
        index.remove(["cd", "ef"])
        assert "'zz' is not among" in message_of(lambda: index.remove(["zz"]))
    assert MappedIndex.load(path).codes.ids.tolist() == ["ab", "x"]


@pytest.mark.parametrize(("sets", "words"), [
    ([codes_of(["x", "b"])], "'b' is in"),
    ([codes_of(["x"]), codes_of(["y", "x"])], "'x' is in"),
    ([codes_of(["4", "5"])], "'5' is in"),
    ([codes_of(["x", "x"])], "'x' occurs twice"),
    ([codes_of(["x"], num_bits=24)], "codes of 24 bits"),
])
def test_what_does_not_fit_is_refused_and_changes_nothing(path, sets, words):
    before = sorted(file.name for file in path.iterdir())
    with MappedIndex.writing(path, print) as index:
        assert words in message_of(lambda: index.add(sets))
    assert sorted(file.name for file in path.iterdir()) == before
    assert len(MappedIndex.load(path)) == 6


def test_a_reader_keeps_its_state(path):
    before = MappedIndex.load(path)
    found = before.search(codes_of(["q"]).bits, 6)
    with MappedIndex.writing(path, print) as index:
        index.remove(["a", "6"])
        index.compact()
        index.add([codes_of(["a"])])  # an id that was given up
    again = before.search(codes_of(["q"]).bits, 6)
    assert [x.tolist() for x in again] == [x.tolist() for x in found]
    assert MappedIndex.load(path).codes.ids.tolist() == ["b", "c", "5", "7", "a"]


def test_numbers_need_no_file(tmp_path):
    with MappedIndex.writing(tmp_path / "i", print, codes_of([])) as index:
        index.add_numbered(iter([np.arange(5, dtype=np.uint64)[:, None], np.zeros((2, 1), np.uint64)]), first=7)
        assert "'9' is in" in message_of(lambda: index.add_numbered([np.zeros((2, 1), np.uint64)], first=9))
    assert index.codes.ids.tolist() == [str(number) for number in range(7, 14)]
    assert sorted(file.suffix for file in (tmp_path / "i").iterdir()) == [".codes", ".codes", ".json"]


@pytest.mark.parametrize(("damage", "words"), [
    (lambda path: (path / "00000001.codes").write_bytes(b"1"), "1 bytes, 24 were written"),
    (lambda path: (path / "00000002.codes").unlink(), "no such file"),
    (lambda path: (path / "manifest.json").write_text("{"), "manifest.json: damaged"),
    (lambda path: (path / "manifest.json").write_text("[]"), "manifest.json: damaged"),
    (lambda path: (path / "00000001.order").write_bytes(b"\xff" * 12), "00000001.order: damaged"),
    (lambda path: (path / "00000001.ends").write_bytes(b"\xff" * 24), "'a' is not among its items"),
    (lambda path: forge(path, num_bits=24), "does not fit its checksum"),
    (lambda path: forge(path, format=1), "format 1"),
])
def test_a_damaged_index_is_refused_in_a_line(path, damage, words):
    damage(path)
    result = run("search.py", "remove", "--index", path, "--ids", "a")
    assert result.code == 2
    assert words in result.errors
    assert result.errors.count("\n") == 1


def forge(path, **changes):
    about = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(about | changes))


def test_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, ids in (("one.h5", "abcde"), ("two.h5", "fgh"), ("three.npz", "ij")):
        write_codes(name, codes_of(list(ids)))
    made_one = succeed("search.py", "index", "--codes", "one.h5", "two.h5", "--out", "videos.index", "--mapped")
    assert "videos.index, mapped, 8 codes of 20 bits" in made_one.output
    assert "exists already" in run("search.py", "index", "--codes", "one.h5", "--out", "videos.index").errors
    succeed("search.py", "index", "--codes", "three.npz", "--add", "videos.index")
    succeed("search.py", "remove", "--index", "videos.index", "--ids", "b", "i")
    Index(read_codes("one.h5")).save("plain.index")
    succeed("search.py", "index", "--codes", "two.h5", "three.npz", "--add", "plain.index")
    succeed("search.py", "remove", "--index", "plain.index", "--ids", "b", "i")
    (tmp_path / "some.txt").write_text("a\nh\nj\n")
    for more in ((), ("--within", "some.txt")):
        ours, theirs = (succeed("search.py", "query", "--index", name, "--codes", "two.h5", "--topk", 4, *more).output
                        for name in ("videos.index", "plain.index"))
        assert ours == theirs
        assert ours.count("\n") == (10 if more else 13)
    assert "8 codes in 1 segment;" in succeed("search.py", "compact", "--index", "videos.index").output
    assert succeed("search.py", "convert", "--codes", "videos.index").output == succeed(
        "search.py", "convert", "--codes", "plain.index").output
    succeed("search.py", "index", "--codes", "three.npz", "--out", "videos.index", "--replace")
    assert len(MappedIndex.load("videos.index")) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    for words, line in ((("--out", "other", "--mapped"), "no mapped index. Name another folder"),
                        (("--out", "new", "--mapped", "--kind", "ivf"), "is flat"),
                        (("--add", "videos.index", "--out", "b"), "grows where it is")):
        refused = run("search.py", "index", "--codes", "one.h5", *words)
        assert (refused.code, line in refused.errors) == (2, True), refused.errors
    (tmp_path / "broken.h5").write_bytes(b"")
    run("search.py", "index", "--codes", "one.h5", "broken.h5", "--out", "new", "--mapped")
    assert not (tmp_path / "new").exists()
    assert sorted(file.name for file in tmp_path.glob(".*")) == []


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A mapped index and a flat one of the same items, and a file of labels."""
    folder = tmp_path_factory.mktemp("labelled")
    codes = codes_of(["walk/a", "run/b", "walk/é", "walker/c", "walk", "7", "walk/gone", "run/d", "8"])
    made(folder / "mapped.index", codes, codes_of(["walk/late"]))
    Index(codes.joined(codes_of(["walk/late"]))).save(folder / "flat.index")
    for name in ("mapped.index", "flat.index"):
        succeed("search.py", "remove", "--index", folder / name, "--ids", "walk/gone")
    (folder / "labels.csv").write_text('label,id\ncats,7\n"cats, old",8\ncats,walk/gone\ncats,walk/é\ndogs,no\n'
                                       "cats,7\ndogs,walk\n", encoding="utf-8")
    write_codes(folder / "queries.h5", codes_of(["q"]))
    return folder


@pytest.mark.parametrize("name", ["mapped.index", "flat.index"])
@pytest.mark.parametrize(("words", "ids"), [
    (["--label", "walk"], ["walk/a", "walk/é", "walk/late"]),
    (["--label", "run", "walker"], ["run/b", "walker/c", "run/d"]),
    (["--label", "cats", "--labels", "labels.csv"], ["walk/é", "7"]),
    (["--label", "cats, old", "dogs", "--labels", "labels.csv"], ["walk", "8"])])
def test_a_label_names_the_items_to_search(labelled, monkeypatch, name, words, ids):
    monkeypatch.chdir(labelled)
    found = succeed("search.py", "query", "--index", name, "--codes", "queries.h5", *words).output
    assert sorted(line.split(",")[2] for line in found.splitlines()[1:]) == sorted(ids)
    (labelled / "ids.txt").write_text("\n".join(ids), encoding="utf-8")
    same = succeed("search.py", "query", "--index", name, "--codes", "queries.h5", "--within", "ids.txt")
    assert found == same.output


@pytest.mark.parametrize(("words", "line"), [
    (["--label", "jump"], "no item has the label 'jump'"),
    (["--label", "walk", "jump", "--labels", "labels.csv"], "labels.csv calls 'walk'"),
    (["--label", "cats", "--labels", "none.csv"], "none.csv: cannot be read"),
    (["--label", "cats", "--labels", "queries.h5"], "queries.h5: no table of labels"),
    (["--label", "cats", "--labels", "ids.txt"], "begins with a line id,label"),
    (["--labels", "labels.csv"], "Name some with --label"), (["--label", "x", "--within", "y"], "not allowed with")])
def test_labels_that_say_nothing_are_refused(labelled, monkeypatch, words, line):
    monkeypatch.chdir(labelled)
    (labelled / "ids.txt").write_text("a\nb\n")
    refused = run("search.py", "query", "--index", "mapped.index", "--codes", "queries.h5", *words)
    assert (refused.code, line in refused.errors) == (2, True), refused.errors


def test_a_changed_byte_is_found(path):
    changed = path / "00000001.codes"
    changed.write_bytes(b"\1" + changed.read_bytes()[1:])
    refused = run("search.py", "compact", "--index", path)
    assert (refused.code, "00000001.codes: damaged" in refused.errors) == (2, True)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_nothing_acknowledged_is_lost_under_kills(tmp_path):
    """`python -m benchmarks.index_soak --mapped` does 200 rounds."""
    Soak(tmp_path, random.Random(5), mapped=True).run(8)


def test_a_billion_in_small(tmp_path, monkeypatch, capsys):
    for place in (mapped, segment):
        monkeypatch.setattr(place, "MOST_ITEMS", 1500)
    assert measure(tmp_path / "i", 4000, 7, 9, 7)
    assert "planted neighbours found: 7 of 7" in capsys.readouterr().out


def test_the_package_says_what_it_holds():
    assert all(name in segments.__doc__ for name in ("index", "manifest", "segment", "ids"))
