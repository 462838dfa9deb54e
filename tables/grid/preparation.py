"""What must be there before a cell trains: its data, and what preprocess.py makes of them."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from artefacts.cache import check_split
from dataset.digits import VARIANTS, write_digits
from dataset.protocol import open_retrieval, open_train
from dataset.watch import write_watch
from model import method_class
from tables.grid.artefacts import are_made, artefacts_of
from tables.grid.cells import Cell, State
from tables.grid.runner import LOG, Runner, timed
from utils.config import Config
from utils.errors import UserError

# Datasets that need no download, and what writes them into config.data_root.
_SAMPLE_DATA: dict[str, Callable[[str], object]] = {
    name: partial(write_digits, variant=variant) for name, variant in VARIANTS.items()} | {"watch": write_watch}

_DATA_KEYS = {"train_feat_path": "training features", "test_feat_path": "database features",
              "query_feat_path": "query features", "label_path": "database labels", "query_label_path": "query labels"}


def missing_data(cells: Iterable[Cell]) -> list[str]:
    """A message for each data file of `cells` that is not there and cannot be written: what, where, the fix."""
    messages: dict[str, str] = {}
    for name, source, config in _readers(cells):
        if config.dataset in _SAMPLE_DATA:
            continue
        fix = f"Put it there, or set data_root or {{key}} in {source}"
        if config.dataset in _links():
            link, listed = _links()[config.dataset]
            fix = f"Download it ({link}, which {listed}) or set data_root"
        for key, what in _DATA_KEYS.items():
            for path in config[key] or ():
                if not os.path.exists(path):
                    messages.setdefault(path, f"{path}: not there; {name} has its {what} here. {fix.format(key=key)}.")
    return list(messages.values())


@cache
def _links() -> dict[str, tuple[str, str]]:
    """Dataset -> the public link to its features, and where that is listed: tables/datasets.csv."""
    with open(Path(__file__).parents[1] / "datasets.csv", encoding="utf-8", newline="") as file:
        return {line["dataset"]: (line["link"], line["listed"]) for line in csv.DictReader(file)}


def provide_data(cells: Iterable[Cell], say: Callable[[str], object]) -> None:
    """Writes sample data that are not there, and opens what each cell will read.

    Raises:
        UserError: data are missing or do not fit the config, as train.py would say, or two sample datasets would lie
            in one folder.
    """
    configs = [config for _, _, config in _readers(cells)]
    _check_folders(configs)
    for config in {_data_of(config): config for config in configs}.values():
        write = _SAMPLE_DATA.get(config.dataset)
        paths = [path for key in _DATA_KEYS for path in config[key] or ()]
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
        if config.dataset in _SAMPLE_DATA:
            owner = owners.setdefault(os.path.realpath(config.data_root), config.dataset)
            if owner != config.dataset:
                raise UserError(f"{config.data_root}: {owner} and {config.dataset} have files of the same names. Leave "
                                "data_root to be derived, or name one dataset.")


def _data_of(config: Config) -> str:
    return json.dumps([[config[key] for key in (*_DATA_KEYS, "item_shape")], sorted(artefacts_of(config).items())])


def _check_files(cells: Sequence[Cell]) -> None:
    owners: dict[str, tuple[Cell, dict]] = {}
    for cell in cells:
        for path, made_from in artefacts_of(cell.config).items():
            owner, other = owners.setdefault(os.path.realpath(path), (cell, made_from))
            if other != made_from:
                differ = ", ".join(key for key in made_from if made_from[key] != other[key])
                raise UserError(f"{path}: '{owner}' and '{cell}' need this file made differently ({differ}). Give one "
                                "of them a path of its own.")
