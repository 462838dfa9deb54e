"""What a page is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset.protocol import Retrieval
from inference.codes import binarize_up
from inference.curves import DistanceCounts
from inference.evaluation import RetrievalResult
from inference.metrics import Evaluation
from utils.config import Config


@dataclass(frozen=True)
class Subject:
    """One evaluation of one checkpoint, and what its page shows beside it.

    `name`: of the model, with what is to be said of its training. `bounds`: the same rankings under the tie rules
    worst and best. `counts`: of the whole rankings. `further`: as `inference.evaluation.further_metrics` gives it.
    `date`: of the evaluation, as the page shows it. `class_names`: one per column of the labels. `training`: rows of
    metrics.jsonl, or none. `baselines`: rows of a table that ends with the model's own, or none. `hash_centers`:
    (C, K) of +-1, or None. `shallow_counts`: as `counts`, of the shallow codes by their names in `baselines`.
    """

    name: str
    config: Config
    retrieval: Retrieval
    result: RetrievalResult
    bounds: Evaluation
    counts: DistanceCounts
    further: Mapping[str, Any]
    checkpoint: Path
    epoch: int | None
    date: str
    class_names: Sequence[str]
    training: Sequence[Mapping[str, float]] = ()
    baselines: Sequence[Mapping[str, object]] = ()
    hash_centers: np.ndarray | None = None
    shallow_counts: Mapping[str, DistanceCounts] = field(default_factory=dict)

    @property
    def evaluation(self) -> Evaluation:
        return self.result.evaluation

    @property
    def noun(self) -> str:
        """What to call an item."""
        return self.retrieval.database.noun

    @property
    def database_code(self) -> np.ndarray:
        """The database's codes (N, K) with tied bits, where they were kept as zeros, taken as +1."""
        return binarize_up(self.result.database_codes)

    def classes_of(self, labels: np.ndarray) -> str:
        """The names of the classes in a label row (classes,), at most three of them."""
        names = [self.class_names[i] for i in np.flatnonzero(labels).tolist()]
        return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])]) or "no class"
