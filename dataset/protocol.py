"""Which videos train, which are the database, which are the queries, and what is relevant to what."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.features import VideoFeatures, open_features
from dataset.labels import read_labels
from utils.config import Config
from utils.config.schema import CORE
from utils.errors import UserError


@dataclass(frozen=True)
class Retrieval:
    """A retrieval task: rank the database for every query.

    `database_labels` (N, classes) and `query_labels` (Q, classes) are multi-hot uint8 over the same classes;
    a database video is relevant to a query if they share one. `queries_are_database`: both are the same
    videos in the same order. `self_retrieval`: they are, and each query stays in its own result list, as
    FCVID's published protocol has it.
    """

    database: VideoFeatures
    queries: VideoFeatures
    database_labels: np.ndarray
    query_labels: np.ndarray
    self_retrieval: bool
    queries_are_database: bool

    @property
    def include_self(self) -> bool:
        """False only where a query must be taken out of its own result list."""
        return self.self_retrieval or not self.queries_are_database


def open_train(config) -> VideoFeatures:
    """The training videos of `config` (train_feat_path, train_num_sample).

    Raises:
        UserError: see `open_features`; or the count differs from train_num_sample.
    """
    return _open(config, config.train_feat_path, "training", "train_num_sample")


def open_retrieval(config) -> Retrieval:
    """Database, queries and labels of `config`.

    The database is test_feat_path with label_path; the queries are query_feat_path with query_label_path.
    Where query_feat_path is None, or names the database's files, the database videos are the queries;
    self_retrieval = None then means True.

    Raises:
        UserError: see `open_features` and `read_labels`; or the keys contradict each other.
    """
    if not config.label_path:
        raise UserError("config: label_path is missing; evaluation needs the labels of the database. Set it to the "
                        "file that has them.")
    _check_pairing(config)
    database = _open(config, config.test_feat_path, "database", "test_num_sample")
    labels = read_labels(config.label_path, len(database), key=config.label_key, role="database")
    keep_self = config.self_retrieval
    if _queries_are_database(config):
        _check_count(database, "query", "query_num_sample", config.query_num_sample)
        return Retrieval(database, database, labels, labels, keep_self is not False, True)
    queries = _open(config, config.query_feat_path, "query", "query_num_sample")
    query_labels = read_labels(config.query_label_path, len(queries), role="query",
                               key=config.query_label_key or config.label_key,
                               num_classes=labels.shape[1])
    return Retrieval(database, queries, labels, query_labels, False, False)


def on_other_data(config: Config, other: Config, source: str) -> Config:
    """`config` with the database, queries and labels of `other`, to evaluate a model on data it was not trained for.

    Its training features stay; its results go to <log_path>/on_<dataset>.

    Args:
        source: what a message should call `other`.

    Raises:
        UserError: the features of `other` do not fit the model of `config`.
    """
    for key, unit in (("feature_size", "features a frame"), ("max_frames", "frames a video"), ("item_shape", "values")):
        if other[key] != config[key]:
            raise UserError(f"{source}: {key} = {other[key]}, but the model was trained on {config[key]} {unit}. "
                            "Extract such features for this dataset, or train on ones of its size.")
    data = {name: other[name] for name, key in CORE.items() if key.owner == "data" and not name.startswith("train_")}
    return Config({**config, **data, "log_path": os.path.join(config.log_path, f"on_{other.dataset}")})


def read_train_labels(config, num_videos: int) -> np.ndarray:
    """The labels (N, classes) uint8 of the training videos, all zero where one has none (train_label_path).

    Of them the share `train_label_share` is left, and a smaller share is part of a larger one.

    Raises:
        UserError: the config names no such file, or as `read_labels`.
    """
    if not config.train_label_path:
        raise UserError(f"config: train_label_path is missing; {config.model_name} uses the labels of the training "
                        "videos. Set it to the file that has them.")
    labels = read_labels(config.train_label_path, num_videos, key=config.train_label_key, role="training")
    if config.train_label_share < 1:
        hidden = np.random.default_rng(config.preprocess_seed).permutation(num_videos)
        labels[hidden[round(config.train_label_share * num_videos):]] = 0
    return labels


def labels_at_hand(config, num_videos: int) -> np.ndarray | None:
    """The labels (N, classes) of the training videos where a config happens to name them, as training or as database
    labels of the same files, else None.

    Raises:
        UserError: as `read_labels`.
    """
    if config.train_label_path:
        return read_labels(config.train_label_path, num_videos, key=config.train_label_key, role="training")
    same = config.test_feat_path and _resolved(config.test_feat_path) == _resolved(config.train_feat_path)
    if not (same and config.label_path and all(map(os.path.exists, config.label_path))):
        return None
    return read_labels(config.label_path, num_videos, key=config.label_key, role="database")


def read_train_groups(config, num_videos: int) -> np.ndarray:
    """(N,) the group of each training video (train_group_path), numbered in the order of their names.

    Raises:
        UserError: the file cannot be read, or has not one line for each video.
    """
    path = config.train_group_path
    try:
        names = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "no text in UTF-8"
        raise UserError(f"{path}: cannot read the groups of the training videos ({what}). Correct train_group_path, or "
                        "leave it out.") from error
    if len(names) != num_videos:
        raise UserError(f"{path}: {len(names)} lines, but there are {num_videos} training videos. Give each video a "
                        "line with the name of its group, in the order of the features.")
    return np.unique(names, return_inverse=True)[1]


def _open(config, paths, role: str, count_key: str) -> VideoFeatures:
    features = open_features(paths, item_shape=config.item_shape, role=role, key=config.feat_key)
    _check_count(features, role, count_key, getattr(config, count_key))
    return features


def _check_count(features: VideoFeatures, role: str, count_key: str, expected: int | None) -> None:
    if expected is not None and expected != len(features):
        raise UserError(f"{', '.join(features.paths)}: {len(features)} {role} videos; the config says "
                        f"{count_key} = {expected}. Set {count_key} = {len(features)} or drop it.")


def _check_pairing(config) -> None:
    """The contradictions that show in the config alone."""
    query_feats, query_labels = config.query_feat_path, config.query_label_path
    if _queries_are_database(config):
        if query_labels and _resolved(query_labels) != _resolved(config.label_path):
            raise UserError(f"query_label_path {query_labels}: the queries are the database videos, which "
                            "have the labels of label_path. Set query_label_path = None, or name other query "
                            "features.")
    elif not query_labels:
        raise UserError(f"query_feat_path {query_feats}: query_label_path is missing. Set it to the label "
                        "file of these queries.")
    elif config.self_retrieval:
        raise UserError(f"query_feat_path {query_feats}: self_retrieval = True needs queries that are the "
                        "database videos. Drop self_retrieval, or set query_feat_path = None.")


def _queries_are_database(config) -> bool:
    paths = config.query_feat_path
    return not paths or _resolved(paths) == _resolved(config.test_feat_path)


def _resolved(paths: str | Sequence[str]) -> list[str]:
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return [os.path.realpath(path) for path in listed]
