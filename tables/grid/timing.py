"""The time of a training step and of encoding, all networks of a comparison side by side.

Every round times each network once, in turn, so that a busy machine slows all of them; ratios are taken within a
round, and the median over the rounds counts. B videos, T frames, F features.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from dataset.batches import Batch
from dataset.views import frame_views
from model import build_model
from optim import build_optimizer
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
        self.optimizer = build_optimizer(self.config.optimizer_name, self.model.parameters(), self.config.lr,
                                         self.config.weight_decay)
        self.batch = _random_batch(network).to(device)

    def step(self) -> float:
        config = self.config
        self.model.train()
        return self._milliseconds(lambda: training_step(self.model, self.optimizer, self.batch, config.num_epochs - 1,
                                                        amp=config.amp, grad_clip=config.grad_clip))

    def encode(self) -> float:
        self.model.eval()
        with torch.inference_mode():
            return self._milliseconds(lambda: self.model.encode(self.batch.features)) / len(self.batch.index)

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
    random, config = torch.Generator().manual_seed(1), network.config
    num_videos = min(config.batch_size, network.num_videos)
    features = torch.rand(num_videos, config.max_frames, config.feature_size, generator=random)
    masks = frame_views(num_videos, config.max_frames, config.mask_ratio, random)
    return Batch(torch.arange(num_videos), features, masks,
                 torch.rand(num_videos, 2, network.model.num_uniforms, generator=random))


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [median(times) for times in zip(*rounds, strict=True)]


def _ratios(rounds: Sequence[Sequence[float]]) -> list[float]:
    return _medians([[time / each[0] for time in each] for each in rounds])
