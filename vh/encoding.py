"""Codes of what a command of search.py names: features, videos, or a clip that a page was given."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset.features import open_features
from inference.code_file import read_ids
from inference.code_set import CodeSet, check_model, row_ids
from inference.encode import Part, items_at_once, shard
from inference.index import Index
from inference.segments.index import MappedIndex
from training.checkpoints import chosen_checkpoint, given_config, read_checkpoint
from utils.cli import choose_device
from utils.config.arguments import command_line
from utils.errors import UserError
from vh.hasher import Hasher, load_hasher

CLIP_SECONDS = 20.0  # that decoding a clip for the page may take


def clip_encoder(arguments: argparse.Namespace,
                 index: Index | MappedIndex) -> Callable[[Path], tuple[CodeSet | None, str]] | None:
    """What gives the codes of a clip, or why it cannot; None where the index does not tell of a model that is here."""
    path = arguments.checkpoint or index.about.made_from.get("checkpoint")
    if path is None or not (arguments.checkpoint or Path(str(path)).is_file()):
        return None
    hasher = load_hasher(str(path), device=arguments.gpu)
    check_model(hasher.fingerprint, hasher.source, index.about, any_model=arguments.any_model)
    if not hasher.extraction:
        return None

    def encode(clip: Path) -> tuple[CodeSet | None, str]:
        why: list[str] = []
        try:
            return hasher.encode_videos([clip], failed=lambda _, told: why.append(told), seconds=CLIP_SECONDS), ""
        except UserError:
            if not why:
                raise
            return None, why[0]
    return encode


class Encoder:
    """The model and the features, or videos, that a command line names, checked, with the weights loaded."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        config = given_config(arguments)
        self.videos, self.num_failed = arguments.videos, 0
        if self.videos and (arguments.ids or vars(arguments).get("shard")):
            raise UserError("--videos: they have their paths as ids, and no shares. Leave --ids and --shard out.")
        if not self.videos:
            self.features: Any = open_features(arguments.features, item_shape=config.item_shape, role="named",
                                               key=config.feat_key)
            self.source = ", ".join(self.features.paths)
            self.ids = self._read_ids(arguments.ids) if arguments.ids else self.features.ids
        self.batch_size = arguments.batch
        path = Path(arguments.checkpoint or chosen_checkpoint(config))
        checkpoint = read_checkpoint(path, command_line("train", arguments) if arguments.config else "")
        self.hasher = Hasher(config, checkpoint, str(path), choose_device(arguments.gpu))
        if share := vars(arguments).get("shard"):
            self._take(*share)

    def _take(self, number: int, count: int) -> None:
        """Leaves of the videos the share `number` of `count`."""
        config, num_videos = self.hasher.config, len(self.features)
        at_once = min(self.batch_size or config.test_batch_size, items_at_once(config.item_shape, self.hasher.device))
        try:
            start, stop = shard(num_videos, at_once, number, count)
        except ValueError as error:
            raise UserError(f"--shard {number}/{count}: {error}. Name fewer shares, or a smaller --batch.") from error
        self.ids = (row_ids(num_videos).tolist() if self.ids is None else self.ids)[start:stop]
        self.features = Part(self.features, start, stop)

    def encode(self, report_to=None) -> CodeSet:
        """The codes of all videos; the number of videos per second is printed."""
        started = time.perf_counter()
        total = None if self.videos else self.features.shape[0]
        with tqdm(total=total, desc="encoding", unit="videos", leave=False, disable=None) as bar:
            if self.videos:
                codes = self.hasher.encode_videos(self.videos, failed=self._note, progress=bar.update)
            else:
                codes = self.hasher.encode_features(self.features, self.ids, batch_size=self.batch_size,
                                                    source=self.source, progress=bar.update)
        seconds = time.perf_counter() - started
        print(f"{len(codes)} videos encoded in {seconds:.3g} s: {len(codes) / seconds:.3g} videos/s on "
              f"{self.hasher.device}", file=report_to)
        return codes

    def _note(self, name: str, why: str) -> None:
        self.num_failed += 1
        print(f"{name}: {why}", file=sys.stderr)

    def _read_ids(self, path: str) -> list[str]:
        ids = read_ids(path)
        if len(ids) != len(self.features):
            raise UserError(f"{path}: {len(ids)} ids for {len(self.features)} videos. Give one line per video, in the "
                            "order of the features.")
        return ids
