"""Makes what training reads: the artefacts that the method of a config names, with all that these are made from.

    python preprocess.py --config configs/S5VH/act.py

Files that still fit are reused. --gpu is for artefacts that train a network.
"""

if __name__ == "__main__":  # the imports take a moment
    from utils.signals import end_in_one_line

    end_in_one_line()

import argparse
import logging

from artefacts.cache import provide
from dataset.missing import missing_files
from dataset.protocol import labels_at_hand, open_train
from model import method_class
from training.fitting import fitting
from training.logs import log_to_console
from utils.cli import choose_device, close_with, end_with, run_script
from utils.config.arguments import ConfigParser, add_config_arguments, command_line, config_from_arguments

log = logging.getLogger("preprocess")


def main() -> None:
    parser = ConfigParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--force", action="store_true",
                        help="make every artefact anew, in place of downloaded files too")
    arguments = parser.parse_args()
    config = config_from_arguments(arguments)
    end_with(missing_files(config, config.dataset, arguments.config, ("train_feat_path", "train_label_path")))
    device, command = choose_device(arguments.gpu), command_line("preprocess", arguments)
    log_to_console()
    split, artefacts = open_train(config), method_class(config).artefacts(config)
    written = provide(
        artefacts, config, split, force=arguments.force, device=device, command=command, log=log.info,
        fit=fitting(config, device, command, force=arguments.force, log=log.info),
        true_labels=lambda: labels_at_hand(config, len(split)))
    if not artefacts:
        log.info("this method needs nothing made")
    close_with(written, command_line("train", arguments))


if __name__ == "__main__":
    run_script(main)
