"""Trains a hashing model from a config.

    python train.py --config configs/S5VH/act.py --gpu 0
    python train.py --config configs/S5VH/act.py --nbits 16 --set run_name=seed2 seed=2
    python train.py --config configs/S5VH/act.py --resume
    torchrun --nproc_per_node 4 train.py --config configs/S5VH/act.py

Checkpoints go to checkpoint/<dataset>/<model>_<nbits>bit/, the log and the metrics of every epoch to
logs/<dataset>/<model>_<nbits>bit/.
"""

import argparse
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from artefacts.store import load_artefacts
from dataset.batches import epoch_order, iterate_epoch
from dataset.protocol import check_clusters, open_retrieval, open_train
from dataset.sources import open_source
from dataset.views import EpochDraws
from inference.evaluation import evaluate_retrieval
from model import initial_model, load_weights, method_class
from model.costs.summary import summarise
from model.kernels.scan import explain
from optim import build_optimizer, learning_rate
from training.checkpoints import BEST, MODEL, read_checkpoint
from training.compiling import compile_steps
from training.distributed import check_alike, from_first, join, largest, num_processes, one_voice, rank, share_weights
from training.graphs import GraphedPasses, plain_passes
from training.run import Run, log_to_console, open_run, peak_memory, plain_settings
from training.steps import training_step
from training.totals import Progress
from utils.cli import add_config_arguments, config_from_arguments, resume_command, run_script
from utils.errors import UserError
from utils.signals import Stopped, StopRequest

EPOCHS_PER_SEED, EPOCHS_PER_PROCESS = 1_000_003, 100_003  # keep the streams of (seed, epoch, process) apart
log = logging.getLogger("train")


@one_voice()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run from its last checkpoint")
    parser.add_argument("--restart", action="store_true", help="discard a run that is there already")
    parser.add_argument("--dry-run", action="store_true",
                        help="check files and shapes, take one step, print its losses and memory, write nothing")
    parser.add_argument("--summary", action="store_true",
                        help="print the model's parameters, FLOPs and activation memory; read no data, write nothing")
    arguments = parser.parse_args()
    config = config_from_arguments(arguments)
    if arguments.summary:
        print(summarise(config).as_text(), end="")
        return
    device = join(arguments.gpu)
    log_to_console()
    if config.deterministic:  # else left alone: the call itself imports for seconds
        torch.use_deterministic_algorithms(True, warn_only=True)
    trainer = Trainer(config, device, preprocess=f"python preprocess.py --config {arguments.config}")
    if arguments.dry_run:
        trainer.dry_run()
    else:
        with open_run(config, resume=arguments.resume, restart=arguments.restart) as run:
            trainer.fit(run)


class Trainer:
    """Everything a run needs, checked and built: data, artefacts, model, optimiser.

    Where several processes train (`training.distributed`), each has a trainer, and they take every step together.
    `preprocess` is the command that messages name where an artefact is missing.
    """

    def __init__(self, config, device: torch.device, preprocess: str):
        self.config, self.device = config, device
        check_alike(plain_settings(config), "settings")
        self.scan_engine = explain(config.scan_engine, device)
        self._learning_rate(epoch=0)
        features = open_train(config)
        check_clusters(config, features)
        self.retrieval = open_retrieval(config)
        self.fingerprint = features.fingerprint()
        check_alike(self.fingerprint, "training features")
        artefacts = load_artefacts(method_class(config).required_artefacts(config), config, self.fingerprint,
                                   len(features), command=preprocess, log=log.info)
        self.source, self.source_choice = open_source(features, device, config.batch_source)
        self.model = initial_model(config, len(features), artefacts)
        if config.use_checkpoint:
            load_weights(self.model, read_checkpoint(config.use_checkpoint)["model_state_dict"], config.use_checkpoint)
        self.model.to(device)
        share_weights(self.model)
        self.optimizer = build_optimizer(config.optimizer_name, self.model.parameters(), config.lr,
                                         config.weight_decay)
        if config.amp == "tf32":
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        self.compile_choice = compile_steps(self.model, device) if config.compile else None
        graphed = config.cuda_graph and device.type == "cuda" and num_processes() == 1
        self.passes = GraphedPasses(log.info) if graphed else plain_passes

    def fit(self, run: Run) -> None:
        """Trains from the run's first epoch to the last, saving and evaluating as the config says.

        A signal is heeded when the step in progress is done: all goes into a checkpoint, then `Stopped` is raised.
        """
        run.begin()
        self._log_setup()
        best, stale, finished = self._restore(run)
        if finished:
            log.info("this run is finished; nothing to do")
            return
        with StopRequest(agree=largest) as stop:
            self._epochs(run, stop, best, stale)
            stop.found()
            stop.check()

    def _epochs(self, run: Run, stop: StopRequest, best: float, stale: int) -> None:
        config = self.config
        for epoch in range(run.first_epoch, config.num_epochs):
            last = epoch + 1 == config.num_epochs
            evaluates = last or (config.eval_every and (epoch + 1) % config.eval_every == 0)
            progress = self._train_epoch(epoch, run.unfinished(epoch), stop)
            try:
                row = self._row(progress, stop, evaluates)
            except Stopped as stopped:
                run.save(self._state(epoch - 1) | {"best": best, "stale": stale, "finished": False,
                                                   "unfinished": progress.state()})
                log.info("%s: stopped after %d steps of epoch %d, which are kept. Continue with:\n%s", stopped,
                         progress.num_steps, epoch + 1, resume_command())
                raise
            if evaluates:
                improved = row[self._first_metric] > best
                best, stale = max(best, row[self._first_metric]), 0 if improved else stale + 1
                if improved and config.select == "best_on_test":
                    run.save(self._shared_state(epoch), BEST)
            log.info(_line(row, config.num_epochs))
            run.record(row)
            stopping = bool(config.early_stop) and stale >= config.early_stop
            if (last or stopping) and self.model.training_only:
                run.save(self._shared_state(epoch), MODEL)
            if last or stopping or (epoch + 1) % config.save_every == 0:
                run.save(self._state(epoch) | {"best": best, "stale": stale, "finished": last or stopping})
            if stopping:
                log.info("stopping early: no better %s in %d evaluations", self._first_metric, stale)
                break

    def _train_epoch(self, epoch: int, unfinished: dict | None, stop: StopRequest) -> Progress:
        """One pass over the training videos, or what is left of an `unfinished` one, until a signal is noted."""
        config = self.config
        rate = self._learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        draws = EpochDraws(config.seed, epoch, len(self.source), config.max_frames, config.mask_ratio,
                           self.model.num_uniforms)
        # For whatever a model draws by itself (dropout).
        torch.manual_seed(config.seed * EPOCHS_PER_SEED + rank() * EPOCHS_PER_PROCESS + epoch)
        progress = Progress(epoch, rate, self.device, epoch_order(self.source, draws), unfinished)
        self.model.train()
        batches = iterate_epoch(self.source, draws, config.batch_size, first=progress.num_steps)
        for batch in tqdm(batches, desc=f"epoch {epoch + 1}", initial=progress.num_steps,
                          total=-(-len(self.source) // config.batch_size), leave=False, disable=None):
            progress.add(self._step(batch.to(self.device), epoch))
            if stop.found():
                break
        return progress

    def _row(self, progress: Progress, stop: StopRequest, evaluates: bool) -> dict[str, float]:
        """What is recorded of an epoch: the mean of every loss term, the rate, the time, and the metrics if it
        `evaluates`.

        Raises:
            Stopped: a signal has come during the steps.
        """
        stop.check()
        means = {f"loss/{name}": value for name, value in progress.means().items()}
        row = {"epoch": progress.epoch + 1, "lr": progress.rate, **means, **self.model.tracked(),
               "seconds": round(progress.seconds, 3)}
        return row | from_first(lambda: self._evaluate(stop)) if evaluates else row

    def _step(self, batch, epoch: int) -> Mapping[str, torch.Tensor]:
        return training_step(self.model, self.optimizer, batch, epoch, amp=self.config.amp,
                             grad_clip=self.config.grad_clip, passes=self.passes)

    def _learning_rate(self, epoch: int) -> float:
        config = self.config
        return learning_rate(config.schedule, epoch, config.num_epochs, config.lr, config.min_lr)

    @property
    def _first_metric(self) -> str:
        return f"mAP@{self.config.map_at[0]}"

    def _evaluate(self, stop: StopRequest) -> dict[str, float]:
        """The metrics of the model as it is. A signal stops at once: nothing learned is lost with them."""
        self.model.eval()
        with stop.at_once():
            return evaluate_retrieval(self.model.encode, self.retrieval, self.config, self.device).summary()

    def _state(self, epoch: int) -> dict:
        return {"model_state_dict": self.model.state_dict(), "optimizer_state_dict": self.optimizer.state_dict(),
                "epoch": epoch, "config": plain_settings(self.config), "features": self.fingerprint}

    def _shared_state(self, epoch: int) -> dict:
        return {"model_state_dict": self.model.shared_state(), "epoch": epoch, "config": plain_settings(self.config)}

    def _restore(self, run: Run) -> tuple[float, int, bool]:
        """Loads the run's last checkpoint, if any; the best first metric so far, the evaluations since it, and
        whether the run is finished."""
        if not run.state:
            return float("-inf"), 0, False
        if run.state["features"] != self.fingerprint:
            raise UserError(f"{run.checkpoints}: this run was trained on other features than "
                            f"{self.config.train_feat_path}. Restore them, or set run_name to begin another run.")
        self._check_measure(run.state, run.checkpoints)
        self.model.load_state_dict(run.state["model_state_dict"])
        self.optimizer.load_state_dict(run.state["optimizer_state_dict"])
        return run.state["best"], run.state["stale"], run.state["finished"]

    def _check_measure(self, state: dict, place: Path) -> None:
        """Refuses to compare the epochs to come with those before by another measure than theirs."""
        chooses = self.config.select == "best_on_test" or self.config.early_stop
        before, now = (f"mAP@{config['map_at'][0]} over {config['ap_normaliser']}"
                       for config in (state["config"], self.config))
        if chooses and before != now and not state["finished"] and state["best"] > float("-inf"):
            raise UserError(f"{place}: select and early_stop compare epochs by {before} in this run, not by "
                            f"{now}. Resume with its own map_at and ap_normaliser; eval.py takes others.")

    def _log_setup(self) -> None:
        config = self.config
        num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        log.info("%s on %s, %d bits, %d videos, %.2f M parameters, device %s", config.model_name, config.dataset,
                 config.nbits, len(self.source), num_parameters / 1e6, self.device)
        if num_processes() > 1:
            log.info("%d processes share every batch of %d", num_processes(), config.batch_size)
        log.info(self.scan_engine)
        log.info(self.source_choice)
        if self.compile_choice:
            log.info(self.compile_choice)
        if self.config.cuda_graph and self.passes is plain_passes:
            log.info("cuda_graph: it needs CUDA and a process alone; steps run without it")
        if config.select == "best_on_test":
            log.info("note: select = 'best_on_test' keeps the epoch that is best on the test split; "
                     "such numbers are optimistic")

    def dry_run(self) -> None:
        """One step on the first batch; prints what was found, the losses and the memory; writes nothing."""
        config = self.config
        self._log_setup()
        for role, split in (("train", self.source), ("database", self.retrieval.database),
                            ("queries", self.retrieval.queries)):
            log.info("%s: %s", role, " x ".join(map(str, split.shape)))
        draws = EpochDraws(config.seed, 0, len(self.source), config.max_frames, config.mask_ratio,
                           self.model.num_uniforms)
        batch = next(iter(iterate_epoch(self.source, draws, config.batch_size)))
        started = time.perf_counter()
        losses = self._step(batch.to(self.device), epoch=0)
        log.info("one step: %s, %.2f s", ", ".join(f"{name} {float(value.detach()):.4f}"
                                                   for name, value in losses.items()), time.perf_counter() - started)
        log.info("peak memory: %.0f MiB", peak_memory())
        if self.device.type == "cuda":
            log.info("peak GPU memory: %.0f MiB", torch.cuda.max_memory_allocated(self.device) / 2**20)


def _line(row: dict[str, float], num_epochs: int) -> str:
    values = " ".join(f"{name.removeprefix('loss/')} {value:.4g}" for name, value in row.items() if name != "epoch")
    return f"epoch {row['epoch']}/{num_epochs} {values}"


if __name__ == "__main__":
    run_script(main)
