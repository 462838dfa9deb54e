import os
import signal
import subprocess
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the scripts that tests start; read at torch's import
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each of a hundred scripts would compile the project anew

import torch

torch.set_num_threads(1)  # the tests' tensors are small; two threads spinning on a busy machine only wait
# What a shell, or nohup, has the tests ignore would be ignored by the scripts that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Starts `tests.precompile` beside the workers of the whole suite, from the process that leads them."""
    if config.getoption("numprocesses", 0) and not hasattr(config, "workerinput"):
        command = [sys.executable, "-m", "tests.precompile"]
        started = subprocess.Popen(command, cwd=config.rootpath, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        config.add_cleanup(lambda: (started.kill(), started.wait()))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three for the whole suite, since many tests wait for processes; what is asked for by name runs here, as workers
    would import for seconds first."""
    return 3 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0
