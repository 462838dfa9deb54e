"""One step of training."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer

from dataset.batches import Batch
from model.contract import HashingMethod, Step
from optim import GroupedOptimizer
from training.distributed import sum_gradients
from training.graphs import Passes, plain_passes


def training_step(model: HashingMethod, optimizer: Optimizer | GroupedOptimizer, batch: Batch, step: Step, *,
                  amp: str = "none", grad_clip: float = 0.0, passes: Passes = plain_passes) -> Mapping[str, Tensor]:
    """The named losses of one step of a hashing method on `batch`, after descending `total`.

    Where several processes train, all of them take this step, each on its share; losses and gradients are those of
    the whole batch.

    Args:
        model: in training mode. optimizer: of torch, or a `GroupedOptimizer`. batch, step: what `step_losses` takes.
        amp: `bf16` runs the forward pass under bfloat16 autocast, others do not.
        grad_clip: the norm to which gradients are clipped; 0 leaves them.
        passes: what computes losses and gradients: see `training.graphs`.
    """
    losses = passes(model, batch, step, amp)
    sum_gradients(model.parameters())
    if grad_clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    optimizer.step()
    return losses
