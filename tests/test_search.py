"""search.py as a user runs it: encode, index, query, add, remove, and its one-line errors."""

import csv
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from inference.code_file import read_codes, write_codes
from inference.code_set import CodeSet
from inference.ranking import top_k
from tests.pipeline import make_project, run, succeed
from utils.errors import UserError

IDS = [f"video {i}, part" for i in range(30)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained tiny run with the codes of its database and queries."""
    project = make_project(tmp_path_factory.mktemp("search"))
    config = "--config", project.config, "--gpu", "cpu"
    succeed("preprocess.py", *config)
    succeed("train.py", *config)
    (project.folder / "ids.txt").write_text("\n".join(IDS) + "\n")
    files = SimpleNamespace(project=project, config=config, folder=project.folder, ids=project.folder / "ids.txt",
                            database=project.folder / "database.h5", queries=project.folder / "queries.npz",
                            index=project.folder / "flat.index")
    result = succeed("search.py", "encode", *config, "--features", project.data / "database.h5", "--ids", files.ids,
                     "--out", files.database)
    assert "30 videos encoded in" in result.output
    assert "videos/s" in result.output
    succeed("search.py", "encode", *config, "--features", project.data / "query.h5", "--out", files.queries)
    succeed("search.py", "index", "--codes", files.database, "--out", files.index)
    return files


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def refused(*arguments):
    """The one line on stderr of a call that must end with status 2."""
    result = run("search.py", *arguments)
    assert result.code == 2
    assert result.errors.startswith("error: ")
    assert result.errors.count("\n") == 1
    return result.errors


def test_codes_are_those_of_the_evaluation(trained):
    """Packed signs of the model's own codes, in the order of the videos."""
    import torch

    from inference.codes import binarize_up, pack
    from model import build_model, load_weights
    from training.checkpoints import read_checkpoint
    from utils.config import load_config

    codes = read_codes(trained.database)
    model = build_model(load_config(trained.project.config))
    load_weights(model, read_checkpoint(trained.project.checkpoint)["model_state_dict"], "")
    with h5py.File(trained.project.data / "database.h5") as file, torch.inference_mode():
        h = model.encode(torch.from_numpy(file["feats"][()]))
    np.testing.assert_array_equal(codes.bits, pack(binarize_up(h.numpy())))
    assert codes.ids.tolist() == IDS
    assert codes.num_bits == 8
    assert codes.made_from == {"model": "S5VH", "dataset": "tiny", "checkpoint": str(trained.project.checkpoint)}
    queries = read_codes(trained.queries)
    assert queries.ids.tolist() == [str(i) for i in range(10)]
    assert queries.fingerprint == codes.fingerprint != ""


@pytest.mark.parametrize("kind", ["flat", "multihash", "ivf"])
def test_query_from_codes(kind, trained, folder):
    result = succeed("search.py", "index", "--codes", trained.database, "--out", folder / "x.index", "--kind", kind)
    assert ("recall@30" in result.output) == (kind != "flat")
    found = rows_of(succeed("search.py", "query", "--index", folder / "x.index", "--codes", trained.queries,
                            "--topk", 30).output)
    items, distances = top_k(read_codes(trained.queries).bits, read_codes(trained.database).bits, 30)
    assert found == [{"query": str(q), "rank": str(r + 1), "id": IDS[items[q, r]], "distance": str(distances[q, r])}
                     for q in range(10) for r in range(30)]


def test_query_from_features_equals_query_from_codes(trained):
    by_codes = succeed("search.py", "query", "--index", trained.index, "--codes", trained.queries)
    by_features = succeed("search.py", "query", "--index", trained.index, *trained.config, "--batch", 3,
                          "--features", trained.project.data / "query.h5")
    assert by_features.output == by_codes.output
    assert "10 videos encoded" in by_features.errors
    assert len(rows_of(by_codes.output)) == 100


def test_results_as_files(trained, folder):
    arguments = "query", "--index", trained.index, "--codes", trained.queries, "--topk", 4
    printed = succeed("search.py", *arguments).output
    succeed("search.py", *arguments, "--out", folder / "found.csv")
    succeed("search.py", *arguments, "--out", folder / "found.npz")
    assert (folder / "found.csv").read_text() == printed
    with np.load(folder / "found.npz", allow_pickle=False) as found:
        assert found["ids"].shape == found["distances"].shape == (10, 4)
        assert found["ids"].ravel().tolist() == [row["id"] for row in rows_of(printed)]
        assert found["query_ids"].tolist() == [str(i) for i in range(10)]
    assert "found.txt" in refused(*arguments, "--out", folder / "found.txt")


def test_searching_codes_loads_no_torch(trained, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("torch", "model")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    succeed("search.py", "query", "--index", trained.index, "--codes", trained.queries)


def test_several_feature_files_are_one(trained, folder):
    data = trained.project.data
    succeed("search.py", "encode", *trained.config, "--features", data / "database.h5", data / "query.h5",
            "--out", folder / "both.h5", "--checkpoint", trained.project.checkpoint)
    both = read_codes(folder / "both.h5")
    np.testing.assert_array_equal(
        both.bits, np.concatenate([read_codes(trained.database).bits, read_codes(trained.queries).bits]))
    assert both.ids.tolist() == [str(i) for i in range(40)]


def test_the_fingerprint_is_of_what_makes_the_codes(trained):
    from model.fingerprint import model_fingerprint
    from training.checkpoints import read_checkpoint
    from utils.config import load_config

    state = read_checkpoint(trained.project.checkpoint)["model_state_dict"]
    state.pop("pseudo_labels")  # of the training videos: no part of what makes codes

    def fingerprint(state=state, **settings):
        return model_fingerprint(state, load_config(trained.project.config, settings))

    own = read_codes(trained.database).fingerprint
    assert fingerprint() == own
    assert fingerprint(lr=1e-3, run_name="x", test_batch_size=2, scan_engine="chunked", data_root="/") == own
    assert fingerprint(tied_bits="zero") != own
    assert fingerprint(directions="forward") != own
    moved = {name: value.clone() for name, value in state.items()}
    moved["binary.weight"][0, 0] += 1
    assert fingerprint(moved) != own


def test_adding_and_removing(trained, folder):
    grown = folder / "grown.index"
    grown.write_bytes(trained.index.read_bytes())
    result = succeed("search.py", "index", "--codes", trained.queries, "--add", grown)
    assert "40 codes" in result.output
    found = rows_of(succeed("search.py", "query", "--index", grown, "--codes", trained.queries, "--topk", 40).output)
    assert {row["distance"] for row in found if row["query"] == row["id"]} == {"0"}
    assert "'0', '1', '2' and 7 more are in" in refused("index", "--codes", trained.queries, "--add", grown)

    (folder / "gone.txt").write_text("\n".join(str(i) for i in range(10)))
    assert "10 items removed, 30 left" in succeed("search.py", "remove", "--index", grown, "--ids-file",
                                                  folder / "gone.txt").output
    arguments = "--codes", trained.queries, "--topk", 40
    assert (succeed("search.py", "query", "--index", grown, *arguments).output
            == succeed("search.py", "query", "--index", trained.index, *arguments).output)
    before = grown.read_bytes()
    assert "'ghost' is not among" in refused("remove", "--index", grown, "--ids", IDS[0], "ghost")
    assert grown.read_bytes() == before
    succeed("search.py", "remove", "--index", grown, "--ids", *IDS[:2])
    assert len(read_codes(grown)) == 28


def test_an_index_is_not_overwritten_by_accident(trained, folder):
    there, first = folder / "x.index", ("index", "--codes", trained.database, "--out", folder / "x.index")
    succeed("search.py", *first)
    text = refused("index", "--codes", trained.queries, "--out", there)
    assert f"--add {there}" in text
    assert "--replace" in text
    assert len(read_codes(there)) == 30
    succeed("search.py", "index", "--codes", trained.queries, "--out", there, "--replace", "--kind", "ivf",
            "--set", "nlist=3", "nprobe=3")
    assert len(read_codes(there)) == 10
    assert "keeps its kind" in refused("index", "--codes", trained.database, "--add", there, "--kind", "flat")
    succeed("search.py", "index", "--codes", trained.database, "--add", there, "--out", folder / "both.index")
    assert (len(read_codes(there)), len(read_codes(folder / "both.index"))) == (10, 40)
    assert "no index named" in refused("index", "--codes", trained.database)


def test_codes_of_another_model_are_refused(trained, folder):
    config = *trained.config, "--run-name", "other", "--seed", 5
    succeed("train.py", *config)
    other = folder / "other.h5"
    succeed("search.py", "encode", *config, "--features", trained.project.data / "query.h5", "--out", other)
    for queries in (("--codes", other), (*config, "--features", trained.project.data / "query.h5")):
        text = refused("query", "--index", trained.index, *queries)
        assert "another model" in text
        assert "(S5VH, tiny, " in text
        succeed("search.py", "query", "--index", trained.index, *queries, "--any-model")
    assert "another model" in refused("index", "--codes", trained.database, other, "--out", folder / "x.index")
    succeed("search.py", "index", "--codes", trained.database, other, "--out", folder / "x.index", "--any-model")


def test_codes_of_another_length_are_refused(trained, folder):
    longer = folder / "longer.h5"
    write_codes(longer, CodeSet(np.zeros((2, 2), np.uint8), np.array(["a", "b"], object), 12))
    for any_model in ((), ("--any-model",)):
        assert "12 bits" in refused("query", "--index", trained.index, "--codes", longer, *any_model)
        assert "12 bits" in refused("index", "--add", trained.index, "--codes", longer, *any_model)


def test_one_line_errors(trained, folder):
    data, missing = trained.project.data, folder / "missing.h5"
    truncated = folder / "truncated.index"
    truncated.write_bytes(trained.index.read_bytes()[:3000])
    encode = "encode", *trained.config, "--features", data / "database.h5"
    (folder / "few.txt").write_text("a\nb\n")
    for arguments, message in (
            (("query", "--index", missing, "--codes", trained.queries), "no such file"),
            (("query", "--index", trained.index, "--codes", missing), "no such file"),
            (("query", "--index", truncated, "--codes", trained.queries), "truncated"),
            (("query", "--index", trained.database, "--codes", trained.queries), "not an index"),
            (("query", "--index", trained.index, "--features", data / "query.h5"), "no config"),
            (("index", "--codes", truncated, "--out", folder / "y.index"), "truncated"),
            (("index", "--codes", trained.database, "--out", folder / "y.index", "--set", "nlist=3"), "flat"),
            ((*encode, "--out", folder / "codes.csv"), ".npz"),
            ((*encode, "--out", folder / "codes.h5", "--ids", folder / "few.txt"), "2 ids for 30 videos"),
            ((*encode, "--out", folder / "codes.h5", "--checkpoint", missing), "no checkpoint"),
            ((*encode[:-1], missing, "--out", folder / "codes.h5"), "no such file")):
        assert message in refused(*arguments)
    assert not list(folder.glob("y.index")) + list(folder.glob("codes*"))


def test_help_shows_examples(capsys):
    assert "search.py COMMAND --help" in succeed("search.py", "--help").output
    for command in ("encode", "index", "remove", "query"):
        assert f"python search.py {command} " in succeed("search.py", command, "--help").output
    assert "nprobe" in succeed("search.py", "index", "--help").output
    for wrong in (("find",), ("index", "--codes", "a", "--any"), ("query", "--index", Path("a"))):
        assert run("search.py", *wrong).code == 2


@pytest.mark.parametrize("count", [1, 3, 4])
def test_shares_are_the_whole(trained, folder, count):
    common = "encode", *trained.config, "--features", trained.project.data / "database.h5", "--batch", 8
    paths = [folder / f"codes_{number}.h5" for number in range(1, count + 1)]
    for number, path in enumerate(paths, 1):
        succeed("search.py", *common, "--ids", trained.ids, "--shard", f"{number}/{count}", "--out", path)
    succeed("search.py", *common, "--ids", trained.ids, "--out", folder / "whole.h5")
    whole, parts = read_codes(folder / "whole.h5"), [read_codes(path) for path in paths]
    assert np.array_equal(np.concatenate([part.bits for part in parts]), whole.bits)
    assert np.concatenate([part.ids for part in parts]).tolist() == whole.ids.tolist() == IDS
    assert "at most 4 shares" in refused(*common, "--shard", "5/5", "--out", folder / "x.h5")


def test_shares_without_ids_have_the_numbers_of_their_rows(trained, folder):
    succeed("search.py", "encode", *trained.config, "--features", trained.project.data / "database.h5", "--batch", 8,
            "--shard", "4/4", "--out", folder / "last.h5")
    assert read_codes(folder / "last.h5").ids.tolist() == [str(row) for row in range(24, 30)]


def test_shares_of_a_cluster_are_kept_until_all_are_there(trained, folder, monkeypatch):
    """A stopped run goes on behind its shares, unless the features are newer; the cluster is this process."""
    done = []

    def over_ray(address, make, given, shares, gpu):
        work = make(given)
        for share in shares:
            if len(done) == 2:
                raise UserError("stopped.")
            done.append(share)
            yield share, work(share)

    monkeypatch.setattr("vh.encoding.over_ray", over_ray)
    monkeypatch.setattr("vh.encoding.VIDEOS_PER_SHARE", 8)
    features, out = trained.project.data / "database.h5", folder / "codes.h5"
    words = "encode", *trained.config, "--features", features, "--ids", trained.ids, "--batch", 8, "--out", out
    assert "stopped." in refused(*words, "--ray", "x")
    assert not out.exists()
    done.append((0, 0))
    (folder / "codes.h5.shares/8_16.npz").write_bytes(b"cut")
    succeed("search.py", *words, "--ray", "x")
    assert done == [(0, 8), (8, 16), (0, 0), (8, 16), (16, 24), (24, 30)]
    codes, whole = read_codes(out), read_codes(trained.database)
    assert np.array_equal(codes.bits, whole.bits)
    assert (codes.ids.tolist(), codes.made_from) == (whole.ids.tolist(), whole.made_from)
    assert list(folder.iterdir()) == [out]
    done.clear()
    assert "stopped." in refused(*words, "--ray", "x")
    features.touch()
    done[:] = [(0, 0)] * 3
    succeed("search.py", *words, "--ray", "x")
    assert len(done) == 7


@pytest.mark.parametrize("share", ["0/3", "4/3", "3", "a/b"])
def test_a_share_that_is_none_is_refused(trained, folder, share):
    result = run("search.py", "encode", *trained.config, "--features", trained.project.data / "database.h5",
                 "--shard", share, "--out", folder / "x.h5")
    assert result.code == 2
    assert "--shard" in result.errors
