"""Steps of training, and configs, for tests that make them by hand."""

from types import SimpleNamespace

import torch

from model.contract import Step
from utils.registry import METHODS


def step(epoch: int = 0, index: int = 0, num_epochs: int = 25, num_steps: int = 4) -> Step:
    """Step `index` of epoch `epoch`."""
    return Step(epoch, num_epochs, torch.tensor(index), num_steps)


def config_of(**settings) -> SimpleNamespace:
    """The settings of a method, the others of its keys as by default; nothing is checked."""
    return SimpleNamespace(**{key.name: key.default for key in METHODS.load(settings["method"]).KEYS} | settings)
