"""Codes of what a command of search.py names: features, videos, or a clip that a page was given."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset.features import open_features
from inference.code_file import read_codes, read_ids, write_codes
from inference.code_set import CodeSet, check_model
from inference.encode import Part, items_at_once, shard
from inference.index import Index
from inference.segments.index import MappedIndex
from training.checkpoints import chosen_checkpoint, given_config, read_checkpoint
from utils.cli import choose_device
from utils.config.arguments import command_line
from utils.errors import UserError
from utils.files.writing import make_folder
from utils.over_ray import over_ray
from vh.hasher import Hasher, load_hasher

CLIP_SECONDS = 20.0  # that decoding a clip for the page may take
VIDEOS_PER_SHARE = 1 << 14  # what a machine of a cluster that is lost has done in vain


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


def _encoding(arguments: argparse.Namespace) -> Callable[[tuple[int, int]], CodeSet]:
    """What encodes a share, in an actor."""
    encoder = Encoder(arguments)

    def encode(share: tuple[int, int]) -> CodeSet:
        ids, features = encoder.part(*share)
        return encoder.hasher.encode_features(features, ids, batch_size=encoder.batch_size, source=encoder.source)
    return encode


class Encoder:
    """The model and the features, or videos, that a command line names, checked, with the weights loaded."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        config = given_config(arguments)
        self.videos, self.num_failed = arguments.videos, 0
        share, self._address = vars(arguments).get("shard"), str(vars(arguments).get("ray") or "")
        if self.videos and (arguments.ids or share or self._address):
            raise UserError("--videos: they have their paths as ids, and no shares. Leave --ids, --shard and --ray "
                            "out, or use extract.py, which has the latter two.")
        if not self.videos:
            self.features: Any = open_features(arguments.features, item_shape=config.item_shape, role="named",
                                               key=config.feat_key)
            self.source = ", ".join(self.features.paths)
            self.ids = self._read_ids(arguments.ids) if arguments.ids else self.features.ids
        self.batch_size = arguments.batch
        path = Path(arguments.checkpoint or chosen_checkpoint(config))
        checkpoint = read_checkpoint(path, command_line("train", arguments) if arguments.config else "")
        self.hasher = Hasher(config, checkpoint, str(path), choose_device(arguments.gpu))
        self._folder = Path(f"{vars(arguments).get('out')}.shares")
        self._arguments = arguments
        if share:
            self.ids, self.features = self.part(*self._bounds(*share))

    @property
    def _at_once(self) -> int:
        config = self.hasher.config
        return min(self.batch_size or config.test_batch_size, items_at_once(config.item_shape, self.hasher.device))

    def _bounds(self, number: int, count: int) -> tuple[int, int]:
        """Where the share `number` of `count` starts and stops."""
        try:
            return shard(len(self.features), self._at_once, number, count)
        except ValueError as error:
            raise UserError(f"--shard {number}/{count}: {error}. Name fewer shares, or a smaller --batch.") from error

    def part(self, start: int, stop: int) -> tuple[list[str], Part]:
        """Ids and features of some of the videos."""
        ids = [str(row) for row in range(start, stop)] if self.ids is None else self.ids[start:stop]
        return ids, Part(self.features, start, stop)

    def _over_ray(self, progress: Callable[[int], object]) -> CodeSet:
        """The codes, made by the machines of a Ray cluster. Shares that are done are files until `close`, so that what
        is stopped goes on behind them."""
        size = max(1, VIDEOS_PER_SHARE // self._at_once) * self._at_once
        shares = [(start, min(start + size, len(self.features))) for start in range(0, len(self.features), size)]
        make_folder(self._folder)
        found = {share: codes for share in shares if (codes := self._kept(share)) is not None}
        progress(sum(map(len, found.values())))
        if todo := [share for share in shares if share not in found]:
            gpu = self._arguments.gpu
            given = argparse.Namespace(**{**vars(self._arguments), "run": None, "ray": None,
                                          "gpu": gpu if gpu == "cpu" else None})  # an actor sees one GPU, its own
            for share, codes in over_ray(self._address, _encoding, given, todo, gpu=gpu):
                write_codes(self._file(share), codes)
                found[share] = codes
                progress(len(codes))
        parts = [found[share] for share in shares]
        return replace(parts[0], bits=np.concatenate([part.bits for part in parts]),
                       ids=np.concatenate([part.ids for part in parts]))

    def _file(self, share: tuple[int, int]) -> Path:
        return self._folder / f"{share[0]}_{share[1]}.npz"

    def _kept(self, share: tuple[int, int]) -> CodeSet | None:
        """The codes of a share that an earlier run has made of the same features by the same model."""
        path = self._file(share)
        try:
            if path.stat().st_mtime <= max(os.stat(source).st_mtime
                                           for source in (*self.features.paths, self.hasher.source)):
                return None
            codes = read_codes(path)
        except (OSError, UserError):
            return None
        same = codes.fingerprint == self.hasher.fingerprint and codes.ids.tolist() == self.part(*share)[0]
        return codes if same else None

    def close(self) -> None:
        """Forgets the shares, once their codes are kept elsewhere."""
        if self._address:
            shutil.rmtree(self._folder)

    def encode(self, report_to=None) -> CodeSet:
        """The codes of all videos; the number of videos per second is printed."""
        codes: CodeSet
        started = time.perf_counter()
        total = None if self.videos else self.features.shape[0]
        with tqdm(total=total, desc="encoding", unit="videos", leave=False, disable=None) as bar:
            if self.videos:
                codes = self.hasher.encode_videos(self.videos, failed=self._note, progress=bar.update)
            elif self._address:
                codes = self._over_ray(bar.update)
            else:
                codes = self.hasher.encode_features(self.features, self.ids, batch_size=self.batch_size,
                                                    source=self.source, progress=bar.update)
        seconds = time.perf_counter() - started
        where = f"Ray's {self._address}" if self._address else self.hasher.device
        print(f"{len(codes)} videos encoded in {seconds:.3g} s: {len(codes) / seconds:.3g} videos/s on {where}",
              file=report_to)
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
