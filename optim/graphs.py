"""The forward and backward passes of a step as one CUDA graph, where that works.

A step of S5VH launches some hundred kernels, most of them shorter than their launch. Recorded once, they are replayed
by a single one. The optimiser stays outside: its fused step is one launch, and the rate may change.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

WARM_UP = 3  # steps of an epoch before recording, as they are: libraries and Triton's compiler come up in them
TOLERANCE = 1e-2  # of a replay's gradients from those of the same passes as they are, both as one vector

Passes = Callable[..., Mapping[str, Tensor]]


def plain_passes(model, batch, epoch: int, amp: str) -> Mapping[str, Tensor]:
    """The losses of `model.step_losses`, and their gradients where parameters keep them."""
    with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=amp == "bf16"):
        losses = model.step_losses(batch, epoch)
    for parameter in model.parameters():
        parameter.grad = None
    losses["total"].backward()
    return losses


class GraphedPasses:
    """`plain_passes`, recorded anew in every epoch, as a method may do other things in the next, and then replayed.

    Recorded are batches of the size of the epoch's first; others run as they are. The first replay is compared with the
    same passes as they are. Where recording fails or the two differ (random numbers drawn within the passes make them),
    all steps run as they are from then on, and `report` is given a line that says so.

    Args:
        record: takes a function without arguments and returns what replays it; for tests without a GPU.
    """

    def __init__(self, report: Callable[[str], object], record: Callable[[Callable[[], None]], Callable[[], None]]
                 | None = None):
        self._report, self._record = report, record or _record
        self._given_up = False
        self._key: tuple[int, torch.Size] | None = None
        self._num_before = 0
        self._replay: Callable[[], None] | None = None

    def __call__(self, model, batch, epoch: int, amp: str) -> Mapping[str, Tensor]:
        if self._key is None or self._key[0] != epoch:
            self._key, self._num_before, self._replay = (epoch, batch.features.shape), 0, None
        if self._given_up or batch.features.shape != self._key[1]:
            return plain_passes(model, batch, epoch, amp)
        if self._num_before < WARM_UP:
            self._num_before += 1
            return _beside(lambda: plain_passes(model, batch, epoch, amp))
        if self._replay is None:
            return self._begin(model, batch, epoch, amp)
        for name, value in _tensors(self._batch).items():
            value.copy_(getattr(batch, name), non_blocking=True)
        return self._run(model)

    def _begin(self, model, batch, epoch: int, amp: str) -> Mapping[str, Tensor]:
        """Takes a step as it is, records it, and takes it again from the same state as a replay."""
        before = [buffer.clone() for buffer in model.buffers()]
        plain = plain_passes(model, batch, epoch, amp)
        after = [buffer.clone() for buffer in model.buffers()]
        gradients = [parameter.grad for parameter in model.parameters()]
        self._batch = replace(batch, **{name: value.clone() for name, value in _tensors(batch).items()})

        def passes() -> None:
            self._losses = plain_passes(model, self._batch, epoch, amp)
            self._gradients = [parameter.grad for parameter in model.parameters()]

        try:
            self._replay = self._record(passes)
            _restore(model, before)
            losses = self._run(model)
            apart = _distance(self._gradients, gradients)
            problem = None if apart <= TOLERANCE else f"a replay's gradients differ by {apart:.1e}"
        except RuntimeError as error:
            problem = str(error).strip().partition("\n")[0]
        if problem is None:
            return losses
        self._given_up, self._replay = True, None
        self._report(f"cuda_graph: {problem}; steps run without it")
        _restore(model, after)
        _give(model, gradients)
        return plain

    def _run(self, model) -> Mapping[str, Tensor]:
        assert self._replay is not None
        self._replay()
        _give(model, self._gradients)
        return {name: value.detach().clone() for name, value in self._losses.items()}  # the next replay overwrites them


def _record(passes: Callable[[], None]) -> Callable[[], None]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        passes()
    return graph.replay


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


def _tensors(batch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}


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
