"""From video files to features: which frames, what hostile and odd files cost, what a killed run keeps."""

import csv
import json
import subprocess
import sys
import time

import av
import h5py
import numpy as np
import pytest
import torch

from benchmarks import extraction as benchmark
from dataset.extraction import backbones, decoders, histograms, recipe, shots, store
from dataset.extraction.clips import ClipError, Shape, read_clip, windows
from dataset.extraction.pipeline import backbone_of, describe, recipe_of
from dataset.features import open_features
from dataset.labels import read_labels
from tests.clips import STEP, frames_of, rotated, write_clip
from tests.pipeline import ROOT, message_of, run, succeed
from utils.errors import UserError

WHOLE = Shape(32, crop=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of clips, and one file of each kind that cannot be read, in a folder of their own."""
    folder = tmp_path_factory.mktemp("clips")
    for number, (kind, name) in enumerate((("walk", "a.mp4"), ("walk", "b.mkv"), ("run", "ü <b>.mp4"))):
        write_clip(folder / "good" / kind / name, frames_of(20, number))
    bad = folder / "bad"
    write_clip(bad / "audio.mp4", frames_of(0), audio=True)
    (bad / "empty.mp4").write_bytes(b"")
    (bad / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (bad / "cut.mp4").write_bytes((folder / "good/walk/a.mp4").read_bytes()[:900])
    (bad / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{folder}/good/walk/a.mp4\n")
    write_clip(bad / "one.mp4", frames_of(1))
    return folder


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames of `frames_of` these are, by the grey of their upper part."""
    return np.round(frames[:, 2:frames.shape[1] // 2 - 4].mean(axis=(1, 2, 3)) / STEP).astype(int).tolist()


def test_frames_are_spread_evenly_over_time(tmp_path):
    """Those at the middles of T parts, also where only some of them are decoded, and where a frame is shown longer."""
    path = write_clip(tmp_path / "long.mp4", frames_of(31), gop=5)
    for count in (1, 3, 8, 31, 40):
        ((start, end), found, note), = read_clip(path, count, WHOLE)
        assert (start, end, note) == (0, pytest.approx(3.1), "")
        assert numbers(found) == [int((place + 0.5) / count * 31) for place in range(count)]
    slow = write_clip(tmp_path / "slow.mkv", frames_of(4), times=[0, 1, 2, 9])
    (_, found, _), = read_clip(slow, 4, WHOLE)  # 12 tenths of a second: at 1.5, 4.5, 7.5 and 10.5
    assert numbers(found) == [1, 2, 2, 3]
    (_, found, note), = read_clip(write_clip(tmp_path / "one.mp4", frames_of(1)), 3, WHOLE)
    assert numbers(found) == [0, 0, 0]
    assert note == "a single frame"


def test_windows_of_a_long_video(tmp_path):
    path = write_clip(tmp_path / "long.mp4", frames_of(31), gop=5)
    found = list(read_clip(path, 2, WHOLE, window=1.0, stride=0.5))
    assert [seconds for seconds, _, _ in found] == [(start / 2, start / 2 + 1) for start in range(5)]
    assert [numbers(frames) for _, frames, _ in found] == [[start * 5 + 2, start * 5 + 7] for start in range(5)]
    assert windows(0.9, 1.0, None) == [(0.0, 0.9)]
    assert windows(2.0, 1.0, None) == [(0.0, 1.0), (1.0, 2.0)]


def scenes(*lengths: int) -> np.ndarray:
    """Frames of scenes of so many frames, each of a pattern in colours of its own that brightens slowly, under the band
    of `frames_of`."""
    rng, frames = np.random.default_rng(3), frames_of(sum(lengths), height=96)
    ends = np.cumsum(lengths)
    for start, end in zip(ends - lengths, ends, strict=True):
        pattern = (rng.integers(0, 60, (9, 8, 3)) + rng.integers(0, 160, 3)).repeat(8, 0).repeat(8, 1)
        frames[start:end, 24:] = pattern + np.arange(end - start)[:, None, None, None]
    return frames


def test_shots_of_a_video(tmp_path):
    """Each is an item, and a shot longer than a window several; a cut right behind another is none."""
    path, spans = write_clip(tmp_path / "film.mp4", scenes(10, 9, 2, 11)), [(0, 1), (1, 1.9), (1.9, 3.2)]
    found = list(read_clip(path, 2, WHOLE, by_shots=True))
    assert [seconds for seconds, _, _ in found] == [pytest.approx(span) for span in spans]
    assert [numbers(frames[:, :16]) for _, frames, _ in found] == [[2, 7], [12, 16], [22, 28]]
    parts = [seconds for seconds, _, _ in read_clip(path, 2, WHOLE, window=0.5, by_shots=True)]
    assert parts == [pytest.approx(span) for span in ((0, .5), (.5, 1), (1, 1.5), (1.9, 2.4), (2.4, 2.9))]
    out = tmp_path / "film.h5"
    succeed("extract.py", "--videos", path, "--out", out, "--model", "hog", "--frames", 2, "--shots")
    with h5py.File(out) as file:
        assert [text.decode() for text in file["ids"]] == [f"film.mp4#t={start},{end}" for start, end in spans]
        assert recipe.read_recipe(file.attrs["extraction"], "x").shots
    still = write_clip(tmp_path / "still.mp4", scenes(20))
    assert [seconds for seconds, _, _ in read_clip(still, 2, WHOLE, by_shots=True)] == [(0, 2)]


def test_a_difference_of_histograms_by_hand():
    """From red 0 to 128 of half the pixels these leave the lowest level; where they are in the picture is no matter."""
    one = np.zeros((shots.SIZE, shots.SIZE, 3), np.uint8)
    two = one.copy()
    two[:16, :, 0] = 128
    before, after = shots._histograms(one), shots._histograms(two)
    assert before.tolist() == [[1] + 7 * [0]] * 3
    np.testing.assert_allclose(after[0], [0.5, 0, 0, 0.25, 0.25, 0, 0, 0])
    assert list(shots.shots([(0.0, one), (1.0, two)], 2.0)) == [(0, 1), (1, 2)]
    assert list(shots.shots([(0.0, one), (0.4, two), (1.0, two[::-1])], 2.0)) == [(0, 2)]


def test_rotated_videos_are_turned_upright(tmp_path):
    """The band is the upper part of the frames as stored; a quarter clockwise it is at the right."""
    plain = write_clip(tmp_path / "plain.mp4", frames_of(31)[30:])
    for turn, side in (((0, 1, -1, 0), lambda x: x[:, :, 20:28]), ((-1, 0, 0, -1), lambda x: x[:, 20:28]),
                       ((0, -1, 1, 0), lambda x: x[:, :, 4:12])):
        (_, found, _), = read_clip(rotated(plain, tmp_path / "turned.mp4", turn), 1, WHOLE)
        assert side(found).mean() == pytest.approx(30 * STEP, abs=4)


def test_the_middle_is_kept_of_a_cropped_frame(tmp_path):
    frames = frames_of(1, height=32, width=64)
    frames[..., 16:48, :] = 200
    (_, found, _), = read_clip(write_clip(tmp_path / "wide.mp4", frames), 1, Shape(16, crop=True))
    assert found.shape == (1, 16, 16, 3)
    assert abs(found.astype(int) - 200).max() < 12


def test_what_cannot_be_read_is_told(clips):
    told = {}
    for path in sorted((clips / "bad").iterdir()):
        try:
            list(read_clip(path, 3, WHOLE))
        except ClipError as error:
            told[path.name] = str(error)
    assert told.keys() == {"audio.mp4", "empty.mp4", "noise.mp4", "cut.mp4", "list.mp4"}  # a playlist opens no file
    assert told["audio.mp4"] == "no video stream"
    assert told["empty.mp4"] == "an empty file"


def test_a_damaged_middle_fails_where_it_is_wanted(tmp_path):
    path = write_clip(tmp_path / "long.mp4", frames_of(30), gop=5)
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    third = (end - start) // 3
    content[start + third:end - third] = b"\xff" * (end - start - 2 * third)
    path.write_bytes(content)
    with pytest.raises(ClipError, match="damaged"):
        list(read_clip(path, 30, WHOLE))


def test_texts_of_no_encoding_do_no_harm(tmp_path):
    """The name of its encoder in bytes that are not UTF-8; and a codec that nobody knows."""
    content = write_clip(tmp_path / "a.mp4", frames_of(2)).read_bytes()
    assert b"Lavf" in content
    (tmp_path / "a.mp4").write_bytes(content.replace(b"Lavf", b"\xff\xfe\xfdf"))
    (_, found, _), = read_clip(tmp_path / "a.mp4", 2, WHOLE)
    assert numbers(found) == [0, 1]
    (tmp_path / "a.mp4").write_bytes(content.replace(b"avc1", b"zzzz"))
    with pytest.raises(ClipError, match="codec that is not known"):
        list(read_clip(tmp_path / "a.mp4", 2, WHOLE))


def test_histograms_forget_brightness_and_contrast():
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 160, (2, 8, 8, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    plain, bright = histograms.describe(frames), histograms.describe((frames * 1.2 + 10).astype(np.uint8))
    assert plain.shape == (2, 768)
    np.testing.assert_allclose(np.linalg.norm(plain.reshape(2, -1), axis=1), 2 ** 0.5, rtol=1e-5)
    same, other = (plain * bright).sum(axis=1), (plain[0] * plain[1]).sum()
    assert (same > 1.97).all()
    assert other < 1.6
    edge = np.zeros((1, 64, 64, 3), np.uint8)
    edge[:, :, 30:] = 255  # a vertical edge: its gradient points to the right, bin 0
    histogram = histograms.describe(edge)[0, :576].reshape(8, 8, 9)
    assert histogram[:, 3, 0].min() > 0.1
    assert histogram[..., 1:8].max() == 0
    assert not histogram[:, [0, 1, 5, 6, 7]].any()


def test_histograms_are_those_of_a_loop_over_pixels():
    """Each pixel's gradient counts for the two nearest of nine directions, in its cell of 8 x 8 pixels."""
    frame = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    grey = frame @ np.array([0.299, 0.587, 0.114]) / 255
    down, right = np.gradient(grey)
    cells = np.zeros((8, 8, 9))
    for row, column in np.ndindex(64, 64):
        place = np.arctan2(down[row, column], right[row, column]) % np.pi / np.pi * 9
        for bin_, share in ((int(place), 1 - place % 1), (int(place) + 1, place % 1)):
            cells[row // 8, column // 8, bin_ % 9] += share * np.hypot(down[row, column], right[row, column])
    energy = np.pad((cells ** 2).sum(axis=2), 1, mode="edge")
    norms = sum(np.sqrt(energy[y:y + 2, x:x + 2].sum()) * near for y, x in np.ndindex(9, 9)
                for near in [np.pad(np.ones((2, 2)), ((y, 8 - y), (x, 8 - x)))[1:-1, 1:-1] / 4])
    expected = (cells / (norms[..., None] + 0.1)).ravel()
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(histograms.describe(frame[None])[0, :576], expected, atol=2e-6)


def test_frames_are_scaled_as_each_alone(tmp_path):
    """One scaler serves frames of several sizes in turn."""
    for height in 48, 96, 48:
        path = write_clip(tmp_path / f"{height}.mp4", frames_of(3, height=height))
        (_, found, _), = read_clip(path, 3, WHOLE)
        with av.open(str(path)) as file:
            alone = [frame.reformat(32, 32, "rgb24", interpolation="AREA").to_ndarray() for frame in file.decode()]
        np.testing.assert_array_equal(found, alone)


def test_from_folders_to_a_file(clips, tmp_path):
    out = tmp_path / "feats.h5"
    done = succeed("extract.py", "--videos", clips / "good", "--out", out, "--model", "hog", "--frames", 4)
    assert "3 items, 4 frames by hog" in done.output
    assert f"vh init {out} --labels {out}" in done.output
    assert not (tmp_path / "report.csv").exists()
    with h5py.File(out) as file:
        ids = [text.decode() for text in file["ids"]]
        assert ids == ["run/ü <b>.mp4", "walk/a.mp4", "walk/b.mkv"]
        assert file["labels"][()].tolist() == [[1, 0], [0, 1], [0, 1]]
        assert file["feats"].dtype == np.float16
        (_, frames, _), = read_clip(clips / "good" / ids[1], 4, Shape(64, crop=False))
        np.testing.assert_array_equal(file["feats"][1], histograms.describe(frames).astype(np.float16))
    features = open_features(out, item_shape=(4, 768), role="training")
    assert features.ids == ids
    assert recipe.read_recipe(features.extraction, "x") == recipe.Recipe("hog", "", 64, False, 4)
    assert list(tmp_path.iterdir()) == [out]
    assert "exists already" in run("extract.py", "--videos", clips, "--out", out).errors


def test_the_files_of_all_shares_are_that_of_all_at_once(clips, tmp_path):
    """Also their labels, although a share has one class only."""
    common = "extract.py", "--videos", clips / "good", "--model", "hog", "--frames", 2, "--workers", 1
    succeed(*common, "--out", tmp_path / "whole.h5")
    shares = [tmp_path / f"{number}.h5" for number in (1, 2)]
    for number, path in enumerate(shares, 1):
        assert f"--labels {path}" in succeed(*common, "--out", path, "--shard", f"{number}/2").output
    whole, parts = (open_features(paths, item_shape=(2, 768), role="training")
                    for paths in (tmp_path / "whole.h5", shares))
    assert parts.ids == whole.ids
    np.testing.assert_array_equal(parts.rows(np.arange(3)), whole.rows(np.arange(3)))
    labels, expected = (read_labels(paths, 3) for paths in (shares, tmp_path / "whole.h5"))
    np.testing.assert_array_equal(labels, expected)
    for share, line in (("4/4", "there are 3 videos"), ("0/2", "expected I/N"), ("2", "expected I/N")):
        refused = run(*common, "--out", tmp_path / "x.h5", "--shard", share)
        assert (refused.code, line in refused.errors) == (2, True)
    (tmp_path / "videos").mkdir()
    for name in "ab":
        (tmp_path / f"videos/{name}.mp4").write_bytes((clips / "bad/one.mp4").read_bytes())
    succeed("extract.py", "--videos", tmp_path / "videos", *common[3:], "--out", tmp_path / "x.h5", "--shard", "2/2")
    assert "b.mp4,note" in (tmp_path / "x.report.csv").read_text()  # of each share its own


def test_a_bad_file_costs_a_line_and_the_run_goes_on(clips, tmp_path):
    out = tmp_path / "feats.h5"
    done = run("extract.py", "--videos", clips, "--out", out, "--model", "hog", "--frames", 4, "--workers", 1)
    assert done.code == 105
    assert "5 of 9 videos failed" in done.errors
    with open(tmp_path / "report.csv", newline="") as file:
        lines = {line["video"]: (line["kind"], line["what"]) for line in csv.DictReader(file)}
    assert lines.pop("bad/one.mp4") == ("note", "a single frame")
    assert [kind for kind, _ in lines.values()] == ["failed"] * 5
    with h5py.File(out) as file:
        assert len(file["ids"]) == 4
    none = run("extract.py", "--videos", clips / "bad/empty.mp4", "--out", tmp_path / "none.h5", "--model", "hog")
    assert none.code == 2
    assert "none of 1 videos" in none.errors


def test_the_plain_loop_of_the_benchmark_finds_the_same(clips):
    paths = [clips / "good/walk/a.mp4", clips / "good/walk/b.mkv"]
    for plain, fast in zip(benchmark.loop(paths, 4), benchmark.ours(paths, 4, 2), strict=True):
        np.testing.assert_allclose(plain, fast, atol=1e-3)


def test_a_killed_run_goes_on_behind_what_is_done(clips, tmp_path):
    """What it had kept is read back, whatever was being written when it was killed; others of its size are not."""
    out, made = tmp_path / "feats.h5", recipe.Recipe("hog", "", 64, False, 4)
    videos = store.videos_in([clips / "good"])
    kept = store.Finished(tmp_path / ".feats.h5.parts", made)
    rows = {name: np.full((4, 768), number, np.float16) for number, name in enumerate(videos, 1)}
    for name in list(videos)[:2]:
        kept.add(name, videos[name], [((0.0, 2.0), rows[name])])
    kept.close()
    for name in "rows", "journal.jsonl":
        with open(tmp_path / ".feats.h5.parts" / name, "ab") as file:
            file.write(b'{"name": "half')
    succeed("extract.py", "--videos", clips / "good", "--out", out, "--model", "hog", "--frames", 4)
    with h5py.File(out) as file:
        for row, name in enumerate(list(videos)[:2]):
            np.testing.assert_array_equal(file["feats"][row], rows[name])
        assert 0 < abs(file["feats"][2]).max() < 1
    for other, same in ((made, True), (recipe.Recipe("hog", "", 64, False, 5), False)):
        kept = store.Finished(tmp_path / "again", made)
        kept.add("x", out, [((0.0, 2.0), rows[name])])
        kept.close()
        again = store.Finished(tmp_path / "again", other)
        assert again.has("x", out) is same
        assert not again.has("y", out)
        again.close(remove=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9")
def test_kill_9_in_the_middle(clips, tmp_path):
    """The run itself, killed behind its first videos; the second run decodes the others alone."""
    for number in range(40):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / f"videos/{number}.mp4").write_bytes((clips / "good/walk/a.mp4").read_bytes())
    words = [sys.executable, ROOT / "extract.py", "--videos", tmp_path / "videos", "--out", tmp_path / "o.h5",
             "--model", "hog", "--frames", "4", "--workers", "1"]
    child = subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal, until = tmp_path / ".o.h5.parts/journal.jsonl", time.monotonic() + 60
    while (not journal.exists() or journal.read_bytes().count(b"\n") < 4) and time.monotonic() < until:
        time.sleep(0.005)
    child.kill()
    child.wait()
    done = journal.read_bytes().count(b"\n") - 1
    assert 3 <= done < 40
    kept = store.Finished(journal.parent, recipe.Recipe("hog", "", 64, False, 4))
    videos = store.videos_in([tmp_path / "videos"])
    assert sum(kept.has(name, path) for name, path in videos.items()) in (done, done - 1)
    kept.close()


def test_a_decoder_that_hangs_or_crashes_costs_one_video(clips, tmp_path, monkeypatch):
    made = recipe.Recipe("hog", "", 64, False, 2)
    worker = tmp_path / "worker.py"
    worker.write_text("import sys, os, time\nline = sys.stdin.readline()\n"
                      "os._exit(3) if 'crash' in line else time.sleep(60)\n")
    decoder = decoders.Decoder(seconds=0.3)
    popen = subprocess.Popen
    monkeypatch.setattr(decoders.subprocess, "Popen", lambda _, **rest: popen([sys.executable, str(worker)], **rest))
    for name, told in (("crash.mp4", "the decoder crashed"), ("hang.mp4", "took more than 0.3 s")):
        assert decoder.read(tmp_path / name, made, described=True, use=print) == (told, True)
    monkeypatch.undo()
    decoder = decoders.Decoder()
    found = []
    for path in (clips / "good/walk/a.mp4", clips / "bad/noise.mp4", clips / "good/walk/b.mkv"):
        decoder.read(path, made, described=True, use=lambda seconds, rows: found.append(rows.shape))
    assert found == [(2, 768)] * 2
    decoder.close()


def test_a_child_may_not_take_all_memory(clips):
    made = recipe.Recipe("hog", "", 4096, True, 60)  # three gigabytes of frames
    decoder = decoders.Decoder(memory=1 << 29)
    note, failed = decoder.read(clips / "good/walk/a.mp4", made, described=False, use=print)
    decoder.close()
    assert failed
    assert note in ("takes too much memory to decode", "the decoder crashed")


def test_an_image_model_of_transformers(clips, tmp_path):
    """A tiny random one from a folder: its pooled output of the cropped, normalised frames, and its weights' name."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], layer_type="basic")
    torch.manual_seed(0)
    transformers.ResNetModel(config).save_pretrained(tmp_path / "net")
    settings = {"size": {"shortest_edge": 16}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (tmp_path / "net/preprocessor_config.json").write_text(json.dumps(settings))
    network = backbones.open_backbone(str(tmp_path / "net"))
    made = recipe_of(network, 3)
    paths = [clips / "good/walk/a.mp4", clips / "bad/noise.mp4", clips / "good/walk/b.mkv"]
    found = {video.video: video for video in describe(paths, made, network, 2)}
    assert found[1].failed
    (_, frames, _), = read_clip(paths[2], 3, Shape(16, crop=True))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    model = transformers.ResNetModel.from_pretrained(tmp_path / "net").eval()
    with torch.no_grad():
        expected = model(pixel_values=(pixels - 0.5) / 0.25).pooler_output.flatten(1)
    (_, rows), = found[2].windows
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows, expected, rtol=2e-3, atol=2e-3)
    transformers.ResNetModel(config).save_pretrained(tmp_path / "net")  # others, at the same place
    assert "its weights" in message_of(lambda: backbone_of(made))


def test_a_model_that_is_not_here(tmp_path, monkeypatch):
    assert "no image model" in message_of(lambda: backbones.open_backbone(str(tmp_path)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    text = message_of(lambda: backbones.open_backbone("efficientnet-lite0"))
    assert "requirements-videos.txt" in text
    assert "--model hog" in text


def test_features_made_otherwise_are_refused():
    ours = recipe.Recipe("hog", "", 64, False, 25)
    for other in (recipe.Recipe("hog", "", 64, False, 25, window=5.0), recipe.Recipe("hog", "", 64, False, 25)):
        recipe.check_same_extraction(ours.text, other.text, "a.h5", "m.pth")
    recipe.check_same_extraction("", ours.text, "a.h5", "m.pth")
    for other in (recipe.Recipe("hog", "", 64, False, 12), recipe.Recipe("net", "a1", 64, False, 25),
                  recipe.Recipe("hog", "", 64, False, 25, version=2)):
        with pytest.raises(UserError, match=r"^a.h5: .* but m.pth was trained on 25 frames by hog"):
            recipe.check_same_extraction(ours.text, other.text, "a.h5", "m.pth")
    for text in ("{}", "[1]", "x", ours.text.replace("64", '"64"'), ours.text.replace("25", "0")):
        assert "a.h5" in message_of(lambda text=text: recipe.read_recipe(text, "a.h5"))


def test_ids_and_folders(tmp_path):
    assert store.labels_of(["a/x.mp4", "y.mp4"]) is None
    assert store.labels_of(["a/x.mp4", "a/y.mp4"]) is None
    (tmp_path / "x").mkdir()
    for name in ("a.mp4", "x/a.mp4", "x/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert list(store.videos_in([tmp_path])) == ["a.mp4", "x/a.mp4"]
    assert "same id" in message_of(lambda: store.videos_in([tmp_path / "a.mp4", tmp_path / "x/a.mp4"]))
    assert "no such" in message_of(lambda: store.videos_in([tmp_path / "b"]))
    (tmp_path / "none").mkdir()
    assert "no video" in message_of(lambda: store.videos_in([tmp_path / "none"]))
    assert store.item_id("a.mp4", (2.5, 5.0), False) == "a.mp4#t=2.5,5"


def test_without_the_decoder_a_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    done = run("extract.py", "--videos", tmp_path, "--out", tmp_path / "o.h5")
    assert done.code == 2
    assert "requirements-videos.txt" in done.errors
