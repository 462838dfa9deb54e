"""The files that preprocess.py makes for a cell: what each is made from, and paths that keep different ones apart."""

import json
import os
from pathlib import Path
from typing import Any

from artefacts.artefact import Artefact, closure, made_from
from artefacts.places import candidates
from model import method_class
from utils.config import Config


def artefacts_of(config: Config) -> dict[str, dict]:
    """Path -> what the artefact there is made from, the files of the features in place of their fingerprint."""
    return {artefact.path(config): _made_from(artefact, config, json.dumps(config.train_feat_path))
            for artefact in _closure(config)}


def are_made(config: Config) -> bool:
    """Whether every artefact that training reads is there, whatever it was made from."""
    return all(any(map(os.path.exists, candidates(artefact, config)))
               for artefact in method_class(config).artefacts(config))


def own_paths(config: Config, plain: Config) -> dict[str, str]:
    """Path key -> path of its own, for each artefact that `config` makes otherwise than `plain` does in the same place.

    The name says what differs (final_train_anchors_nclusters=50.h5), so that all who need the same share it.
    """
    paths = {}
    common = {artefact.name for artefact in _closure(plain)}
    for artefact in (one for one in _closure(config) if one.name in common):
        ours, theirs = (_made_from(artefact, of, "") for of in (config, plain))
        ending = "".join(f"_{name}={value}" for name, value in ours.items() if value != theirs.get(name))
        if ending and artefact.path(config) == artefact.path(plain):
            path = Path(artefact.path(config))
            paths[artefact.path_key] = str(path.with_name(f"{path.stem}{ending}{path.suffix}"))
    return paths


def _closure(config: Config) -> list[Artefact]:
    return closure(method_class(config).artefacts(config), config)


def _made_from(artefact: Artefact, config: Config, features: str) -> dict[str, Any]:
    files = "+".join(Path(path).stem for path in config.train_label_path or ())
    return made_from(artefact, config, features, f"{files}-{config.train_label_share:g}")
