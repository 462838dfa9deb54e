"""Memory for batches that is used again."""

import weakref
from collections import deque

import numpy as np
import torch


class Buffers:
    """Tensors for batches, their memory used again once nothing refers to it any more.

    The system hands out fresh memory page by page, cleared: that takes longer than copying a batch into it.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._row_shape, self._dtype = row_shape, dtype
        self._free: deque[np.ndarray] = deque(maxlen=3)  # one in use, one being filled, one about to be let go

    def take(self, num_rows: int) -> torch.Tensor:
        """(num_rows, *row_shape), its values left over from anything. Any view of it keeps the memory from others."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = None
        if memory is None or len(memory) < num_rows:
            memory = np.empty((num_rows, *self._row_shape), self._dtype)  # in huge pages, unlike torch's
        lent = memory[:num_rows]
        weakref.finalize(lent, self._free.append, memory).atexit = False
        return torch.from_numpy(lent)
