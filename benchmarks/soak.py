"""Kills a run again and again at random moments, and checks that nothing is lost.

    python -m benchmarks.soak --kills 200
    python -m benchmarks.soak --kills 200 --signal term --seed 3

A tiny dataset is made in a folder of its own, deleted afterwards, and trained on once undisturbed. Then train.py runs
and is killed, and is resumed with --resume, until that many kills have fallen; a run that reaches its end before is
compared and begun anew. Half of the moments are random in time, for the others a phase is drawn and then a moment
within it. After every kill the checkpoint must be sound and hold no less than before it; at the end every tensor
(weights, pseudo-labels, optimiser) and every row of metrics, seconds apart, must equal the undisturbed run's. Printed
is in which phase the kills fell and how many steps had to be repeated; exit status 1 if anything was lost.

A life is a fork of this process, which has imported torch and started no thread. Linux and macOS only.
"""

import argparse
import mmap
import os
import random
import runpy
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import torch

import inference.evaluation
from training import checkpoints, run, steps
from training.checkpoints import LAST, read_checkpoint
from training.run import read_metrics
from utils.cli import run_script

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
PHASES = ("start", "step", "evaluation", "checkpoint", "metrics", "between")
START = PHASES.index("start")
_LIFE = 0.6  # seconds, at most, of a life that ends at a random moment
_WITHIN = 0.004  # seconds, at most, from the begin of a phase to a kill within it
_PATIENCE = 60.0

CONFIG = """\
dataset = 'soak'
home_root = {folder!r} + '/'
data_root = {folder!r} + '/data/'
model_name, S5VH_type = 'S5VH', 'mini'
hidden_size, decoder_size, nbits, nclusters, latent_dim_pca = 32, 16, 8, 4, 6
feature_size, max_frames, batch_size = 8, 6, 16
num_epochs, warm_up_epoch, eval_every, map_at = {epochs}, 1, 3, [1, 5]
train_feat_path = query_feat_path = test_feat_path = data_root + 'train.h5'
label_path = query_label_path = data_root + 'train.mat'
"""


class LostError(Exception):
    """What a kill has cost beyond what it may."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signal", choices=SIGNALS, default="kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--epochs", type=int, default=60, help="of the run; an epoch has three steps")
    arguments = parser.parse_args()
    load_what_lives_need()
    with tempfile.TemporaryDirectory(prefix="soak_") as folder:
        soak = Soak(Path(folder), arguments.epochs, SIGNALS[arguments.signal], random.Random(arguments.seed))
        begun = time.perf_counter()
        try:
            soak.run(arguments.kills)
        except LostError as error:
            print(f"LOST after {soak.num_kills} kills: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        print(soak.report(), f"{time.perf_counter() - begun:.0f} s", sep="\n")


class Life:
    """A fork that runs train.py and tells, through shared memory, in which phase it is and the steps it has taken."""

    def __init__(self, arguments: list[str], output: Path):
        self._shared = mmap.mmap(-1, 8)
        sys.stdout.flush()
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        self.process = os.fork()
        if not self.process:
            self._live(arguments, output, held)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)

    @property
    def phase(self) -> int:
        return self._shared[0]

    @property
    def num_steps(self) -> int:
        return struct.unpack_from("<i", self._shared, 4)[0]

    def ended(self) -> bool:
        """Whether it has ended or is about to be reaped."""
        return os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def reap(self) -> int:
        """Waits for its end; its exit status, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _live(self, arguments: list[str], output: Path, mask: set) -> None:
        status = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as in a new process, and not as this one takes them
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            self._watch(steps, "training_step", "step", self._count)
            self._watch(inference.evaluation, "evaluate_retrieval", "evaluation")
            self._watch(run, "write_checkpoint", "checkpoint")
            self._watch(run, "write_text", "metrics")
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        except KeyboardInterrupt:  # before run_script
            status = 128 + signal.SIGINT
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _watch(self, module, name: str, phase: str, after: Callable[[], None] | None = None) -> None:
        action, number = getattr(module, name), PHASES.index(phase)

        def watched(*positional, **keywords):
            self._shared[0] = number
            result = action(*positional, **keywords)
            if after:
                after()
            self._shared[0] = PHASES.index("between")
            return result

        setattr(module, name, watched)

    def _count(self) -> None:
        struct.pack_into("<i", self._shared, 4, self.num_steps + 1)


class Soak:
    """The undisturbed run, and the one that is killed; `num_kills` so far."""

    def __init__(self, folder: Path, num_epochs: int, signum: int, moments: random.Random):
        self.num_kills = self.num_rounds = self.num_repeated = 0
        self._folder, self._signum, self._moments = folder, signum, moments
        self._fell: Counter[str] = Counter()
        self._steps = 0  # of the run, in its last checkpoint
        write_data(folder, num_epochs)
        self._script("preprocess.py")
        self._script("train.py", *self._named("whole"))

    def run(self, num_kills: int) -> None:
        """Kills that often, then lets the run come to its end.

        Raises:
            LostError: something is lost, or a resumed run fails.
        """
        while True:
            life = Life([str(ROOT / "train.py"), "--config", str(self._folder / "config.py"), "--resume",
                         *self._named("killed")], self._folder / "output.txt")
            if self.num_kills < num_kills and self._wait(life):
                self._kill(life)
                continue
            self._end(life.reap(), (0,))
            self._compare()
            if self.num_kills >= num_kills:
                return
            for kind in ("checkpoint", "logs"):
                shutil.rmtree(self._path(kind, "killed"))
            self._steps = 0

    def report(self) -> str:
        """A table of the phases, and what it comes to."""
        rows = "\n".join(f"{phase:<12}{self._fell[phase]:>8}" for phase in PHASES)
        return (f"{'phase':<12}{'kills':>8}\n{rows}\n{'all':<12}{self.num_kills:>8}\n"
                f"{self.num_rounds} runs came to their end, each equal to the undisturbed one in every bit of weights, "
                f"pseudo-labels and optimiser and in its metrics; {self.num_repeated} steps were taken twice; nothing "
                "was lost")

    def _wait(self, life: Life) -> bool:
        """Whether the life has come to the moment that was drawn for its end, and not to its own end before."""
        draw = self._moments
        if draw.random() < 0.5:
            time.sleep(draw.uniform(0, _LIFE))
        else:
            self._wait_for(life, draw.randrange(START + 1, len(PHASES) - 1))
            time.sleep(draw.uniform(0, _WITHIN))
        return not life.ended()

    def _wait_for(self, life: Life, phase: int) -> None:
        skipped = self._moments.uniform(0, _LIFE)
        begun = time.monotonic()
        while not life.ended() and time.monotonic() - begun < _PATIENCE:
            if life.phase == phase and time.monotonic() - begun > skipped:
                return
            time.sleep(0.0002)

    def _kill(self, life: Life) -> None:
        os.kill(life.process, self._signum)
        phase, taken = life.phase, life.num_steps
        status = life.reap()
        if self._signum == signal.SIGKILL or phase == START:
            self._end(status, (-self._signum, 128 + self._signum, 0))
        else:
            self._end(status, (128 + self._signum, 0))
        self.num_kills += 1
        self._fell[PHASES[phase]] += 1
        kept = self._kept()
        if kept < self._steps:
            raise LostError(f"the checkpoint has gone back from step {self._steps} to {kept}")
        lost = self._steps + max(taken, life.num_steps) - kept
        if lost and self._signum != signal.SIGKILL:
            raise LostError(f"{lost} steps are not in the checkpoint that the signal should have brought")
        self.num_repeated += lost
        self._steps = kept

    def _kept(self) -> int:
        """The steps of the run that are in its checkpoint."""
        path = self._path("checkpoint", "killed") / LAST
        if not path.exists():
            return 0
        content = read_checkpoint(path)
        return 3 * (content["epoch"] + 1) + content.get("unfinished", {"steps": 0})["steps"]

    def _end(self, status: int, good: tuple[int, ...]) -> None:
        if status not in good:
            tail = (self._folder / "output.txt").read_text().splitlines()[-8:]
            raise LostError(f"train.py ended with status {status}: " + " | ".join(tail))

    def _compare(self) -> None:
        self.num_rounds += 1
        whole, killed = (read_checkpoint(self._path("checkpoint", name) / LAST) for name in ("whole", "killed"))
        for part in ("model_state_dict", "optimizer_state_dict"):
            ours, theirs = (dict(checkpoints._tensors(content[part], part)) for content in (whole, killed))
            different = [name for name in ours | theirs if name not in ours or name not in theirs
                         or ours[name].numpy().tobytes() != theirs[name].numpy().tobytes()]
            if different or not ours:
                raise LostError(f"different in the end: {', '.join(different)}")
        rows = [[{key: value for key, value in row.items() if key != "seconds"}
                 for row in read_metrics(self._path("logs", name))] for name in ("whole", "killed")]
        if rows[0] != rows[1]:
            raise LostError("the rows of metrics.jsonl differ")
        if litter := [path for kind in ("checkpoint", "logs") for path in self._path(kind, "killed").glob(".*")]:
            raise LostError(f"left behind: {litter}")

    def _script(self, name: str, *flags: str) -> None:
        life = Life([str(ROOT / name), "--config", str(self._folder / "config.py"), *flags],
                    self._folder / "output.txt")
        self._end(life.reap(), (0,))

    def _named(self, name: str) -> list[str]:
        return ["--gpu", "cpu", "--run-name", name]

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"soak/S5VH_8bit_{name}"


def load_what_lives_need() -> None:
    """Imports what train.py does, and what torch loads at the first call of a function, so that a fork has it."""
    torch.set_num_threads(1)
    runpy.run_path(str(ROOT / "train.py"), run_name="only_its_imports")
    torch.use_deterministic_algorithms(False)
    if len(os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else [0]) > 1:
        print("note: a thread runs already; a fork may hang", file=sys.stderr)


def write_data(folder: Path, num_epochs: int) -> None:
    """Forty videos of four classes with their labels, and a config that trains on them for `num_epochs`."""
    (folder / "data").mkdir()
    draw = np.random.default_rng(0)
    classes = np.arange(40) % 4
    videos = draw.normal(size=(4, 6, 8))[classes] + 0.3 * draw.normal(size=(40, 6, 8))
    with h5py.File(folder / "data/train.h5", "w") as file:
        file["feats"] = videos.astype(np.float32)
    scipy.io.savemat(folder / "data/train.mat", {"labels": np.eye(4, dtype=np.uint8)[classes]})
    (folder / "config.py").write_text(CONFIG.format(folder=str(folder), epochs=num_epochs))


if __name__ == "__main__":
    run_script(main)
