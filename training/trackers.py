"""Who is told of a run beside its own files: TensorBoard, Weights & Biases or MLflow, by the key `tracker`.

None of them is needed; each is imported where it is asked for.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from utils.errors import UserError


class Tracker(Protocol):
    """Shows the metrics of a run, epoch by epoch."""

    def record(self, row: Mapping[str, float]) -> None:
        """Takes one epoch's metrics, as `training.run.Run.record`."""

    def close(self) -> None:
        """Ends the run there."""


class _TensorBoard:
    """Events in the log folder, `tensorboard --logdir logs`; a resumed run adds to them."""

    def __init__(self, config, folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder)
        self.close = self._writer.close

    def record(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            self._writer.add_scalar(name, value, row["epoch"])


class _WandB:
    """A run in <log folder>/wandb/, which `wandb sync` uploads; WANDB_MODE=online uploads at once.

    A resumed run is a new one there, with the epochs before.
    """

    def __init__(self, config, folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
        import wandb

        self._run = wandb.init(project=config.dataset, name=folder.name, dir=folder, config=dict(config),
                               mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
                               settings=wandb.Settings(silent=True))
        self.close = self._run.finish
        for row in rows:
            self.record(row)

    def record(self, row: Mapping[str, float]) -> None:
        self._run.log(dict(row), step=int(row["epoch"]))


class _MLflow:
    """A run at MLFLOW_TRACKING_URI, else in <log folder>/mlflow.db. A resumed run is a new one, with the epochs before.

    MLflow's names of metrics have no @: mAP@5 is mAP_at_5.
    """

    def __init__(self, config, folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
        import mlflow

        self._mlflow = mlflow
        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
        mlflow.set_experiment(config.dataset)
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({name: str(value)[:500] for name, value in config.items()})
        self.close = mlflow.end_run
        for row in rows:
            self.record(row)

    def record(self, row: Mapping[str, float]) -> None:
        self._mlflow.log_metrics({name.replace("@", "_at_"): float(value) for name, value in row.items()},
                                 step=int(row["epoch"]))


_TRACKERS: dict[str, tuple[Callable[..., Any], str]] = {
    "tensorboard": (_TensorBoard, "tensorboard"), "wandb": (_WandB, "wandb"), "mlflow": (_MLflow, "mlflow")}


def open_tracker(config, folder: Path, rows: Sequence[Mapping[str, float]]) -> Tracker | None:
    """What `config.tracker` names, for the run whose logs are in `folder`; None where it names none, or TensorBoard,
    the default, and that is not installed.

    Args:
        rows: the epochs of the run before, where it is resumed.

    Raises:
        UserError: the tracker is not installed, or does not take the run.
    """
    if config.tracker not in _TRACKERS:
        return None
    tracker, package = _TRACKERS[config.tracker]
    try:
        return tracker(config, folder, rows)
    except ImportError as error:
        if config.tracker == "tensorboard":
            return None
        raise UserError(f"tracker = '{config.tracker}': it is not installed ({error}). Install it with pip install "
                        f"{package}, or set tracker = 'none'.") from error
    except Exception as error:  # a tracker may raise anything
        reason = " ".join(str(error).split())
        raise UserError(f"tracker = '{config.tracker}': {reason}. Mend that, or set tracker = 'none'.") from error
