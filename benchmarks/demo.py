"""Times the three stages of S5VH on the sample dataset and their peak memory, beside a calibration of one second.

    python -m benchmarks.demo

Every stage runs afresh, in a folder of its own that is removed afterwards. The calibration is torch's float32
product of two 1024 x 1024 matrices on all threads: it says how quiet and how fast the machine was.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import torch

from utils.cli import run_script

CONFIG = "configs/S5VH/digits.py"
STAGES = (["preprocess.py"], ["train.py"], ["eval.py", "--baselines"])


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "digits")
        subprocess.run([sys.executable, "-m", "dataset.digits", "--out", data], check=True)
        print(f"calibration before: {calibration():.0f} GFLOP/s, {torch.get_num_threads()} threads")
        total = 0.0
        for script, *flags in STAGES:
            seconds, peak = timed([sys.executable, script, "--config", CONFIG, *flags, "--set",
                                   f"data_root={data}", f"home_root={folder}"])
            total += seconds
            print(f"{script}: {seconds:.1f} s, peak memory {peak:.0f} MiB")
        print(f"three stages: {total:.1f} s; calibration after: {calibration():.0f} GFLOP/s")


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak resident MiB of `command`, which must succeed."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[1]} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def calibration(seconds: float = 1.0, size: int = 1024) -> float:
    """GFLOP/s of float32 matrix products over about `seconds`."""
    a = torch.rand(size, size)
    a @ a
    products, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        a @ a
        products += 1
    return products * 2 * size**3 / (time.perf_counter() - started) / 1e9


if __name__ == "__main__":
    run_script(main)
