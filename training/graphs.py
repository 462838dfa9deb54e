"""The forward and backward passes of a step as one CUDA graph, where that works.

A step launches some hundred kernels, most of them shorter than their launch. Recorded once, they are replayed
by a single one. The optimiser stays outside: its fused step is one launch, and the rate may change. `cuda_graph = True`
asks for it; it takes one process alone, and has not run on a GPU yet, so it is off by default.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from dataset.batches import Batch
from model.contract import HashingMethod, Step

WARM_UP = 3  # steps of an epoch before recording, as they are: libraries and Triton's compiler come up in them
TOLERANCE = 1e-2  # of a replay's gradients from those of the same passes as they are, both as one vector

Passes = Callable[..., Mapping[str, Tensor]]


def plain_passes(model: HashingMethod, batch: Batch, step: Step, amp: str) -> Mapping[str, Tensor]:
    """The losses of `model.step_losses`, and their gradients where parameters keep them."""
    with torch.autocast(batch.items.device.type, torch.bfloat16, enabled=amp == "bf16"):
        losses = model.step_losses(batch, step)
    for parameter in model.parameters():
        parameter.grad = None
    losses["total"].backward()
    return losses


def record_on_cuda(passes: Callable[[], None]) -> Callable[[], None]:
    """What replays `passes`, which themselves run on the GPU when it does and not before."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        passes()
    return graph.replay


class GraphedPasses:
    """`plain_passes`, recorded anew in every epoch, as a method may do other things in the next, and then replayed.

    Recorded are batches of the size of the epoch's first; others run as they are. The first replay is compared with the
    same passes as they are. Where recording fails or the two differ (random numbers drawn within the passes make them),
    all steps run as they are from then on, and `report` is given a line that says so.

    Args:
        record: see `record_on_cuda`; another one for tests without a GPU.
    """

    def __init__(self, report: Callable[[str], object],
                 record: Callable[[Callable[[], None]], Callable[[], None]] = record_on_cuda):
        self._report, self._record = report, record
        self._given_up = False
        self._epoch: int | None = None
        self._shape: torch.Size | None = None
        self._num_before = 0
        self._recording: _Recording | None = None

    def __call__(self, model: HashingMethod, batch: Batch, step: Step, amp: str) -> Mapping[str, Tensor]:
        if step.epoch != self._epoch:
            self._epoch, self._shape, self._num_before, self._recording = step.epoch, batch.items.shape, 0, None
        if self._given_up or batch.items.shape != self._shape:
            return plain_passes(model, batch, step, amp)
        if self._num_before < WARM_UP:
            self._num_before += 1
            return _beside(lambda: plain_passes(model, batch, step, amp))
        if self._recording is None:
            return self._begin(model, batch, step, amp)
        self._recording.take(batch, step)
        return self._recording.run()

    def _begin(self, model: HashingMethod, batch: Batch, step: Step, amp: str) -> Mapping[str, Tensor]:
        """Takes a step as it is, records it, and takes it again from the same state as a replay."""
        before = [buffer.clone() for buffer in model.buffers()]
        plain = plain_passes(model, batch, step, amp)
        after = [buffer.clone() for buffer in model.buffers()]
        gradients = _gradients(model)
        try:
            self._recording = _Recording(model, batch, step, amp, self._record)
            _restore(model, before)
            losses = self._recording.run()
            apart = _distance(_gradients(model), gradients)
            problem = None if apart <= TOLERANCE else f"a replay's gradients differ by {apart:.1e}"
        except RuntimeError as error:
            problem = str(error).strip().partition("\n")[0]
        if problem is None:
            return losses
        self._given_up, self._recording = True, None
        self._report(f"cuda_graph: {problem}; steps run without it")
        _restore(model, after)
        _give(model, gradients)
        return plain


class _Recording:
    """The passes of one batch, to be replayed on the values of others; all that belongs to the graph goes with it."""

    def __init__(self, model: HashingMethod, batch: Batch, step: Step, amp: str,
                 record: Callable[[Callable[[], None]], Callable[[], None]]):
        self._model = model
        self._batch = batch.with_tensors({name: value.clone() for name, value in batch.tensors().items()})
        self._step = replace(step, index=step.index.clone())

        def passes() -> None:
            self._losses = plain_passes(model, self._batch, self._step, amp)
            self._gradients = _gradients(model)

        self._replay = record(passes)

    def take(self, batch: Batch, step: Step) -> None:
        for name, value in self._batch.tensors().items():
            value.copy_(getattr(batch, name), non_blocking=True)
        self._step.index.copy_(step.index, non_blocking=True)

    def run(self) -> Mapping[str, Tensor]:
        """The losses of the batch taken last; its gradients where parameters keep them."""
        self._replay()
        _give(self._model, self._gradients)
        return {name: value.detach().clone() for name, value in self._losses.items()}  # the next replay overwrites them


def _beside(passes: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Runs `passes` on a stream of its own, as CUDA's graphs want it of what comes before them."""
    if not torch.cuda.is_available():
        return passes()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        losses = passes()
    torch.cuda.current_stream().wait_stream(stream)
    return losses


def _gradients(model) -> list[Tensor | None]:
    return [parameter.grad for parameter in model.parameters()]


def _restore(model, buffers: list[Tensor]) -> None:
    for buffer, value in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(value)


def _give(model, gradients: list[Tensor | None]) -> None:
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient


def _distance(ours: list[Tensor | None], theirs: list[Tensor | None]) -> float:
    """|a - b| / |b| of all gradients as one vector."""
    pairs = [(a.float(), b.float()) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    apart = sum(float((a - b).square().sum()) for a, b in pairs)
    return (apart / max(sum(float(b.square().sum()) for _, b in pairs), 1e-30)) ** 0.5
