"""The cells of a table and how far each has come. A cell is one row, dataset, code length and seed.

It is a run of its own, named <table>_<row>_seed<seed>, which the scripts make as child processes with --set. It is
done when its metrics.json is that of the finished run of exactly its config. A done cell is never run again, one that
was cut short continues, and one that was made with other settings is refused without --restart.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dataset.protocol import on_other_data
from tables import Row, Table
from tables.grid.artefacts import own_paths
from training.checkpoints import LAST, chosen_checkpoint, read_checkpoint
from training.run import changed_settings, differing_settings
from utils.config import Config, load_config
from utils.config.loading import read_dump
from utils.config.values import run_ending
from utils.errors import UserError
from utils.registry import METHODS, MIXERS

_REFUSED = {
    "nbits": "the grid sets this; use --bits.",
    "seed": "the grid sets this; use --seeds.",
    "run_name": "the grid sets this; set home_root to keep its runs elsewhere.",
    **dict.fromkeys(("start_from", "use_checkpoint"), "a cell starts from its seed; leave it out."),
}
_NAMES = ("run_name", "file_path", "log_path")
_ONE = 1 + 1e-9  # a metric of at most 1, as means of it round


@dataclass(frozen=True, eq=False)
class Cell:
    """One run: `config` is what the file `path` resolves to under `overrides` (key -> text).

    `other` is the config file of the dataset that its network is evaluated on as well, and `transferred` what eval.py
    makes of the two.
    """

    row: Row
    dataset: str
    path: str
    overrides: Mapping[str, str]
    config: Config
    other: str | None = None
    transferred: Config | None = None

    @property
    def bits(self) -> int:
        return self.config.nbits

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def settings(self) -> list[str]:
        """The overrides as --set takes them."""
        return [f"{key}={text}" for key, text in self.overrides.items()]

    @property
    def log_path(self) -> Path:
        """The folder of the cell's logs and metrics."""
        return Path(self.config.log_path)

    @property
    def group(self) -> tuple[str, int]:
        """What a cell is compared within: (dataset, bits)."""
        return self.dataset, self.bits

    def __str__(self) -> str:
        return f"{self.dataset}, {self.bits} bits, {self.row.label}, seed {self.seed}"


class State(StrEnum):
    """How far a cell has come; OTHER: a run made with other settings is in its place."""

    DONE = "done"
    PART = "part"
    MISSING = "missing"
    OTHER = "other settings"


def missing_configs(table: Table, folder: str, datasets: Sequence[str]) -> list[str]:
    """The config files that `table` needs on `datasets` and `folder` does not have."""
    needed = [*datasets, *(table.transfer[dataset] for dataset in datasets if dataset in table.transfer)]
    paths = dict.fromkeys(_config_path(folder, row, dataset) for row in table.rows for dataset in needed)
    return [path for path in paths if not os.path.isfile(path)]


def expand(name: str, table: Table, *, folder: str, datasets: Sequence[str], bits: Sequence[int] | None = None,
           num_seeds: int = 1, settings: Mapping[str, str] | None = None,
           files: Mapping[str, str] | None = None) -> list[Cell]:
    """The cells of the table `name`, in its order: datasets, code lengths, rows, seeds 1 to `num_seeds`.

    A row that comes to the same settings as an earlier one on a dataset is left out there. Where nothing is trained,
    cells have neither seeds nor runs.

    Args:
        folder: of the configs, <folder>/<row.model>/<dataset>.py.
        bits: code lengths; None: the table's, and where it has none, each config's own.
        settings: key -> text, set for every cell before anything is derived.
        files: dataset -> a config that stands for those of all rows, each over the row's own mixer.

    Raises:
        UserError: a setting that the table makes itself, two cells in one folder, a row of another method than that
            of its config in `files`, or as `load_config`.
    """
    settings = dict(settings or {})
    _check_settings(settings, table)
    lengths: list[dict[str, str]] = [{"nbits": str(length)} for length in bits or table.bits] or [{}]
    cells: list[Cell] = []
    for dataset in datasets:
        file = (files or {}).get(dataset)
        other = None if file else table.transfer.get(dataset)
        for length in lengths:
            group: dict[str, Cell] = {}
            for row in table.rows:
                path = file or _config_path(folder, row, dataset)
                own = (_of_row(row, file) if file else {}) | {key: str(value) for key, value in row.settings.items()}
                for seed in range(1, num_seeds + 1):
                    run = {"seed": str(seed), "run_name": f"{name}_{row.name}_seed{seed}"} if table.trained else {}
                    overrides = {**settings, **own, **length, **run}
                    cell = _cell(row, dataset, path, overrides, {**settings, **length},
                                 _config_path(folder, row, other) if other else None)
                    group.setdefault(_without_names(cell.config), cell)
            cells += group.values()
    if table.trained:
        _check_folders(cells)
    return cells


def evaluation(config: Config, transferred: Config | None = None) -> dict[str, Any] | None:
    """What eval.py left in metrics.json of the finished run of exactly this config; None: nothing like that.

    With `transferred`, of its evaluation on those data.
    """
    saved, measured = _saved_settings(config), transferred or config
    if saved is None or differing_settings(saved, config):
        return None
    try:
        metrics = json.loads((Path(measured.log_path) / "metrics.json").read_text(encoding="utf-8"))
        details, ks = metrics["details"], {str(k) for k in config.map_at}
        whole = all(0 <= value <= _ONE for ties in ("expected", "index") for value in (
            *(metrics["map_at"][ties][k] for k in ks), metrics["gmap"][ties])) and all(
                math.isfinite(metrics["rss_map"][ties]) for ties in ("expected", "index"))
        same = (details["checkpoint"] == str(chosen_checkpoint(config)) and set(metrics["map_at"]["expected"]) == ks
                and details["config_sha256"] == measured.digest() and metrics["normaliser"] == config.ap_normaliser
                and not details.get("extended_from"))
        return metrics if whole and same and _is_final(config, details["epoch"]) else None
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError):  # not there, or damaged
        return None


def state(config: Config, transferred: Config | None = None) -> State:
    """How far the run of `config` has come, its evaluation on other data included where there is one."""
    if evaluation(config) and (transferred is None or evaluation(config, transferred)):
        return State.DONE
    if not (Path(config.file_path) / LAST).exists():
        return State.MISSING
    return State.OTHER if other_settings(config) else State.PART


def other_settings(config: Config) -> str:
    """In what the run in the place of `config` was made otherwise, so that it cannot be continued; or ""."""
    saved = _saved_settings(config)
    return changed_settings(saved, config) if saved is not None else ""


def _config_path(folder: str, row: Row, dataset: str) -> str:
    return os.path.join(folder, row.model, f"{dataset}.py")


def _of_row(row: Row, path: str) -> dict[str, str]:
    """The overrides by which the config at `path` is one of `row`: of its own method, or that over another mixer."""
    config, mixer = load_config(path), row.model.lower()
    if mixer in MIXERS.names():
        return {"model_name": row.model, "mixer": mixer}
    if mixer not in (config.method, METHODS.load(config.method).title.lower()):
        raise UserError(f"{path}: the row '{row.name}' is of {row.model}, which this config of {config.method} cannot "
                        f"stand for. Leave it out with --rows, or name a folder with {row.model}/<dataset>.py by "
                        "--configs.")
    return {} if config.mixer == MIXERS.default else {"model_name": row.model, "mixer": MIXERS.default}


def _cell(row: Row, dataset: str, path: str, overrides: Mapping[str, str], shared: Mapping[str, str],
          other: str | None) -> Cell:
    """The cell, with paths of its own for artefacts that the row makes otherwise than under the `shared` settings."""
    config = load_config(path, overrides)
    if row.settings and (own := own_paths(config, load_config(path, shared))):
        overrides = {**overrides, **own}
        config = load_config(path, overrides)
    transferred = None if other is None else on_other_data(config, load_config(other), other)
    return Cell(row, dataset, path, overrides, config, other, transferred)


def _without_names(config: Config) -> str:
    """The text of all that a run of `config` depends on: not what it and its folders are called."""
    return Config({**config, **dict.fromkeys(_NAMES)}).as_text()


def _check_settings(settings: Mapping[str, str], table: Table) -> None:
    of_rows = {key: "the rows of this table set it each in their own way; leave it out."
               for row in table.rows for key in row.settings}
    for key, fix in (_REFUSED | of_rows).items():
        if key in settings:
            raise UserError(f"--set {key}: {fix}")


def _check_folders(cells: Sequence[Cell]) -> None:
    owners: dict[str, Cell] = {}
    for cell in cells:
        for path in (cell.config.file_path, cell.config.log_path):
            owner = owners.setdefault(os.path.realpath(path), cell)
            if owner is not cell:
                raise UserError(f"{path}: two cells would share this folder ({owner}; {cell}). Name each dataset and "
                                "length once, and leave file_path and log_path to be derived.")


def _saved_settings(config: Config) -> dict[str, object] | None:
    """The settings that the run in the place of `config` wrote down, its folders as `config` has them."""
    path = Path(config.log_path) / "config.py"
    try:
        saved = read_dump(path) if path.exists() else None
    except UserError:  # damaged: not the config of this cell
        return None
    ending = run_ending(config.run_name)
    return saved and saved | {name: f"{saved.get(name)}{ending}" for name in ("file_path", "log_path")}


def _is_final(config: Config, epoch: int | None) -> bool:
    """Whether an evaluation after `epoch` epochs is that of the finished run, which may have stopped early."""
    if epoch == config.num_epochs:
        return True
    try:
        last = read_checkpoint(Path(config.file_path) / LAST)
        chosen = read_checkpoint(chosen_checkpoint(config))
    except UserError:
        return False
    return bool(last.get("finished")) and epoch == chosen.get("epoch", -1) + 1
