"""Stage 1 of SHC: how alike the classes are, by what a classifier takes one for (Chen et al., arXiv 2507.08404).

Letters: N training pictures, C classes.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artefacts.artefact import Array, Artefact, Made, Making
from artefacts.store import finite
from utils.config.keys import AT_LEAST_1, POSITIVE, Key, choice

CLASSIFIER = str(Path(__file__).with_name("_classifier.py"))
PICTURES_AT_ONCE = 256


def class_similarity(logits: np.ndarray, classes: np.ndarray, rule: str = "paper") -> np.ndarray:
    """S (C, C) float64 in [-1, 1], its diagonal 1 (eq. 5-8).

    A row is what the classifier sees beside the masked entry: the mean softmax over the pictures of the class, minus
    its mean, over its largest deviation from it. `paper`: the largest logit of a picture is masked, rows are scaled,
    then S and its transpose averaged. `release`: the true class is masked, sums stand for means, the average comes
    first.

    Args:
        logits: (N, C). classes: (N,) the true classes; each occurs.
    """
    num_classes = logits.shape[1]
    masked = logits.astype(np.float64)
    masked[np.arange(len(logits)), classes if rule == "release" else logits.argmax(axis=1)] = -np.inf
    shares = np.exp(masked - masked.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    rows = np.zeros((num_classes, num_classes))
    np.add.at(rows, classes, shares)
    if rule == "release":
        matrix = _scaled((rows + rows.T) / 2)
    else:
        matrix = _scaled(rows / np.maximum(np.bincount(classes, minlength=num_classes), 1)[:, None])
        matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _scaled(rows: np.ndarray) -> np.ndarray:
    deviations = rows - rows.mean(axis=1, keepdims=True)
    largest = np.abs(deviations).max(axis=1, keepdims=True)
    return deviations / np.where(largest > 0, largest, 1.0)


class ClassSimilarity(Artefact):
    """(C, C) float32: `class_similarity` of a classifier that is trained for it."""

    name = "class_similarity"
    path_key = "class_similarity_path"
    KEYS = (
        choice("similarity_rule", "paper", ["release"], "how classes are compared: as the paper writes, or as its "
               "program computes"),
        Key("similarity_epochs", "int", 100, "epochs of the classifier that compares the classes", AT_LEAST_1),
        Key("similarity_lr", "float", 1e-4, "its learning rate", POSITIVE),
        Key("class_similarity_path", "path", None, "similarity of the classes", file="class_similarity.h5", free=True),
    )
    shaped_by = ("similarity_rule", "similarity_epochs", "similarity_lr", "backbone", "backbone_width",
                 "small_pictures", "resize", "crop", "crop_padding", "flip", "jitter", "batch_size", "optimizer_name",
                 "schedule", "weight_decay", "grad_clip", "amp", "preprocess_seed")
    uses_labels = True

    def settings(self, config) -> dict[str, Any]:
        """Of weights to start from it is the file's name that counts, as folders differ between machines."""
        weights = config.backbone_weights
        return super().settings(config) | {"backbone_weights": weights and os.path.basename(os.path.normpath(weights))}

    def arrays(self, config, split) -> dict[str, Array]:
        return {"matrix": Array((None, None), finite)}

    def make(self, making: Making) -> Made:
        config, labels = making.config, making.labels()
        classifier = making.fit(CLASSIFIER, {
            "num_classes": labels.shape[1], "num_epochs": config.similarity_epochs, "lr": config.similarity_lr,
            "min_lr": 0.0, "seed": config.preprocess_seed})
        parts = []
        with torch.no_grad():
            for _, block in making.split.blocks(PICTURES_AT_ONCE):
                parts.append(classifier.encode(torch.from_numpy(block).to(making.device)).float().cpu().numpy())
        matrix = class_similarity(np.concatenate(parts), labels.argmax(axis=1), config.similarity_rule)
        return Made({"matrix": matrix.astype(np.float32)})


CLASS_SIMILARITY = ClassSimilarity()
