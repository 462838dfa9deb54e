"""Times GraphCode: its fit, part by part, and its encoding beside that of S5VH's `small` encoder.

    python -m benchmarks.graph_code [--features FILE.h5] [--bits 64] [--threads 2] [--repeats 3]
    python -m benchmarks.graph_code --videos 45585 --frames 25 --size 4096 --anchors 2000

Without a file the features are random, of Omniglot's size: 3,388 videos of 25 x 490. Both encode the same videos to
packed codes, in turn, as eval.py and search.py do; printed are the medians over repeats, a video's share, and the
median of the ratios of each turn. Quality is not measured here: the network has random weights, and random features
have no neighbors worth the name.
"""

import argparse
import statistics
import time
from functools import partial

import h5py
import torch

from artefacts.neighbor_graph import DENSE_LIMIT, NUM_ANCHORS, embed, fit_graph
from artefacts.rotation import fit_rotation
from artefacts.trajectories import fit_trajectories, trajectories
from benchmarks.encode import InMemory, encode, random_videos
from benchmarks.side_by_side import CLOCKS, take_turns
from model import build_model
from model.methods.graph_code.encoder import WarpedGraphCode, buffers_of
from utils.cli import run_script
from utils.config import load_config

S5VH = "configs/S5VH/act.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", metavar="FILE.h5", help="videos (N, T, F) under the key 'feats'")
    parser.add_argument("--videos", type=int, default=3388)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--size", type=int, default=490, help="F of random features")
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--anchors", type=int, default=NUM_ANCHORS, help=f"nodes beyond {DENSE_LIMIT:,} videos")
    parser.add_argument("--encoded", type=int, default=512, help="how many of the videos are encoded")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds instead of the clock's")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    features = read(args.features) if args.features else random_videos(args.videos, args.frames, args.size)
    print(f"torch {torch.__version__}, {args.threads} threads; {args.features or 'random features'} "
          f"{' x '.join(map(str, features.shape))}, {args.bits} bits, {'CPU ' if args.cpu_time else ''}seconds",
          flush=True)
    code = fit(features, args.bits, args.anchors, CLOCKS[args.cpu_time])
    compare(code, small_encoder(features, args.bits), InMemory(features.values[:args.encoded]), args.repeats,
            CLOCKS[args.cpu_time])


def read(path: str) -> InMemory:
    with h5py.File(path) as file:
        return InMemory(file["feats"][()].astype("float32"))


def fit(features: InMemory, num_bits: int, num_anchors: int, clock=time.perf_counter) -> WarpedGraphCode:
    """The code of the videos; prints the seconds of each part of its fit."""
    started = clock()
    seconds: dict[str, float] = {}

    def done(part: str) -> None:
        seconds[part] = clock() - started - sum(seconds.values())

    fitted, cells = fit_trajectories(features)
    done("trajectories")
    graph = fit_graph(fitted, cells, num_anchors=num_anchors)
    done("graph")
    embedding = embed(fitted, graph, cells)
    done("embedding")
    rotation = fit_rotation(trajectories(fitted, cells), embedding, num_bits)
    done("rotation")
    print("fit            " + "   ".join(f"{part} {value:.1f}" for part, value in seconds.items())
          + f"   together {sum(seconds.values()):.1f}", flush=True)
    return WarpedGraphCode(buffers_of(fitted, graph, rotation))


def small_encoder(features: InMemory, num_bits: int):
    """S5VH's `small` network for such videos, of random weights."""
    _, num_frames, size = features.shape
    torch.manual_seed(0)
    return build_model(load_config(S5VH, {"S5VH_type": "small", "max_frames": num_frames, "feature_size": size,
                                          "nbits": num_bits})).eval()


def compare(code: WarpedGraphCode, network, features: InMemory, repeats: int, clock=time.perf_counter) -> float:
    """Prints milliseconds a video of both; returns how many times as long the network takes."""
    forms = {"GraphCode": partial(encode, code, features), "S5VH small": partial(encode, network, features)}
    with torch.inference_mode():
        for form in forms.values():
            form()
        times = take_turns(forms, repeats, clock)
    ours, theirs = times.values()
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    each = "   ".join(f"{name} {1000 * statistics.median(values) / len(features.values):.2f} ms a video"
                      for name, values in times.items())
    print(f"encoding       {each}   ({ratio:.1f}x)", flush=True)
    return ratio


if __name__ == "__main__":
    run_script(main)
