"""Networks that an artefact is made with: trained by preprocess, in a run folder of their own."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from artefacts.cache import Fit, provide
from dataset.features import VideoFeatures
from dataset.protocol import open_train
from model.contract import HashingMethod
from training.checkpoints import LAST, read_checkpoint
from training.run import changed_settings, open_run
from training.trainer import Trainer
from utils.config import Config
from utils.config.loading import resolved
from utils.config.schema import schema_of
from utils.errors import UserError
from utils.registry import METHODS, plain_name


def fitting(config, device: torch.device, command: str, *, force: bool = False,
            log: Callable[[str], None] = print) -> Fit:
    """What `artefacts.cache.provide` takes as `fit` for the artefacts of `config`.

    Args:
        command: the preprocess command, which also continues what a signal has stopped.
        force: train anew what is trained already.
    """
    return partial(_fit, config, device, command, force, log)


def _fit(config, device: torch.device, command: str, force: bool, log: Callable[[str], None], method: str,
         overrides: Mapping[str, object], folder: Path) -> HashingMethod:
    """The method, trained on the training split of `config` under `overrides`, in eval mode; its run lies in `folder`.

    A run of the same settings and features goes on, or is taken as it is where it is finished; another is discarded.
    """
    own = _own_config(config, method, overrides, folder)
    split, artefacts = open_train(own), METHODS.load(own.method).artefacts(own)
    provide(artefacts, own, split, device=device, fit=fitting(own, device, command, log=log), command=command, log=log)
    trainer = Trainer(own, device, preprocess=command, resume=lambda: command)
    restart = force or _is_other(folder / LAST, own, trainer.features)
    log(f"{folder}: training {plain_name(method)}")
    with open_run(own, resume=not restart, restart=restart) as run:
        trainer.fit(run)
    return trainer.model.eval()


def _own_config(config, method: str, overrides: Mapping[str, object], folder: Path) -> Config:
    """`config` for another method, under `overrides`, with the run's folders in `folder`."""
    given = {"model_name": plain_name(method), **overrides, "method": method, "file_path": str(folder),
             "log_path": str(folder / "logs"), "run_name": "", "use_checkpoint": None, "start_from": None}
    known, source = schema_of({**config, **given}), f"the fit of {plain_name(method)}"
    kept = {name: value for name, value in config.items() if name in known}
    return resolved(kept | given, defaultdict(lambda: source), source)


def _is_other(path: Path, config, features: VideoFeatures) -> bool:
    """Whether the run whose last checkpoint is at `path` cannot be continued."""
    if not path.exists():
        return False
    try:
        state = read_checkpoint(path)
    except UserError:
        return True
    other = not features.matches(str(state.get("features"))) or changed_settings(state.get("config", {}), config)
    return bool(other)
