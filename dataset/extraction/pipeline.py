"""Features of many videos, batch by batch across them. T frames, F features."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dataset.extraction.backbones import Backbone, open_backbone
from dataset.extraction.decoders import MOST_SECONDS, End, Window, decoded
from dataset.extraction.recipe import Recipe
from utils.cli import choose_device
from utils.cpus import available_cpus
from utils.errors import UserError
from utils.over_ray import over_ray

FRAMES_PER_BATCH = 64
VIDEOS_PER_SHARE = 16  # what a machine of a cluster that is lost has done in vain


@dataclass
class Described:
    """The features of the video numbered `video`: for each window its seconds and float16 (T, F); what is to be noted,
    or why it `failed`."""

    video: int
    windows: list[tuple[tuple[float, float], np.ndarray]] = field(default_factory=list)
    note: str = ""
    failed: bool = False


def recipe_of(backbone: Backbone, num_frames: int, window: float | None = None, stride: float | None = None,
              shots: bool = False) -> Recipe:
    """How features of `backbone` are made."""
    return Recipe(backbone.name, backbone.weights, backbone.size, backbone.crop, num_frames, window, stride, shots)


def backbone_of(recipe: Recipe, device="cpu") -> Backbone:
    """The backbone that `recipe` names.

    Raises:
        UserError: it is not here, or is one of other weights.
    """
    backbone = open_backbone(recipe.model, device)
    if backbone.weights != recipe.weights:
        raise UserError(f"{recipe.model}: its weights ({backbone.weights[:12]}) are not those that the features were "
                        f"made with ({recipe.weights[:12]}). Put the same model there.")
    return backbone


def describe(paths: Sequence, recipe: Recipe, backbone: Backbone, num_processes: int | None = None,
             seconds: float = MOST_SECONDS) -> Iterator[Described]:
    """The features of every video, in the order in which they are ready; a window may take so many `seconds`."""
    videos: dict[int, Described] = defaultdict(lambda: Described(-1))
    waiting: list[Window | End] = []
    batch = max(1, FRAMES_PER_BATCH // recipe.num_frames)
    for item in decoded(paths, recipe, described=backbone.described, num_processes=num_processes or available_cpus(),
                        seconds=seconds):
        waiting.append(item)
        if backbone.described or sum(isinstance(one, Window) for one in waiting) >= batch:
            yield from _finished(waiting, videos, backbone)
            waiting = []
    yield from _finished(waiting, videos, backbone)


def describe_over_ray(address: str, paths: Sequence, recipe: Recipe, gpu: str | None,
                      num_processes: int | None) -> Iterator[Described]:
    """`describe` by the actors of a Ray cluster; see `utils.over_ray`. Each starts `num_processes` that decode."""
    shares = [(start, tuple(paths[start:start + VIDEOS_PER_SHARE])) for start in range(0, len(paths), VIDEOS_PER_SHARE)]
    given = recipe, gpu if gpu == "cpu" else None, num_processes or 1  # each actor sees one GPU, its own
    for (start, _), found in over_ray(address, _describing, given, shares, gpu=gpu):
        for video in found:
            yield replace(video, video=start + video.video)


def _describing(given: tuple[Recipe, str | None, int]) -> Callable[[tuple[int, Sequence]], list[Described]]:
    recipe, gpu, num_processes = given
    backbone = backbone_of(recipe, choose_device(gpu))
    return lambda share: list(describe(share[1], recipe, backbone, num_processes))


def _finished(items: Sequence[Window | End], videos: dict[int, Described], backbone: Backbone) -> Iterator[Described]:
    """The videos that end among `items`, in whose windows one call of the network makes features."""
    windows = [item for item in items if isinstance(item, Window)]
    if windows:
        rows = backbone.features(np.concatenate([window.frames for window in windows])).astype(np.float16)
        parts = iter(np.split(rows, len(windows)))
    for item in items:
        if isinstance(item, Window):
            videos[item.video].windows.append((item.seconds, next(parts)))
            continue
        video = videos.pop(item.video, Described(item.video))
        finite = all(np.isfinite(rows).all() for _, rows in video.windows)
        yield Described(item.video, [] if item.failed or not finite else video.windows,
                        item.note if finite else "its features are beyond float16", item.failed or not finite)
