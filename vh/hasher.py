"""A trained model as one object, and its codes. N items, T frames, F features, K bits, Q queries."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dataset.extraction.recipe import ATTRIBUTE as EXTRACTION
from dataset.extraction.recipe import check_same_extraction, read_recipe
from inference.code_file import write_codes
from inference.code_set import CodeSet, check_comparable, row_ids
from inference.codes import binarize_up, pack, unpack
from inference.encode import Features, encode_features
from inference.index import Index
from model import build_model, load_weights
from model.fingerprint import earlier_fingerprint, model_fingerprint
from training.checkpoints import BEST, LAST, MODEL, read_checkpoint, stored_config
from utils.cli import choose_device
from utils.config import Config, load_config
from utils.config.loading import read_dump
from utils.config.values import run_ending
from utils.errors import UserError

if TYPE_CHECKING:
    from dataset.extraction.backbones import Backbone
    from dataset.extraction.pipeline import Described


class Codes(CodeSet):
    """Codes of N items with their ids. `bits`: uint8 (N, ceil(K/8)), packed; `num_bits`: K."""

    @property
    def signs(self) -> np.ndarray:
        """The codes unpacked, int8 (N, K) of -1 and +1."""
        return unpack(self.bits, self.num_bits)

    def search(self, queries: CodeSet, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Ids (Q, min(k, N)) of str and Hamming distances, uint16, of the nearest codes here, nearest first.

        Exact; ties in the order of the items.

        Raises:
            UserError: `queries` are of another length or another model; an id occurs twice here.
        """
        check_comparable(queries, self)
        return self._index.search(queries.bits, k)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the codes to `path` (.h5, .hdf5 or .npz), for `vh.read_codes` and `search.py`."""
        write_codes(path, self)

    @cached_property
    def _index(self) -> Index:
        return Index(self)


class Hasher:
    """A trained model. `encode` makes codes; `config` are its settings, `source` the file it was read from.

    Args:
        config: the resolved settings of the model. checkpoint: the content of the file `source`.

    Raises:
        UserError: the weights do not fit the config.
    """

    def __init__(self, config: Config, checkpoint: Mapping[str, Any], source: str, device: torch.device):
        self.config, self.source, self.device = config, source, device
        self.epoch: int | None = checkpoint.get("epoch", -1) + 1 or None
        self._backbone: Backbone | None = None
        self.extraction = str(checkpoint.get(EXTRACTION, ""))  # how its features are made of videos, "" if unknown
        state = checkpoint["model_state_dict"]
        self.model = build_model(config)
        load_weights(self.model, state, source)
        self.model.to(device)
        encoding = {name: value for name, value in state.items() if not name.startswith(self.model.training_only)}
        shared = {name: value for name, value in encoding.items() if name not in self.model.resident_state}
        fingerprints = model_fingerprint(shared, config), earlier_fingerprint(encoding, checkpoint.get("config"))
        self.fingerprint = " ".join(filter(None, fingerprints))

    def __repr__(self) -> str:
        return (f"<{self.config.model_name} trained on {self.config.dataset}, {self.bits} bits, items of "
                f"{self.item_shape}, from {self.source}>")

    @property
    def bits(self) -> int:
        """K, the length of its codes."""
        return self.config.nbits

    @property
    def item_shape(self) -> tuple[int, ...]:
        """(T, F) of a video, or (rows, columns, channels) of a picture."""
        return tuple(self.config.item_shape)

    def encode(self, items, ids: Sequence[str] | None = None) -> Codes:
        """The codes of `items`, an array or tensor (N, T, F), or of one video (T, F).

        Floats are taken as they are, uint8 as value / 255, as in feature files; pictures are uint8 (N, rows, columns,
        channels).

        Args:
            ids: a name for each item; None: row numbers.

        Raises:
            UserError: `items` have another shape or type or hold NaN, or there is not one id for each.
        """
        return self.encode_features(_Items(items, self.item_shape), ids)

    def encode_videos(self, videos: str | os.PathLike | Sequence[str | os.PathLike], *,
                      failed: Callable[[str, str], object] | None = None,
                      progress: Callable[[int], object] | None = None, seconds: float | None = None) -> Codes:
        """The codes of video files, or of all in a folder, from features made as those that the model was trained on.

        Their ids are paths from the folder, or names of files; with the seconds where a video has several windows.

        Args:
            failed: called with the id of a video that cannot be read and why; None: the first such raises.
            progress: called with 1 after each video.
            seconds: the most that decoding a video may take; a video is one item then, however long it is.

        Raises:
            UserError: the checkpoint does not say how its features were made, what made them is not here, or no video
                can be read.
        """
        from dataset.extraction.store import item_id, videos_in

        found = videos_in([videos] if isinstance(videos, str | os.PathLike) else videos)
        names, parts = list(found), {}
        for video in self._describe(list(found.values()), seconds):
            name = names[video.video]
            if video.failed and failed is None:
                raise UserError(f"{found[name]}: {video.note}. Leave this video out, or repair it.")
            if video.failed and failed is not None:
                failed(name, video.note)
            else:
                items = _Items(np.stack([rows for _, rows in video.windows]), self.item_shape)
                whole = len(video.windows) == 1
                parts[video.video] = self.encode_features(items, [item_id(name, seconds, whole)
                                                                  for seconds, _ in video.windows])
            if progress is not None:
                progress(1)
        if not parts:
            raise UserError(f"{self.source}: none of {len(names)} videos could be read. Name others.")
        codes = [parts[number] for number in sorted(parts)]
        return replace(codes[0], bits=np.concatenate([part.bits for part in codes]),
                       ids=np.concatenate([part.ids for part in codes]))

    def _describe(self, paths: Sequence[Path], seconds: float | None) -> "Iterator[Described]":
        from dataset.extraction.pipeline import MOST_SECONDS, backbone_of, describe

        if not self.extraction:
            raise UserError(f"{self.source}: does not say how features are made of videos. Train on those of "
                            "extract.py.")
        recipe = read_recipe(self.extraction, self.source)
        if self._backbone is None:
            self._backbone = backbone_of(recipe, self.device)
        if seconds is not None:
            recipe = replace(recipe, window=None, shots=False)
        return describe(paths, recipe, self._backbone, seconds=seconds or MOST_SECONDS)

    def encode_features(self, features: Features, ids: Sequence[str] | np.ndarray | None = None, *,
                        batch_size: int | None = None, source: str = "the codes",
                        progress: Callable[[int], object] | None = None) -> Codes:
        """The same of a `dataset.features.VideoFeatures`, which need not fit into memory.

        Raises:
            UserError: they were extracted from videos otherwise than those that the model was trained on.
        """
        check_same_extraction(self.extraction, getattr(features, EXTRACTION, ""), source, self.source)
        names = row_ids(features.shape[0]) if ids is None else np.array([str(name) for name in ids], object)
        if len(names) != features.shape[0]:
            raise UserError(f"{len(names)} ids for {features.shape[0]} items. Give one for each.")
        bits = encode_features(self.model.encode, features, batch_size=batch_size or self.config.test_batch_size,
                               device=self.device, amp=self.config.amp, progress=progress,
                               convert=lambda h: pack(binarize_up(h)))
        made_from = {"model": self.config.model_name, "dataset": self.config.dataset, "checkpoint": self.source}
        return Codes(bits, names, self.bits, self.fingerprint, made_from, source)


def load_hasher(path: str | os.PathLike, *, config: str | os.PathLike | None = None,
                device: str | int | None = None) -> Hasher:
    """See `vh.load`."""
    file = _checkpoint_in(Path(path)) if os.path.isdir(path) else Path(path)
    checkpoint = read_checkpoint(file)
    settings = load_config(config) if config is not None else stored_config(checkpoint, str(file))
    return Hasher(settings, checkpoint, str(file), choose_device(device))


def _checkpoint_in(folder: Path) -> Path:
    """The checkpoint of the run whose checkpoints, or logs, are in `folder`."""
    if (resolved := folder / "config.py").is_file():
        values = read_dump(resolved)
        named = Path(f"{values.get('file_path')}{run_ending(str(values.get('run_name') or ''))}")
        # a run is often looked at from elsewhere: beside its logs/<dataset>/<run> lies checkpoint/<dataset>/<run>
        here = folder.resolve()
        beside = Path(os.path.normpath(here / "../../.."), "checkpoint", here.parent.name, here.name)
        folder = named if named.is_dir() else beside
    names = BEST, LAST, MODEL  # the best only where the run chose it
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise UserError(f"{folder}: no checkpoint here ({', '.join(names)}). Name the folder of a run, or the file.")
    return found


class _Items:
    """An array as encoding sees it; see `inference.encode.Features`."""

    def __init__(self, items, item_shape: tuple[int, ...]):
        array = items.detach().cpu().numpy() if isinstance(items, torch.Tensor) else np.asarray(items)
        array = array[None] if array.ndim == len(item_shape) else array
        if array.shape[1:] != item_shape or not len(array):
            raise UserError(f"the items are {array.shape}; this model takes (N, {', '.join(map(str, item_shape))}). "
                            "Give it items of that shape.")
        if array.dtype != np.uint8 and (array.dtype.kind != "f" or len(item_shape) == 3):
            raise UserError(f"the items are of type {array.dtype}; this model takes "
                            f"{'uint8' if len(item_shape) == 3 else 'floats, or uint8 as value / 255'}. Convert them.")
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape

    def blocks(self, num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(self._array), num_rows):
            block = self._array[start:start + num_rows]
            if block.ndim == 3:
                block = block / np.float32(255) if block.dtype == np.uint8 else block.astype(np.float32, copy=False)
                if not np.isfinite(block).all():
                    row = start + int(np.argmin(np.isfinite(block).all(axis=(1, 2))))
                    raise UserError(f"item {row} holds NaN, Inf or a value beyond float32. Leave it out.")
            yield start, block
