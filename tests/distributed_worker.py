"""What `test_distributed.py` runs in each of three processes, with a config and a folder as arguments.

The folder gets what each process saw, by rank. Then the last process fails, while the others wait for it.
"""

import sys
from contextlib import nullcontext, suppress

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dataset.batches import AllRows
from dataset.protocol import open_retrieval
from inference.evaluation import evaluate_retrieval
from model.nets.shared_norm import norms_over
from training.distributed import (
    Share,
    all_reduce_max,
    all_reduce_min,
    from_rank_zero,
    join,
    rank_zero_speaks,
    sum_gradients,
)
from training.run import open_run
from training.trainer import Trainer
from utils.cli import run_script
from utils.config import load_config
from utils.errors import UserError

SHARES = ((3, 2, 2), (1, 1, 0), (0, 4, 1))
# 40 videos make 27 steps of 19, 19 and 2, whose shares are 7 + 6 + 6 and 1 + 1 + 0 rows.
COMPARED = {"S5VH_type": "small", "batch_size": 19, "num_epochs": 9, "eval_every": 0, "grad_clip": 0.5,
            "run_name": "compared"}
# A method with losses over all pairs of a batch; without dropout, which each process would draw for itself.
VHMT = {"model_name": "VHMT", "method": "vhmt", "student_depth": 1, "teacher_depths": [1, 1], "teacher_dropout": 0.0,
        "nanchors": 4, "structure_weight": 0.1, "batch_size": 19, "num_epochs": 4, "eval_every": 0,
        "run_name": "vhmt"}
# Methods over two masked views, on the videos of tests.pipeline: 21 steps each.
_MASKED = {"batch_size": 19, "num_epochs": 7, "eval_every": 0, "encoder_depth": 2, "encoder_heads": 3,
           "decoder_depth": 1, "decoder_heads": 3}
PEERS = {name: {"method": name, "model_name": name, "run_name": "peers", "tau_plus": 0.05, **settings}
         for name, settings in {
             "conmh": _MASKED,
             "autossvh": _MASKED | {"prototype_clusters": [3, 5], "warm_up_epoch": 2},
             "wsch": {name: _MASKED[name] for name in ("batch_size", "num_epochs", "eval_every")} | {
                 "hidden_size": 64, "pretrain_epochs": 2, "pretrain_mask_ratio": 0.7, "nclusters": 4},
         }.items()}
# Methods over pairs of videos, which start from the same latents.
PAIRS = {name: {"method": name, "model_name": name, "run_name": "peers", "batch_size": 19, "num_epochs": 7,
                "eval_every": 0, "nanchors": 9, "latent_epochs": 2, "latent_bits": 8}
         for name in ("bth", "dkph", "mcmsh")}
PEERS |= PAIRS
RESUMED = {"num_epochs": 6, "run_name": "resumed"}


class Cut(Exception):
    """Ends a run early, as a kill does between two epochs."""


class WatchedTrainer(Trainer):
    """Keeps the losses of every step in `seen`; is cut short before the epoch `until`."""

    def __init__(self, config, until=None):
        retrieval = open_retrieval(config)
        super().__init__(config, torch.device("cpu"), preprocess="preprocess.py", evaluate=lambda encode: (
            evaluate_retrieval(encode, retrieval, config, torch.device("cpu")).summary()))
        self.until, self.seen = until, []

    def _step(self, batch, *step):
        losses = super()._step(batch, *step)
        self.seen.append([float(value.detach()) for value in losses.values()])
        return losses

    def _train_epoch(self, epoch, *unfinished_and_stop):
        if epoch == self.until:
            raise Cut
        return super()._train_epoch(epoch, *unfinished_and_stop)


def train(config_path, changes: dict, until: int | None = None) -> WatchedTrainer:
    """A trainer that has continued the run that `changes` name."""
    config = load_config(str(config_path), changes)
    trainer = WatchedTrainer(config, until)
    with open_run(config, resume=True) as run, suppress(Cut):
        trainer.fit(run)
    return trainer


def gathered_loss(rows: Tensor, weight: Tensor, share: Share) -> Tensor:
    """A loss over all pairs of rows (B, 4) plus a mean over rows, with learned weights (4,)."""
    h = torch.tanh(share.take(rows) * weight)
    whole = share.gather(h)
    return (whole @ whole.T).exp().mean() + share.mean((h**3).sum(1).mean())


def loss_and_gradient(sizes: tuple[int, ...], share: Share) -> tuple[Tensor, Tensor]:
    """Of `gathered_loss` of a batch of the sum of `sizes`, with the gradient of its weights."""
    rows = torch.randn(sum(sizes), 4, generator=torch.Generator().manual_seed(0))
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 4))
    loss = gathered_loss(rows, weight, share)
    loss.backward()
    sum_gradients([weight])
    return loss.detach(), weight.grad


def loss_through_norms(sizes: tuple[int, ...], share: AllRows) -> list[Tensor]:
    """A loss of pictures (B, 3, 5, 5) behind two batch norms, the gradients of all weights, the running statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = torch.randn(sum(sizes), 3, 5, 5)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2),
                              nn.BatchNorm1d(2))
    with norms_over(share, model) if not share.alone else nullcontext():
        h = model(share.take(rows))
    whole = share.gather(h)
    loss = (whole @ whole.T).exp().mean() + share.mean((h**3).mean())
    loss.backward()
    sum_gradients(model.parameters())
    return [loss.detach(), *(weight.grad for weight in model.parameters()), *model.buffers()]


@rank_zero_speaks()
def main() -> None:
    config_path, out = sys.argv[1:]
    join("cpu")
    rank = dist.get_rank()
    print(f"process {rank} speaks")
    trainer = train(config_path, COMPARED)
    share = Share(SHARES[0], rank)
    torch.save({"losses": trainer.seen, "state": trainer.model.state_dict(), "source": trainer.source_choice,
                "shares": [loss_and_gradient(sizes, Share(sizes, rank)) for sizes in SHARES],
                "norms": [loss_through_norms(sizes, Share(sizes, rank)) for sizes in SHARES],
                "gathered": share.gather(share.take(torch.arange(7))),
                "first": from_rank_zero(lambda: rank), "all_reduce_min": all_reduce_min(10 - rank),
                "all_reduce_max": all_reduce_max(8 + rank), "vhmt": train(config_path, VHMT).seen,
                **{name: train(config_path, settings).seen for name, settings in PEERS.items()}}, f"{out}/{rank}.pt")
    train(config_path, RESUMED, until=2)
    if rank == 2:
        raise UserError("the last process has failed.")
    dist.barrier()


if __name__ == "__main__":
    run_script(main)
