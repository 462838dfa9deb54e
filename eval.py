"""Evaluates a trained model: mAP@k of Hamming rankings, with ties by database index and in expectation.

    python eval.py --config configs/S5VH/act.py --gpu 0
    python eval.py --config configs/S5VH/digits.py --baselines
    python eval.py --config configs/S5VH/act.py --checkpoint activitynet_64.pth
    python eval.py --config configs/S5VH/digits.py --report
    python eval.py --config configs/S5VH/fcv.py --on configs/S5VH/ucf.py

Writes map.txt and metrics.json into the run's log folder, with --on into its folder on_<dataset>; with --report also
report.html, one page of curves, codes and rankings, and for papers its figures as SVG and its table as LaTeX.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
import logging
import os
from datetime import datetime
from pathlib import Path

import numpy as np

from dataset.extraction.recipe import ATTRIBUTE as EXTRACTION
from dataset.extraction.recipe import check_same_extraction
from dataset.labels import read_class_names
from dataset.missing import DATA_KEYS, missing_files
from dataset.protocol import Retrieval, on_other_data, open_retrieval, open_train
from inference.evaluation import (
    RetrievalResult,
    evaluate_baselines,
    evaluate_retrieval,
    further_metrics,
    shallow_codes,
    tie_bounds,
    whole_rankings,
)
from inference.metrics import Evaluation
from inference.page import Subject, write_page
from inference.report import format_table, metric_row, write_results
from model import build_model, load_weights
from training.checkpoints import chosen_checkpoint, given_config, read_checkpoint
from training.logs import log_to_console
from training.run import read_metrics
from utils.cli import choose_device, close_with, end_with, run_script
from utils.config import Config, load_config
from utils.config.arguments import ConfigParser, add_config_arguments, command_line

log = logging.getLogger("eval")


def main() -> None:
    arguments = _arguments()
    trained, config = _configs(arguments)
    device = choose_device(arguments.gpu)
    log_to_console()

    retrieval = open_retrieval(config)
    class_names = read_class_names(config.class_name_path if arguments.report else None,
                                   retrieval.database_labels.shape[1])
    own = chosen_checkpoint(trained)
    path = Path(arguments.checkpoint or own)
    checkpoint = _read(path, retrieval, command_line("train", arguments) if arguments.config else "")
    model = build_model(config)
    load_weights(model, checkpoint["model_state_dict"], str(path))
    result = evaluate_retrieval(model.to(device).encode, retrieval, config, device)

    name, evaluation = config.model_name + _stand(checkpoint, trained), result.evaluation
    counts = whole_rankings(result.query_codes, result.database_codes, retrieval, device)
    further = further_metrics(evaluation, counts)
    shallow = shallow_codes(open_train(trained), retrieval, config) if arguments.baselines else {}
    rows = evaluate_baselines(shallow, retrieval, config) + _own_rows(name, evaluation, further)
    _print(config, result, rows, path, retrieval.database.noun)
    epoch = checkpoint.get("epoch", -1) + 1 or None
    folder = config.log_path if path.absolute() == own.absolute() else _folder_of(config, path)
    written = write_results(
        folder, evaluation, further=further, about=f"{name} on {config.dataset}, checkpoint {path}",
        details=_details(config, checkpoint, path, epoch) | {
            "codes": result.statistics, "baselines": rows if arguments.baselines else None})
    if arguments.report:
        written += write_page(folder, Subject(
            name=name, config=config, retrieval=retrieval, result=result,
            bounds=tie_bounds(result, retrieval, config, device), counts=counts, further=further, checkpoint=path,
            epoch=None if model.closed_form else epoch, date=f"{datetime.now():%Y-%m-%d %H:%M}",
            class_names=class_names, training=_training(trained, path), baselines=rows if arguments.baselines else [],
            shallow_counts={name: whole_rankings(queries, database, retrieval, device)
                            for name, (database, queries) in shallow.items()},
            hash_centers=_hash_centers(checkpoint)))
    other = ["--checkpoint", str(path)] if arguments.checkpoint else []
    close_with(written, command_line("search encode", arguments, *other, "--features", "FILE", "--out", "codes.h5"))


def _configs(arguments: argparse.Namespace) -> tuple[Config, Config]:
    """The config that a model was trained with, and that of the data it is evaluated on, whose files are there."""
    trained = config = given_config(arguments)
    if arguments.on:
        config = on_other_data(trained, load_config(arguments.on), arguments.on)
    end_with(missing_files(config, config.dataset, arguments.on or arguments.config or arguments.checkpoint,
                           [key for key in DATA_KEYS if arguments.baselines or not key.startswith("train_")]))
    return trained, config


def _print(config, result: RetrievalResult, rows: list[dict], path: Path, noun: str) -> None:
    evaluation = result.evaluation
    log.info("%s: %d queries, %d database %ss, AP divided by %s, checkpoint %s\n", config.dataset,
             evaluation.num_queries, evaluation.num_database, noun, config.ap_normaliser, path)
    log.info(format_table(rows, [name for name in rows[0] if name != "intervals"]))
    log.info("codes: %s", ", ".join(f"{name} {value:.4g}" for name, value in result.statistics.items()))


def _read(path: Path, retrieval: Retrieval, train: str) -> dict:
    """The checkpoint at `path`, whose training features were made as those that are evaluated; `train` makes one."""
    checkpoint = read_checkpoint(path, train)
    for split in (retrieval.database, retrieval.queries):
        check_same_extraction(str(checkpoint.get(EXTRACTION, "")), split.extraction, ", ".join(split.paths), str(path))
    return checkpoint


def _own_rows(name: str, evaluation: Evaluation, further: dict) -> list[dict]:
    """The table's rows of the model itself, one per tie rule."""
    return [{"method": name, "bits": evaluation.num_bits, "ties": ties} | metric_row(evaluation, ties)
            | {"intervals": further["confidence"]["map_at"][ties]} for ties in evaluation.map_at]


def _details(config, checkpoint: dict, path: Path, epoch: int | None) -> dict:
    """What metrics.json says of the model that was evaluated."""
    return {"model_name": config.model_name, "dataset": config.dataset, "checkpoint": str(path), "epoch": epoch,
            "unfinished": checkpoint.get("finished") is False, "extended_from": checkpoint.get("extended_from"),
            "config_sha256": config.digest()}


def _stand(checkpoint: dict, config) -> str:
    """What to say behind the name of a model whose training was extended or has not come to its end, "" of others."""
    extended = checkpoint.get("extended_from")
    text = f", extended from {extended[0]} epochs" if isinstance(extended, list) and extended else ""
    if checkpoint.get("finished") is not False:
        return text
    return f"{text}, epoch {checkpoint.get('epoch', -1) + 1} of {config.num_epochs}, unfinished"


def _arguments() -> argparse.Namespace:
    parser = ConfigParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--checkpoint", help="the file to evaluate in place of the run's own; its results go to a "
                        "folder of their own. Its config stands where none is named")
    parser.add_argument("--on", metavar="FILE", help="evaluate on the dataset of this config instead of its own")
    parser.add_argument("--baselines", action="store_true",
                        help="beside it, shallow codes of the same length fit on the training features")
    parser.add_argument("--report", action="store_true",
                        help="also draw report.html, a page of curves, codes and rankings; takes some seconds")
    return parser.parse_args()


def _folder_of(config, path: Path) -> str:
    """Where results of another checkpoint than the run's own go, named after its folder and file."""
    return os.path.join(config.log_path, f"of_{path.absolute().parent.name}_{path.stem}")


def _training(config, path: Path) -> list[dict]:
    """The epochs of the run that the checkpoint at `path` is from; none where that is not the run of `config`."""
    return read_metrics(config.log_path) if path.absolute().parent == Path(config.file_path).absolute() else []


def _hash_centers(checkpoint: dict) -> np.ndarray | None:
    """The centers (C, K) that the checkpoint was trained towards, where its method has any."""
    centers = checkpoint["model_state_dict"].get("hash_centers")
    return None if centers is None else centers.numpy()


if __name__ == "__main__":
    run_script(main)
