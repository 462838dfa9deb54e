"""A run's folders: the log, the metrics of every epoch, the resolved config, the checkpoints."""

import csv
import io
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from utils.checkpoints import BEST, LAST, MODEL, read_checkpoint, write_checkpoint
from utils.errors import UserError
from utils.files import make_folder, write_text

log = logging.getLogger("run")

# Settings that do not change what a run computes, so that a resumed run may differ in them.
FREE_SETTINGS = frozenset({
    "workers", "batch_source", "test_batch_size", "eval_every", "save_every", "early_stop", "map_at", "use_checkpoint",
    "ap_normaliser", "data_root", "home_root", "train_feat_path", "test_feat_path", "query_feat_path", "label_path",
    "query_label_path", "class_name_path", "frame_shape", "train_assist_path", "latent_feat_path",
    "anchor_path", "sim_path", "semantic_center_path", "hash_center_path", "structure_path", "save_dir", "file_path",
    "log_path",
})
# With eval.py's, which would speak of another run.
_LOGS = ("metrics.jsonl", "log.txt", "metrics.json", "map.txt", "report.html")


class Run:
    """The folders of one training run, opened fresh or to continue.

    Args:
        config: the resolved configuration.
        resume: continue from the last checkpoint if there is one.
        restart: discard a run that is there already.

    Raises:
        UserError: the folders hold a run and neither flag is set, or that run was made with other settings.
    """

    def __init__(self, config, *, resume: bool = False, restart: bool = False):
        self.config = config
        self.checkpoints = make_folder(config.file_path)
        self.logs = make_folder(config.log_path)
        last = self.checkpoints / LAST
        if last.exists() and not resume and not restart:
            raise UserError(f"{last}: this run exists already. Add --resume to continue it, --restart to discard "
                            "it, or set run_name to begin another.")
        if restart:
            for path in (*(self.checkpoints / name for name in (LAST, BEST, MODEL)),
                         *(self.logs / name for name in _LOGS)):
                path.unlink(missing_ok=True)
        self.state = read_checkpoint(last) if last.exists() else None
        self._check_settings(last)
        self._rows = self._read_rows()
        self._tensorboard = _tensorboard_writer(self.logs)

    @property
    def first_epoch(self) -> int:
        """The epoch to begin with: 0, or the one after the last checkpoint."""
        return self.state["epoch"] + 1 if self.state else 0

    def begin(self) -> None:
        """Opens log.txt, writes config.py, says where the run goes and what it runs on."""
        self._handler = logging.FileHandler(self.logs / "log.txt", encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logging.getLogger().addHandler(self._handler)
        self.config.dump(self.logs / "config.py")
        log.info("logs %s, checkpoints %s; python %s, torch %s, %d threads", self.logs, self.checkpoints,
                 platform.python_version(), torch.__version__, torch.get_num_threads())
        if self.state:
            log.info("resuming after epoch %d of %d", self.first_epoch, self.config.num_epochs)

    def record(self, row: dict[str, float]) -> None:
        """Adds one epoch's metrics to metrics.jsonl, metrics.csv and TensorBoard where it is installed."""
        self._rows.append(row)
        write_text(self.logs / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self._rows))
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.logs / "metrics.csv", table.getvalue())
        if self._tensorboard:
            for name, value in row.items():
                self._tensorboard.add_scalar(name, value, row["epoch"])

    def save(self, content: dict, name: str = LAST) -> None:
        """Writes last.pth (everything that a resume needs), best.pth or model.pth (the model alone)."""
        write_checkpoint(self.checkpoints / name, content)

    def close(self) -> None:
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()
        if self._tensorboard:
            self._tensorboard.close()

    def _read_rows(self) -> list[dict]:
        """The recorded epochs up to the checkpoint; rows past it will be made again."""
        rows = read_metrics(self.logs) if self.state else []
        return [row for row in rows if row["epoch"] <= self.first_epoch]

    def _check_settings(self, path: Path) -> None:
        if not self.state:
            return
        before = self.state.get("config")
        if before is None:
            raise UserError(f"{path}: not a checkpoint that can be resumed. Use --restart, or load it through "
                            "use_checkpoint.")
        if text := changed_settings(before, self.config):
            raise UserError(f"{path}: this run was made with other settings ({text}). Resume with its own "
                            "settings, or set run_name to begin another run.")


def read_metrics(folder: str | os.PathLike) -> list[dict]:
    """The rows of the metrics.jsonl that a run left in `folder`, one per epoch; none where there is no such file."""
    path = Path(folder) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def changed_settings(before: Mapping[str, object], config) -> str:
    """Up to four settings in which a run made under `before` cannot be continued under `config`; "" if none."""
    now = plain_settings(config)
    changed = [name for name in now if now[name] != before.get(name) and name not in FREE_SETTINGS]
    return ", ".join(f"{name} {before.get(name)!r} -> {now[name]!r}" for name in changed[:4])


def plain_settings(config) -> dict:
    """The config as a dict of plain values, fit for a checkpoint."""
    return {name: list(value) if isinstance(value, (list, tuple)) else value for name, value in config.items()}


def peak_memory() -> float:
    """The most resident memory this process has had so far, in MiB; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    units_per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mib


def log_to_console() -> None:
    """Sends the log's lines to standard output as well."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)


def _tensorboard_writer(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder)
