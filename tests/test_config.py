"""Config loading, the schema's checks, the command line, and every file in configs/."""

import argparse
import copy
import errno
import pickle
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.cli import choose_device, run_script
from utils.config import Config, load_config
from utils.config.arguments import ConfigParser, add_config_arguments, config_from_arguments
from utils.config.keys import REQUIRED
from utils.config.schema import known_keys, schema_of
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path for folder in (ROOT / "configs").iterdir() if not folder.name.startswith("_")
                 for path in folder.glob("*.py"))
MINIMAL = """
dataset = 'toy'
feature_size = 8
max_frames = 6
nbits = 16
train_feat_path = 'a.h5'
test_feat_path = ['b.h5']
label_path = ['b.mat']
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def minimal(tmp_path: Path, more: str = "", name: str = "toy.py") -> Path:
    return write(tmp_path, name, MINIMAL + more)


def refusal(path: Path, overrides: dict | None = None) -> str:
    """The message with which loading is refused, checked to be one line."""
    with pytest.raises(UserError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flat_file_gets_defaults_and_derived_paths(tmp_path):
    config = load_config(minimal(tmp_path))
    assert config.train_feat_path == ["a.h5"]
    assert config.hash_center_path == "checkpoint/toy/artefacts/hash_center_16.h5"
    assert config.file_path == "checkpoint/toy/S5VH_16bit"
    assert config.log_path == "logs/toy/S5VH_16bit"
    assert config.gamma == (1 + 5 ** 0.5) / 2
    assert list(config) == list(schema_of(config))
    assert (config.method, config.mixer, config.model_name) == ("s5vh", "mamba", "S5VH")
    assert (config.query_feat_path, config.self_retrieval) == (None, None)


def test_home_root_and_data_root_need_no_slash(tmp_path):
    config = load_config(minimal(tmp_path, "home_root = '/big'\ndata_root = '/feats'\n"))
    assert config.file_path == "/big/checkpoint/toy/S5VH_16bit"
    assert config.log_path == "/big/logs/toy/S5VH_16bit"
    assert config.anchor_path == "/big/checkpoint/toy/artefacts/final_train_anchors.h5"
    config = load_config(minimal(tmp_path, "save_dir = '/big'\n"), {"artefact_root": "/made"})
    assert config.anchor_path == "/made/final_train_anchors.h5"
    assert load_config(minimal(tmp_path), {"save_dir": "/big"}).artefact_root == "/big/artefacts/"


def test_run_name_ends_both_folders_whoever_set_them(tmp_path):
    path = minimal(tmp_path, "file_path = f'out/{nbits}/'\nrun_name = 'seed1'\n")
    config = load_config(path)
    assert (config.file_path, config.log_path) == ("out/16_seed1", "logs/toy/S5VH_16bit_seed1")
    assert load_config(path, {"run_name": "seed2"}).file_path == "out/16_seed2"


def test_python_in_a_config(tmp_path):
    path = minimal(tmp_path, """
import math
from math import pi
from math import tau as temperature
_width = 2 ** 3
def double(x):
    return 2 * x * nbits // nbits
class Unused: pass
hidden_size = double(_width)
lr: float = 1e-3
lr *= 2
alpha, tau_plus = 1, math.floor(pi) / 30
test_feat_path = [f'{dataset}_{part}.h5' for part in range(2)]
""")
    config = load_config(path)
    assert config.hidden_size == 16
    assert config.lr == 2e-3
    assert config.alpha == 1.0
    assert type(config.alpha) is float
    assert config.tau_plus == 0.1
    assert config.temperature == pytest.approx(6.28318, abs=1e-4)
    assert config.test_feat_path == ["toy_0.h5", "toy_1.h5"]
    assert not {"math", "pi", "_width", "double", "Unused"} & set(config)
    assert load_config(path, {"lr": "5e-4", "dataset": "x"}).lr == 5e-4


def test_two_files_of_one_name_do_not_shadow_each_other(tmp_path):
    first = minimal(tmp_path / "A", "nbits = 32\n")
    second = minimal(tmp_path / "B", "nbits = 64\n")
    assert [load_config(path).nbits for path in (first, second, first)] == [32, 64, 32]


@pytest.fixture
def family(tmp_path):
    """A grandchild over a base that reads names which only its descendants set."""
    write(tmp_path, "_base_/paths.py", "data_root = f'data/{dataset}/'\n"
          "hash_center_path = f'{data_root}hash_center_{nbits}.h5'\nnbits = 16\nlr = 1e-3\n")
    write(tmp_path, "_base_/toy.py", MINIMAL)
    write(tmp_path, "mid/toy.py", "_base_ = ['../_base_/toy.py', '../_base_/paths.py']\nlr = 2e-3\n")
    return write(tmp_path, "leaf/toy.py", "_base_ = '../mid/toy.py'\nnbits = 32\n"
                 "sim_path = data_root + f'sim_{nbits}.h5'\ntest_feat_path = [data_root + 'leaf.h5']\n")


def test_a_childs_value_reaches_what_its_base_derives(family):
    config = load_config(family)
    assert config.nbits == 32
    assert config.hash_center_path == "data/toy/hash_center_32.h5"
    assert config.lr == 2e-3
    assert config.sim_path == "data/toy/sim_32.h5"
    assert config.test_feat_path == ["data/toy/leaf.h5"]


def test_an_override_reaches_what_base_and_child_derive(family):
    config = load_config(family, {"nbits": 64, "dataset": "other"})
    assert config.hash_center_path == "data/other/hash_center_64.h5"
    assert config.sim_path == "data/other/sim_64.h5"
    assert config.file_path == "checkpoint/other/S5VH_64bit"


@pytest.mark.parametrize("root", ["/feats", "/feats/"])
def test_an_overridden_folder_is_joined_with_one_slash(family, root):
    assert load_config(family, {"data_root": root}).hash_center_path == "/feats/hash_center_32.h5"


def test_an_override_that_no_file_assigns_exists_before_the_first_line(tmp_path):
    path = minimal(tmp_path, "hidden_size = 4 * decoder_size\n")
    assert load_config(path, {"decoder_size": 8}).hidden_size == 32
    assert "name 'decoder_size' is not defined" in refusal(path)


def test_a_base_may_fail_on_the_value_its_child_replaces(tmp_path):
    write(tmp_path, "base.py", "nbits = 7\nhidden_size = {16: 32, 64: 128}[nbits]\n")
    path = write(tmp_path, "toy.py", "_base_ = 'base.py'\n" + MINIMAL)
    assert load_config(path).hidden_size == 32
    assert "base.py, line 2: KeyError: 7" in refusal(path, {"nbits": 7, "nclusters": 2})


def test_the_later_of_two_bases_counts_and_private_names_stay_private(tmp_path):
    write(tmp_path, "one.py", "_n = 1\nseed = _n\nnum_epochs = 10 + seed\n")
    write(tmp_path, "two.py", "_n = 2\nseed = _n\n")
    path = minimal(tmp_path, "_base_ = ['one.py', 'two.py']\n")
    assert (load_config(path).seed, load_config(path).num_epochs) == (2, 12)
    path = minimal(tmp_path, "_base_ = ['one.py', 'two.py']\nbatch_size = _n\n")
    assert "name '_n' is not defined" in refusal(path)


def test_cycles_missing_bases_and_unsettled_values_are_refused(tmp_path):
    write(tmp_path, "a.py", "_base_ = 'b.py'\n")
    write(tmp_path, "b.py", "_base_ = 'a.py'\n")
    assert "its own base" in refusal(tmp_path / "a.py")
    assert "nowhere.py: no such base" in refusal(minimal(tmp_path, "_base_ = 'nowhere.py'\n"))
    write(tmp_path, "count.py", "seed = 1\n")
    assert "'seed' never settles" in refusal(minimal(tmp_path, "_base_ = 'count.py'\nseed = seed + 1\n"))


@pytest.mark.parametrize("line", ["_base_ = f'{1}.py'", "_base_ = 3", "if True: _base_ = 'a.py'",
                                  "_base_ = 'a.py'\n_base_ = 'b.py'"])
def test_base_must_be_readable_without_running(tmp_path, line):
    assert "_base_ must be set once" in refusal(minimal(tmp_path, line + "\n"))


def test_faults_of_the_file_name_it_and_the_line(tmp_path):
    lines = MINIMAL.count("\n")
    assert f"toy.py, line {lines + 2}: " in refusal(minimal(tmp_path, "\nseed = = 1\n"))
    assert f"toy.py, line {lines + 1}: ZeroDivisionError" in refusal(minimal(tmp_path, "seed = 1 / 0\n"))
    assert f"toy.py, line {lines + 1}: 'return' outside" in refusal(minimal(tmp_path, "return\n"))
    assert "absent.py: cannot read this config (No such file" in refusal(tmp_path / "absent.py")
    assert "Is a directory" in refusal(tmp_path)
    (tmp_path / "binary.py").write_bytes(b"\x89HDF\r\n\x1a\n\0")
    assert "binary.py" in refusal(tmp_path / "binary.py")


@pytest.mark.parametrize(("wrong", "right", "owner"), [
    ("nbit", "nbits", "model"), ("mask_prob", "mask_ratio", "method s5vh"), ("LR", "lr", "train"),
    ("hidden_sizes", "hidden_size", "method s5vh"), ("teacher_depth", "teacher_depths", "method vhmt"),
    ("dstate", "d_state", "mixer mamba"), ("ncluster", "nclusters", "artefact anchors")])
def test_an_unknown_key_names_its_source_the_nearest_and_its_owner(tmp_path, wrong, right, owner):
    write(tmp_path, "base.py", f"{wrong} = 1\n")
    message = refusal(minimal(tmp_path, "_base_ = 'base.py'\n"))
    assert "base.py: " in message
    assert f"unknown key '{wrong}'; did you mean '{right}' ({owner})?" in message
    message = refusal(minimal(tmp_path), {wrong: 1})
    assert message.startswith(f"--set {wrong}: ")
    assert f"'{right}'" in message


WRONG = [
    ("nbits", 0, "whole number in [1, 65535]"), ("nbits", True, "whole number"), ("nbits", 16.0, "whole number"),
    ("nbits", None, "whole number"), ("nbits", "many", "whole number"), ("lr", [1e-3], "a number > 0"),
    ("lr", 0, "> 0"), ("lr", float("nan"), "> 0"), ("lr", float("inf"), "> 0"), ("lr", False, "a number"),
    ("drop_path_rate", 1.0, "in [0, 1)"), ("mask_ratio", 1.0, "in (0, 1)"), ("mask_ratio", 0, "in (0, 1)"),
    ("smoothing_alpha", 1.1, "in [0, 1]"), ("warm_up_epoch", -1, ">= 0"), ("seed", 2 ** 32, "in [0, "),
    ("seed", 10 ** 400, "in [0, "), ("directions", "both", "'tied' or 'separate' or 'forward'"),
    ("map_at", [], "a list of whole numbers"), ("map_at", [5, 0], ">= 1"), ("map_at", [5.0], "whole numbers"),
    ("train_feat_path", [], "a path or a list of paths"), ("train_feat_path", ["a", 1], "list of paths"),
    ("anchor_path", "", "a path or None"), ("deterministic", 1, "True or False"), ("dataset", "", "letters"),
    ("run_name", "a/b", "letters"), ("run_name", "..", "letters"), ("feat_key", 3, "a string"),
    ("pseudo_label_temperature", 0, "> 0"), ("max_frames", 1, ">= 2"),
    ("scan_engine", " ", "a string"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_wrong_value_tells_file_key_value_and_what_is_expected(tmp_path, name, value, expected):
    path = minimal(tmp_path, f"nan, inf = float('nan'), float('inf')\n{name} = {value!r}\ndel nan, inf\n")
    message = refusal(path)
    assert message.startswith(f"{path}: {name} = ")
    assert expected in message
    if not isinstance(value, (str, int)):  # text is parsed; a whole number is a fine name of a feature key
        assert refusal(minimal(tmp_path), {name: value}).startswith(f"--set {name}: {name} = ")


@pytest.mark.parametrize(("more", "expected"), [
    ("nbits = 6\n", "nclusters to at most 32"), ("mask_ratio = 0.1\n", "hides none of max_frames = 6"),
    ("lr = 1e-6\n", "min_lr = 1e-05 is above lr"), ("early_stop = 2\ndel label_path\n", "early_stop = 2"),
    ("select = 'best_on_test'\nlabel_path = None\n", "need label_path"),
])
def test_values_that_do_not_go_together(tmp_path, more, expected):
    assert expected in refusal(minimal(tmp_path, more))


def test_bounds_that_just_go_together(tmp_path):
    config = load_config(minimal(tmp_path), {"nbits": 6, "nclusters": 32, "mask_ratio": 1 / 6})
    assert (config.nclusters, int(config.mask_ratio * config.max_frames)) == (32, 1)


def test_a_config_is_frozen_and_a_missing_name_raises(tmp_path):
    config = load_config(minimal(tmp_path))
    for change in (lambda: setattr(config, "nbits", 1), lambda: config.__setitem__("nbits", 1), config.clear,
                   lambda: config.update(nbits=1), lambda: config.setdefault("new", 1), config.popitem,
                   lambda: config.pop("nbits"), lambda: delattr(config, "nbits")):
        with pytest.raises(TypeError, match="load_config"):
            change()
    with pytest.raises(AttributeError, match="did you mean 'nbits'"):
        _ = config.nbit
    with pytest.raises(KeyError):
        _ = config["nbit"]
    assert not hasattr(config, "nothing_like_it")
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert type(twin) is Config
        assert twin == config
        with pytest.raises(TypeError):
            twin.nbits = 1


def test_defaults_are_not_shared(tmp_path):
    load_config(minimal(tmp_path)).map_at.append(7)
    assert load_config(minimal(tmp_path)).map_at == [5, 20, 40, 60, 80, 100]


def test_every_default_is_a_legal_value(tmp_path):
    path = minimal(tmp_path)
    own = schema_of(load_config(path))
    for name, key in known_keys().items():
        if name in own and key.default is not REQUIRED and key.default is not None:
            assert load_config(path, {name: key.default})[name] == key.default
        assert key.help
        assert key.owner


def test_a_key_of_another_mixer_is_refused_with_its_owner(tmp_path):
    path = minimal(tmp_path)
    assert load_config(path, {"d_state": 8}).d_state == 8
    with pytest.raises(UserError, match="--set d_state: 'd_state' belongs to mixer mamba, which this config does not"):
        load_config(path, {"mixer": "lstm", "d_state": 8})


PATHS = st.text("ab0._'\\é\n\" {}", min_size=1).filter(lambda text: text.strip()[:1] not in ("", "'", '"'))


@settings(max_examples=40, deadline=None)
@given(lr=st.floats(1e-5, 1e3), seed=st.integers(0, 2 ** 32 - 1), path=PATHS,
       run_name=st.text("ab_.1", max_size=4).filter(lambda text: text not in (".", "..")),
       map_at=st.lists(st.integers(1), min_size=1, max_size=3))
def test_what_is_dumped_loads_to_an_equal_config(tmp_path_factory, lr, seed, path, run_name, map_at):
    folder = tmp_path_factory.mktemp("dump")
    overrides = {"lr": lr, "seed": seed, "file_path": path, "anchor_path": path, "run_name": run_name,
                 "map_at": map_at, "label_path": [path, "x"]}
    config = load_config(minimal(folder), overrides)
    assert config.lr == lr
    assert config.label_path == [path, "x"]
    assert config.file_path == path.rstrip("/") + (f"_{run_name}" if run_name else "")
    config.dump(folder / "out" / "config.py")
    assert load_config(folder / "out" / "config.py") == config


def test_a_dump_is_one_value_per_line_in_groups_and_without_bases(family, tmp_path):
    load_config(family).dump(tmp_path / "config.py")
    lines = (tmp_path / "config.py").read_text().splitlines()
    assert [line.split(" = ")[0] for line in lines if " = " in line] == list(schema_of(load_config(family)))
    assert [line[2:] for line in lines[1:] if line.startswith("#")] == list(
        dict.fromkeys(key.owner for key in schema_of(load_config(family)).values()))


SPLITS = {
    "activitynet": ("train", "test", "re_label", "query", "q_label"),
    "fcv": ("fcv_train", "fcv_test", "fcv_test_labels"),
    "ucf": ("ucf_train", "ucf_train", "ucf_train_labels", "ucf_test", "ucf_test_labels"),
    "hmdb": ("hmdb_train", "hmdb_train", "hmdb_train_labels", "hmdb_test", "hmdb_test_labels"),
}


def release_style(dataset: str) -> str:
    """A config with the keys of the release's file for `dataset` and its way of writing them."""
    train, database, labels, *queries = SPLITS[dataset]
    text = f"""
model_name = "S5VH"; use_checkpoint = None; S5VH_type = 'small'
feature_size = 4096; hidden_size = 256; max_frames = 25; nbits = 64
dataset = '{dataset}'; workers = 1; batch_size = 128; mask_ratio = 0.5
latent_dim_pca = 512; initWithCSQ = True; rho = 5e-5; gamma = (1 + 5 ** 0.5) / 2
seed = 1; num_epochs = 350; alpha = 1; temperature = 0.5; tau_plus = 0.05; train_num_sample = 9722
a_cluster = 0.001; temperature_cluster = 0.5; nclusters = 100; warm_up_epoch = 50; smoothing_alpha = 0.01
test_batch_size = 128; test_num_sample = 3758
optimizer_name = 'AdamW'; schedule = "CosineAnnealingLR"; lr = 5e-4; min_lr = 1e-5
data_root = f"data/{{dataset}}/"
home_root = './'
train_feat_path = data_root + '{train}_feats.h5'
train_assist_path = data_root + 'final_train_train_assit.h5'
latent_feat_path = data_root + 'final_train_latent_feats.h5'
anchor_path = data_root + 'final_train_anchors.h5'
sim_path = data_root + 'final_train_sim_matrix.h5'
semantic_center_path = data_root + 'semantic.h5'
hash_center_path = f"{{data_root}}hash_center_{{nbits}}.h5"
test_feat_path = [data_root + '{database}_feats.h5']
label_path = [data_root + '{labels}.mat']
save_dir = home_root + "checkpoint" + dataset
file_path = f"{{save_dir}}{{model_name}}_{{nbits}}bit"
log_path = f"{{home_root}}logs/{{dataset}}S5VH_{{nbits}}bit"
"""
    if queries:
        text += f"query_num_sample = 1000\nquery_feat_path = [data_root + '{queries[0]}_feats.h5']\n"
        text += f"query_label_path = [data_root + '{queries[1]}.mat']\n"
    return text


@pytest.mark.parametrize("dataset", SPLITS)
def test_a_config_written_for_the_release_loads_unchanged(tmp_path, dataset):
    path = write(tmp_path, "anywhere/act.py", release_style(dataset))
    config = load_config(path, {"nbits": "32"})
    assert config.train_feat_path == [f"data/{dataset}/{SPLITS[dataset][0]}_feats.h5"]
    assert config.hash_center_path == f"data/{dataset}/hash_center_32.h5"
    assert config.save_dir == f"./checkpoint{dataset}"
    assert config.file_path == f"./checkpoint{dataset}S5VH_32bit"
    assert config.log_path == f"./logs/{dataset}S5VH_32bit"
    assert (config.query_feat_path is None) == (dataset == "fcv")
    assert config.workers == 1


@pytest.mark.parametrize("nbits", [16, 32, 64])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_config_loads_at_every_length(path, nbits):
    config = load_config(path, {"nbits": nbits})
    text = path.read_text()
    ending = "_pca512" if "pca512" in text else "_graph" if "s5vh_plus" in text else ""
    if "hash_center_path" in config:
        assert config.hash_center_path == f"{config.artefact_root}hash_center_{nbits}{ending}.h5"
    assert config.file_path == f"checkpoint/{config.dataset}/{config.model_name}_{nbits}bit"
    assert config.log_path == config.file_path.replace("checkpoint", "logs", 1)
    assert re.search(rf"--(config|on) configs/{path.parent.name}/{path.name}", path.read_text())


def test_the_release_configs_differ_by_the_quirks_alone():
    quirks = {"hash_center_mode": "learned", "pseudo_label_update": "release", "tied_bits": "zero",
              "mixer_init": "xavier", "select": "best_on_test"}
    for name in ("act", "fcv", "ucf", "hmdb"):
        ours = load_config(ROOT / f"configs/S5VH/{name}.py", {"run_name": "x"})
        release = load_config(ROOT / f"configs/S5VH_release/{name}.py", {"run_name": "x"})
        identity = {"model_name", "file_path", "log_path"}
        differing = {key for key in ours if release[key] != ours[key]}
        assert {key: release[key] for key in differing - identity} == quirks
        assert release.log_path.startswith(f"logs/{ours.dataset}/S5VH_release_")


@pytest.mark.parametrize("name", ["act", "fcv", "ucf", "hmdb", "digits"])
@pytest.mark.parametrize("model", ["LSTM", "RetNet", "RWKV", "Transformer"])
def test_the_other_backbones_differ_from_s5vh_as_in_the_release(model, name):
    s5vh, other = load_config(ROOT / f"configs/S5VH/{name}.py"), load_config(ROOT / f"configs/{model}/{name}.py")
    differing = {key: other[key] for key in other if key in s5vh and other[key] != s5vh[key]}
    assert (differing.pop("model_name"), differing.pop("mixer")) == (model, model.lower())
    assert model in differing.pop("file_path")
    assert model in differing.pop("log_path")
    if name == "fcv":
        assert differing.pop("mask_ratio") == 0.3
    if name == "hmdb":
        assert differing.pop("latent_dim_pca") == 512
        paths = [differing.pop(key) for key in list(differing) if key.endswith("_path")]
        assert all(path.endswith("_pca512.h5") for path in paths)
        assert len(set(paths)) == 5
    assert not differing


def test_the_yfcc_base_lists_its_files(tmp_path):
    bases = [str(ROOT / "configs/_base_" / name) for name in ("s5vh.py", "datasets/yfcc.py")]
    config = load_config(write(tmp_path, "mine.py", f"_base_ = {bases!r}\n"), {"data_root": "/y"})
    assert config.train_feat_path[::8] == ["/y/yfcc_train_feats_1.h5", "/y/yfcc_train_feats_9.h5"]
    assert len(config.label_path) == len(config.test_feat_path) == 2


def parse(*words: object, positional: bool = True) -> argparse.Namespace:
    parser = ConfigParser(prog="train.py")
    add_config_arguments(parser, positional=positional)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args([str(word) for word in words])


@pytest.mark.parametrize("words", [
    ("--nbits", 32), ("--nbits=32",), ("--set", "nbits=32"), ("--set", "seed=3", "nbits=32"),
    ("--set", "nbits=16", "--nbits", 32), ("--nbits", 16, "--set", "nbits=32", "--gpu", "cpu"),
])
def test_flags_and_set_override_in_order(tmp_path, words):
    path = minimal(tmp_path)
    assert config_from_arguments(parse("--config", path, *words)).hash_center_path.endswith("_32.h5")
    assert config_from_arguments(parse(path, *words)).nbits == 32


@pytest.mark.parametrize(("text", "name", "value"), [
    ("mask-ratio .25", "mask_ratio", 0.25), ("mask_ratio=.25", "mask_ratio", 0.25), ("lr 5e-4", "lr", 5e-4),
    ("map_at 5,20", "map_at", [5, 20]), ("map_at [5,20]", "map_at", [5, 20]), ("map-at 7", "map_at", [7]),
    ("run_name 001", "run_name", "001"), ("train_feat_path ['a','b']", "train_feat_path", ["a", "b"]),
    ("train_feat_path 12", "train_feat_path", ["12"]), ("use_checkpoint None", "use_checkpoint", None),
    ("deterministic", "deterministic", True), ("deterministic true", "deterministic", True),
    ("initWithCSQ False", "initWithCSQ", False), ("label_key 'my key'", "label_key", "my"),
])
def test_texts_become_values_of_the_keys_kind(tmp_path, text, name, value):
    words = text.split()[:2]
    if name == "label_key":
        words = ["label_key", "my"]
    assert config_from_arguments(parse(minimal(tmp_path), "--" + words[0], *words[1:]))[name] == value


def exit_line(capsys, call) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        call()
    return caught.value.code, capsys.readouterr().err


def test_an_unknown_flag_names_the_nearest(tmp_path, capsys):
    code, said = exit_line(capsys, lambda: parse(minimal(tmp_path), "--nbit", 16))
    assert (code, said) == (2, "error: unknown flag --nbit; did you mean --nbits?\n")
    assert "--resume" in exit_line(capsys, lambda: parse("--resum"))[1]
    assert "key=value" in exit_line(capsys, lambda: parse("--set", "nbits"))[1]
    parser = ConfigParser()
    add_config_arguments(parser.add_subparsers().add_parser("index"), positional=False)
    assert "--nbits" in exit_line(capsys, lambda: parser.parse_args(["index", "--nbit=16"]))[1]


def test_set_with_an_unknown_key_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"--set nbit: unknown key 'nbit'; did you mean 'nbits' \(model\)\?"):
        config_from_arguments(parse(minimal(tmp_path), "--set", "nbit=16"))


def test_one_config_must_be_named(tmp_path):
    with pytest.raises(UserError, match="no config given"):
        config_from_arguments(parse())
    with pytest.raises(UserError, match="two configs given"):
        config_from_arguments(parse("--config", minimal(tmp_path), tmp_path))


def test_print_config_shows_the_resolved_values(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        config_from_arguments(parse(minimal(tmp_path), "--nbits", 32, "--run_name", "x", "--print-config"))
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "hash_center_path = 'checkpoint/toy/artefacts/hash_center_32.h5'\n" in shown
    assert "file_path = 'checkpoint/toy/S5VH_32bit_x'\n" in shown


def told(capsys, *words):
    with pytest.raises(SystemExit):
        parse(*words)
    return capsys.readouterr().out


def test_help_is_short_and_the_keys_stand_by_group(capsys):
    assert "--help-keys GROUP" in told(capsys, "--help")
    groups, table = told(capsys, "--help-keys"), told(capsys, "--help-keys", "all")
    for owner in {key.owner for key in known_keys().values()}:
        assert f"\n  {owner} " in groups
        for group in {owner, owner.split()[-1]}:
            listed = told(capsys, "--help-keys", group)
            assert all((f"\n  {name}  (" in listed) == (key.owner == owner) for name, key in known_keys().items())
    with pytest.raises(UserError, match="no such group"):
        parse("--help-keys", "none")
    for name in known_keys():
        assert table.count(f"\n  {name}  (") == 1
    assert "mask_ratio  (float in (0, 1), default 0.5)" in table
    assert "nbits  (int in [1, 65535], required)" in table


def raising(error: BaseException):
    def main():
        raise error
    return main


@pytest.mark.parametrize(("error", "line"), [
    (UserError("a.h5: wrong.\nTake another."), "error: a.h5: wrong. Take another.\n"),
    (FileNotFoundError(errno.ENOENT, "No such file", "x.h5"), "error: x.h5: No such file.\n"),
    (PermissionError(errno.EACCES, "Permission denied", "x.h5"), "error: x.h5: Permission denied.\n"),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "x/y"), "error: x/y: Not a directory.\n"),
    (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device.\n"),
])
def test_a_users_mistake_is_one_line_and_status_2(capsys, error, line):
    assert exit_line(capsys, lambda: run_script(raising(error))) == (2, line)


def test_interrupts_and_faults(capsys):
    assert exit_line(capsys, lambda: run_script(raising(KeyboardInterrupt())))[0] == 130
    for fault in (ValueError("x"), OSError(errno.EIO, "I/O error", "x"), OSError("no number"), MemoryError(),
                  FileNotFoundError("text only")):
        with pytest.raises(type(fault)):
            run_script(raising(fault))
    done = []
    run_script(lambda: done.append(1))
    assert done == [1]


def test_choose_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None) == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="--gpu 7: 0 GPUs found; choose --gpu cpu"):
        choose_device("7")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(None) == torch.device("cuda", 0)
    assert choose_device("1") == choose_device(1) == torch.device("cuda", 1)
    with pytest.raises(UserError, match="2 GPUs found; choose 0 to 1"):
        choose_device("2")
    for wrong in ("-1", "cuda", "", "1.0"):
        with pytest.raises(UserError, match="expected the number of a GPU"):
            choose_device(wrong)
