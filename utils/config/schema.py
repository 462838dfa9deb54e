"""Every key that a config may hold, by its owner; and the checks on all values of one together.

The keys that any run has are in the table below. Methods, mixers and artefacts own theirs (`KEYS` on their classes),
and a config has the keys of those that it names: `schema_of`.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

from utils.config.keys import (
    AT_LEAST_1,
    NON_NEGATIVE,
    POSITIVE,
    REQUIRED,
    UNIT,
    Interval,
    Key,
    check_value,
    choice,
)
from utils.errors import UserError
from utils.registry import METHODS, MIXERS, chosen_names, plain_name

SEEDS = Interval(0, 2 ** 32 - 1)

_GROUPS = {
    "model": [
        Key("model_name", "name", None, "name of the model, for folders and tables; None: after method and mixer"),
        Key("method", "text", None, "training method, a file of model/methods/ or a path; None: as model_name says"),
        Key("mixer", "text", None, "sequence mixer, a file of model/mixers/ or a path; None: as model_name says"),
        Key("nbits", "int", REQUIRED, "K, length of the hash code", Interval(1, 65_535), shapes_codes=True),
        Key("feature_size", "int", None, "F, width of a frame; videos need it", AT_LEAST_1, shapes_codes=True),
        Key("max_frames", "int", None, "T, frames per video; videos need it", Interval(2), shapes_codes=True),
        Key("item_shape", "ints", None, "shape of items that are no videos: [rows, columns, channels] of uint8 "
            "pictures; None: [max_frames, feature_size]", AT_LEAST_1, free=True),
        choice("tied_bits", "sign", ["zero"], "a bit whose frames tie: +-1 by the sign, or 0 (release)",
               shapes_codes=True),
        Key("start_from", "path", None, "checkpoint whose weights training starts from; pseudo-labels and hash centers "
            "stay those that preprocess made", free=True),
        Key("use_checkpoint", "path", None, "the release's name of start_from", free=True),
    ],
    "data": [
        Key("dataset", "name", REQUIRED, "name of the dataset, as folders show it"),
        Key("data_root", "folder", None, "folder of features and labels; None: data/<dataset>/", free=True),
        Key("train_feat_path", "paths", REQUIRED, "training features, HDF5 (N, T, F)", free=True),
        Key("train_label_path", "paths", None, "training labels, for methods and artefacts that use them", free=True),
        Key("train_label_share", "float", 1.0, "share of the training videos whose labels are used; the others "
            "count as without any", UNIT),
        Key("train_group_path", "path", None, "what belongs together among training videos (a person, say), read where "
            "some are held out; a text file of a line each", free=True),
        Key("test_feat_path", "paths", REQUIRED, "database features", free=True),
        Key("label_path", "paths", None, "database labels, .mat or HDF5 (N, classes), multi-hot; None: nothing is "
            "evaluated", free=True),
        Key("query_feat_path", "paths", None, "query features; None: the database queries itself", free=True),
        Key("query_label_path", "paths", None, "query labels; None: the database's", free=True),
        Key("feat_key", "text", "feats", "name of the features inside their HDF5 files"),
        Key("train_label_key", "text", None, "name of the labels inside train_label_path; None: found"),
        Key("label_key", "text", None, "name of the labels inside label_path; None: found"),
        Key("query_label_key", "text", None, "name of the labels inside query_label_path; None: found"),
        Key("class_name_path", "path", None, "names of the classes, a text file of a line each; None: numbers",
            free=True),
        Key("frame_shape", "ints", None, "rows, columns (and 3 for RGB) of frames that are pictures in [0, 1]",
            AT_LEAST_1, free=True),
        Key("self_retrieval", "bool", None, "queries are the database's own videos; None: if the files are"),
        Key("train_num_sample", "int", None, "training videos expected", AT_LEAST_1),
        Key("test_num_sample", "int", None, "database videos expected", AT_LEAST_1),
        Key("query_num_sample", "int", None, "queries expected", AT_LEAST_1),
        Key("workers", "int", None, "not read; accepted since the release's configs set it", NON_NEGATIVE, free=True),
    ],
    "preprocess": [
        Key("preprocess_seed", "int", 1, "seed of all artefacts; runs of several seeds share them", SEEDS),
        Key("sim_path", "path", None, "not read; accepted since the release's configs set it", free=True),
    ],
    "train": [
        Key("seed", "int", 1, "seed of everything random in training", SEEDS),
        Key("num_epochs", "int", 350, "epochs", AT_LEAST_1),
        Key("batch_size", "int", 128, "videos per step", Interval(2)),
        choice("batch_source", "auto", ["host", "device", "file", "stream"],
               "where training features stay: main memory, the GPU, their files (stream: read in whole chunks); auto: "
               "the first that has room", free=True),
        Key("optimizer_name", "text", "AdamW", "optimiser"),
        Key("schedule", "text", "CosineAnnealingLR", "learning-rate schedule, stepped per epoch"),
        Key("lr", "float", 5e-4, "first learning rate", POSITIVE),
        Key("min_lr", "float", 1e-5, "last learning rate", NON_NEGATIVE),
        Key("weight_decay", "float", 1e-4, "weight decay", NON_NEGATIVE),
        Key("grad_clip", "float", 0.0, "largest norm of the gradient; 0: off", NON_NEGATIVE),
        choice("amp", "none", ["bf16", "tf32"], "mixed precision; tf32: on CUDA, float32 with products in TF32"),
        Key("early_stop", "int", 0, "evaluations without improvement before stopping; 0: off", NON_NEGATIVE, free=True),
        Key("deterministic", "bool", False, "deterministic algorithms only"),
        Key("compile", "bool", False, "compile the steps with torch.compile; the first ones take minutes"),
        Key("cuda_graph", "bool", False, "replay a step's passes as one CUDA graph; it has not run on a GPU yet"),
    ],
    "evaluation": [
        Key("test_batch_size", "int", 128, "videos per step of encoding", AT_LEAST_1, free=True),
        Key("map_at", "ints", [5, 20, 40, 60, 80, 100], "the k of mAP@k", AT_LEAST_1, free=True),
        Key("eval_every", "int", 20, "epochs between evaluations; 0: only at the end", NON_NEGATIVE, free=True),
        choice("select", "last", ["best_on_test", "validation"], "checkpoint kept: of the last epoch, or the best on "
               "the test split, as the release's is; validation: of some methods without epochs, whose settings "
               "held-out training videos with labels choose"),
        choice("ap_normaliser", "k", ["min_kr", "hits"], "divisor of AP@k: k, min(k, relevant) or its hits", free=True),
    ],
    "output": [
        Key("home_root", "folder", "", "folder that holds checkpoint/ and logs/", free=True),
        Key("save_dir", "folder", None, "folder of checkpoints; None: checkpoint/<dataset>/", free=True),
        Key("artefact_root", "folder", None, "folder of artefacts; None: <save_dir>artefacts/. What it lacks is read "
            "from data_root, where downloaded files lie", free=True),
        Key("file_path", "path", None, "the run's checkpoints; None: <save_dir><model_name>_<nbits>bit", free=True),
        Key("log_path", "path", None, "the run's logs; None: logs/<dataset>/<model_name>_<nbits>bit", free=True),
        Key("run_name", "name", "", "keeps runs apart: file_path and log_path end in _<run_name>"),
        choice("tracker", "tensorboard", ["wandb", "mlflow", "none"], "what shows the metrics of epochs beside the "
               "run's own files: TensorBoard, where it is installed; Weights & Biases; MLflow", free=True),
        Key("save_every", "int", 1, "epochs between checkpoints", AT_LEAST_1, free=True),
    ],
}

CORE: dict[str, Key] = {key.name: replace(key, owner=group) for group, keys in _GROUPS.items() for key in keys}


def schema_of(values: Mapping[str, object]) -> dict[str, Key]:
    """The keys of a config with these `values`: those of any run, then those of its method and of its mixer.

    Raises:
        UserError: `method`, `mixer` or `model_name` is none that there is.
    """
    return _merged(*chosen_names(values.get))


@cache
def known_keys() -> dict[str, Key]:
    """The keys of all mixers and methods of the project together; of two of one name the first. A mixer's is thus told
    to be the mixer's, though a method that always uses that mixer lists it too."""
    keys: dict[str, Key] = dict(CORE)
    for owner in (*map(_of_mixer, MIXERS.names()), *map(_of_method, METHODS.names())):
        keys |= {name: key for name, key in owner.items() if name not in keys}
    return keys


def nearest_key(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, whatever its case and dashes, or None where none is alike."""
    plain = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.replace("-", "_").lower(), plain, n=1, cutoff=0.5)
    return plain[close[0]] if close else None


def unknown_key(name: str, origin: str, schema: Mapping[str, Key]) -> UserError:
    """What to raise where `origin` sets `name`, which is not in `schema`: it names the nearest key and its owner."""
    known = {**known_keys(), **schema}
    if name in known:
        return UserError(f"{origin}: '{name}' belongs to {known[name].owner}, which this config does not use. Leave it "
                         "out, or set method or mixer.")
    nearest = nearest_key(name, known)
    hint = (f"did you mean '{nearest}' ({known[nearest].owner})?" if nearest
            else "the scripts' --help-keys all lists the known keys.")
    return UserError(f"{origin}: unknown key '{name}'; {hint}")


def check_values(values: Mapping[str, object], origins: Mapping[str, str], source: str) -> dict[str, object]:
    """All keys of the config's schema, in its order: `values` checked one by one and together, the rest by default.

    Keys of a method or mixer that the config does not use are checked and left out, so that one may be exchanged for
    another, and a config of another version, with the keys of all, still loads.

    Args:
        values: key -> value as the config files and overrides gave them.
        origins: key -> the file, or the option, that a message about it should name.
        source: what a message about the whole config should name.

    Raises:
        UserError: an unknown or missing key, a wrong value, or two values that do not go together.
    """
    schema = schema_of({name: check_value(CORE[name], values[name], origins[name])
                        for name in ("model_name", "method", "mixer") if name in values})
    given = {}
    for name, value in values.items():
        key = schema.get(name) or known_keys().get(name)
        if key is None:
            raise unknown_key(name, origins[name], schema)
        given[name] = check_value(key, value, origins[name])
    for key in schema.values():
        if key.name not in given and key.default is REQUIRED:
            raise UserError(f"{source}: '{key.name}' is missing ({key.help}); set it to {key.expects}.")
        given.setdefault(key.name, list(key.default) if isinstance(key.default, list) else key.default)
    given["method"], given["mixer"] = chosen_names(given.get)
    _check_together(given, source)
    return {name: given[name] for name in schema}


@cache
def _merged(method: str, mixer: str) -> dict[str, Key]:
    keys = dict(CORE)
    for owner in (_of_method(method), _of_mixer(mixer)):
        clash = [name for name, key in owner.items() if name in keys and replace(keys[name], owner=key.owner) != key]
        if clash:
            raise UserError(f"{next(iter(owner.values())).owner}: its key '{clash[0]}' is {keys[clash[0]].owner}'s "
                            "already, with another meaning. Give it another name.")
        keys |= {name: key for name, key in owner.items() if name not in keys}
    return keys


def _of_method(name: str) -> dict[str, Key]:
    """Its own keys first, then those of artefacts and of others."""
    keys = sorted(METHODS.load(name).KEYS, key=lambda key: key.owner != "")
    return {key.name: replace(key, owner=key.owner or f"method {plain_name(name)}") for key in keys}


def _of_mixer(name: str) -> dict[str, Key]:
    return {key.name: replace(key, owner=key.owner or f"mixer {plain_name(name)}") for key in MIXERS.load(name).KEYS}


def _check_together(values: dict, source: str) -> None:
    shape = values["item_shape"]
    missing = [name for name in ("feature_size", "max_frames") if values[name] is None]
    if shape is None and missing:
        raise UserError(f"{source}: '{missing[0]}' is missing ({CORE[missing[0]].help}); set it to a whole number, or "
                        "set item_shape where items are no videos.")
    if missing and len(shape) != 3:
        raise UserError(f"{source}: item_shape = {shape}; set it to [rows, columns, channels] of pictures, or set "
                        "max_frames and feature_size of videos.")
    if not missing and len(shape or ()) != 3:
        values["item_shape"] = [values["max_frames"], values["feature_size"]]
    picture = values["frame_shape"]
    if picture and (math.prod(picture) != values["feature_size"] or len(picture) not in (2, 3)
                    or picture[2:] not in ([], [3])):
        raise UserError(f"{source}: frame_shape = {picture} is no picture of feature_size = {values['feature_size']} "
                        "values; set it to [rows, columns] or [rows, columns, 3], or to None.")
    if not values["label_path"] and (values["early_stop"] or values["select"] == "best_on_test"):
        name = "early_stop" if values["early_stop"] else "select"
        raise UserError(f"{source}: {name} = {values[name]!r} compares evaluations, which need label_path. Set "
                        f"that, or leave {name} out.")
    if values["min_lr"] > values["lr"] and values["schedule"] != "constant":
        raise UserError(f"{source}: min_lr = {values['min_lr']} is above lr = {values['lr']}; lower min_lr.")
