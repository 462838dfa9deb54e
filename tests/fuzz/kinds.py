"""The kinds of input: small valid files of each, what may happen to them, and the readers that they go through."""

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import scipy.io
import torch
from scipy import sparse

from artefacts.artefact import Artefact, made_from
from artefacts.cache import load
from artefacts.centers.artefact import HASH_CENTERS
from artefacts.clusters import PSEUDO_LABELS
from artefacts.store import write_artefact
from dataset.features import open_features
from dataset.labels import read_class_names, read_labels
from dataset.sources import FileSource, HostResident
from inference.code_file import read_codes, read_ids, write_codes
from inference.code_set import CodeSet
from inference.index import Index, load_index
from model import build_model, load_weights
from model.fingerprint import model_fingerprint
from model.weights import restore_state
from optim import GroupedOptimizer
from tables.grid.cells import evaluation
from tables.grid.networks import _cached
from tests.fuzz import archives, content, libraries
from tests.fuzz.damage import damaged
from tests.fuzz.elsewhere import move_out
from tests.fuzz.hdf5 import restructure
from training.checkpoints import check_resumable, read_checkpoint, write_checkpoint
from training.run import read_rows
from utils.config import Config, load_config
from utils.config.schema import check_values

N, T, F, CLASSES, BITS = 12, 3, 5, 4, 12
FINGERPRINT = "f" * 64
_VALUES = np.random.default_rng(0).normal(size=(N, T, F))

Mutation = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Kind:
    """`make` writes valid samples into a folder; a case is a copy of one of them, changed, before each of `readers`."""

    make: Callable[[Path], None]
    readers: Sequence[Callable[[Path], object]]
    mutations: Sequence[Mutation] = ()
    """What may happen to a sample besides what can happen to any file of its format."""
    any_damage: bool = True
    """Whether what can happen to any file of its format happens to it too; else only `mutations`."""
    program: bool = False
    """The file is run by design, so how long it runs is its own affair."""


def mutate(kind: Kind, samples: list[Path], case: Path, rng: random.Random) -> None:
    """Writes `case` from one of `samples`, damaged byte by byte or in its structure."""
    sample = rng.choice(samples)
    case.write_bytes(sample.read_bytes())
    if not kind.any_damage:
        rng.choice(kind.mutations)(case, rng)
        return
    others = [path.read_bytes() for path in samples]
    ways: list[Mutation] = [lambda path, rng: _damage_bytes(path, others, rng)] * 2 + list(kind.mutations)
    if h5py.is_hdf5(sample):
        ways += [restructure] * 4 + [move_out] * 2
    if zipfile.is_zipfile(sample):
        ways += [archives.rearrange] * 3
    rng.choice(ways)(case, rng)
    if rng.random() < 0.1:
        _damage_bytes(case, others, rng)


def _damage_bytes(path: Path, others: list[bytes], rng: random.Random) -> None:
    path.write_bytes(damaged(path.read_bytes(), others, rng))


def _make_features(folder: Path) -> None:
    values = np.random.default_rng(0).normal(size=(N, T, F))
    layouts = {"plain": {}, "chunked": {"chunks": (5, 2, 3)}, "gzip": {"chunks": (4, T, F), "compression": "gzip"},
               "checked": {"chunks": (4, T, F), "fletcher32": True, "shuffle": True, "compression": "lzf"},
               "growing": {"maxshape": (None, None, F), "chunks": (2, T, F)}}
    for number, (name, layout) in enumerate(layouts.items()):
        with h5py.File(folder / f"{name}.h5", "w", libver=("latest" if number % 2 else "earliest", "latest")) as file:
            file.create_dataset("feats", data=values.astype(("f4", "f2", "f8", ">f4", "f4")[number]), **layout)
    with h5py.File(folder / "pixels.h5", "w", userblock_size=512) as file:
        file["feats"] = (values > 0).astype(np.uint8)


def _read_features(path: Path) -> None:
    features = open_features(path, item_shape=(T, F), role="training")
    features.fingerprint()
    index = torch.arange(min(7, len(features))).flip(0)
    assert torch.isfinite(FileSource(features).batch(index)).all()
    if len(features) < 1000:
        assert HostResident(features).shape == (len(features), T, F)


def _read_known_features(path: Path) -> None:
    """What is accepted is what was stored."""
    features = open_features(path, item_shape=(T, F), role="training")
    np.testing.assert_array_equal(features.load(), _VALUES.astype(features.dtype).astype(np.float32))


def _make_known_features(folder: Path) -> None:
    for name, dtype in (("single", "f4"), ("half", "f2"), ("double", "f8")):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["feats"] = _VALUES.astype(dtype)


def _make_labels(folder: Path) -> None:
    ids = np.arange(N) % CLASSES
    matrix = np.eye(CLASSES, dtype=np.uint8)[ids]
    scipy.io.savemat(folder / "plain.mat", {"labels": matrix})
    scipy.io.savemat(folder / "packed.mat", {"labels": matrix.astype(float)}, do_compression=True)
    scipy.io.savemat(folder / "sparse.mat", {"q_label": sparse.csc_matrix(matrix.astype(float))})
    scipy.io.savemat(folder / "four.mat", {"labels": matrix.astype(float)}, format="4")
    scipy.io.savemat(folder / "ids.mat", {"re_label": ids, "note": "text"})
    np.save(folder / "plain.npy", matrix)
    with h5py.File(folder / "plain.h5", "w") as file:
        file["labels"] = matrix
    with h5py.File(folder / "matlab.mat", "w", userblock_size=512) as file:
        file["labels"] = matrix.T
        file["labels"].attrs["MATLAB_class"] = np.bytes_(b"uint8")
    columns = sparse.csc_matrix(matrix.astype(float))
    with h5py.File(folder / "matlab_sparse.mat", "w", userblock_size=512) as file:
        group = file.create_group("labels")
        group.attrs["MATLAB_sparse"] = np.uint64(N)
        group["jc"], group["ir"], group["data"] = columns.indptr, columns.indices, columns.data


def _read_labels(path: Path, **options) -> None:
    labels = read_labels(path, N, **options)
    assert labels.shape[0] == N
    assert labels.dtype == np.uint8
    assert labels.max(initial=0) <= 1


@cache
def _preprocessed(path: Path) -> SimpleNamespace:
    return SimpleNamespace(artefact_root="elsewhere", nbits=BITS, nclusters=CLASSES, latent_dim_pca=2,
                           preprocess_seed=1, num_anchor_neighbours=2, semantics="means", supervised=False,
                           center_solver="admm", rho=1.0, gamma=1.0, initWithCSQ=True, hash_center_assign="solver",
                           train_assist_path=path, hash_center_path=path)


def _make_artefacts(folder: Path) -> None:
    config, rng = _preprocessed(folder), np.random.default_rng(0)
    positions = rng.integers(CLASSES, size=(N, 2))
    centers = rng.choice((-1, 1), (CLASSES, BITS)).astype(np.int8)
    write_artefact(folder / "positions.h5", {"pos": positions}, made_from(PSEUDO_LABELS, config, FINGERPRINT))
    write_artefact(folder / "centers.h5", {"matrix": centers}, made_from(HASH_CENTERS, config, FINGERPRINT))
    with h5py.File(folder / "downloaded.h5", "w") as file:
        file["pos"], file["matrix"] = positions.astype("f8"), centers.astype("f4")


class _Split:
    """The training features as far as artefacts look at them when they are read."""

    shape = N, T, F

    def __len__(self) -> int:
        return N

    def fingerprint(self) -> str:
        return FINGERPRINT

    def matches(self, fingerprint: str) -> bool:
        return fingerprint == FINGERPRINT


def _read_artefact(artefact: Artefact, path: Path) -> np.ndarray:
    return load([artefact], _preprocessed(path), _Split(), log=_take_line)[artefact.name]


def _read_pseudo_labels(path: Path) -> None:
    labels = _read_artefact(PSEUDO_LABELS, path)
    assert labels.shape == (N,)
    assert ((labels >= 0) & (labels < CLASSES)).all()


def _read_centers(path: Path) -> None:
    centers = _read_artefact(HASH_CENTERS, path)
    assert centers.shape == (CLASSES, BITS)
    assert (abs(centers) == 1).all()


def _take_line(line: str) -> None:
    assert "\n" not in line


def _codes() -> CodeSet:
    bits = np.random.default_rng(0).integers(0, 256, (60, 2), np.uint8) & np.array([255, 240], np.uint8)
    return CodeSet(bits, np.array([f"v_{row}" for row in range(60)], object), BITS, FINGERPRINT, {"model": "S5VH"})


def _make_codes(folder: Path) -> None:
    write_codes(folder / "codes.h5", _codes())
    write_codes(folder / "codes.npz", _codes())
    write_codes(folder / "before.h5", _codes())
    _forget_checksums(folder / "before.h5")
    about = {name: np.array(value) for name, value in (("num_bits", BITS), ("fingerprint", FINGERPRINT))}
    np.savez(folder / "before.npz", codes=_codes().bits, ids=_codes().ids.astype(str), **about)
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["codes"] = _codes().bits
        file.attrs["num_bits"] = BITS


def _forget_checksums(path: Path) -> None:
    """Makes a file as it was before there were any: its damage reaches what comes behind them."""
    with h5py.File(path, "r+") as file:
        for name in ("checksum", "index_checksum"):
            file.attrs.pop(name, None)
        file.attrs["format_version"] = 1


def _read_codes(path: Path) -> None:
    codes = read_codes(path)
    assert codes.bits.shape == (len(codes.ids), -(-codes.num_bits // 8))
    Index(codes).search(codes.bits[:2], 3)


def _make_indexes(folder: Path) -> None:
    for kind, settings in (("flat", {}), ("flat", {"engine": "faiss"}), ("ivf", {"nlist": 3}), ("multihash", {})):
        path = folder / f"{kind}{len(settings)}.h5"
        Index(_codes(), kind, settings).save(path)
        _forget_checksums(shutil.copy(path, path.with_stem(f"{path.stem}_before")))


def _read_index(path: Path) -> None:
    index = load_index(path)
    ids, distances = index.search(index.codes.bits[:2], 3)
    assert set(ids.flat) <= set(index.codes.ids)
    assert distances.max(initial=0) <= index.codes.num_bits
    one = np.zeros((1, index.codes.bits.shape[1]), np.uint8)
    index.add(CodeSet(one, np.array(["new"], object), index.codes.num_bits), any_model=True)
    index.remove(["new"])
    index.search(index.codes.bits[:2], 3)


@cache
def _model():
    settings = {"nbits": 8, "feature_size": F, "max_frames": T, "hidden_size": 8, "decoder_size": 8,
                "S5VH_type": "mini", "nclusters": CLASSES, "dataset": "tiny",
                **dict.fromkeys(("train_feat_path", "test_feat_path", "label_path"), "a.h5")}
    config = Config(check_values(settings, dict.fromkeys(settings, "fuzz"), "fuzz"))
    return build_model(config), config


def _make_checkpoints(folder: Path) -> None:
    torch.manual_seed(0)
    model, _ = _model()
    write_checkpoint(folder / "last.pth", {"model_state_dict": model.state_dict(), "epoch": 3, "config": {"nbits": 8}})
    torch.save({"model_state_dict": model.state_dict()}, folder / "legacy.pth", _use_new_zipfile_serialization=False)


def _make_runs(folder: Path) -> None:
    torch.manual_seed(0)
    model, config = _model()
    optimizer = GroupedOptimizer(model.parameter_groups(), config)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    write_checkpoint(folder / "last.pth", {
        "model_state_dict": model.state_dict(), "epoch": 3, "config": {"nbits": 8}, "features": FINGERPRINT,
        "best": 0.5, "stale": 0, "finished": False, "optimizer_state_dict": optimizer.state_dict(),
        "unfinished": {"steps": 2, "order": "x", "seconds": 1.0, "generators": {"cpu": torch.get_rng_state()},
                       "sums": {"total": torch.tensor(1.0)}}})


def _resume(path: Path) -> None:
    state = read_checkpoint(path)
    check_resumable(state, path)
    model, config = _model()
    restore_state(model, state["model_state_dict"], str(path))
    optimizer = GroupedOptimizer(model.parameter_groups(), config)
    optimizer.load_state_dict(state.get("optimizer_state_dict") or {}, str(path))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def _make_metrics(folder: Path) -> None:
    rows = [{"epoch": epoch, "lr": 1e-3, "loss/total": 1 / epoch, "seconds": 2.5} for epoch in range(1, 6)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _make_results(folder: Path) -> None:
    maps, both = {"5": 0.25}, {"index": 0.1, "expected": 0.1}
    details = {"epoch": 3, "checkpoint": "last.pth", "config_sha256": _finished().digest()}
    (folder / "metrics.json").write_text(json.dumps({
        "normaliser": "k", "map_at": {"index": maps, "expected": maps}, "gmap": both, "rss_map": both,
        "details": details}))
    before = os.getcwd()
    os.chdir(folder)
    _cached(_finished(), "untrained.json", dict)
    os.chdir(before)


@cache
def _finished() -> Config:
    """Of a run whose folders are the current one."""
    _, config = _model()
    return Config({**config, "map_at": [5], "num_epochs": 3, "file_path": ".", "log_path": ".", "ap_normaliser": "k"})


def _read_results(path: Path) -> None:
    config = _finished()
    os.chdir(path.parent)
    Path("metrics.json").write_bytes(path.read_bytes())
    config.dump("config.py")
    found = evaluation(config)
    assert found is None or found["map_at"]["expected"]["5"] <= 1.0
    assert _cached(config, path.name, dict) == {}


def _read_checkpoint(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    model, config = _model()
    assert checkpoint.get("epoch", -1) + 1 >= 0
    load_weights(model, checkpoint["model_state_dict"], str(path))
    model_fingerprint(checkpoint["model_state_dict"], config)


_BASE = """nbits = 16
feature_size, max_frames = 8, 6
lr = 1e-3
data_root = 'data/'
label_path = data_root + 'l.mat'
"""
_CHILD = """_base_ = 'base.py'
dataset = 'tiny'
train_feat_path = [data_root + 'a.h5', data_root + 'b.h5']
test_feat_path = data_root + 'c.h5'
data_root = '/data/'
map_at = [5 * i for i in range(1, 4)]
"""


def _make_configs(folder: Path) -> None:
    (folder / "child.py").write_text(_CHILD)
    (folder / "flat.py").write_text(_BASE + _CHILD.partition("\n")[2])


def _read_config(path: Path) -> None:
    path.with_name("base.py").write_text(_BASE)
    compile(load_config(path, {"seed": "2"}).as_text(), "dumped", "exec")


def _make_text(folder: Path) -> None:
    (folder / "ids.txt").write_text("".join(f"v_é{row}\n" for row in range(12)), encoding="utf-8")


KINDS = {
    "features": Kind(_make_features, [_read_features]),
    "elsewhere": Kind(_make_known_features, [_read_known_features], [partial(move_out, damage=False)],
                      any_damage=False),
    "libraries": Kind(libraries.make_libraries, [libraries.read_library]),
    "labels": Kind(_make_labels, [_read_labels, partial(_read_labels, key="labels", num_classes=CLASSES)],
                   [content.change_labels] * 3),
    "artefacts": Kind(_make_artefacts, [_read_pseudo_labels, _read_centers]),
    "codes": Kind(_make_codes, [_read_codes]),
    "indexes": Kind(_make_indexes, [_read_index]),
    "checkpoints": Kind(_make_checkpoints, [_read_checkpoint], [content.change_checkpoint] * 6),
    "runs": Kind(_make_runs, [_resume], [content.change_run] * 6),
    "metrics": Kind(_make_metrics, [read_rows], [content.change_text] + [content.change_json] * 3),
    "results": Kind(_make_results, [_read_results], [content.change_json] * 4),
    "configs": Kind(_make_configs, [_read_config], [content.change_config] * 5, program=True),
    "text": Kind(_make_text, [read_ids, lambda path: read_class_names(path, 12)], [content.change_text]),
}
