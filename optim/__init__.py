"""Optimisers and learning-rate schedules by the names of `torch.optim`, and the step they take."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from optim.graphs import Passes, plain_passes
from utils.distributed import sum_gradients
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


def training_step(model, optimizer: torch.optim.Optimizer, batch, epoch: int, *, amp: str = "none",
                  grad_clip: float = 0.0, passes: Passes = plain_passes) -> Mapping[str, Tensor]:
    """The named losses of one step of a hashing method on `batch`, after descending `total`.

    Where several processes train, all of them take this step, each on its share; losses and gradients are those of
    the whole batch.

    Args:
        model: a hashing method, in training mode. batch, epoch: what its `step_losses` takes.
        amp: `bf16` runs the forward pass under bfloat16 autocast, others do not.
        grad_clip: the norm to which gradients are clipped; 0 leaves them.
        passes: what computes losses and gradients: see `optim.graphs`.
    """
    losses = passes(model, batch, epoch, amp)
    sum_gradients(model.parameters())
    if grad_clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    optimizer.step()
    return losses


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
