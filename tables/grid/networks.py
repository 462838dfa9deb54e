"""What is known of a cell's network before any training, and the shallow codes it is compared with."""

import hashlib
import json
import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from artefacts.cache import load
from dataset.protocol import open_retrieval, open_train
from inference.evaluation import evaluate_baselines, evaluate_retrieval
from inference.evaluation import shallow_codes as fit_shallow
from inference.report import metric_row
from model import initial_model, method_class
from model.contract import HashingMethod
from model.costs.summary import random_items
from tables.grid.cells import Cell
from utils.config import Config
from utils.files.writing import write_text

log = logging.getLogger("tables")


class Network(NamedTuple):
    """A model as training starts from it, on the CPU, with the number of videos it is to train on."""

    config: Config
    model: HashingMethod
    num_videos: int


def untrained_network(cell: Cell) -> Network:
    """The network that train.py starts the cell from, drawn from its seed.

    Raises:
        UserError: data or artefacts are missing; the message names the preprocess command.
    """
    config, train = cell.config, open_train(cell.config)
    command = shlex.join(["python", "preprocess.py", "--config", cell.path, "--set", *cell.settings])
    artefacts = load(method_class(config).artefacts(config), config, train, command=command, log=log.info)
    return Network(config, initial_model(config, len(train), artefacts), len(train))


def before_training(cell: Cell, device: torch.device) -> dict[str, Any]:
    """The untrained network's mAP@k and GmAP, ties in expectation, and its numbers of parameters.

    `encoder_params` are those that the gradient of `encode`'s codes reaches, `all_params` all that the method
    learns. Kept in untrained.json beside the cell's metrics.
    """
    def measure() -> dict[str, Any]:
        model = untrained_network(cell).model.to(device)
        encoder, everything = count_parameters(model, cell.config, device)
        result = evaluate_retrieval(model.encode, open_retrieval(cell.config), cell.config, device)
        return metric_row(result.evaluation, "expected") | {"encoder_params": encoder, "all_params": everything}

    return _cached(cell.config, "untrained.json", measure)


def shallow_codes(config: Config) -> list[dict[str, Any]]:
    """The rows of the shallow baselines on the data of `config`, at its bits and seed. Kept in baselines.json."""
    def measure() -> dict[str, Any]:
        retrieval = open_retrieval(config)
        return {"rows": evaluate_baselines(fit_shallow(open_train(config), retrieval, config), retrieval, config)}

    return _cached(config, "baselines.json", measure)["rows"]


def count_parameters(model: HashingMethod, config, device: torch.device) -> tuple[int, int]:
    """The numbers of parameters that the gradient of the codes reaches, and of all that are learned."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.backends.cudnn.flags(enabled=False):  # its LSTM has no backward pass in eval mode
        codes = model.encode(torch.zeros_like(random_items(config.item_shape, 1)).to(device))
        gradients = torch.autograd.grad(codes.sum(), learned, allow_unused=True)
    reached = (parameter for parameter, gradient in zip(learned, gradients, strict=True) if gradient is not None)
    return sum(parameter.numel() for parameter in reached), sum(parameter.numel() for parameter in learned)


def _cached(config: Config, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measure` gives, from the file `name` of the config's logs where that was written for the same config."""
    path, origin = Path(config.log_path) / name, config.digest()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["config_sha256"] == origin and content["sha256"] == _digest(content["measured"]):
            return content["measured"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # not there, or damaged
        pass
    measured = json.loads(json.dumps(measure()))
    content = {"config_sha256": origin, "sha256": _digest(measured), "measured": measured}
    write_text(path, json.dumps(content, indent=2) + "\n")
    return measured


def _digest(measured: object) -> str:
    return hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()
