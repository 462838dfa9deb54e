"""How far an epoch of training has come: what a run that stops within it needs to go on as if it never had.

A signal is noted until the step in progress is done (`utils.signals.StopRequest`). The checkpoint then holds
`EpochTotals.state` as `unfinished`, beside the method and the optimiser as they are after that step, under the number
of the epoch before.
"""

import hashlib
import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from training.distributed import rank
from utils.errors import UserError

WINDOW = 50  # steps between looks at the losses on a device that works while we go on: a look waits for it


class EpochTotals:
    """The steps done in an epoch and the sums of their losses, from its begin or from what `state` gave.

    A loss that is not finite ends the run: on the CPU at its step, elsewhere within `WINDOW` steps, without waiting
    for the device at every one; the message names its step all the same.

    Args:
        epoch: from 0. rate: the learning rate, for the message. device: where the steps are taken.
        order: (N,) the videos as the epoch goes through them.
        saved: an earlier `state`; torch's generators are set to what they were then, in the first process, whose they
            are. Others must not draw the same: they go on from where they were seeded for the epoch.
        window: steps between looks; None: as said above.

    Raises:
        UserError: `saved` is of another order.
    """

    def __init__(self, epoch: int, rate: float, device: torch.device, order: Tensor,
                 saved: Mapping[str, Any] | None = None, window: int | None = None):
        self.epoch, self.rate, self.device = epoch, rate, device
        self.num_steps = 0
        self._order = hashlib.sha256(order.numpy().tobytes()).hexdigest()
        self._window = window or (1 if device.type == "cpu" else WINDOW)
        self._unseen: list[dict[str, Tensor]] = []
        self._sums: dict[str, Tensor] = {}
        self._started = time.perf_counter()
        if saved:
            if saved["order"] != self._order:
                raise UserError(f"epoch {epoch + 1} was begun with its videos in another order, as batch_source = "
                                "stream has them and the others do not. Resume with the one that it had; log.txt says "
                                "which.")
            self.num_steps = saved["steps"]
            self._sums = {name: value.to(device) for name, value in saved["sums"].items()}
            self._started -= saved["seconds"]
            if rank() == 0:
                _set_generators(device, saved["generators"])

    @property
    def seconds(self) -> float:
        """The time that the epoch has taken, earlier sessions included."""
        return time.perf_counter() - self._started

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Counts a step with these losses.

        Raises:
            UserError: as `check`.
        """
        values = {name: value.detach() for name, value in losses.items()}
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}
        self._unseen.append(values)
        self.num_steps += 1
        if len(self._unseen) >= self._window:
            self.check()

    def check(self) -> None:
        """Looks at the losses of the steps since the last look.

        Raises:
            UserError: one is NaN or Inf.
        """
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        values = torch.stack([value.float() for losses in unseen for value in losses.values()]).tolist()
        size = len(unseen[0])
        for place in range(len(unseen)):
            row = values[place * size:(place + 1) * size]
            if not all(map(math.isfinite, row)):
                text = ", ".join(f"{name} {value:.4g}" for name, value in zip(unseen[0], row, strict=True))
                raise UserError(
                    f"epoch {self.epoch + 1}, step {self.num_steps - len(unseen) + place + 1}: the loss is not finite "
                    f"({text}) at learning rate {self.rate:g}. The last checkpoint is from before this step. Lower lr "
                    "or set grad_clip, with --restart, or with start_from under another run_name.")

    def means(self) -> dict[str, float]:
        """The mean of every loss term over the steps done.

        Raises:
            UserError: as `check`.
        """
        self.check()
        return {name: float(value) / self.num_steps for name, value in self._sums.items()}

    def state(self) -> dict[str, Any]:
        """What `saved` takes, fit for a checkpoint.

        Raises:
            UserError: as `check`.
        """
        self.check()
        return {"steps": self.num_steps, "order": self._order, "seconds": self.seconds,
                "generators": _generators(self.device),
                "sums": {name: value.cpu() for name, value in self._sums.items()}}


def _generators(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's generators, which only what a model draws by itself (dropout) depends on."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def _set_generators(device: torch.device, states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
