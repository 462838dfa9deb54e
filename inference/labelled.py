"""Which items have a label: what a file says of their ids, or the first folder of an id, as `extract.py` makes them."""

import csv
import os
from collections import defaultdict
from collections.abc import Collection

from inference.index import Index
from inference.segments.index import MappedIndex
from utils.errors import UserError


def ids_labelled(index: Index | MappedIndex, labels: Collection[str], path: str | os.PathLike | None = None,
                 ) -> list[str]:
    """The ids of the items of `index` that have one of `labels`, once each: what `search` takes as `within`.

    Args:
        path: a CSV file (UTF-8) whose columns `id` and `label` say it; an id may have several lines, and ids that the
            index has not do not count. None: the label of `walk/clip.mp4` is `walk`.

    Raises:
        UserError: no item has one of the labels, or the file is none of that kind.
    """
    of_label = None if path is None else _read(path)
    found: dict[str, None] = {}
    for label in labels:
        ids = index.below(f"{label}/") if of_label is None else index.known(of_label[label])
        if not ids:
            where = f"{index.about.source}: no item has the label" + (f" that {path} calls" if path else "")
            fix = "Correct --label" + ("" if path else ", or name a file of ids and labels with --labels")
            raise UserError(f"{where} '{label}'. {fix}.")
        found |= dict.fromkeys(ids)
    return list(found)


def _read(path: str | os.PathLike) -> dict[str, list[str]]:
    """The ids of each label."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for line in csv.DictReader(file, restval=""):
                found[line["label"]].append(line["id"])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Name a CSV file of ids and labels.") from error
    except (UnicodeDecodeError, KeyError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: no table of labels ({reason}). Write CSV in UTF-8 that begins with a line "
                        "id,label.") from error
    return found
