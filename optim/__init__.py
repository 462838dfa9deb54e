"""Optimisers and learning-rate schedules by the names of `torch.optim`."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from utils.errors import UserError

OPTIMIZERS = {"AdamW": torch.optim.AdamW, "Adam": torch.optim.Adam}
STEP_EPOCHS, STEP_FACTOR = 20, 0.9


def build_optimizer(name: str, parameters: Iterable[nn.Parameter], lr: float,
                    weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser over `parameters`, betas (.9, .999), fused.

    Raises:
        UserError: the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer_name '{name}' is unknown. Choose one of: {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[name](parameters, lr=lr, weight_decay=weight_decay, fused=True)


def learning_rate(schedule: str, epoch: int, num_epochs: int, lr: float, min_lr: float) -> float:
    """The rate of epoch `epoch` (from 0), a pure function, so that a resumed run needs no saved schedule.

    `CosineAnnealingLR`: from lr to min_lr over num_epochs (S5VH). `StepLR`: times .9 every 20 epochs, at least
    min_lr (ConMH, BTH). `constant`: lr.

    Raises:
        UserError: the name is unknown.
    """
    if schedule not in SCHEDULES:
        raise UserError(f"schedule '{schedule}' is unknown. Choose one of: {', '.join(SCHEDULES)}.")
    return SCHEDULES[schedule](epoch, num_epochs, lr, min_lr)


def _cosine(epoch: int, num_epochs: int, lr: float, min_lr: float) -> float:
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * epoch / num_epochs)) / 2


def _step(epoch: int, num_epochs: int, lr: float, min_lr: float) -> float:
    return max(min_lr, lr * STEP_FACTOR ** (epoch // STEP_EPOCHS))


def _constant(epoch: int, num_epochs: int, lr: float, min_lr: float) -> float:
    return lr


SCHEDULES = {"CosineAnnealingLR": _cosine, "StepLR": _step, "constant": _constant}
