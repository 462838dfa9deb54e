"""Trains S5VH on the sample dataset with several seeds and prints, beside mAP@5, whether its codes carry time.

    python -m benchmarks.digits_order --seeds 1 2 3

`order` is the share of queries whose true motion ranks above the same motion run backwards (the same digit;
`inference.order`). A code of the frame mean cannot do better than a coin; ITQ on means and on five time
segments stand beside it.
"""

import argparse
import subprocess
import sys
from typing import Any

import numpy as np
import torch

from dataset.digits import reversed_motion
from dataset.protocol import open_retrieval
from inference.baselines import Itq, frame_means, segment_means
from inference.evaluation import evaluate_codes, evaluate_retrieval
from inference.order import order_accuracy
from inference.report import format_table
from model import build_model, load_weights
from training.checkpoints import chosen_checkpoint, read_checkpoint
from utils.cli import run_script
from utils.config import load_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/S5VH/digits.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    subprocess.run([sys.executable, "-m", "dataset.digits"], check=True)
    subprocess.run([sys.executable, "preprocess.py", "--config", arguments.config], check=True)
    rows = [_trained(arguments.config, seed) for seed in arguments.seeds]
    config = load_config(arguments.config)
    for name, vectors in (("ITQ, means", frame_means), ("ITQ, 5 segments", segment_means)):
        rows += [_shallow(config, name, vectors, seed) for seed in arguments.seeds]
    print(format_table(rows, ("method", "seed", "mAP@5 expected", "order")))
    for method in dict.fromkeys(row["method"] for row in rows):
        of_method = [row for row in rows if row["method"] == method]
        means = {name: np.mean([row[name] for row in of_method]) for name in ("mAP@5 expected", "order")}
        print(f"{method}, mean of {len(of_method)} seeds: "
              + ", ".join(f"{name} {value:.4f}" for name, value in means.items()))


def _trained(path: str, seed: int) -> dict[str, Any]:
    """The scores of one run, trained now or found finished."""
    overrides = {"run_name": f"seed{seed}", "seed": seed}
    settings = [f"{name}={value}" for name, value in overrides.items()]
    subprocess.run([sys.executable, "train.py", "--config", path, "--resume", "--set", *settings], check=True)
    config = load_config(path, overrides)
    retrieval, model = open_retrieval(config), build_model(config)
    source = chosen_checkpoint(config)
    load_weights(model, read_checkpoint(source)["model_state_dict"], str(source))
    return _row(config.model_name, seed, evaluate_retrieval(model.encode, retrieval, config, torch.device("cpu")),
                retrieval)


def _shallow(config, name: str, vectors, seed: int) -> dict[str, Any]:
    retrieval = open_retrieval(config)
    database, queries = vectors(retrieval.database), vectors(retrieval.queries)
    itq = Itq().fit(database, config.nbits, seed)
    return _row(name, seed, evaluate_codes(itq.encode(database), itq.encode(queries), retrieval, config), retrieval)


def _row(method: str, seed: int, result, retrieval) -> dict[str, Any]:
    queries, database = retrieval.query_labels.argmax(1), retrieval.database_labels.argmax(1)
    order = order_accuracy(result.query_codes, result.database_codes, queries, database, reversed_motion(queries))
    return {"method": method, "seed": seed, "mAP@5 expected": result.evaluation.map_at["expected"][5],
            "order": float(order.mean())}


if __name__ == "__main__":
    run_script(main)
