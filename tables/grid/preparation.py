"""What must be there before a cell trains: its data, and what preprocess.py makes of them."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from dataset.digits import write_digits
from dataset.protocol import check_clusters, open_retrieval, open_train
from tables.grid.artefacts import are_made, artefacts_of
from tables.grid.cells import Cell, State
from tables.grid.runner import LOG, Runner, timed
from utils.errors import UserError

# Datasets that need no download, and what writes them into config.data_root.
_SAMPLE_DATA: dict[str, Callable[[str], object]] = {"digits": write_digits}

_RELEASED = ("activitynet", "fcv", "hmdb", "ucf")  # datasets whose files the README of the S5VH release links
_DATA_KEYS = {"train_feat_path": "training features", "test_feat_path": "database features",
              "query_feat_path": "query features", "label_path": "database labels", "query_label_path": "query labels"}


def missing_data(cells: Iterable[Cell]) -> list[str]:
    """A message for each data file of `cells` that is not there and cannot be written: what, where, the fix."""
    messages: dict[str, str] = {}
    for cell in cells:
        config = cell.config
        if config.dataset in _SAMPLE_DATA:
            continue
        fix = ("Download it (the README of the S5VH release lists the link) or set data_root"
               if config.dataset in _RELEASED else f"Put it there, or set data_root or {{key}} in {cell.path}")
        for key, what in _DATA_KEYS.items():
            for path in config[key] or ():
                if not os.path.exists(path):
                    messages.setdefault(path, f"{path}: not there; {cell.dataset} has its {what} here. "
                                              f"{fix.format(key=key)}.")
    return list(messages.values())


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
        sharing.setdefault(json.dumps(artefacts_of(cell.config)), []).append(cell)
    first_of_each = [group[0] for group in sharing.values()]
    _check_files(first_of_each)
    for group in sharing.values():
        cell = group[0]
        if are_made(cell.config) and all(cells[cell] is State.DONE for cell in group):
            continue
        what = f"{cell.dataset}, {cell.bits} bits: preprocess"
        failure = timed(what, say, partial(runner.run, "preprocess.py", cell))
        if failure is not None:
            raise UserError(f"{failure.removeprefix('error: ')} (preprocess.py; all its output is in "
                            f"{cell.log_path / LOG})")


def _data_of(cell: Cell) -> str:
    return json.dumps([cell.config[key] for key in (*_DATA_KEYS, "feature_size", "max_frames", "nclusters")])


def _check_files(cells: Sequence[Cell]) -> None:
    owners: dict[str, tuple[Cell, dict]] = {}
    for cell in cells:
        for path, made_from in artefacts_of(cell.config).items():
            owner, other = owners.setdefault(os.path.realpath(path), (cell, made_from))
            if other != made_from:
                differ = ", ".join(key for key in made_from if made_from[key] != other[key])
                raise UserError(f"{path}: '{owner}' and '{cell}' need this file made differently ({differ}). Give one "
                                "of them a path of its own.")
