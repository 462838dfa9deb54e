"""Learning rates as pure functions of the epoch, so that a resumed run needs no saved schedule."""

import math

from utils.errors import UserError

STEP_EPOCHS, STEP_FACTOR = 20, 0.9


def learning_rate(schedule: str, epoch: int, num_epochs: int, lr: float, min_lr: float) -> float:
    """The rate of epoch `epoch` (from 0).

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
