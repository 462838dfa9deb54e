"""What must be there before a cell trains: its data, and what preprocess.py makes of them."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from dataset.digits import write_digits
from dataset.protocol import check_clusters, open_retrieval, open_train
from tables.grid.cells import Cell, State
from tables.grid.runner import LOG, Runner, timed
from utils.artefacts import assignment_settings, center_settings, cluster_settings, latent_settings
from utils.errors import UserError

# Datasets that need no download, and what writes them into config.data_root.
_SAMPLE_DATA: dict[str, Callable[[str], object]] = {"digits": write_digits}

_DATA_KEYS = ("train_feat_path", "test_feat_path", "query_feat_path", "label_path", "query_label_path")
_ARTEFACTS = {"latent_feat_path": latent_settings, "anchor_path": cluster_settings,
              "train_assist_path": assignment_settings, "semantic_center_path": cluster_settings,
              "hash_center_path": center_settings}
_READ_BY_TRAINING = ("train_assist_path", "hash_center_path")


def provide_data(cells: Iterable[Cell], say: Callable[[str], object]) -> None:
    """Writes sample data that are not there, and opens what each cell will read.

    Raises:
        UserError: data are missing or do not fit the config, as train.py would say.
    """
    for cell in {_data_of(cell): cell for cell in cells}.values():
        config = cell.config
        write = _SAMPLE_DATA.get(config.dataset)
        paths = [path for key in _DATA_KEYS for path in config[key] or ()]
        if write and not all(map(os.path.exists, paths)):
            write(config.data_root)
            say(f"{config.data_root}: sample data written")
        check_clusters(config, open_train(config))
        open_retrieval(config)


def preprocess(cells: Mapping[Cell, State], runner: Runner, say: Callable[[str], object]) -> None:
    """Runs preprocess.py once for each set of artefacts that a cell still to train, or to measure, reads.

    Raises:
        UserError: preprocess.py failed, or two cells need different artefacts in one file.
    """
    sharing: dict[str, list[Cell]] = {}
    for cell in cells:
        sharing.setdefault(json.dumps(_artefacts_of(cell)), []).append(cell)
    first_of_each = [group[0] for group in sharing.values()]
    _check_files(first_of_each)
    for group in sharing.values():
        missing = not all(os.path.exists(group[0].config[key]) for key in _READ_BY_TRAINING)
        if not missing and all(cells[cell] is State.DONE for cell in group):
            continue
        cell = group[0]
        what = f"{cell.dataset}, {cell.bits} bits: preprocess"
        failure = timed(what, say, partial(runner.run, "preprocess.py", cell))
        if failure is not None:
            raise UserError(f"{failure.removeprefix('error: ')} (preprocess.py; all its output is in "
                            f"{cell.log_path / LOG})")


def _data_of(cell: Cell) -> str:
    return json.dumps([cell.config[key] for key in (*_DATA_KEYS, "feature_size", "max_frames", "nclusters")])


def _artefacts_of(cell: Cell) -> dict[str, dict]:
    """Path -> what the artefact there is made from, the files of the features in place of their fingerprint."""
    config = cell.config
    return {config[key]: settings(config, json.dumps(config.train_feat_path)) for key, settings in _ARTEFACTS.items()}


def _check_files(cells: Sequence[Cell]) -> None:
    owners: dict[str, tuple[Cell, dict]] = {}
    for cell in cells:
        for path, made_from in _artefacts_of(cell).items():
            owner, other = owners.setdefault(os.path.realpath(path), (cell, made_from))
            if other != made_from:
                differ = ", ".join(key for key in made_from if made_from[key] != other[key])
                raise UserError(f"{path}: '{owner}' and '{cell}' need this file made differently ({differ}). Give one "
                                "of them a path of its own.")
