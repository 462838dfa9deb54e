"""The time of a training step and of encoding, all networks of a comparison side by side.

Every round times each network once, in turn, so that a busy machine slows all of them; ratios are taken within a
round, and the median over the rounds counts. B videos, T frames, F features.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from dataset.batches import Batch
from dataset.views import EpochDraws
from model import build_model
from model.contract import Step
from model.costs.summary import random_batch
from optim import GroupedOptimizer
from tables.grid.networks import Network
from training.steps import training_step

MIN_ROUNDS, MAX_ROUNDS = 3, 25
PROBED = 16  # videos of a step that is timed for an estimate


@dataclass(frozen=True)
class Times:
    """Milliseconds of a training step and of encoding one video, and both over those of the first network."""

    step: float
    step_ratio: float
    encode: float
    encode_ratio: float


def measure_times(networks: Sequence[Network], device: torch.device, seconds: float) -> list[Times]:
    """The times of the networks, on random videos of the config's shape at its batch size.

    A step is one of the last epoch, so that it moves the pseudo-labels where training does so in the end. The
    weights change. After a round for warming up there are 3 to 25 rounds, fewer where `seconds` have passed.
    """
    subjects = [_Subject(network, device) for network in networks]
    rounds: list[list[tuple[float, float]]] = []
    started = time.perf_counter()
    while len(rounds) < 1 + MIN_ROUNDS or (len(rounds) < 1 + MAX_ROUNDS and time.perf_counter() - started < seconds):
        rounds.append([(subject.step(), subject.encode()) for subject in subjects])
    steps, encodes = ([[one[place] for one in each] for each in rounds[1:]] for place in (0, 1))
    columns = zip(_medians(steps), _ratios(steps), _medians(encodes), _ratios(encodes), strict=True)
    return [Times(*column) for column in columns]


def training_seconds(config, device: torch.device, num_threads: int) -> float:
    """Seconds that a training step takes for each of its videos, on random features, with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        torch.manual_seed(config.seed)
        subject = _Subject(Network(config, build_model(config, PROBED), PROBED), device)
        return min(subject.step() for _ in range(3)) / 1000 / PROBED
    finally:
        torch.set_num_threads(before)


class _Subject:
    """A network with its optimiser and a batch; each call does the thing once and returns its milliseconds."""

    def __init__(self, network: Network, device: torch.device):
        self.config, self.device = network.config, device
        self.model = network.model.to(device)
        groups = [] if self.model.closed_form else self.model.parameter_groups()
        self.optimizer = GroupedOptimizer(groups, self.config) if groups else None
        self.batch = _random_batch(network).to(device)

    def step(self) -> float:
        """NaN where the method has no steps."""
        config, optimizer = self.config, self.optimizer
        if optimizer is None:
            return math.nan
        self.model.train()
        last = Step(config.num_epochs - 1, config.num_epochs, torch.tensor(0, device=self.device), 1)
        return self._milliseconds(lambda: training_step(self.model, optimizer, self.batch, last, amp=config.amp,
                                                        grad_clip=config.grad_clip))

    def encode(self) -> float:
        self.model.eval()
        with torch.inference_mode():
            return self._milliseconds(lambda: self.model.encode(self.batch.items)) / len(self.batch.index)

    def _milliseconds(self, action: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        action()
        self._wait()
        return 1000 * (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _random_batch(network: Network) -> Batch:
    draws = EpochDraws(1, 0, min(network.config.batch_size, network.num_videos), network.model.draws())
    return random_batch(network.config, draws, torch.Generator().manual_seed(1))


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [median(times) for times in zip(*rounds, strict=True)]


def _ratios(rounds: Sequence[Sequence[float]]) -> list[float]:
    return _medians([[time / each[0] for time in each] for each in rounds])
