"""The training split as methods see it that look at all of it, before an epoch or to be fitted."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dataset.batches import Batch, BatchSource
from model.contract import Score

BATCH = 256


class SourceItems:
    """All items of a source, batch by batch in their order, on a device: `model.contract.TrainingItems`."""

    def __init__(self, source: BatchSource, labels: Tensor | None, device: torch.device,
                 groups: np.ndarray | None = None, score: Score | None = None):
        self._source, self._device, self.groups, self.score = source, device, groups, score
        self.labels = None if labels is None else labels.to(device)

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """(index (B,) int64, items (B, ...)), videos as float32, on the device."""
        for index in torch.arange(len(self)).split(size):
            batch = Batch(index, self._source.batch(index)).to(self._device)
            yield batch.index, batch.items
