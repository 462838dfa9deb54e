"""What a script does with its streams, its environment and signals before it has begun: a line, no traceback."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from inference.code_file import write_codes
from inference.code_set import CodeSet
from inference.index import Index
from tests.pipeline import ROOT
from utils.signals import SIGNALS

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": "True"}


def start(*arguments, **options):
    environment = os.environ | options.pop("environment", {})
    return subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, stderr=subprocess.PIPE,
                            stdout=subprocess.PIPE, **options)


@pytest.fixture
def query(tmp_path):
    ids = np.array([f"vidéo {number}" for number in range(500)], object)
    codes = CodeSet(np.random.default_rng(0).integers(0, 256, (500, 8), np.uint8), ids, 64)
    Index(codes).save(tmp_path / "a.index")
    write_codes(tmp_path / "a.h5", codes)
    return "search.py", "query", "--index", tmp_path / "a.index", "--codes", tmp_path / "a.h5", "--topk", 50


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_importing_is_one_line(tmp_path, signum):
    (tmp_path / "numpy.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = start("search.py", "--help", environment={"PYTHONPATH": str(tmp_path)})
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    line = "interrupted" if signum == signal.SIGINT else f"ended by {signum.name}"
    assert (process.returncode, errors.decode()) == (128 + signum, f"{line}\n")


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    (tmp_path / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nos._exit(7)\n")
    process = start("search.py", "--help", environment={"PYTHONPATH": str(tmp_path)},
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.communicate(timeout=30)
    assert process.returncode == 7


@pytest.mark.parametrize("words", [None, ["-m", "vh", "train", "--help-keys", "all"],
                                   ["-m", "model.kernels.scan", "--check", "--batch=2", "--length=3", "--repeats=1"]])
def test_a_closed_pipe_ends_without_a_word(query, words):
    with start(*(words or query)) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_ids_that_the_encoding_lacks(query):
    process = start(*query, environment={"PYTHONIOENCODING": "ascii"})
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (2, b"")
    assert errors.decode().startswith("error: standard output: its encoding, ascii, lacks '\\xe9' of the ids. Set ")


def test_what_is_told_and_the_encoding_lacks_is_escaped(query, tmp_path):
    process = start(*query, "--out", tmp_path / "été.csv", environment={"PYTHONIOENCODING": "ascii"})
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert b"\\xe9t\\xe9.csv" in output
    assert (tmp_path / "été.csv").exists()


@pytest.mark.parametrize("missing", ["RANK", "LOCAL_WORLD_SIZE", None])
def test_what_a_torchrun_has_left_in_the_environment(missing):
    """A complete set is of one that has ended: nobody listens at its port, and the process would wait for a day."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = TORCHRUN | {"MASTER_PORT": str(free.getsockname()[1])}
    for name in environment:
        assert name not in os.environ
    environment.pop(missing, None)
    process = start("train.py", "--config", "configs/S5VH/digits.py", "--gpu", "cpu", environment=environment)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    line = errors.decode()
    assert line.startswith("error: TORCHELASTIC_RUN_ID is set, but no ")
    assert line.count("\n") == 1
    assert (missing or "no torchrun answers at 127.0.0.1:") in line
