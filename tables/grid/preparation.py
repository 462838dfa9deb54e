"""What must be there before a cell trains: its data, and what preprocess.py makes of them."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from artefacts.cache import check_split
from dataset.missing import DATA_KEYS, SAMPLES, missing_files
from dataset.protocol import open_retrieval, open_train
from model import method_class
from tables.grid.artefacts import are_made, artefacts_of
from tables.grid.cells import Cell, State
from tables.grid.runner import LOG, Runner, timed
from utils.config import Config
from utils.errors import UserError


def missing_data(cells: Iterable[Cell]) -> list[str]:
    """The `missing_files` of all `cells`, one for a path; but for sample data, which reproduce.py writes."""
    found: dict[str, str] = {}
    for name, source, config in _readers(cells):
        for message in missing_files(config, name, source) if config.dataset not in SAMPLES else ():
            found.setdefault(message.partition(": ")[0], message)
    return list(found.values())


def provide_data(cells: Iterable[Cell], say: Callable[[str], object]) -> None:
    """Writes sample data that are not there, and opens what each cell will read.

    Raises:
        UserError: data are missing or do not fit the config, as train.py would say, or two sample datasets would lie
            in one folder.
    """
    configs = [config for _, _, config in _readers(cells)]
    _check_folders(configs)
    for config in {_data_of(config): config for config in configs}.values():
        write = SAMPLES.get(config.dataset)
        paths = [path for key in DATA_KEYS for path in config[key] or ()]
        if write and not all(map(os.path.exists, paths)):
            write(config.data_root)
            say(f"{config.data_root}: sample data written")
        check_split(method_class(config).artefacts(config), config, open_train(config))
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


def _readers(cells: Iterable[Cell]) -> Iterator[tuple[str, str, Config]]:
    """For each cell, then for what it is transferred to: the dataset as users name it, its config file, its config."""
    for cell in cells:
        yield cell.dataset, cell.path, cell.config
        if cell.transferred is not None:
            yield Path(cell.other or "").stem, str(cell.other), cell.transferred


def _check_folders(configs: Iterable[Config]) -> None:
    owners: dict[str, str] = {}
    for config in configs:
        if config.dataset in SAMPLES:
            owner = owners.setdefault(os.path.realpath(config.data_root), config.dataset)
            if owner != config.dataset:
                raise UserError(f"{config.data_root}: {owner} and {config.dataset} have files of the same names. Leave "
                                "data_root to be derived, or name one dataset.")


def _data_of(config: Config) -> str:
    return json.dumps([[config[key] for key in (*DATA_KEYS, "item_shape")], sorted(artefacts_of(config).items())])


def _check_files(cells: Sequence[Cell]) -> None:
    owners: dict[str, tuple[Cell, dict]] = {}
    for cell in cells:
        for path, made_from in artefacts_of(cell.config).items():
            owner, other = owners.setdefault(os.path.realpath(path), (cell, made_from))
            if other != made_from:
                differ = ", ".join(key for key in made_from if made_from[key] != other[key])
                raise UserError(f"{path}: '{owner}' and '{cell}' need this file made differently ({differ}). Give one "
                                "of them a path of its own.")
