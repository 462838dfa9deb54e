"""The files that preprocess.py makes for a cell: what each is made from, and paths that keep different ones apart."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from artefacts.preprocessing import GRAPH, LABELS_AND_CENTERS
from artefacts.store import (
    assignment_settings,
    center_settings,
    cluster_settings,
    latent_settings,
    structure_settings,
)
from model import method_class
from utils.config import Config

_MadeFrom = Mapping[str, Callable[[Config, str], dict]]

# What preprocess.py makes together, for any of these names: path key -> what the file is made from; which are read.
_FAMILIES: tuple[tuple[frozenset[str], _MadeFrom, tuple[str, ...]], ...] = (
    (LABELS_AND_CENTERS, {"latent_feat_path": latent_settings, "anchor_path": cluster_settings,
                          "train_assist_path": assignment_settings, "semantic_center_path": cluster_settings,
                          "hash_center_path": center_settings}, ("train_assist_path", "hash_center_path")),
    (GRAPH, {"latent_feat_path": latent_settings, "structure_path": structure_settings}, ("structure_path",)),
)


def artefacts_of(config: Config) -> dict[str, dict]:
    """Path -> what the artefact there is made from, the files of the features in place of their fingerprint."""
    features = json.dumps(config.train_feat_path)
    return {config[key]: made_from(config, features) for key, made_from in _files(config).items()}


def are_made(config: Config) -> bool:
    """Whether every artefact that training reads is there, whatever it was made from."""
    return all(os.path.exists(config[key]) for _, read in _families(config) for key in read)


def own_paths(config: Config, plain: Config) -> dict[str, str]:
    """Path key -> path of its own, for each artefact that `config` makes otherwise than `plain` does in the same place.

    The name says what differs (final_train_anchors_nclusters=50.h5), so that all who need the same share it.
    """
    paths = {}
    for key, made_from in _files(config).items():
        ours, theirs = made_from(config, ""), made_from(plain, "")
        ending = "".join(f"_{name}={value}" for name, value in ours.items() if value != theirs[name])
        if ending and config[key] == plain[key]:
            path = Path(config[key])
            paths[key] = str(path.with_name(f"{path.stem}{ending}{path.suffix}"))
    return paths


def _families(config: Config) -> list[tuple[_MadeFrom, tuple[str, ...]]]:
    needed = method_class(config).required_artefacts(config)
    return [(made_from, read) for names, made_from, read in _FAMILIES if names.intersection(needed)]


def _files(config: Config) -> _MadeFrom:
    return {key: made_from for files, _ in _families(config) for key, made_from in files.items()}
