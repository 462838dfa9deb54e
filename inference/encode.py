"""Real codes of a set of items, batch by batch. N items, T frames, F features, K bits, B batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from utils.ahead import read_ahead

FRAMES_ON_CPU = 2048  # what a call then touches stays in the caches and in memory the process has already
FRAMES_ELSEWHERE = 8192  # memory is bounded by it, however long the videos


class Features(Protocol):
    """What encoding needs of `dataset.features.VideoFeatures`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, T, F), or (N, rows, columns, channels) of pictures."""

    def blocks(self, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, (<= num_rows, T, F) float32, or uint8 of pictures) pairs that cover rows 0 to N in order."""


class Part:
    """The items `start` to `stop` of `features`."""

    def __init__(self, features, start: int, stop: int) -> None:
        self._features, self._start, self._stop = features, start, stop
        self.extraction: str = getattr(features, "extraction", "")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._stop - self._start, *self._features.shape[1:]

    def blocks(self, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(self._start, self._stop, num_rows):
            yield start - self._start, self._features.rows(np.arange(start, min(start + num_rows, self._stop)))


def shard(num_items: int, at_once: int, number: int, count: int) -> tuple[int, int]:
    """Where the share `number`, from 1 on, of `count` starts and stops: whole calls of `at_once` items, as even as that
    allows, so that its codes are those of encoding all.

    Raises:
        ValueError: there are fewer calls than shares.
    """
    calls = -(-num_items // at_once)
    if calls < count:
        raise ValueError(f"{num_items} items are encoded {at_once} at a time, so at most {calls} shares have any")
    return calls * (number - 1) // count * at_once, min(calls * number // count * at_once, num_items)


def frames_at_once(device: torch.device | str) -> int:
    """The most frames that a call of `encode` sees, unless one video has more."""
    return FRAMES_ON_CPU if torch.device(device).type == "cpu" else FRAMES_ELSEWHERE


def items_at_once(item_shape: Sequence[int], device: torch.device | str) -> int:
    """The most items of that shape that a call of `encode` sees: videos by their frames, pictures as one frame each."""
    return max(1, frames_at_once(device) // (item_shape[0] if len(item_shape) == 2 else 1))


def encode_features(encode: Callable[[torch.Tensor], torch.Tensor], features: Features, *,
                    batch_size: int, device: torch.device | str, amp: str = "none",
                    progress: Callable[[int], object] | None = None,
                    convert: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """h (N, K) float32 of every video of `features`, in its order.

    Args:
        encode: maps items on `device`, float32 (B, T, F) or pictures, to real codes (B, K). Putting the model into
            eval mode is the caller's part; gradients are off here.
        batch_size: most videos per call; fewer at the end and where they have more frames than `frames_at_once`. The
            next batch is read meanwhile.
        amp: `bf16` runs `encode` under bfloat16 autocast, others do not.
        progress: called after each batch with the number of videos in it (a tqdm bar's `update`).
        convert: called with h of each batch; its rows are returned in h's place, and h is not kept.

    Raises:
        ValueError: `features` is empty, or `encode` returns another shape than (B, K).
    """
    num_videos = features.shape[0]
    if num_videos == 0:
        raise ValueError("there are no videos to encode.")
    parts = []
    with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp == "bf16"):
        num_rows = min(batch_size, items_at_once(features.shape[1:], device))
        for _, block in read_ahead(features.blocks(num_rows)):
            # A block may be a read-only view of the file; torch wants memory it could write to.
            dtype = None if block.dtype == np.uint8 else np.float32
            part = encode(torch.from_numpy(np.require(block, dtype, ["C", "W"])).to(device))
            if part.ndim != 2 or len(part) != len(block):
                raise ValueError(f"encode returned {tuple(part.shape)} for {len(block)} videos; "
                                 f"({len(block)}, K) was expected.")
            h = part.float().cpu().numpy()
            parts.append(h if convert is None else convert(h))
            if progress is not None:
                progress(len(block))
    rows = np.concatenate(parts)
    assert len(rows) == num_videos
    return rows
