"""Every config in configs/ builds its model, and of each model two datasets take a training step."""

from pathlib import Path

import pytest
import torch

from artefacts.frame_components import FrameAxes
from dataset.views import EpochDraws
from model import build_model, method_class
from model.costs.summary import random_batch
from optim import build_optimizer
from tests.steps import step
from training.steps import training_step
from utils.config import load_config

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*/*.py") if path.parent.name != "_base_")
# The first dataset of a model and its first sample; of the others another size of features is all that differs.
STEPPED = [path for path in CONFIGS if path.stem in ("act", "cifar10") or path == min(
    (other for other in CONFIGS if other.parent == path.parent and other.stem.startswith(("digit", "watch"))),
    default=None)]


def test_the_whole_grid_is_there():
    grid = {(path.parent.name, path.stem) for path in CONFIGS}
    for model in ("S5VH", "LSTM", "RetNet", "RWKV", "Transformer"):
        assert {(model, name) for name in ("act", "fcv", "ucf", "hmdb", "digits")} <= grid
    for model in ("ConMH", "AutoSSVH", "WSCH", "BTH", "DKPH", "MCMSH"):
        assert {(model, name) for name in ("act", "fcv", "ucf", "hmdb", "yfcc", "digits", "watch")} <= grid
    assert {("VHMT", name) for name in ("act", "fcv", "yfcc", "digits")} <= grid
    assert {("SHC", name) for name in ("cifar100", "cars_a", "cars_b", "nabirds_a", "nabirds_b", "coco")} <= grid
    assert {("MambaHash", name) for name in ("cifar10", "cifar10_1", "cifar10_2", "nuswide", "imagenet")} <= grid


def load(path):
    """The config at `path`; those of published pictures with a small network, from random numbers."""
    config = load_config(path)
    if not config.get("backbone_weights"):
        return config
    size = {"mamba_size": "tiny"} if "mamba_size" in config else {"backbone": "resnet18", "backbone_width": "0.125"}
    return load_config(path, size | {"backbone_weights": "None", "resize": "32", "crop": "32"})


def test_every_model_takes_a_step():
    assert {path.parent.name for path in STEPPED} == {path.parent.name for path in CONFIGS}


@pytest.mark.parametrize("path", [path for path in CONFIGS if path not in STEPPED],
                         ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_it_builds(path):
    """Networks over pictures as shapes alone: drawing their weights takes seconds, and another dataset's does."""
    config = load_config(path)
    with torch.device("meta" if method_class(config).uses_labels else "cpu"):
        model = build_model(config)
    assert model.closed_form or len(list(model.parameters()))


@pytest.mark.parametrize("path", STEPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_one_step_at_batch_two(path):
    config = load(path)
    if method_class(config).closed_form:  # has no steps: tests/test_graph_code_method.py
        assert build_model(config).parameters is not None
        return
    torch.manual_seed(0)
    centers = torch.where(torch.rand(config.get("nclusters", 2), config.nbits) < 0.5, -1, 1).to(torch.int8)
    artefacts = {"pseudo_labels": torch.tensor([0, 1]), "hash_centers": centers,
                 "class_centers": torch.where(torch.rand(4, config.nbits) < 0.5, -1, 1).to(torch.int8),
                 "frame_components": FrameAxes(*(torch.rand(shape) + 0.1 for shape in (
                     (config.item_shape[1],), (config.item_shape[1], 64), (64,)))),
                 "teacher_codes": torch.where(torch.rand(2, config.nbits) < 0.5, -1, 1).to(torch.int8),
                 # Without them, costs are counted: the batch's own next videos are the partners.
                 "latent_anchors": None, "mean_anchors": None,
                 "nearest_anchors": {"ids": torch.arange(10).view(2, 5), "distances": torch.rand(2, 5).sort().values}}
    needed = method_class(config).artefacts(config)
    model = build_model(config, 2, **{one.name: artefacts[one.name] for one in needed}).train()
    optimizer = build_optimizer(config.optimizer_name, model.parameters(), config.lr, config.weight_decay)
    batch = random_batch(config, EpochDraws(config.seed, 0, 2, model.draws()), torch.default_generator)
    if method_class(config).uses_labels:
        labels = torch.eye(config.get("num_classes", 3), dtype=torch.uint8)[:2]
        batch = batch.with_tensors({"labels": labels})
    start = {name: parameter.clone() for name, parameter in model.named_parameters()}
    losses = training_step(model, optimizer, batch, step(config.get("warm_up_epoch", 0)), amp=config.amp)
    assert all(loss.isfinite() for loss in losses.values())
    if len(_moved(model, start)) < len(start):  # what stands behind a token that starts at 0 has no gradient at first
        training_step(model, optimizer, batch, step(config.get("warm_up_epoch", 0)), amp=config.amp)
    assert _moved(model, start) == start.keys()
    with torch.inference_mode():
        assert model.eval().encode(batch.items).shape == (2, config.nbits)


def _moved(model, start):
    return {name for name, parameter in model.named_parameters() if not torch.equal(start[name], parameter)}
