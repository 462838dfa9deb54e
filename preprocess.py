"""Makes what training reads: latents, anchors, pseudo-labels and hash centres, or the similarity graph (VHMT).

    python preprocess.py --config configs/S5VH/act.py

Everything here runs on the CPU; --gpu is accepted, so that one set of flags serves all three scripts.
"""

import argparse

from artefacts.preprocessing import run
from dataset.protocol import open_train
from model import method_class
from utils.cli import add_config_arguments, config_from_arguments, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--force", action="store_true",
                        help="make every artefact anew, downloaded files included")
    arguments = parser.parse_args()
    config = config_from_arguments(arguments)
    run(config, open_train(config), needed=method_class(config).required_artefacts(config), force=arguments.force,
        command=f"python preprocess.py --config {arguments.config}")


if __name__ == "__main__":
    run_script(main)
