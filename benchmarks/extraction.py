"""Times extract.py's way from video files to features beside a plain loop over the files.

    python -m benchmarks.extraction --videos clips/ [--frames 25] [--workers 2] [--repeats 3]

Both describe frames by `hog`. The loop opens one file after another, decodes every frame with FFmpeg's threads as PyAV
has them by default, and keeps T evenly spaced ones. They take turns; printed are the medians and that of the ratios of
each turn. Child processes are started within the time.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from dataset.extraction import histograms
from dataset.extraction.backbones import HOG, open_backbone
from dataset.extraction.pipeline import describe, recipe_of
from dataset.extraction.store import videos_in
from utils.cli import run_script
from utils.cpus import available_cpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", nargs="+", required=True, metavar="PATH", help="folders, or files")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--workers", type=int, default=available_cpus())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    paths = list(videos_in(arguments.videos).values())
    turns = [(timed(loop, paths, arguments.frames), timed(ours, paths, arguments.frames, arguments.workers))
             for _ in range(arguments.repeats)]
    plain, fast = (statistics.median(times) for times in zip(*turns, strict=True))
    print(f"{len(paths)} videos, {arguments.frames} frames of each, {arguments.workers} processes: "
          f"plain loop {len(paths) / plain:.3g} videos/s, extract.py {len(paths) / fast:.3g} videos/s, "
          f"{statistics.median(slow / quick for slow, quick in turns):.3g} times as fast")


def loop(paths: Sequence[Path], num_frames: int) -> list[np.ndarray]:
    """Features of each video, (T, F)."""
    found = []
    for path in paths:
        with av.open(str(path)) as file:
            frames = list(file.decode(video=0))
        kept = [frames[int((place + 0.5) / num_frames * len(frames))] for place in range(num_frames)]
        size = histograms.SIZE
        pixels = [frame.reformat(size, size, "rgb24", interpolation="AREA").to_ndarray() for frame in kept]
        found.append(histograms.describe(np.stack(pixels)))
    return found


def ours(paths: Sequence[Path], num_frames: int, num_processes: int) -> list[np.ndarray]:
    """The same, from the child processes."""
    backbone = open_backbone(HOG)
    done = {video.video: video for video in describe(paths, recipe_of(backbone, num_frames), backbone, num_processes)}
    return [done[number].windows[0][1] for number in range(len(paths))]


def timed(call, *arguments) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    run_script(main)
