"""The project's scripts as processes that need not import for seconds: forks of a server that has imported it all."""

import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import torch

from tables.grid import runner

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["train", "eval", "preprocess", "artefacts.centers.artefact", "tests.forked",
                                 "model.methods.s5vh", "sklearn.cluster", "scipy.stats"])


class Script:
    """`python <script> <arguments>`, with as much of `subprocess.Popen` as is used here.

    Args:
        command: the interpreter, the script and its arguments.
        stdout: an open file for both streams; none: what they say is lost.
        env: its whole environment; none: this process's own.
    """

    def __init__(self, command: Sequence[object], stdout=subprocess.DEVNULL, env: Mapping[str, str] | None = None, **_):
        path = os.devnull if stdout == subprocess.DEVNULL else stdout.name
        self._process = _CONTEXT.Process(target=_run, args=([*map(str, command[1:])], path, dict(env or os.environ)))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("script", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_side_by_side(count: int, folder: Path, *arguments: object) -> SimpleNamespace:
    """A script in `count` processes that know of each other as those of torchrun do; their exit codes and output.

    What they say is kept in `folder`. They meet at a port that was free a moment before.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
              "TORCHELASTIC_RUN_ID": "forked", "TORCHELASTIC_RESTART_COUNT": 0, "OMP_NUM_THREADS": 1}
    files = [(folder / f"output{rank}.txt").open("w+") for rank in range(count)]
    processes = [Script([sys.executable, *arguments], file, os.environ | {
        name: str(value) for name, value in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items()})
        for rank, file in enumerate(files)]
    codes = [process.wait(300) for process in processes]
    output = "".join(file.read() for file in files)
    for file in files:
        file.close()
    return SimpleNamespace(codes=codes, output=output)


def _run(arguments: list[str], output: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", "1")))
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


def fork_cells(patch) -> None:
    """Has the scripts of tables run that way; `patch` is pytest's monkeypatch."""
    patch.setattr(runner, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": Script}))
