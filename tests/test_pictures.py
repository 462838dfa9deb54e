"""Pictures: packing them, the versions to learn from, backbones, and each method that hashes them."""

import base64
import io
import json
import shutil
import signal
import sys
import xml.etree.ElementTree as xml
from contextlib import nullcontext

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dataset import pictures
from dataset.batches import AllRows, Batch
from dataset.digit_pictures import write_digit_pictures
from dataset.features import open_features
from dataset.labels import read_labels
from dataset.missing import DATA_KEYS
from dataset.pack_pictures import pack
from dataset.pictures import decoded, of_folders, of_list
from model.methods.shc.similarity import CLASS_SIMILARITY
from model.nets import picture_hashing
from model.nets.backbones import normalised, torchvision_names
from model.nets.picture_hashing import PictureHashing
from model.nets.shared_norm import norms_over
from tests.forked import Script, run_side_by_side
from tests.pictures_worker import SmallBackbone, seen_by
from tests.pipeline import ROOT, checkpoint_tensors, message_of, run, succeed
from training.run import read_metrics
from utils.config import load_config
from utils.registry import method_class

CLASSES = 4
METHODS = "csq", "shc", "dpsh", "hashnet", "greedy-hash", "ortho-hash", "mambahash"
SETTINGS = {"shc": {"similarity_epochs": 2}, "greedy-hash": {"num_classes": 4},
            "mambahash": {"mamba_size": "tiny", "lr": 2e-4}}
CONFIG = """\
_base_ = '{root}/configs/_base_/pictures.py'
dataset = 'squares'
home_root, data_root = '{folder}/', '{folder}/data/'
item_shape = [10, 10, 3]
train_feat_path = train_label_path = [data_root + 'train.h5']
test_feat_path = label_path = [data_root + 'base.h5']
query_feat_path = query_label_path = [data_root + 'query.h5']
backbone, backbone_width, small_pictures = 'resnet18', 0.125, True
crop, crop_padding, jitter = 8, 1, 0.1
nbits, batch_size, num_epochs, lr, eval_every, map_at = 8, 16, 3, 1e-3, 0, [5]
method = 'csq'
"""


def write_list(folder):
    """A list of the pictures in the sub-folders of `folder`, there."""
    listed = of_folders(folder)
    lines = [f"{name} {' '.join(map(str, label))}\n" for name, label in zip(listed.ids, listed.labels, strict=True)]
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Pictures whose bright corner is their class, packed from folders, and a config."""
    folder = tmp_path_factory.mktemp("squares")
    generator = np.random.default_rng(0)
    for split, per_class in (("train", 12), ("base", 8), ("query", 3)):
        for label in range(CLASSES):
            (folder / split / f"class{label}").mkdir(parents=True)
            for number in range(per_class):
                picture = generator.integers(0, 80, (10, 10, 3), np.uint8)
                row, column = 5 * (label // 2), 5 * (label % 2)
                picture[row:row + 5, column:column + 5] += 150
                Image.fromarray(picture).save(folder / split / f"class{label}/{number:02d}.png")
        write_list(folder / split)
        succeed("dataset/pack_pictures.py", "--folders", folder / split, "--size", 10, "--out",
                folder / f"data/{split}.h5")
    (folder / "config.py").write_text(CONFIG.format(root=ROOT, folder=folder))
    return folder


def test_a_list_packs_as_its_folders(squares, tmp_path):
    (tmp_path / "train.txt").write_text((squares / "train/list.txt").read_text())
    pack(of_list(tmp_path / "train.txt", squares / "train"), tmp_path / "train.h5", 10)
    with h5py.File(tmp_path / "train.h5") as ours, h5py.File(squares / "data/train.h5") as theirs:
        for key in ("feats", "labels", "ids"):
            assert (ours[key][:] == theirs[key][:]).all()
        first = np.asarray(Image.open(squares / "train/class0/00.png"))
        assert (ours["feats"][0] == first).all()


def test_the_short_side_becomes_the_size(tmp_path):
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (decoded(tmp_path / "wide.png", 4, False) == 200).all()
    assert decoded(tmp_path / "wide.png", 4, True).mean() == pytest.approx(100, abs=5)
    Image.fromarray(wide[..., 0]).save(tmp_path / "grey.png")
    assert decoded(tmp_path / "grey.png", 4, False).shape == (4, 4, 3)


def test_bad_pictures_and_lists_end_in_one_line(squares, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    lines = {"broken.txt": "broken.jpg 1 0\n", "gone.txt": "gone.png 0 1\n", "odd.txt": "a.png 1 0\nb.png 1\n",
             "empty.txt": "\n", "two.txt": "a.png 1 2\n"}
    for name, text in lines.items():
        (tmp_path / name).write_text(text)
        done = run("dataset/pack_pictures.py", "--list", tmp_path / name, "--root", tmp_path, "--out",
                   tmp_path / "out.h5")
        assert (done.code, done.errors.count("error: ")) == (2, 1), done.errors
    assert not list(tmp_path.glob("*.h5*"))
    assert "0 sub-folders" in message_of(lambda: of_folders(tmp_path / "nowhere"))


def lists_for(squares):
    """Settings by which a run reads the list files in place of the packed ones."""
    train, base, query = (squares / split / "list.txt" for split in ("train", "base", "query"))
    return (f"train_feat_path={train}", f"train_label_path={train}", f"test_feat_path={base}", f"label_path={base}",
            f"query_feat_path={query}", f"query_label_path={query}")


def test_a_run_from_lists_is_that_from_packed_files(squares):
    settings = ["--config", squares / "config.py", "--gpu", "cpu", "--set", "num_epochs=2", "batch_source=file"]
    succeed("preprocess.py", *settings)
    succeed("train.py", *settings, "run_name=packed")
    assert "up to date, reused" in succeed("preprocess.py", *settings, *lists_for(squares)).output
    succeed("train.py", *settings, "run_name=listed", *lists_for(squares))
    tensors = [checkpoint_tensors(squares / f"checkpoint/squares/CSQ_8bit_{run}/last.pth")
               for run in ("packed", "listed")]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items())
    maps = [[{name: value for name, value in row.items() if "mAP" in name} for row in
             read_metrics(squares / f"logs/squares/CSQ_8bit_{run}")] for run in ("packed", "listed")]
    assert maps[0] == maps[1] != [{}, {}]


def test_a_list_is_an_array_of_pictures(squares, monkeypatch):
    packed, listed = (open_features(squares / path, item_shape=[10, 10, 3], role="training")
                      for path in ("data/train.h5", "train/list.txt"))
    index = np.array([40, 3, 3, 0, 47])
    np.testing.assert_array_equal(listed.rows(index), packed.rows(index))
    monkeypatch.setattr(pictures, "_ALONE", 5)  # so that several threads decode
    np.testing.assert_array_equal(listed.load(), packed.load())
    assert listed.fingerprint() == packed.fingerprint()
    labels = [read_labels(squares / path, 48) for path in ("data/train.h5", "train/list.txt")]
    np.testing.assert_array_equal(*labels)


@pytest.mark.parametrize("several", [False, True])
def test_bad_pictures_of_a_list_are_named_in_one_line(squares, tmp_path, several, monkeypatch):
    monkeypatch.setattr(pictures, "_ALONE", 2 if several else 64)
    shutil.copytree(squares / "train", tmp_path / "train")
    path, picture = tmp_path / "train/list.txt", tmp_path / "train/class1/03.png"
    settings = ["--config", squares / "config.py", "--gpu", "cpu", "--set", f"train_feat_path={path}"]
    whole = picture.read_bytes()
    for content, message in ((whole[:len(whole) // 2], "cannot be read"), (None, "is not there")):
        picture.write_bytes(content) if content else picture.unlink()
        done = run("train.py", *settings, "--dry-run")
        assert (done.code, done.errors.count("\n")) == (2, 1), done.errors
        assert str(picture) in done.errors
        assert message in done.errors
    assert "item_shape = [10, 10, 1]" in message_of(
        lambda: open_features(squares / "train/list.txt", item_shape=[10, 10, 1], role="training"))


def test_a_picture_that_is_replaced_in_use_is_refused_unless_it_is_the_same(squares, tmp_path):
    shutil.copytree(squares / "train", tmp_path / "train")
    listed = open_features(tmp_path / "train/list.txt", item_shape=[10, 10, 3], role="training")
    first, picture = listed.fingerprint(), tmp_path / "train/class0/00.png"
    shutil.copy(squares / "train/class0/00.png", tmp_path / "copy.png")
    (tmp_path / "copy.png").replace(picture)
    listed.rows([0])
    shutil.copy(squares / "train/class1/00.png", tmp_path / "copy.png")
    (tmp_path / "copy.png").replace(picture)
    assert "replaced or rewritten while in use" in message_of(lambda: listed.rows([0]))
    assert open_features(listed.paths, item_shape=[10, 10, 3], role="training").fingerprint() != first


@pytest.mark.parametrize("chunks", [None, (4, 5, 10)])
def test_grey_pictures_need_no_channel_axis(squares, tmp_path, chunks):
    grey = np.random.default_rng(0).integers(0, 256, (40, 10, 10), np.uint8)
    with h5py.File(tmp_path / "grey.h5", "w") as file:
        file.create_dataset("images", data=grey, chunks=chunks)
        file["labels"] = np.eye(4, dtype=np.uint8)[np.arange(40) % 4]
    features = open_features(tmp_path / "grey.h5", item_shape=[10, 10, 1], role="training", key="images")
    np.testing.assert_array_equal(features.load(), grey[..., None])
    np.testing.assert_array_equal(features.rows([7, 2, 9]), grey[[7, 2, 9]][..., None])
    assert "item_shape = [10, 10, 1]" in message_of(
        lambda: open_features(tmp_path / "grey.h5", item_shape=[10, 10, 3], role="training", key="images"))
    if chunks is None:
        paths = [f"{name}={tmp_path}/grey.h5" for name in DATA_KEYS]
        settings = ["--config", squares / "config.py", "--gpu", "cpu", "--set", "feat_key=images",
                    "item_shape=[10, 10, 1]", f"home_root={tmp_path}/", "num_epochs=1", *paths]
        succeed("preprocess.py", *settings)
        succeed("train.py", *settings)
        config = load_config(squares / "config.py", {"item_shape": "[10, 10, 1]"})
        model, items = PictureHashing(config).eval(), torch.from_numpy(grey[:4, ..., None])
        torch.testing.assert_close(model.encode(items), model.encode(items.repeat(1, 1, 1, 3)))


def test_versions_are_crops_mirrored_and_coloured_as_drawn(squares):
    config = load_config(squares / "config.py")
    model = PictureHashing(config)
    items = torch.randint(0, 256, (3, 10, 10, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    draws = torch.tensor([[0.0, 0.0, 0.9, 0.5, 0.5], [0.999, 0.5, 0.1, 0.5, 0.5], [0.5, 0.999, 0.9, 0.0, 1.0]])
    found = model.versions(Batch(torch.arange(3), items, uniforms=draws[:, None]))
    padded = torch.nn.functional.pad(items, (0, 0, 1, 1, 1, 1))
    corners = [(0, 0), (4, 2), (2, 4)]
    cut = torch.stack([picture[top:top + 8, left:left + 8]
                       for picture, (top, left) in zip(padded, corners, strict=True)])
    cut[1] = cut[1].flip(1)
    wanted = normalised(cut)
    mean = wanted[2].mean()
    wanted[2] = 0.9 * (1.1 * (wanted[2] - mean) + mean)
    torch.testing.assert_close(found, wanted)
    whole = model.eval().encode(items)
    torch.testing.assert_close(whole, model.hash(model.backbone(normalised(items[:, 1:9, 1:9]))))


@pytest.mark.parametrize(("backbone", "layers", "convolutions"), [("resnet18", (2, 2, 2, 2), 2),
                                                                  ("resnet50", (3, 4, 6, 3), 3)])
def test_weights_of_torchvision_fit(squares, tmp_path, backbone, layers, convolutions):
    """Its names by its own scheme: each one of ours, and every tensor of the backbone met."""
    overrides = {"backbone": backbone, "small_pictures": False, "backbone_width": 0.125}
    config = load_config(squares / "config.py", overrides)
    net = PictureHashing(config).backbone.net
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{part}" for part in norm), "fc.weight", "fc.bias"]
    for stage, count in enumerate(layers, 1):
        for layer in range(count):
            place = f"layer{stage}.{layer}"
            for i in range(1, convolutions + 1):
                names += [f"{place}.conv{i}.weight", *(f"{place}.bn{i}.{part}" for part in norm)]
            if layer == 0 and (stage > 1 or convolutions == 3):
                names += [f"{place}.downsample.0.weight", *(f"{place}.downsample.1.{part}" for part in norm)]
    ours = torchvision_names({name: name for name in names})
    assert ours.keys() == net.state_dict().keys()
    theirs = {theirs: torch.full_like(net.state_dict()[name], 2) for name, theirs in ours.items()}
    torch.save(theirs | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    loaded = PictureHashing(load_config(squares / "config.py", overrides | {
        "backbone_weights": str(tmp_path / "resnet.pth")}), num_videos=1).backbone.net
    assert all((value == 2).all() for value in loaded.state_dict().values())
    other = {"backbone": "resnet34", "backbone_weights": str(tmp_path / "resnet.pth")}
    assert "weights" in message_of(lambda: PictureHashing(load_config(squares / "config.py", other), num_videos=1))


def test_resizing_is_that_of_pillow_within_rounding(squares):
    items = torch.randint(0, 256, (2, 10, 10, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for size in (6, 10, 23):
        model = PictureHashing(load_config(squares / "config.py", {"resize": str(size), "crop": "6"}))
        found = model.resized(items)
        wanted = np.stack([np.asarray(Image.fromarray(item.numpy()).resize((size, size), Image.Resampling.BILINEAR))
                           for item in items])
        assert np.abs(found.numpy().astype(int) - wanted).max() <= 1
        assert (found.numpy() == wanted).mean() > 0.75  # Pillow rounds between its two passes
    assert model.versions(Batch(torch.arange(2), items, uniforms=torch.zeros(2, 1, 5))).shape == (2, 3, 6, 6)
    top = (23 - 6) // 2
    middle = model.eval().resized(items)[:, top:top + 6, top:top + 6]
    torch.testing.assert_close(model.encode(items), model.hash(model.backbone(normalised(middle))))
    config = load_config(squares / "config.py", {"resize": "23", "crop": "25"})
    assert config.crop == 25  # with its padding of 1
    assert "crop = 26" in message_of(lambda: load_config(squares / "config.py", {"resize": "23", "crop": "26"}))


def test_every_setting_of_the_classifier_shapes_the_similarity(squares):
    config = load_config(squares / "config.py", {"method": "shc"})
    settings = CLASS_SIMILARITY.settings(config)
    training = {"batch_size", "optimizer_name", "schedule", "weight_decay", "grad_clip", "amp"}
    assert {key.name for key in PictureHashing.KEYS} | training <= settings.keys()
    for name, value in (("flip", "False"), ("backbone_weights", "a/b.pth"), ("weight_decay", "0.5")):
        other = load_config(squares / "config.py", {"method": "shc", name: value})
        assert CLASS_SIMILARITY.settings(other) != settings
    moved = load_config(squares / "config.py", {"method": "shc", "backbone_weights": "elsewhere/b.pth"})
    weights = load_config(squares / "config.py", {"method": "shc", "backbone_weights": "a/b.pth"})
    assert CLASS_SIMILARITY.settings(moved) == CLASS_SIMILARITY.settings(weights)


def killed(script, *arguments):
    """Runs a script as a process of its own, which is killed in its second epoch of training."""
    process = Script([sys.executable, ROOT / "tests/killed_worker.py", ROOT / script, *arguments])
    assert process.wait() == -signal.SIGKILL


def test_shc_killed_in_its_first_or_third_stage_goes_on_to_the_same_bits(squares, monkeypatch):
    monkeypatch.setattr(picture_hashing, "Backbone", SmallBackbone)
    settings = ["--config", squares / "config.py", "--gpu", "cpu", "--set", "method=shc", "model_name=killed",
                "similarity_epochs=3", "num_epochs=3", "lr=1e-2"]
    whole, cut = (squares / name for name in ("whole", "cut"))
    succeed("preprocess.py", *settings, f"artefact_root={whole}")
    killed("preprocess.py", *settings, f"artefact_root={cut}")
    assert not list(cut.glob("*.h5"))
    assert "resuming after epoch" in succeed("preprocess.py", *settings, f"artefact_root={cut}").output
    for name in ("class_similarity.h5", "class_centers_8.h5"):
        with h5py.File(whole / name) as one, h5py.File(cut / name) as other:
            assert (one["matrix"][:] == other["matrix"][:]).all()
    settings.append(f"artefact_root={cut}")
    paths = [squares / f"checkpoint/squares/killed_8bit_{name}/last.pth" for name in ("whole", "cut")]
    succeed("train.py", *settings, "run_name=whole")
    killed("train.py", *settings, "run_name=cut")
    assert "resuming after epoch" in succeed("train.py", *settings, "run_name=cut", "--resume").output
    once, parts = map(checkpoint_tensors, paths)
    assert once.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in once.items())


class Stopped(Exception):
    """What ends a run in its midst."""


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_and_goes_on_to_the_same_bits(squares, method, monkeypatch):
    settings = ["--config", squares / "config.py", "--gpu", "cpu", "--set", f"method={method}", f"model_name={method}",
                *(f"{name}={value}" for name, value in SETTINGS.get(method, {}).items())]
    succeed("preprocess.py", *settings)
    succeed("train.py", *settings, "run_name=once")
    versions, calls = PictureHashing.versions, []

    def until_the_third_epoch(self, batch):
        calls.append(batch)
        if len(calls) > 2 * 3 + 1:  # three steps an epoch
            raise Stopped
        return versions(self, batch)

    monkeypatch.setattr(PictureHashing, "versions", until_the_third_epoch)
    with pytest.raises(Stopped):
        run("train.py", *settings, "run_name=parts", "batch_source=file")
    monkeypatch.undo()
    assert "resuming after epoch 2" in succeed("train.py", *settings, "run_name=parts", "--resume").output
    once, parts = (checkpoint_tensors(squares / f"checkpoint/squares/{method}_8bit_{name}/last.pth")
                   for name in ("once", "parts"))
    assert once.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in once.items())
    totals = [epoch["loss/total"] for epoch in read_metrics(squares / f"logs/squares/{method}_8bit_once")
              if "loss/total" in epoch]
    assert totals[-1] < totals[0] or method == "hashnet"  # whose loss sharpens as it goes
    more = ["--baselines", "--report"] if method == "csq" else []  # which no method changes
    output = succeed("eval.py", *settings, "run_name=once", *more).output
    assert "12 queries, 32 database pictures" in output
    if more:
        assert "ITQ, half-whitened" in output
        check_page(squares / "logs/squares/csq_8bit_once")


def check_page(logs):
    """The report shows each query and what it finds as its own picture, and speaks of no videos."""
    page = xml.fromstring((logs / "report.html").read_text(encoding="utf-8"))
    grids = [node for node in page.iter("article") if node.get("class") == "ranking"]
    assert len(grids) == 12
    assert all(len([*grid.iter("img")]) == 1 + 10 for grid in grids)
    encoded = next(grids[0].iter("img")).get("src").partition("base64,")[2]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as shown:
        pixels = np.asarray(shown)
    with h5py.File(logs.parents[2] / "data/query.h5") as file:
        np.testing.assert_array_equal(pixels, file["feats"][0])
    assert "video" not in " ".join(page.itertext())
    with Image.open(logs / "figures/hits.png") as strips:
        assert strips.size == (5 * (5 * 10 + 6) + 4 * 10, 4 * (5 * 10 + 6) + 3 * 10)


def test_several_processes_take_the_steps_of_one(squares, tmp_path, monkeypatch):
    """Batch norm over the pictures of both, one bank of codes, pairs that are balanced over the whole batch."""
    monkeypatch.setattr(picture_hashing, "Backbone", SmallBackbone)
    table = {method: {"method": method, "model_name": method, "run_name": "two", "batch_size": 25, "num_epochs": 2,
                      "eval_every": 0, "optimizer_name": "AdamW", "lr": 3e-3, **SETTINGS.get(method, {})}
             for method in ("ortho-hash", "hashnet")}
    succeed("preprocess.py", "--config", squares / "config.py", "--gpu", "cpu", "--set", "method=ortho-hash")
    (tmp_path / "table.json").write_text(json.dumps(table))
    done = run_side_by_side(2, tmp_path, ROOT / "tests/pictures_worker.py", squares / "config.py",
                            tmp_path / "table.json", tmp_path)
    assert done.codes == [0, 0], done.output
    two = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    one = seen_by(squares / "config.py", {name: changes | {"run_name": "one"} for name, changes in table.items()})
    for method, (losses, state) in one.items():
        assert losses.shape[0] == 2 * 2
        assert abs(losses[2:].mean(0) / losses[:2].mean(0) - 1).max() > 0.001  # it learns meanwhile
        torch.testing.assert_close(two[0][method][0], losses, rtol=5e-5, atol=0)
        assert all(torch.equal(two[1][method][1][name], two[0][method][1][name]) for name in state)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 2, 2)])
def test_a_norm_over_one_process_is_that_of_torch(shape):
    """Values, gradients and running statistics, in training and in evaluation."""
    x, kind = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3, {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    found = []
    for share in AllRows(), None:
        norm = kind[len(shape)](3)
        rows = x.clone().requires_grad_()
        with norms_over(share, norm) if share else nullcontext():
            y = norm(rows)
        (y ** 3).sum().backward()
        assert type(norm) is kind[len(shape)]
        found.append([y, rows.grad, norm.weight.grad, *norm.state_dict().values(), norm.eval()(x)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_weights_of_groupmamba_start_mambahash(squares, tmp_path, caplog):
    """Those that it has are taken, its own attention and classifiers left out, and what is new is listed."""
    settings = {"method": "mambahash", "mamba_size": "tiny"}
    config = load_config(squares / "config.py", settings)
    own = method_class(config)(config).backbone.state_dict()
    state = {name: torch.full_like(value, 2) for name, value in own.items()
             if not name.startswith("feature_module.") and ".attn.fc." not in name and ".attn.conv." not in name}
    more = {name: torch.zeros(2) for name in ("head.weight", "block1.0.attn.fc1.weight", "post_network.0.x")}
    torch.save(state | more, tmp_path / "group.pth")
    config = load_config(squares / "config.py", settings | {"backbone_weights": str(tmp_path / "group.pth")})
    with caplog.at_level("INFO", logger="train"):
        found = method_class(config)(config, 1).backbone.state_dict()
    assert all((found[name] == 2).all() for name in state)
    assert "feature_module.f1.conv.weight" in caplog.text
    assert f"{len(state)} of {len(found)} tensors" in caplog.text
    torch.save(state | {"odd": torch.zeros(1)}, tmp_path / "group.pth")
    assert "1 names are not of GroupMamba (odd)" in message_of(lambda: method_class(config)(config, 1))


@pytest.mark.parametrize(("settings", "message"), [
    (["method=greedy-hash"], "num_classes = 10, but the training labels have 4"),
    (["item_shape=[10, 10, 2]"], "item_shape"), (["crop=13"], "crop = 13"), (["backbone=vit_b16"], "backbone_width"),
    (["backbone_weights=nowhere.pth"], "nowhere.pth: no such file")])
def test_settings_that_do_not_fit(squares, settings, message):
    succeed("preprocess.py", "--config", squares / "config.py", "--gpu", "cpu")
    done = run("train.py", "--config", squares / "config.py", "--set", *settings, "run_name=x", "--dry-run")
    assert (done.code, done.errors.count("\n")) == (2, 1), done.errors
    assert message in done.errors


def test_the_sample_pictures(tmp_path):
    counts = write_digit_pictures(tmp_path)
    assert counts == {"query": 400, "database": 1397, "train": 1000}
    with h5py.File(tmp_path / "train.h5") as train, h5py.File(tmp_path / "database.h5") as database:
        found = {picture.tobytes() for picture in database["feats"][:]}
        assert all(picture.tobytes() in found for picture in train["feats"][:])
