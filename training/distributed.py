"""Several processes that train one model, started by torchrun. Alone, a process finds nothing to do in here.

Every process takes its share of the rows of each batch and computes the losses of the *whole* batch: what each video
gives to a loss that compares videos is gathered, a mean over videos is weighted by the share (`Share`). The gradient
of that one number with respect to a process's own rows is what its backward pass leaves, so that gradients are
*summed* (`sum_gradients`) and no backward pass communicates but that of batch norm (`Share.level`).
DistributedDataParallel, which averages losses of processes that know nothing of each other, would need a hook to undo
that and a `forward` that our steps do not have.

Weights, targets and metrics are thus the same in every process, so that the first one's checkpoint is all there is to
know, and any number of processes can go on from it. Only the first writes, evaluates and prints (`from_rank_zero`,
`rank_zero_speaks`, `training.run.open_run`).
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import accumulate
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dataset.batches import AllRows
from utils.cli import choose_device, counted
from utils.errors import UserError

_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
_AGENT_SECONDS = 60
PATIENCE = timedelta(days=1)  # the others wait while the first evaluates; torchrun ends them where one has died
Value = TypeVar("Value")


def launched() -> bool:
    """Whether torchrun started this process.

    Raises:
        UserError: some of its variables are set, but not all that it sets, or it is gone, as where an earlier one's are
            left in the environment: this process would wait for others that never come.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return False
    if bad := [name for name in _NUMBERS if not os.environ.get(name, "").isdecimal()]:
        raise UserError(f"TORCHELASTIC_RUN_ID is set, but no number for {', '.join(bad)}: left over from a torchrun? "
                        "Unset TORCHELASTIC_RUN_ID, or start with torchrun.")
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        _require_agent(os.environ.get("MASTER_ADDR", ""), int(os.environ["MASTER_PORT"]))
    return True


@cache
def _require_agent(host: str, port: int) -> None:
    """Raises UserError where no torchrun listens there."""
    try:
        socket.create_connection((host, port), timeout=_AGENT_SECONDS).close()
    except OSError as error:
        raise UserError(f"TORCHELASTIC_RUN_ID is set, but no torchrun answers at {host}:{port} ({error}): left over "
                        "from one that has ended? Unset TORCHELASTIC_RUN_ID, or start with torchrun.") from error


def rank() -> int:
    """This process's number, from 0; 0 where it has joined no others."""
    return dist.get_rank() if _joined() else 0


def num_processes() -> int:
    return dist.get_world_size() if _joined() else 1


def num_local_processes() -> int:
    """How many of the processes run on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if _joined() else 1


@contextlib.contextmanager
def rank_zero_speaks() -> Iterator[None]:
    """A context in which the first process alone prints, and of errors that end all only the first to happen is told.

    A process that fails after another, most often since that one is gone, exits with status 2 and says nothing.
    """
    if not launched():
        yield
        return
    with contextlib.ExitStack() as silence:
        if os.environ["RANK"] != "0":
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(contextlib.redirect_stdout(nowhere))
            silence.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            yield
        except (Exception, KeyboardInterrupt):
            if not _fails_first():
                raise SystemExit(2) from None
            raise
    if _joined():
        dist.destroy_process_group()


def join(gpu: str | None) -> torch.device:
    """The device of --gpu; under torchrun, that of this process, which joins the others: its own GPU, or the CPU.

    Raises:
        UserError: no such GPU, one named under torchrun, or fewer GPUs than processes on this machine.
    """
    if not launched():
        return choose_device(gpu)
    device = _own_device(gpu)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Python objects and figures of the CPU travel by gloo in either case.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return device


@dataclass(frozen=True)
class Share(AllRows):
    """This process's part of the rows of a batch: `sizes[rank]` of them, after those of the ranks before.

    A process may have no row of a small batch: it then computes the batch's first one, without weight.
    """

    alone = False
    sizes: tuple[int, ...]
    rank: int

    def take(self, rows: Tensor) -> Tensor:
        """The rows of this process from those of the whole batch, one at least."""
        return rows.split(self.sizes)[self.rank] if self.sizes[self.rank] else rows[:1]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, ...) of the whole batch from those of each process, in order; what enters a loss that compares
        videos.

        Every process must go on to compute the same number from it, without learned parameters. The backward pass
        then takes this process's rows of the gradient and has nothing to exchange.
        """
        return _Gather.apply(rows, self)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the whole batch from the mean `value` over the rows of each process."""
        return _Mean.apply(value, self.sizes[self.rank] / sum(self.sizes), False)

    def level(self, value: Tensor) -> Tensor:
        """The same mean, of what the rows of every process go on to use; the backward pass sums over the processes what
        each makes of it, and is the only one that has to."""
        return _Mean.apply(value, self.sizes[self.rank] / sum(self.sizes), True)

    def num_rows(self, own: int) -> int:
        return sum(self.sizes)


def own_share(num_rows: int) -> AllRows:
    """This process's share of a batch of `num_rows`; shares differ by at most one row, the first are the larger."""
    count = num_processes()
    if count == 1:
        return AllRows()
    return Share(tuple(num_rows // count + (place < num_rows % count) for place in range(count)), rank())


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its sum over the processes, in one exchange.

    Which parameters have a gradient must not depend on the rows.
    """
    if num_processes() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = parameters_to_vector(gradients)
    dist.all_reduce(together)
    vector_to_parameters(together, gradients)


def broadcast_state(model: nn.Module) -> None:
    """Gives every process the first one's parameters and buffers."""
    if num_processes() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def from_rank_zero(function: Callable[[], Value]) -> Value:
    """What `function()` gives in the first process, the only one to call it; the others wait for it."""
    if num_processes() == 1:
        return function()
    box: list = [function() if rank() == 0 else None]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def all_reduce_min(value: int) -> int:
    """The least of the processes' values."""
    if num_processes() == 1:
        return value
    box = torch.tensor(value)
    dist.all_reduce(box, dist.ReduceOp.MIN)
    return int(box)


def all_reduce_max(value: int) -> int:
    """The largest of the processes' values."""
    return -all_reduce_min(-value)


def check_same_everywhere(value: object, what: str) -> None:
    """Raises UserError in a process whose `value` is not the first one's; `what` names it, in the plural."""
    if from_rank_zero(lambda: value) != value:
        raise UserError(f"the {what} of process {rank()} are not those of the first. Start torchrun on every machine "
                        "with the same command, config and data.")


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, share: Share) -> Tensor:
        ctx.share, ctx.shape, own = share, rows.shape, share.sizes[share.rank]
        sent = rows.new_zeros(max(share.sizes), *rows.shape[1:])  # all send as many: what the backends ask for
        sent[:own] = rows[:own]
        received = [torch.empty_like(sent) for _ in share.sizes]
        dist.all_gather(received, sent)
        return torch.cat([part[:size] for part, size in zip(received, share.sizes, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        share, own = ctx.share, ctx.share.sizes[ctx.share.rank]
        first = list(accumulate(share.sizes, initial=0))[share.rank]
        ours = gradient.new_zeros(ctx.shape)
        ours[:own] = gradient[first:first + own]
        return ours, None


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, weight: float, of_all: bool) -> Tensor:
        ctx.weight, ctx.of_all = weight, of_all
        total = value * weight
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.of_all:
            gradient = gradient.clone()
            dist.all_reduce(gradient)
        return gradient * ctx.weight, None, None


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _own_device(gpu: str | None) -> torch.device:
    if gpu is not None and gpu.strip().lower() != "cpu":
        raise UserError(f"--gpu {gpu}: under torchrun every process takes a GPU of its own. Leave --gpu out, or say "
                        "--gpu cpu.")
    if gpu is not None or not torch.cuda.is_available():
        return torch.device("cpu")
    place, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= found:
        raise UserError(f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes here for "
                        f"{counted(found, 'GPU')}. Use --nproc_per_node {found}, or --gpu cpu.")
    return torch.device("cuda", place)


def _fails_first() -> bool:
    """Whether no process has failed before this one; known by a mark in the store that torchrun keeps."""
    try:
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
                              timeout=timedelta(seconds=10))
        return store.add(f"failed in attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", 1) == 1
    except RuntimeError:  # torchrun itself is gone, so nobody can tell
        return True
