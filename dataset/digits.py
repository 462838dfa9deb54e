"""The sample dataset: real handwritten digits under motions that only the order of the frames tells apart.

    python -m dataset.digits [--variant digits100] [--out data/digits]

The recipe is docs/sample_dataset.md; its numbered steps are followed here. Variants of it have more frames or other
motions. N videos, T frames.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from dataset.labels import one_hot_file
from utils.cli import close_with, first_step, run_script
from utils.files.new_hdf5 import NewHdf5
from utils.files.writing import whole_file

RECIPE_VERSION = 1
MOTIONS = ("right", "left", "down", "up", "clockwise", "counterclockwise")
SLANTED = ("southeast", "northwest", "northeast", "southwest", "outward", "inward")
NUM_DIGITS = 10
NUM_CLASSES = NUM_DIGITS * len(MOTIONS)
NUM_FRAMES = 25
CANVAS = 24
SPLITS = ("train", "test")
TRAIN_PER_CLASS = 34
TEST_PER_CLASS = 10

_GLYPH = 8
_RANGE = CANVAS - _GLYPH
_FRAMES_AT_ONCE = 3200  # their number decides the order of the draws: 128 videos of 25 frames


@dataclass(frozen=True)
class Variant:
    """In what a sample dataset departs from the recipe.

    `motions`: six names; the second of each pair is the first backwards.
    """

    num_frames: int = NUM_FRAMES
    motions: tuple[str, ...] = MOTIONS


RECIPE = Variant()
VARIANTS = {"digits": RECIPE, "digits100": Variant(100), "digits400": Variant(400), "digits1000": Variant(1000),
            "digits_slant": Variant(motions=SLANTED)}


def write_digits(folder: str | os.PathLike, variant: Variant = RECIPE, *, seed: int = 1,
                 train_per_class: int = TRAIN_PER_CLASS, test_per_class: int = TEST_PER_CLASS) -> bool:
    """Writes the dataset into `folder`; False if this recipe's files for these settings are there already.

    The files are digits_{train,test}_feats.h5 (`feats` uint8 (N, T, 576)), digits_{train,test}_labels.mat
    (`labels` one-hot uint8 (N, 60)) and classes.txt. The same settings give the same bytes.

    Raises:
        UserError: a file cannot be written.
    """
    folder = Path(folder)
    num_per_class = {"train": train_per_class, "test": test_per_class}
    departures = {name: value for name, value in asdict(variant).items() if value != asdict(RECIPE)[name]}
    made_from = {split: json.dumps({"recipe": "moving digits", "recipe_version": RECIPE_VERSION, "seed": seed,
                                    "split": split, "videos_per_class": num_per_class[split]} | departures)
                 for split in SPLITS}
    texts = {"classes.txt": _class_names(variant.motions).encode()}
    for split in SPLITS:
        ids = class_ids(seed, split, num_per_class[split])
        texts[f"digits_{split}_labels.mat"] = one_hot_file(ids, NUM_CLASSES, "moving digits")
    if all(_holds(folder / name, content) for name, content in texts.items()) and all(
            _is_made_from(folder / f"digits_{split}_feats.h5", made_from[split]) for split in SPLITS):
        return False
    with ExitStack() as stack:
        for split in SPLITS:
            part = stack.enter_context(whole_file(folder / f"digits_{split}_feats.h5"))
            shape = NUM_CLASSES * num_per_class[split], variant.num_frames, CANVAS * CANVAS
            _write_features(part, shape, make_videos(seed, split, num_per_class[split], variant), made_from[split])
        for name, content in texts.items():
            stack.enter_context(whole_file(folder / name)).write_bytes(content)
    return True


def reversed_motion(ids: np.ndarray) -> np.ndarray:
    """The classes of the same digits moving backwards; its own inverse."""
    return np.asarray(ids) ^ 1


def class_ids(seed: int, split: str, num_per_class: int) -> np.ndarray:
    """(N,) int64: the class of each video, 6 * digit + motion, every class equally often, in random order."""
    return _stream(seed, split, "order").permutation(np.repeat(np.arange(NUM_CLASSES), num_per_class))


def image_ids(seed: int, split: str, num_per_class: int) -> np.ndarray:
    """(N,) int64: the image of each video, an index into scikit-learn's digits (step 1)."""
    pools = split_images(seed)[split]
    rng = _stream(seed, split, "images")
    digits = class_ids(seed, split, num_per_class) // len(MOTIONS)
    return np.array([pools[digit][rng.integers(len(pools[digit]))] for digit in digits])


def split_images(seed: int) -> dict[str, list[np.ndarray]]:
    """For each split the image indices of each digit; three quarters of a digit's images are for training."""
    _, targets = _images()
    rng = _stream(seed, "both", "split")
    shuffled = [rng.permutation(np.flatnonzero(targets == digit)) for digit in range(NUM_DIGITS)]
    return {"train": [ids[:len(ids) * 3 // 4] for ids in shuffled],
            "test": [ids[len(ids) * 3 // 4:] for ids in shuffled]}


def make_videos(seed: int, split: str, num_per_class: int, variant: Variant = RECIPE) -> Iterator[np.ndarray]:
    """Blocks of uint8 (some, T, 576): the videos of a split in order."""
    motions = class_ids(seed, split, num_per_class) % len(MOTIONS)
    glyphs = _images()[0][image_ids(seed, split, num_per_class)]
    path_rng, look_rng = _stream(seed, split, "paths"), _stream(seed, split, "look")
    num_rendered = max(1, _FRAMES_AT_ONCE // variant.num_frames)
    for start in range(0, len(motions), num_rendered):
        block = slice(start, start + num_rendered)
        positions = np.stack([_forward_path(variant.motions[motion // 2 * 2], variant.num_frames, path_rng)
                              for motion in motions[block]])
        frames = _add_look(_render(glyphs[block], positions), look_rng)
        backward = motions[block] % 2 == 1
        frames[backward] = frames[backward][:, ::-1]
        yield frames.reshape(*frames.shape[:2], -1)


def _forward_path(motion: str, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T, 2): x and y of the glyph's upper left corner, by the forward program `motion` (step 2)."""
    return np.round(_PROGRAMS[motion](np.linspace(0, 1, num_frames), rng) * 64) / 64


def _right(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    distance = rng.uniform(10, _RANGE)
    along = rng.uniform(0, _RANGE - distance) + distance * time
    across = np.full(len(time), rng.uniform(0, _RANGE))
    return np.stack([along, across], axis=1)


def _down(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _right(time, rng)[:, ::-1]


def _southeast(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    distance = rng.uniform(10, _RANGE)
    return rng.uniform(0, _RANGE - distance, size=2) + distance * time[:, None]


def _northeast(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x, y = _southeast(time, rng).T
    return np.stack([x, _RANGE - y], axis=1)


def _clockwise(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _turn(time, np.ones(len(time)), rng)


def _outward(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _turn(time, time, rng)


def _turn(time: np.ndarray, growth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius = rng.uniform(5, 8)
    center = rng.uniform(radius, _RANGE - radius, size=2)
    angle = 2 * np.pi * (rng.uniform() + rng.uniform(0.75, 1.25) * time)
    return center + radius * growth[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


_PROGRAMS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "right": _right, "down": _down, "clockwise": _clockwise,
    "southeast": _southeast, "northeast": _northeast, "outward": _outward}


def _render(glyphs: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(N, T, 24, 24) float32 in 0..16: glyphs (N, 8, 8) at positions (N, T, 2), by bilinear interpolation
    (step 3).

    Placement is separable: column j of the canvas takes weight max(0, 1 - |j - x - i|) of the glyph's column
    i. Weights are multiples of 1/64, so the products are exact and their order does not matter.
    """
    canvas = np.arange(CANVAS)[:, None]
    glyph = np.arange(_GLYPH)
    weights = np.maximum(0, 1 - np.abs(canvas - positions[..., None, None] - glyph)).astype(np.float32)
    columns, lines = weights[:, :, 0], weights[:, :, 1]
    return lines @ glyphs[:, None].astype(np.float32) @ columns.swapaxes(-1, -2)


def _add_look(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 frames of the same shape: brightness and noise drawn per video (steps 3 and 4)."""
    per_video = (len(frames), 1, 1, 1)
    brightness = rng.uniform(0.6, 1, size=per_video).astype(np.float32)
    deviation = rng.uniform(0.02, 0.08, size=per_video).astype(np.float32)
    noise = rng.standard_normal(frames.shape, dtype=np.float32)
    scaled = 255 * (frames / 16 * brightness + deviation * noise)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _stream(seed: int, split: str, purpose: str) -> np.random.Generator:
    """A generator of its own for each use, so that no draw moves another."""
    return np.random.default_rng([seed, *f"{split}/{purpose}".encode()])


def _images() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8) float64 of whole numbers 0..16, and their digits (1797,)."""
    from sklearn.datasets import load_digits  # a second of import that nothing else here needs

    bundle = load_digits()
    return bundle.images, bundle.target


def _class_names(motions: Sequence[str]) -> str:
    return "".join(f"{digit} {motion}\n" for digit in range(NUM_DIGITS) for motion in motions)


def _write_features(path: Path, shape: tuple[int, int, int], blocks: Iterator[np.ndarray], made_from: str) -> None:
    with NewHdf5(path) as file:
        feats, start = file.create_dataset("feats", shape, np.uint8), 0
        for block in blocks:
            feats[start:start + len(block)] = block
            start += len(block)
        file.attrs["made_from"] = made_from


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _is_made_from(path: Path, made_from: str) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("made_from") == made_from
    except OSError:
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the dataset where the command line says."""
    parser = argparse.ArgumentParser(prog="python -m dataset.digits",
                                     description="Write the sample dataset (docs/sample_dataset.md).")
    parser.add_argument("--variant", choices=VARIANTS, default="digits",
                        help="more frames, or other motions (default: %(default)s, the recipe itself)")
    parser.add_argument("--out", help="folder of the files (default: data/<variant>)")
    parsed = parser.parse_args(arguments)
    folder = parsed.out or f"data/{parsed.variant}"
    written = write_digits(folder, VARIANTS[parsed.variant])
    state = "written" if written else "up to date, left as it is"
    print(f"{folder}: {state} ({NUM_CLASSES * TRAIN_PER_CLASS:,} training videos, "
          f"{NUM_CLASSES * TEST_PER_CLASS} queries, {NUM_CLASSES} classes)")
    config = Path("configs/S5VH/digits.py").with_stem(parsed.variant)
    close_with([], first_step(config, folder, f"data/{parsed.variant}"))


if __name__ == "__main__":
    run_script(main)
