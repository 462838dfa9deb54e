"""A training run: everything it needs, checked and built, then epoch after epoch to the end."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from tqdm import tqdm

from artefacts.cache import check_split, load
from artefacts.store import PREPROCESS
from dataset.batches import Batch, epoch_order, iterate_epoch, num_batches
from dataset.extraction.recipe import ATTRIBUTE as EXTRACTION
from dataset.protocol import open_train, read_train_groups, read_train_labels
from dataset.sources import open_source
from dataset.views import EpochDraws
from model import initial_model, load_weights, method_class
from model.contract import HashingMethod, Score, SequenceMixer, Step
from model.weights import restore_state
from optim import GroupedOptimizer, learning_rate
from training import steps
from training.checkpoints import BEST, LAST, MODEL, read_checkpoint
from training.compiling import compile_steps
from training.distributed import (
    all_reduce_max,
    all_reduce_min,
    broadcast_state,
    check_same_everywhere,
    from_rank_zero,
    num_local_processes,
    num_processes,
    own_share,
    rank,
)
from training.graphs import GraphedPasses, plain_passes
from training.items import SourceItems
from training.logs import epoch_line
from training.run import Run, peak_memory, plain_settings
from training.totals import EpochTotals
from utils.cli import resume_command
from utils.errors import UserError
from utils.registry import mixer_class
from utils.signals import Stopped, StopRequest

EPOCHS_PER_SEED, EPOCHS_PER_PROCESS = 1_000_003, 100_003  # keep the streams of (seed, epoch, process) apart
Evaluate = Callable[[Callable[[torch.Tensor], torch.Tensor]], dict[str, float]]
log = logging.getLogger("train")


class Trainer:
    """Trains the method of a config on its training split: `fit`.

    Where several processes train (`training.distributed`), each has a trainer, and they take every step together.

    Args:
        evaluate: gives the metrics of a model from its `encode`; None: nothing is evaluated.
        preprocess: the command that messages name where an artefact is missing.
        resume: gives the command that continues a run that was stopped.
        score: scores codes of training items, for methods that hold some out.
    """

    def __init__(self, config, device: torch.device, evaluate: Evaluate | None = None, preprocess: str = PREPROCESS,
                 resume: Callable[[], str] = resume_command, score: Score | None = None):
        self.config, self.device, self.evaluate, self.resume, self.score = config, device, evaluate, resume, score
        check_same_everywhere(plain_settings(config), "settings")
        self.engine = mixer_class(config).describe(config, device)
        learning_rate(config.schedule, 0, config.num_epochs, config.lr, config.min_lr)  # its name, before any work
        features, method = open_train(config), method_class(config)
        check_split(method.artefacts(config), config, features)
        self.features = features
        check_same_everywhere(features.fingerprint(), "training features")
        artefacts = load(method.artefacts(config), config, features, command=preprocess, log=log.info)
        self.labels = (torch.from_numpy(read_train_labels(config, len(features)))
                       if method.uses_labels or config.train_label_path else None)
        self.groups = None
        if config.select == "validation" and config.train_group_path:
            self.groups = read_train_groups(config, len(features))
        self.source, self.source_choice = open_source(features, device, config.batch_source,
                                                      num_copies=num_local_processes(), agree=all_reduce_min)
        self.model = initial_model(config, len(features), artefacts)
        if start := config.start_from or config.use_checkpoint:
            load_weights(self.model, read_checkpoint(start)["model_state_dict"], start, own_targets=True)
        self.model.to(device)
        broadcast_state(self.model)
        self.optimizer = None if method.closed_form else GroupedOptimizer(self.model.parameter_groups(), config)
        if config.amp == "tf32":
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        self.compile_choice = compile_steps(self.model, device) if config.compile else None
        graphed = config.cuda_graph and device.type == "cuda" and num_processes() == 1
        self.passes = GraphedPasses(log.info) if graphed else plain_passes

    def fit(self, run: Run) -> None:
        """Trains from the run's first epoch to the last, or fits in closed form, saving and evaluating as the config
        says.

        A signal is heeded when the step in progress is done: all goes into a checkpoint, then `Stopped` is raised.
        """
        run.begin()
        self._log_setup()
        best, stale, finished = self._restore(run)
        if finished:
            log.info("this run is finished; nothing to do")
            return
        with StopRequest(agree=all_reduce_max) as stop:
            if self.optimizer is None:
                self._fit_at_once(run, stop)
            else:
                self._epochs(run, stop, best, stale)
            stop.found()
            stop.check()

    def _fit_at_once(self, run: Run, stop: StopRequest) -> None:
        """The closed form: one row, one checkpoint. What a signal interrupts is begun again."""
        started = time.perf_counter()
        with stop.at_once():
            state = from_rank_zero(self._fitted)
        if rank():
            restore_state(self.model, state, "the first process")
        row = {"epoch": 1, **self.model.tracked(), "seconds": round(time.perf_counter() - started, 3)}
        row |= from_rank_zero(lambda: self._evaluate(stop))
        log.info(epoch_line(row, 1))
        run.record(row)
        if self.model.training_only:
            run.save(self._saved(self.model.shared_state(), 0), MODEL)
        run.save(self._state(0) | {"best": row.get(self._first_metric, 0.0), "stale": 0, "finished": True})

    def _fitted(self) -> dict[str, torch.Tensor]:
        self._over_all_items(self.model.fit)
        return {name: value.cpu() for name, value in self.model.state_dict().items()}

    def _epochs(self, run: Run, stop: StopRequest, best: float, stale: int) -> None:
        config, started = self.config, time.perf_counter()
        for epoch in range(run.first_epoch, config.num_epochs):
            last = epoch + 1 == config.num_epochs
            evaluates = last or (config.eval_every and (epoch + 1) % config.eval_every == 0)
            totals = self._train_epoch(epoch, run.unfinished(epoch), stop)
            try:
                row = self._row(totals, stop, bool(evaluates and self.evaluate))
            except Stopped as stopped:
                self._save_unfinished(run, totals, best, stale, stopped)
                raise
            if self._first_metric in row:
                improved = row[self._first_metric] > best
                best, stale = max(best, row[self._first_metric]), 0 if improved else stale + 1
                if improved and config.select == "best_on_test":
                    run.save(self._saved(self.model.shared_state(), epoch), BEST)
            left = (time.perf_counter() - started) / (epoch + 1 - run.first_epoch) * (config.num_epochs - epoch - 1)
            log.info(epoch_line(row, config.num_epochs, left))
            run.record(row)
            stopping = bool(config.early_stop) and stale >= config.early_stop
            if (last or stopping) and self.model.training_only:
                run.save(self._saved(self.model.shared_state(), epoch), MODEL)
            if last or stopping or (epoch + 1) % config.save_every == 0:
                run.save(self._state(epoch) | {"best": best, "stale": stale, "finished": last or stopping})
            if stopping:
                log.info("stopping early: no better %s in %d evaluations", self._first_metric, stale)
                break

    def _save_unfinished(self, run: Run, totals: EpochTotals, best: float, stale: int, stopped: Stopped) -> None:
        run.save(self._state(totals.epoch - 1) | {"best": best, "stale": stale, "finished": False,
                                                  "unfinished": totals.state()})
        log.info("%s: stopped after %d steps of epoch %d, which are kept. Continue with:\n%s", stopped,
                 totals.num_steps, totals.epoch + 1, self.resume())

    def _train_epoch(self, epoch: int, unfinished: dict | None, stop: StopRequest) -> EpochTotals:
        """One pass over the training videos, or what is left of an `unfinished` one, until a signal is noted."""
        assert self.optimizer is not None
        config, num_steps = self.config, num_batches(len(self.source), self.config.batch_size)
        self.optimizer.begin_epoch(epoch)
        if not unfinished:
            self._begin_epoch(epoch)
        draws = EpochDraws(config.seed, epoch, len(self.source), self.model.draws())
        # For whatever a model draws by itself (dropout).
        torch.manual_seed(config.seed * EPOCHS_PER_SEED + rank() * EPOCHS_PER_PROCESS + epoch)
        totals = EpochTotals(epoch, self.optimizer.rate, self.device, epoch_order(self.source, draws), unfinished)
        self.model.train()
        batches = iterate_epoch(self.source, draws, config.batch_size, first=totals.num_steps, labels=self.labels,
                                share_of=own_share)
        for batch in tqdm(batches, desc=f"epoch {epoch + 1}", initial=totals.num_steps, total=num_steps, leave=False,
                          disable=None):
            totals.add(self._step(batch.to(self.device), epoch, totals.num_steps, num_steps))
            if stop.found():
                break
        return totals

    def _begin_epoch(self, epoch: int) -> None:
        """The method's own work before an epoch, by the first process; all have its state then."""
        if type(self.model).begin_epoch is HashingMethod.begin_epoch:
            return
        if rank() == 0:
            self._over_all_items(lambda train: self.model.begin_epoch(epoch, train))
        broadcast_state(self.model)

    def _over_all_items(self, work: Callable[[SourceItems], object]) -> None:
        """Does `work` on all training items, the model in eval mode and without gradient."""
        self.model.eval()
        with torch.no_grad():
            work(SourceItems(self.source, self.labels, self.device, self.groups, self.score))

    def _row(self, totals: EpochTotals, stop: StopRequest, evaluates: bool) -> dict[str, float]:
        """What is recorded of an epoch: the mean of every loss term, the rate, the time, and the metrics if it
        `evaluates`.

        Raises:
            Stopped: a signal has come during the steps.
        """
        stop.check()
        means = {f"loss/{name}": value for name, value in totals.means().items()}
        row = {"epoch": totals.epoch + 1, "lr": totals.rate, **means, **self.model.tracked(),
               "seconds": round(totals.seconds, 3)}
        return row | from_rank_zero(lambda: self._evaluate(stop)) if evaluates else row

    def _step(self, batch: Batch, epoch: int, index: int, num_steps: int) -> Mapping[str, torch.Tensor]:
        assert self.optimizer is not None
        step = Step(epoch, self.config.num_epochs, torch.tensor(index, device=self.device), num_steps)
        return steps.training_step(self.model, self.optimizer, batch, step, amp=self.config.amp,
                                   grad_clip=self.config.grad_clip, passes=self.passes)

    @property
    def _first_metric(self) -> str:
        return f"mAP@{self.config.map_at[0]}"

    def _evaluate(self, stop: StopRequest) -> dict[str, float]:
        """The metrics of the model as it is. A signal stops at once: nothing learned is lost with them."""
        if self.evaluate is None:
            return {}
        self.model.eval()
        with stop.at_once():
            return self.evaluate(self.model.encode)

    def _state(self, epoch: int) -> dict:
        state = self._saved(self.model.state_dict(), epoch)
        return state if self.optimizer is None else state | {"optimizer_state_dict": self.optimizer.state_dict()}

    def _saved(self, weights: dict, epoch: int) -> dict:
        """Weights with what made them: settings, training features, and how these were made if they say so."""
        return {"model_state_dict": weights, "epoch": epoch, "config": plain_settings(self.config),
                "features": self.features.fingerprint()} | ({EXTRACTION: e} if (e := self.features.extraction) else {})

    def _restore(self, run: Run) -> tuple[float, int, bool]:
        """Loads the run's last checkpoint, if any; the best first metric so far, the evaluations since it, and
        whether the run is finished."""
        if not run.state:
            return float("-inf"), 0, False
        if not self.features.matches(run.state["features"]):
            raise UserError(f"{run.checkpoints}: this run was trained on other features than "
                            f"{self.config.train_feat_path}. Restore them, or set run_name to begin another run.")
        self._check_measure(run.state, run.checkpoints)
        place = str(run.checkpoints / LAST)
        restore_state(self.model, run.state["model_state_dict"], place)
        if self.optimizer is not None:
            self.optimizer.load_state_dict(run.state.get("optimizer_state_dict") or {}, place)
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
        mixes = any(isinstance(module, SequenceMixer) for module in self.model.modules())
        how = f"method {config.method}" + (f", mixer {config.mixer}" if mixes else "")
        log.info("%s (%s) on %s, %d bits, %d %s, %.2f M parameters, device %s", config.model_name, how, config.dataset,
                 config.nbits, len(self.source), "videos" if len(config.item_shape) == 2 else "pictures",
                 num_parameters / 1e6, self.device)
        if num_processes() > 1:
            log.info("%d processes share every batch of %d", num_processes(), config.batch_size)
        for line in filter(None, (self.engine if mixes else None, self.source_choice, self.compile_choice)):
            log.info(line)
        if config.cuda_graph and self.passes is plain_passes:
            log.info("cuda_graph: it needs CUDA and a process alone; steps run without it")
        if config.select == "best_on_test":
            log.info("note: select = 'best_on_test' keeps the epoch that is best on the test split; "
                     "such numbers are optimistic")

    def dry_run(self) -> None:
        """One step on the first batch; prints what was found, the losses and the memory; writes nothing."""
        self._log_setup()
        log.info("train: %s", " x ".join(map(str, self.source.shape)))
        if self.optimizer is None:
            log.info("%s is fitted in closed form: there are no steps", self.config.model_name)
            return
        draws = EpochDraws(self.config.seed, 0, len(self.source), self.model.draws())
        batch = next(iter(iterate_epoch(self.source, draws, self.config.batch_size, labels=self.labels,
                                        share_of=own_share)))
        started = time.perf_counter()
        losses = self._step(batch.to(self.device), 0, 0, num_batches(len(self.source), self.config.batch_size))
        log.info("one step: %s, %.2f s", ", ".join(f"{name} {float(value.detach()):.4f}"
                                                   for name, value in losses.items()), time.perf_counter() - started)
        log.info("peak memory: %.0f MiB", peak_memory())
        if self.device.type == "cuda":
            log.info("peak GPU memory: %.0f MiB", torch.cuda.max_memory_allocated(self.device) / 2**20)

