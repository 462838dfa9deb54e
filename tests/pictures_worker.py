"""What `test_pictures.py` starts in several processes: a few epochs of every method of a table of settings.

Arguments: a config, a JSON file of the settings of each, and a folder, which gets what each process saw, by rank.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from model.nets import picture_hashing
from tests.distributed_worker import train
from training.distributed import join, rank_zero_speaks
from utils.cli import run_script


class SmallBackbone(nn.Sequential):
    """Stands in for a ResNet, whose package takes seconds to import in each process."""

    num_features = 16

    def __init__(self, config, pretrained):
        super().__init__(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1, bias=False),
                         nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def seen_by(config, table):
    """Method -> the losses of its steps, and its weights and running statistics at the end."""
    trainers = {name: train(config, settings) for name, settings in table.items()}
    return {name: (torch.tensor(trainer.seen), trainer.model.state_dict()) for name, trainer in trainers.items()}


@rank_zero_speaks()
def main() -> None:
    config, table, out = sys.argv[1:]
    picture_hashing.Backbone = SmallBackbone
    join("cpu")
    torch.save(seen_by(config, json.loads(Path(table).read_text())), f"{out}/{dist.get_rank()}.pt")


if __name__ == "__main__":
    run_script(main)
