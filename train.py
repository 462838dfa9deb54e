"""Trains a hashing model from a config.

    python train.py --config configs/S5VH/act.py --gpu 0
    python train.py --config configs/S5VH/act.py --nbits 16 --set run_name=seed2 seed=2
    python train.py --config configs/S5VH/act.py --resume
    torchrun --nproc_per_node 4 train.py --config configs/S5VH/act.py

Checkpoints go to checkpoint/<dataset>/<model>_<nbits>bit/, the log and the metrics of every epoch to
logs/<dataset>/<model>_<nbits>bit/.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
from collections.abc import Callable

import torch

from dataset.missing import missing_files
from dataset.protocol import open_retrieval
from inference.evaluation import evaluate_retrieval, first_map
from training.distributed import join, rank_zero_speaks
from training.logs import log_to_console
from training.run import open_run
from training.trainer import Trainer
from utils.cli import close_with, end_with, run_script
from utils.config.arguments import ConfigParser, add_config_arguments, command_line, config_from_arguments


@rank_zero_speaks()
def main() -> None:
    parser = ConfigParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run from its last checkpoint")
    parser.add_argument("--restart", action="store_true", help="discard a run that is there already")
    parser.add_argument("--dry-run", action="store_true",
                        help="check files and shapes, take one step, print its losses and memory, write nothing")
    parser.add_argument("--summary", action="store_true",
                        help="print the model's parameters, FLOPs and activation memory; read no data, write nothing")
    arguments = parser.parse_args()
    config = config_from_arguments(arguments)
    if arguments.summary:
        from model.costs.summary import summarise  # whose counters of operations import for long
        print(summarise(config).as_text(), end="")
        close_with([], command_line("train", arguments, "--dry-run"))
        return
    device = join(arguments.gpu)
    log_to_console()
    if config.deterministic:  # else left alone: the call itself imports for seconds
        torch.use_deterministic_algorithms(True, warn_only=True)
    end_with(missing_files(config, config.dataset, arguments.config))
    retrieval = open_retrieval(config) if config.label_path else None

    def metrics(encode: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        assert retrieval is not None
        return evaluate_retrieval(encode, retrieval, config, device).summary()

    trainer = Trainer(config, device, metrics if retrieval else None,
                      preprocess=command_line("preprocess", arguments), score=first_map(config))
    if arguments.dry_run:
        trainer.dry_run()
        for role, split in (("database", retrieval.database), ("queries", retrieval.queries)) if retrieval else ():
            print(f"{role}: {' x '.join(map(str, split.shape))}")
        close_with([], command_line("train", arguments))
    else:
        with open_run(config, resume=arguments.resume, restart=arguments.restart) as run:
            trainer.fit(run)
        close_with(run.written(), command_line("eval", arguments) if retrieval else
                   command_line("search encode", arguments, "--features", "FILE", "--out", "codes.h5"))


if __name__ == "__main__":
    run_script(main)
