"""Batch norm whose means are over the rows of all processes. Letters: B rows of a process, C channels."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dataset.batches import AllRows


@contextmanager
def norms_over(share: AllRows, model: nn.Module) -> Iterator[None]:
    """Within it, the batch norms of `model` in training take mean and variance over the whole batch of `share`, as
    they would in one process; the gradient of both goes back to the rows of all."""
    kinds = {module: type(module) for module in model.modules() if isinstance(module, _BatchNorm)}
    try:
        for module in kinds:
            module.__class__, module.share = _SharedNorm, share  # type: ignore[assignment]
        yield
    finally:
        for module, kind in kinds.items():
            module.__class__ = kind  # type: ignore[assignment]
            del module.share


class _SharedNorm(_BatchNorm):
    share: AllRows

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, ...), in float32 within."""
        if not self.training:
            return super().forward(x)
        assert self.momentum is not None
        axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        with torch.autocast(x.device.type, enabled=False):
            mean = self.share.level(x.float().mean(axes))
            centered = x.float() - mean.view(shape)
            variance = self.share.level(centered.square().mean(axes))
            y = centered * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                y = y * self.weight.view(shape) + self.bias.view(shape)
        with torch.no_grad():
            count = self.share.num_rows(len(x)) * x[0, 0].numel()
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y.to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes will do."""
