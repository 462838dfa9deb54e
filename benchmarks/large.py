"""Preprocesses and trains on a file of FCVID's size, and prints how much memory that took.

    python -m benchmarks.large [--videos 45585] [--dtype float16] [--folder .] [--source file] [--batch 512]

Makes features of 25 x 4096 in --folder (9.3 GB as float16 at the default size; deleted afterwards), then runs
preprocess.py and one epoch of train.py (configs/S5VH/fcv.py, `mini`) on the CPU and samples the anonymous memory of
each from /proc every 20 ms: what a process holds for itself, the page cache and mapped files left out.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.io

from benchmarks.loader import NUM_CLASSES, NUM_FEATURES, NUM_FRAMES, write_features
from utils.cli import run_script
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
NUM_DATABASE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=45_585)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--folder", default=".", help="where the files are made")
    parser.add_argument("--source", default="file", help="batch_source of the training run")
    parser.add_argument("--batch", type=int, default=512)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large_benchmark_", dir=args.folder) as folder:
        data = Path(folder).absolute()
        write_features(data / "fcv_train_feats.h5", args.videos, args.dtype)
        classes = write_features(data / "fcv_test_feats.h5", NUM_DATABASE, args.dtype, seed=1)
        scipy.io.savemat(data / "fcv_test_labels.mat", {"labels": np.eye(NUM_CLASSES, dtype=np.uint8)[classes]})
        size = args.videos * NUM_FRAMES * NUM_FEATURES * 4 / 2**30
        print(f"{args.videos} videos of {NUM_FRAMES} x {NUM_FEATURES} {args.dtype}: {size:.1f} GiB as float32, a batch "
              f"of {args.batch} {args.batch * size / args.videos:.2f} GiB", flush=True)
        settings = {"data_root": f"{data}/", "home_root": f"{data}/", "train_num_sample": args.videos,
                    "test_num_sample": NUM_DATABASE, "S5VH_type": "mini", "num_epochs": 1, "batch_size": args.batch,
                    "batch_source": args.source, "nclusters": min(450, args.videos // 4)}
        for script in ("preprocess.py", "train.py"):
            watch(script, ["--config", "configs/S5VH/fcv.py", "--gpu", "cpu", "--set",
                           *(f"{name}={value}" for name, value in settings.items())])


def watch(script: str, arguments: list[str]) -> None:
    """Runs a script and prints its time and the peak of its anonymous memory."""
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, script, *arguments], cwd=ROOT, stdout=output, stderr=output)
        while process.poll() is None:
            peak = max(peak, anonymous_kib(process.pid))
            time.sleep(0.02)
        output.seek(0)
        lines = output.read().splitlines()
    if process.returncode:
        raise UserError(f"{script} ended with status {process.returncode}: {' '.join(lines[-1:])}")
    for line in lines:
        if "the training features" in line or line.startswith("epoch 1/"):
            print(f"    {line.partition(' mAP')[0]}")
    seconds = time.perf_counter() - started
    print(f"{script}: {seconds:.1f} s, anonymous memory at most {peak / 2**20:.2f} GiB", flush=True)


def anonymous_kib(pid: int) -> int:
    """RssAnon of a process; 0 once it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon:")), 0)


if __name__ == "__main__":
    run_script(main)
