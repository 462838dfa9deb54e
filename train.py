"""Trains a hashing model from a config.

    python train.py --config configs/S5VH/act.py --gpu 0
    python train.py --config configs/S5VH/act.py --nbits 16 --set run_name=seed2 seed=2
    python train.py --config configs/S5VH/act.py --resume

Checkpoints go to checkpoint/<dataset>/<model>_<nbits>bit/, the log and the metrics of every epoch to
logs/<dataset>/<model>_<nbits>bit/.
"""

import argparse
import logging
import time
from collections.abc import Mapping

import torch
from tqdm import tqdm

from dataset.batches import iterate_epoch
from dataset.protocol import check_clusters, open_retrieval, open_train
from dataset.sources import open_source
from dataset.views import EpochDraws
from inference.evaluation import evaluate_retrieval
from model import initial_model, load_weights, method_class
from model.scan import explain
from model.summary import summarise
from optim import build_optimizer, learning_rate, training_step
from optim.compiling import compile_steps
from utils.artefacts import load_artefacts
from utils.checkpoints import read_checkpoint
from utils.cli import add_config_arguments, choose_device, config_from_arguments, run_script
from utils.errors import UserError
from utils.run import Run, log_to_console, peak_memory, plain_settings

EPOCHS_PER_SEED = 1_000_003  # keeps the streams of (seed, epoch) apart
log = logging.getLogger("train")


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
    device = choose_device(arguments.gpu)
    log_to_console()
    torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    trainer = Trainer(config, device, preprocess=f"python preprocess.py --config {arguments.config}")
    if arguments.dry_run:
        trainer.dry_run()
    else:
        trainer.fit(Run(config, resume=arguments.resume, restart=arguments.restart))


class Trainer:
    """Everything a run needs, checked and built: data, artefacts, model, optimiser.

    `preprocess` is the command that messages name where an artefact is missing.
    """

    def __init__(self, config, device: torch.device, preprocess: str):
        self.config, self.device = config, device
        self.scan_engine = explain(config.scan_engine, device)
        self._learning_rate(epoch=0)
        features = open_train(config)
        check_clusters(config, features)
        self.retrieval = open_retrieval(config)
        self.fingerprint = features.fingerprint()
        artefacts = load_artefacts(method_class(config).required_artefacts(config), config, self.fingerprint,
                                   len(features), command=preprocess, log=log.info)
        self.source, self.source_choice = open_source(features, device, config.batch_source)
        self.model = initial_model(config, len(features), artefacts)
        if config.use_checkpoint:
            load_weights(self.model, read_checkpoint(config.use_checkpoint)["model_state_dict"], config.use_checkpoint)
        self.model.to(device)
        self.optimizer = build_optimizer(config.optimizer_name, self.model.parameters(), config.lr,
                                         config.weight_decay)
        self.compile_choice = compile_steps(self.model, device) if config.compile else None

    def fit(self, run: Run) -> None:
        """Trains from the run's first epoch to the last, saving and evaluating as the config says."""
        config = self.config
        run.begin()
        self._log_setup()
        best, stale, finished = self._restore(run)
        if finished:
            log.info("this run is finished; nothing to do")
        for epoch in range(run.first_epoch, 0 if finished else config.num_epochs):
            last = epoch + 1 == config.num_epochs
            row = self._train_epoch(epoch)
            if last or (config.eval_every and (epoch + 1) % config.eval_every == 0):
                row |= self._evaluate()
                improved = row[self._first_metric] > best
                best, stale = max(best, row[self._first_metric]), 0 if improved else stale + 1
                if improved and config.select == "best_on_test":
                    run.save(self._state(epoch), best=True)
            log.info(_line(row, config.num_epochs))
            run.record(row)
            stopping = bool(config.early_stop) and stale >= config.early_stop
            if last or stopping or (epoch + 1) % config.save_every == 0:
                run.save(self._state(epoch) | {"best": best, "stale": stale, "finished": last or stopping})
            if stopping:
                log.info("stopping early: no better %s in %d evaluations", self._first_metric, stale)
                break
        run.close()

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training videos; the mean of every loss term, the rate and the time."""
        config, started = self.config, time.perf_counter()
        rate = self._learning_rate(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        draws = EpochDraws(config.seed, epoch, len(self.source), config.max_frames, config.mask_ratio,
                           self.model.num_uniforms)
        torch.manual_seed(config.seed * EPOCHS_PER_SEED + epoch)  # for whatever a model draws by itself (dropout)
        self.model.train()
        sums: dict[str, torch.Tensor] = {}
        num_steps = 0
        for batch in tqdm(iterate_epoch(self.source, draws, config.batch_size), desc=f"epoch {epoch + 1}",
                          total=-(-len(self.source) // config.batch_size), leave=False, disable=None):
            losses = self._step(batch.to(self.device), epoch)
            sums = {name: sums.get(name, 0.0) + value.detach() for name, value in losses.items()}
            num_steps += 1
        means = {f"loss/{name}": float(value) / num_steps for name, value in sums.items()}
        if not all(abs(value) < float("inf") for value in means.values()):
            raise UserError(f"epoch {epoch + 1}: the loss is not finite ({means}) at learning rate {rate:g}. Lower "
                            "lr or set grad_clip; the last checkpoint is from before this epoch.")
        return {"epoch": epoch + 1, "lr": rate, **means, **self.model.tracked(),
                "seconds": round(time.perf_counter() - started, 3)}

    def _step(self, batch, epoch: int) -> Mapping[str, torch.Tensor]:
        return training_step(self.model, self.optimizer, batch, epoch, amp=self.config.amp,
                             grad_clip=self.config.grad_clip)

    def _learning_rate(self, epoch: int) -> float:
        config = self.config
        return learning_rate(config.schedule, epoch, config.num_epochs, config.lr, config.min_lr)

    @property
    def _first_metric(self) -> str:
        return f"mAP@{self.config.map_at[0]}"

    def _evaluate(self) -> dict[str, float]:
        self.model.eval()
        evaluation = evaluate_retrieval(self.model.encode, self.retrieval, self.config, self.device)
        return evaluation.summary()

    def _state(self, epoch: int) -> dict:
        return {"model_state_dict": self.model.state_dict(), "optimizer_state_dict": self.optimizer.state_dict(),
                "epoch": epoch, "config": plain_settings(self.config), "features": self.fingerprint}

    def _restore(self, run: Run) -> tuple[float, int, bool]:
        """Loads the run's last checkpoint, if any; the best first metric so far, the evaluations since it, and
        whether the run is finished."""
        if not run.state:
            return float("-inf"), 0, False
        if run.state["features"] != self.fingerprint:
            raise UserError(f"{run.checkpoints}: this run was trained on other features than "
                            f"{self.config.train_feat_path}. Restore them, or set run_name to begin another run.")
        self.model.load_state_dict(run.state["model_state_dict"])
        self.optimizer.load_state_dict(run.state["optimizer_state_dict"])
        return run.state["best"], run.state["stale"], run.state["finished"]

    def _log_setup(self) -> None:
        config = self.config
        num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        log.info("%s on %s, %d bits, %d videos, %.2f M parameters, device %s", config.model_name, config.dataset,
                 config.nbits, len(self.source), num_parameters / 1e6, self.device)
        log.info(self.scan_engine)
        log.info(self.source_choice)
        if self.compile_choice:
            log.info(self.compile_choice)
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
