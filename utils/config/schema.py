"""Every key a config may hold; and the checks on all values of one together.

The table below is the one place where a key is declared. Adding a key means adding a line.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from utils.config.keys import (
    AT_LEAST_1,
    BELOW_1,
    INSIDE_UNIT,
    NON_NEGATIVE,
    POSITIVE,
    REQUIRED,
    UNIT,
    Interval,
    Key,
    check_value,
)
from utils.errors import UserError


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
