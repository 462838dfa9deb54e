"""Times encoding beside the same mathematics written out literally, weights shared, and how it grows with T.

    python -m benchmarks.encode [--config configs/S5VH/act.py] [--batch 128] [--threads 2] [--repeats 3]
    python -m benchmarks.encode --lengths 25 1000 100000

The literal form is how the S5VH release computes (`benchmarks.literal`), a batch at a time. Ours is what eval.py and
search.py call, to packed codes. Printed are the bits that differ in the same run, the medians over interleaved repeats,
their ratios, and how far memory rises beside the features; no speed where the forms disagree. Then the time per frame
for videos of each length relative to the first, about as many frames each, and the memory; `worst` is the largest
distance from one. Compare runs under one allocator setting only (it is printed).
"""

import functools
import statistics
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.literal import Literal
from benchmarks.side_by_side import CLOCKS, make, parse, peak_memory, print_memory, report, take_turns
from inference.codes import binarize_up, pack
from inference.encode import encode_features
from utils.cli import run_script

LENGTHS = [25, 50, 100, 250, 500, 1000, 4000]
MOST_CHANGED = {"float32": 1e-4, "bf16": 1e-2}  # bits, of those that are no tie of the frames


class InMemory:
    """Features (N, T, F) as `encode_features` reads them."""

    def __init__(self, values: np.ndarray):
        self.values, self.shape = values, values.shape

    def blocks(self, num_rows: int):
        for start in range(0, len(self.values), num_rows):
            yield start, self.values[start:start + num_rows]


def main() -> None:
    def add(parser):
        parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, metavar="T")

    args, config = parse(__doc__, add)
    model, batch = make(config)
    literal = Literal(model.eval())
    features = InMemory(batch.items.numpy())
    with torch.inference_mode():
        compare(model, literal, features)
        forms = {"literal": lambda: literal.encode(batch.items),
                 "float32": lambda: encode(model, features), "bf16": lambda: encode(model, features, "bf16")}
        report("encoding", args.repeats, forms, CLOCKS[args.cpu_time])
        print_memory("extra memory", forms)
        if args.lengths:
            grow(model, args.lengths, config.max_frames * args.batch, args.repeats, CLOCKS[args.cpu_time])


def encode(model, features: InMemory, amp: str = "none") -> np.ndarray:
    """Packed codes of all videos."""
    return encode_features(model.encode, features, batch_size=128, device="cpu", amp=amp,
                           convert=lambda h: pack(binarize_up(h)))


def compare(model, literal: Literal, features: InMemory) -> None:
    """Prints how many bits differ from the literal form's, where that has one: it has none where the frames tie.

    Raises:
        SystemExit: more than round-off explains.
    """
    theirs = literal.encode(torch.from_numpy(features.values)).numpy()
    decided = theirs != 0
    wrong = []
    for amp, name in (("none", "float32"), ("bf16", "bf16")):
        ours = np.unpackbits(encode(model, features, amp), axis=1, count=theirs.shape[1]).astype(bool)
        changed = int((ours != (theirs > 0))[decided].sum())
        print(f"bits that differ in {name}: {changed} of {int(decided.sum())}", flush=True)
        wrong += [name] if changed > MOST_CHANGED[name] * decided.sum() else []
    if wrong:
        raise SystemExit(f"the forms disagree in {', '.join(wrong)}: no speed is worth printing")


def grow(model, lengths: list[int], num_frames: int, repeats: int, clock: Callable[[], float]) -> None:
    """Prints time and memory of videos of each length, time per frame relative to the first length."""
    for amp, name in (("none", "float32"), ("bf16", "bf16")):
        splits = {length: random_videos(max(1, num_frames // length), length, model.config.feature_size)
                  for length in lengths}
        forms = {str(length): functools.partial(encode, model, videos, amp) for length, videos in splits.items()}
        for form in forms.values():
            form()
        times = take_turns(forms, repeats, clock)
        each = {length: np.array(times[str(length)]) / np.prod(videos.shape[:2]) for length, videos in splits.items()}
        relative = {length: statistics.median(seconds / each[lengths[0]]) for length, seconds in each.items()}
        cells = []
        for length, videos in splits.items():
            peak = peak_memory(forms[str(length)])
            memory = "" if peak is None else f", {peak:.0f} MB beside {videos.values.nbytes / 1e6:.0f}"
            cells.append(f"T={length} {relative[length]:.2f}{memory}")
        worst = max(abs(value - 1) for value in relative.values())
        print(f"{name} per frame: " + "   ".join(cells) + f"   worst {worst:.0%}", flush=True)


def random_videos(num_videos: int, num_frames: int, feature_size: int) -> InMemory:
    generator = np.random.default_rng(0)
    return InMemory(generator.standard_normal((num_videos, num_frames, feature_size), dtype=np.float32))


if __name__ == "__main__":
    run_script(main)
