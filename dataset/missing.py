"""Data files of a config that are not there: all of them at once, where each belongs, where to get it."""

import csv
import os
import shlex
from collections.abc import Callable, Collection
from functools import cache, partial
from pathlib import Path

from dataset.digit_pictures import write_digit_pictures
from dataset.digits import VARIANTS, write_digits
from dataset.watch import write_watch

# Datasets that need no download, and what writes them into config.data_root.
SAMPLES: dict[str, Callable[[str], object]] = {
    name: partial(write_digits, variant=variant) for name, variant in VARIANTS.items()} | {
        "watch": write_watch, "digit_pictures": write_digit_pictures}
DATA_KEYS = {"train_feat_path": "training features", "train_label_path": "training labels",
             "test_feat_path": "database features", "query_feat_path": "query features",
             "label_path": "database labels", "query_label_path": "query labels"}


def missing_files(config, name: str, source: str, keys: Collection[str] = tuple(DATA_KEYS)) -> list[str]:
    """A message for each data file of `config` that is not there: what, where, the fix; of a sample dataset one for
    all.

    Args:
        name: of the dataset, as the user calls it. source: the config file.
        keys: of the config, whose files are asked for.
    """
    absent = [(path, key) for key in keys for path in config[key] or () if not os.path.exists(path)]
    if absent and config.dataset in SAMPLES:
        return [f"{config.data_root}: the sample data are not there ({os.path.basename(absent[0][0])}). Write them "
                f"with `{_sample_command(config)}`."]
    messages: dict[str, str] = {}
    for path, key in absent:
        fix = f"Put it there, or set data_root or {key} in {source}"
        if config.dataset in _links():
            link, listed = _links()[config.dataset]
            fix = f"Download it ({link}, which {listed}) or set data_root"
        messages.setdefault(path, f"{path}: not there; {name} has its {DATA_KEYS[key]} here. {fix}.")
    return list(messages.values())


def _sample_command(config) -> str:
    module = "digits" if config.dataset in VARIANTS else config.dataset
    words = ["python", "-m", f"dataset.{module}"]
    if config.dataset != module:
        words += ["--variant", config.dataset]
    if os.path.normpath(config.data_root) != os.path.join("data", config.dataset):
        words += ["--out", config.data_root]
    return shlex.join(words)


@cache
def _links() -> dict[str, tuple[str, str]]:
    """Dataset -> the public link to its features, and where that is listed: links.csv."""
    with open(Path(__file__).with_name("links.csv"), encoding="utf-8", newline="") as file:
        return {line["dataset"]: (line["link"], line["listed"]) for line in csv.DictReader(file)}
