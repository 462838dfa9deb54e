"""From clips to neighbours: one checkpoint carries what its features were made with, and other features are refused."""

import shutil

import h5py
import numpy as np
import pytest
import torch

import vh
from benchmarks import near_copies
from tests.clips import frames_of, write_clip
from tests.pipeline import message_of, run, succeed


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with clips, their features, and a model fitted to them."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        write_clip(folder / f"clips/{'ab'[number % 2]}/{number:02}.mp4", frames_of(12, number))
    succeed("extract.py", "--videos", folder / "clips", "--out", folder / "feats.h5", "--model", "hog", "--frames", 3)
    config = folder / "mine.py"
    config.write_text(f"dataset, method, model_name, nbits = 'mine', 'graph_code', 'GraphCode', 16\n"
                      f"home_root = '{folder}/'\nfeature_size, max_frames = 768, 3\n"
                      f"train_feat_path = test_feat_path = '{folder}/feats.h5'\nlabel_path = train_feat_path\n"
                      "map_at = [1]\n")
    succeed("preprocess.py", "--config", config)
    succeed("train.py", "--config", config)
    return folder


def checkpoint(folder):
    return folder / "checkpoint/mine/GraphCode_16bit/last.pth"


def test_one_checkpoint_is_enough_for_videos(trained, tmp_path):
    model = vh.load(checkpoint(trained))
    with h5py.File(trained / "feats.h5") as file:
        assert model.extraction == file.attrs["extraction"]
        expected = model.encode(file["feats"][()], [text.decode() for text in file["ids"]])
    found = model.encode_videos(trained / "clips")
    np.testing.assert_array_equal(found.bits, expected.bits)
    assert found.ids.tolist() == expected.ids.tolist()
    one = model.encode_videos([trained / "clips/a/04.mp4"])
    assert one.ids.tolist() == ["04.mp4"]
    assert expected.search(one, 1)[0].tolist() == [["a/04.mp4"]]
    (tmp_path / "bad.mp4").write_bytes(b"")
    assert "an empty file" in message_of(lambda: model.encode_videos([tmp_path / "bad.mp4"]))


def test_search_takes_videos(trained, tmp_path):
    model = "--checkpoint", checkpoint(trained)
    (trained / "clips/bad.mp4").write_bytes(b"")
    done = run("search.py", "encode", *model, "--videos", trained / "clips", "--out", tmp_path / "codes.h5")
    (trained / "clips/bad.mp4").unlink()
    assert done.code == 101
    assert "bad.mp4: an empty file" in done.errors
    succeed("search.py", "encode", *model, "--features", trained / "feats.h5", "--out", tmp_path / "same.h5")
    first, second = (vh.read_codes(tmp_path / name) for name in ("codes.h5", "same.h5"))
    assert first.ids.tolist() == second.ids.tolist()  # those in the file of features
    np.testing.assert_array_equal(first.bits, second.bits)
    succeed("search.py", "index", "--codes", tmp_path / "codes.h5", "--out", tmp_path / "clips.index")
    nearest = succeed("search.py", "query", *model, "--index", tmp_path / "clips.index", "--videos",
                      trained / "clips/b/07.mp4", "--topk", 1).output
    assert nearest.splitlines()[-1] == "07.mp4,1,b/07.mp4,0"
    for words in ("--ids", "x"), ("--shard", "1/2"):
        refused = run("search.py", "encode", *model, "--videos", trained, *words, "--out", tmp_path / "x.h5")
        assert refused.code == 2
        assert "Leave --ids" in refused.errors


def test_features_made_otherwise_are_refused(trained, tmp_path):
    """By encoding and by evaluation; those that say nothing are let through."""
    other = tmp_path / "other.h5"
    with h5py.File(trained / "feats.h5") as file, h5py.File(other, "w") as made:
        made["feats"], made["labels"] = file["feats"][()], file["labels"][()]
        made.attrs["extraction"] = file.attrs["extraction"].replace('"size": 64', '"size": 32')
    words = "--checkpoint", checkpoint(trained), "--features", other, "--out", tmp_path / "codes.h5"
    for done in (run("search.py", "encode", *words), run("search.py", "encode", *words, "--shard", "1/1"),
                 run("eval.py", "--config", trained / "mine.py", "--set", f"test_feat_path={other}")):
        assert done.code == 2
        assert "was trained on 3 frames by hog" in done.errors
        assert done.errors.count("\n") == 1
    with h5py.File(other, "a") as made:
        del made.attrs["extraction"]
    succeed("search.py", "encode", *words)
    content = torch.load(checkpoint(trained), weights_only=True)
    del content["extraction"]
    torch.save(content, tmp_path / "old.pth")
    assert "does not say" in message_of(lambda: vh.load(tmp_path / "old.pth").encode_videos(trained / "clips"))


def test_runs_beside_each_other_on_near_copies(trained, tmp_path, monkeypatch, capsys):
    """The clips as copies of themselves, by two runs that are one: both have a row; a run of other codes has none."""
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["labels"] = np.eye(12, dtype=np.uint8)
    text = (trained / "mine.py").read_text().replace("label_path = train", "query_feat_path = train")
    text += f"label_path = query_label_path = '{tmp_path}/labels.h5'\n"
    monkeypatch.setattr(near_copies, "shallow_codes", lambda *_: {})  # which take seconds
    for name, changed in (("one", text), ("two", text.replace("'GraphCode'", "'GraphCode2'")),
                          ("long", text.replace("16\n", "32\n"))):
        (tmp_path / f"{name}.py").write_text(changed)
    folder = checkpoint(trained).parent
    shutil.copytree(folder, folder.with_name("GraphCode2_16bit"))
    configs = [str(tmp_path / f"{name}.py") for name in ("one", "two", "long")]
    monkeypatch.setattr("sys.argv", ["near_copies", "--out", str(tmp_path / "table.md"), "--config", *configs])
    assert message_of(near_copies.main).startswith(f"{configs[2]}: other files or code length than {configs[0]}")
    monkeypatch.setattr("sys.argv", ["near_copies", "--out", str(tmp_path / "table.md"), "--config", *configs[:2]])
    near_copies.main()
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if "GraphCode" in line}
    assert rows["GraphCode"] == rows["GraphCode2"]
    assert float(rows["GraphCode"][1]) == 1  # a copy that is its source is among ten of twelve
    assert (tmp_path / "table.md").is_file()
