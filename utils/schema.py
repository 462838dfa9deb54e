"""Every key a config may hold: its kind, default, range and meaning; and the checks on values.

The table below is the one place where a key is declared. Adding a key means adding a line.
"""

import ast
import difflib
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from utils.errors import UserError

REQUIRED = object()  # stands for a default that no key can have


@dataclass(frozen=True)
class Interval:
    """A range of numbers; an end that is not closed does not belong to it."""

    low: float
    high: float = math.inf
    low_closed: bool = True
    high_closed: bool = True

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.low_closed else value > self.low
        below = value <= self.high if self.high_closed else value < self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>=' if self.low_closed else '>'} {self.low:g}"
        ends = "[" if self.low_closed else "(", "]" if self.high_closed else ")"
        return f"in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"


POSITIVE = Interval(0, low_closed=False)
NON_NEGATIVE = Interval(0)
AT_LEAST_1 = Interval(1)
UNIT = Interval(0, 1)
BELOW_1 = Interval(0, 1, high_closed=False)
INSIDE_UNIT = Interval(0, 1, low_closed=False, high_closed=False)


@dataclass(frozen=True)
class Key:
    """One key of a config.

    `kind` is int, float, bool, text, name (usable in a file name), choice, path, folder, paths or ints.
    A default of None makes the key optional; REQUIRED means that every config must set it.
    """

    name: str
    kind: str
    default: object
    help: str
    range: Interval | None = None
    choices: tuple[str, ...] = ()
    group: str = ""

    @property
    def expects(self) -> str:
        """What a value must be, in words, as error messages and --help say it."""
        words = {"int": "a whole number", "float": "a number", "bool": "True or False", "text": "a string",
                 "name": "a string of letters, digits and . _ + = -",
                 "choice": " or ".join(map(repr, self.choices)), "path": "a path", "folder": "a folder",
                 "paths": "a path or a list of paths", "ints": "a list of whole numbers"}[self.kind]
        words += f" {self.range}" if self.range else ""
        return words + (" or None" if self.default is None else "")


def _choice(name: str, default: str, others: Iterable[str], help: str) -> Key:
    return Key(name, "choice", default, help, choices=(default, *others))


_GROUPS = {
    "model": [
        Key("model_name", "name", "S5VH", "name of the model, as folders and tables show it"),
        Key("method", "text", None, "training method; None: the one model_name stands for"),
        Key("mixer", "text", None, "sequence mixer of the blocks; None: the one model_name stands for"),
        Key("nbits", "int", REQUIRED, "K, length of the hash code", AT_LEAST_1),
        Key("feature_size", "int", REQUIRED, "F, width of a frame's feature", AT_LEAST_1),
        Key("max_frames", "int", REQUIRED, "T, frames per video", Interval(2)),
        Key("hidden_size", "int", 256, "D, width of the encoder", AT_LEAST_1),
        Key("decoder_size", "int", 192, "width of the decoder", AT_LEAST_1),
        _choice("S5VH_type", "small", ["mini", "base"], "encoder depth: mini 1, small 6, base 12 blocks"),
        _choice("directions", "tied", ["separate", "forward"],
                "scan both ways with shared or separate weights, or forward only"),
        Key("drop_path_rate", "float", 0.5, "stochastic depth of the last block, rising from 0", BELOW_1),
        _choice("mixer_init", "own", ["xavier"], "weights of mixers at the start: their own, or Xavier (release)"),
        Key("student_depth", "int", 6, "encoder blocks of VHMT's student", AT_LEAST_1),
        Key("student_decoder_depth", "int", 1, "decoder blocks of VHMT's student", AT_LEAST_1),
        _choice("student_views", "whole", ["masked", "siamese"],
                "what VHMT's student sees in training: all frames, one masked view, or two and no teacher"),
        Key("teacher_depths", "ints", [8, 4, 2], "attention modules of VHMT's teacher between halvings of the frames",
            AT_LEAST_1),
        Key("teacher_decoder_depth", "int", 1, "attention modules of its decoder", AT_LEAST_1),
        _choice("teacher_halving", "haar", ["db4", "sym8", "max", "average"],
                "how the frames are halved: the low band of a wavelet, or pairs pooled"),
        _choice("teacher_mixer", "attention", ["mamba"], "what mixes frames in the teacher's modules"),
        _choice("teacher_enhancement", "tre", ["mlp", "kan", "none"],
                "second half of the teacher's modules: an MLP gated by a temporal KAN, one of them, or neither"),
        Key("teacher_dropout", "float", 0.1, "dropout within the teacher's modules", BELOW_1),
        _choice("tied_bits", "sign", ["zero"], "a bit whose frames tie: +-1 by the sign, or 0 (release)"),
        Key("scan_engine", "text", "auto", "engine of the selective scan"),
        Key("use_checkpoint", "path", None, "checkpoint to start from"),
    ],
    "data": [
        Key("dataset", "name", REQUIRED, "name of the dataset, as folders show it"),
        Key("data_root", "folder", None, "folder of features and artefacts; None: data/<dataset>/"),
        Key("train_feat_path", "paths", REQUIRED, "training features, HDF5 (N, T, F)"),
        Key("test_feat_path", "paths", REQUIRED, "database features"),
        Key("label_path", "paths", REQUIRED, "database labels, .mat or HDF5 (N, classes), multi-hot"),
        Key("query_feat_path", "paths", None, "query features; None: the database queries itself"),
        Key("query_label_path", "paths", None, "query labels; None: the database's"),
        Key("feat_key", "text", "feats", "name of the features inside their HDF5 files"),
        Key("label_key", "text", None, "name of the labels inside label_path; None: found"),
        Key("query_label_key", "text", None, "name of the labels inside query_label_path; None: found"),
        Key("class_name_path", "path", None, "names of the classes, a text file of a line each; None: numbers"),
        Key("frame_shape", "ints", None, "rows, columns (and 3 for RGB) of frames that are pictures in [0, 1]",
            AT_LEAST_1),
        Key("self_retrieval", "bool", None, "queries are the database's own videos; None: if the files are"),
        Key("train_num_sample", "int", None, "training videos expected", AT_LEAST_1),
        Key("test_num_sample", "int", None, "database videos expected", AT_LEAST_1),
        Key("query_num_sample", "int", None, "queries expected", AT_LEAST_1),
        Key("workers", "int", None, "processes that read features", NON_NEGATIVE),
    ],
    "preprocess": [
        Key("preprocess_seed", "int", 1, "seed of clusters and hash centres; runs of several seeds share them",
            Interval(0, 2 ** 32 - 1)),
        Key("latent_dim_pca", "int", 512, "width of the PCA latents", AT_LEAST_1),
        Key("nclusters", "int", 100, "C, clusters and hash centres", AT_LEAST_1),
        Key("num_anchor_neighbours", "int", 5, "nearest anchors kept per video", AT_LEAST_1),
        Key("nanchors", "int", 2000, "M, anchors of the similarity graph (VHMT)", AT_LEAST_1),
        Key("initWithCSQ", "bool", True, "start the hash centres from Hadamard rows"),
        Key("rho", "float", 5e-5, "first penalty of the hash-centre solver", POSITIVE),
        Key("gamma", "float", (1 + 5 ** 0.5) / 2, "dual step of the hash-centre solver", POSITIVE),
        _choice("hash_center_assign", "solver", ["semantic"],
                "which centre goes to which cluster: as solved, or permuted to follow the semantics"),
        Key("latent_feat_path", "path", None, "PCA latents; None, here and below: a file in data_root"),
        Key("anchor_path", "path", None, "k-means anchors"),
        Key("train_assist_path", "path", None, "nearest anchors of each video, the first its pseudo-label"),
        Key("sim_path", "path", None, "similarity matrix of the anchor graph"),
        Key("semantic_center_path", "path", None, "semantic centres"),
        Key("hash_center_path", "path", None, "hash centres of nbits bits"),
        Key("structure_path", "path", None, "anchors of the similarity graph and the nearest of them to each video"),
    ],
    "train": [
        Key("seed", "int", 1, "seed of everything random in training", Interval(0, 2 ** 32 - 1)),
        Key("num_epochs", "int", 350, "epochs", AT_LEAST_1),
        Key("batch_size", "int", 128, "videos per step", Interval(2)),
        _choice("batch_source", "auto", ["host", "device", "file", "stream"],
                "where training features stay: main memory, the GPU, their files (stream: read in whole chunks); auto: "
                "the first that has room"),
        Key("mask_ratio", "float", 0.5, "r, share of a view's frames that are hidden", INSIDE_UNIT),
        Key("alpha", "float", 1.0, "weight of the contrastive loss", NON_NEGATIVE),
        Key("reconstruction_weight", "float", 1.0, "weight of VHMT's reconstruction losses", NON_NEGATIVE),
        Key("structure_weight", "float", 0.1, "weight of VHMT's structure loss", NON_NEGATIVE),
        Key("distill_reconstruction", "float", 1.0, "weight of following the teacher's reconstructions", NON_NEGATIVE),
        Key("distill_attention", "float", 0.1, "weight of following the teacher's attention outputs", NON_NEGATIVE),
        Key("temperature", "float", 0.5, "tau of the contrastive loss", POSITIVE),
        Key("tau_plus", "float", 0.1, "prior of a false negative in the contrastive loss", BELOW_1),
        Key("a_cluster", "float", 0.1, "weight of the centre alignment loss", NON_NEGATIVE),
        Key("temperature_cluster", "float", 0.5, "temperature of the centre alignment loss", POSITIVE),
        _choice("hash_center_mode", "fixed", ["learned"], "solved centres, or a free linear layer (release)"),
        _choice("pseudo_label_update", "normalised", ["frozen", "release"],
                "labels move by the loss's own logits, not at all, or by raw logits (release)"),
        Key("pseudo_label_temperature", "float", 0.05, "temperature of the label update, where normalised", POSITIVE),
        Key("warm_up_epoch", "int", 50, "epochs before the pseudo-labels move", NON_NEGATIVE),
        Key("smoothing_alpha", "float", 0.01, "step of the pseudo-labels towards the prediction", UNIT),
        Key("optimizer_name", "text", "AdamW", "optimiser"),
        Key("schedule", "text", "CosineAnnealingLR", "learning-rate schedule, stepped per epoch"),
        Key("lr", "float", 5e-4, "first learning rate", POSITIVE),
        Key("min_lr", "float", 1e-5, "last learning rate", NON_NEGATIVE),
        Key("weight_decay", "float", 1e-4, "weight decay", NON_NEGATIVE),
        Key("grad_clip", "float", 0.0, "largest norm of the gradient; 0: off", NON_NEGATIVE),
        _choice("amp", "none", ["bf16", "tf32"], "mixed precision; tf32: on CUDA, float32 with products in TF32"),
        Key("early_stop", "int", 0, "evaluations without improvement before stopping; 0: off", NON_NEGATIVE),
        Key("deterministic", "bool", False, "deterministic algorithms only"),
        Key("compile", "bool", False, "compile the steps with torch.compile; the first ones take minutes"),
        Key("cuda_graph", "bool", False, "replay a step's passes as one CUDA graph; it has not run on a GPU yet"),
    ],
    "evaluation": [
        Key("test_batch_size", "int", 128, "videos per step of encoding", AT_LEAST_1),
        Key("map_at", "ints", [5, 20, 40, 60, 80, 100], "the k of mAP@k", AT_LEAST_1),
        Key("eval_every", "int", 20, "epochs between evaluations; 0: only at the end", NON_NEGATIVE),
        _choice("select", "last", ["best_on_test"], "checkpoint kept; the release chose on the test split"),
        _choice("ap_normaliser", "k", ["min_kr", "hits"], "divisor of AP@k: k, min(k, relevant) or its hits"),
    ],
    "output": [
        Key("home_root", "folder", "", "folder that holds checkpoint/ and logs/"),
        Key("save_dir", "folder", None, "folder of checkpoints; None: checkpoint/<dataset>/"),
        Key("file_path", "path", None, "the run's checkpoints; None: <save_dir><model_name>_<nbits>bit"),
        Key("log_path", "path", None, "the run's logs; None: logs/<dataset>/<model_name>_<nbits>bit"),
        Key("run_name", "name", "", "keeps runs apart: file_path and log_path end in _<run_name>"),
        Key("save_every", "int", 1, "epochs between checkpoints", AT_LEAST_1),
    ],
}

SCHEMA: dict[str, Key] = {key.name: replace(key, group=group)
                          for group, keys in _GROUPS.items() for key in keys}


def nearest_key(name: str, candidates: Iterable[str] = SCHEMA) -> str | None:
    """The candidate most like `name`, whatever its case and dashes, or None where none is alike."""
    plain = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.replace("-", "_").lower(), plain, n=1, cutoff=0.5)
    return plain[close[0]] if close else None


def find_key(name: str, origin: str) -> Key:
    """The schema's entry for `name`; a UserError that tells `origin` and the nearest known key otherwise."""
    if name in SCHEMA:
        return SCHEMA[name]
    nearest = nearest_key(name)
    hint = f"did you mean '{nearest}'?" if nearest else "the scripts' --help lists the known keys."
    raise UserError(f"{origin}: unknown key '{name}'; {hint}")


def check_value(key: Key, value: object, origin: str) -> object:
    """`value` in the key's own type: numbers as int or float, paths as str, a single path as a list.

    Raises:
        UserError: a value of another type or out of range; the message names `origin`, the key and the value.
    """
    if value is None and key.default is None:
        return None
    try:
        return _CONVERT[key.kind](key, value)
    except Exception:  # a value may be of a class of its writer's own
        shown = safe_repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise UserError(f"{origin}: {key.name} = {shown}, expected {key.expects}.") from None


def parse_text(key: Key, text: str) -> object:
    """The value a command line means by `text`: a Python literal where the key takes one, else the text."""
    try:
        literal = ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        literal = {"true": True, "false": False}.get(text.lower(), text) if key.kind == "bool" else text
    if literal is None and key.default is None:
        return None
    if key.kind in ("text", "name", "choice", "path", "folder") and not isinstance(literal, str):
        return text
    if key.kind == "paths" and not isinstance(literal, (str, list, tuple)):
        return text
    return literal


def check_values(values: Mapping[str, object], origins: Mapping[str, str], source: str) -> dict[str, object]:
    """All keys of the schema, in its order: `values` checked one by one and together, the rest by default.

    Args:
        values: key -> value as the config files and overrides gave them.
        origins: key -> the file, or the option, that a message about it should name.
        source: what a message about the whole config should name.

    Raises:
        UserError: an unknown or missing key, a wrong value, or two values that do not go together.
    """
    given = {name: check_value(find_key(name, origins[name]), value, origins[name])
             for name, value in values.items()}
    for key in SCHEMA.values():
        if key.name not in given and key.default is REQUIRED:
            raise UserError(f"{source}: '{key.name}' is missing ({key.help}); set it to {key.expects}.")
        given.setdefault(key.name, list(key.default) if isinstance(key.default, list) else key.default)
    _check_together(given, source)
    return {name: given[name] for name in SCHEMA}


def _check_together(values: Mapping, source: str) -> None:
    nbits, nclusters = values["nbits"], values["nclusters"]
    if (nclusters - 1).bit_length() > nbits - 1:
        raise UserError(f"{source}: nclusters = {nclusters} is more than nbits = {nbits} can keep apart; "
                        f"set nclusters to at most {2 ** (nbits - 1)}, or more bits.")
    frames, ratio = values["max_frames"], values["mask_ratio"]
    if int(ratio * frames) < 1:  # it cannot reach `frames`: mask_ratio is below 1
        raise UserError(f"{source}: mask_ratio = {ratio} hides none of max_frames = {frames} frames; "
                        f"set mask_ratio to {1 / frames:.2g} or more.")
    shape = values["frame_shape"]
    if shape and (math.prod(shape) != values["feature_size"] or len(shape) not in (2, 3) or shape[2:] not in ([], [3])):
        raise UserError(f"{source}: frame_shape = {shape} is no picture of feature_size = {values['feature_size']} "
                        "values; set it to [rows, columns] or [rows, columns, 3], or to None.")
    if values["min_lr"] > values["lr"]:
        raise UserError(f"{source}: min_lr = {values['min_lr']} is above lr = {values['lr']}; lower min_lr.")


def safe_repr(value: object) -> str:
    """`repr` of a value from a config, whose own class may fail at it."""
    try:
        return repr(value)
    except Exception:
        return object.__repr__(value)


def _within(key: Key, number: float) -> float:
    if not math.isfinite(number) or (key.range is not None and number not in key.range):
        raise ValueError
    return number


def _int(key: Key, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError
    return int(_within(key, int(value)))


def _float(key: Key, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    return _within(key, float(value))


def _bool(key: Key, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(key: Key, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _name(key: Key, value: object) -> str:
    if not isinstance(value, str) or (not value and key.default != "") or value in (".", ".."):
        raise TypeError
    if not all(letter.isalnum() or letter in "._+=-" for letter in value):
        raise ValueError
    return value


def _choose(key: Key, value: object) -> str:
    if value not in key.choices:
        raise ValueError
    return str(value)


def _path(key: Key, value: object) -> str:
    path = os.fspath(value)  # type: ignore[call-overload]
    if not isinstance(path, str) or (not path and key.default != ""):
        raise TypeError
    return os.path.expanduser(path)


def _several(convert: Callable[[Key, object], object]) -> Callable[[Key, object], list]:
    def convert_all(key: Key, value: object) -> list:
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if not values:
            raise ValueError
        return [convert(key, item) for item in values]
    return convert_all


_CONVERT: dict[str, Callable] = {
    "int": _int, "float": _float, "bool": _bool, "text": _text, "name": _name, "choice": _choose,
    "path": _path, "folder": _path, "paths": _several(_path), "ints": _several(_int)}
