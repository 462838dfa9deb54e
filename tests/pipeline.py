"""A tiny data set with a config file outside the repository, and the scripts run on it as a user runs them."""

import contextlib
import io
import logging
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from utils import registry
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
CLASSES = 5

CONFIG = """\
dataset = 'tiny'
home_root = {folder!r}
data_root = {folder!r} + 'data/'
model_name = 'S5VH'
S5VH_type = 'mini'
hidden_size, decoder_size = 32, 16
feature_size, max_frames = {num_features}, {num_frames}
nbits = 8
nclusters = 4
latent_dim_pca = 6
num_epochs, warm_up_epoch, batch_size = 3, 1, 16
eval_every = 2
map_at = [1, 5]
train_feat_path = data_root + 'train.h5'
test_feat_path = data_root + 'database.h5'
label_path = data_root + 'database.mat'
query_feat_path = data_root + 'query.h5'
query_label_path = data_root + 'query.mat'
"""


def write_features(path: Path, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Videos that follow their class's direction over time; returns their class ids."""
    generator = np.random.default_rng(seed)
    classes = np.arange(shape[0]) % CLASSES
    directions = np.random.default_rng(0).normal(size=(CLASSES, *shape[1:]))
    videos = directions[classes] + 0.3 * generator.normal(size=shape)
    with h5py.File(path, "w") as file:
        file["feats"] = videos.astype(np.float32)
    return classes


def make_project(folder: Path, num_frames: int = 6, num_features: int = 8) -> SimpleNamespace:
    """`folder` with features, labels and a config; the paths of what tests touch."""
    data = folder / "data"
    data.mkdir(parents=True)
    for name, num_videos, seed in (("train", 40, 1), ("database", 30, 2), ("query", 10, 3)):
        classes = write_features(data / f"{name}.h5", (num_videos, num_frames, num_features), seed)
        scipy.io.savemat(data / f"{name}.mat", {"labels": np.eye(CLASSES, dtype=np.uint8)[classes]})
    config = folder / "config.py"
    config.write_text(CONFIG.format(folder=f"{folder}/", num_frames=num_frames, num_features=num_features))
    return SimpleNamespace(folder=folder, data=data, config=config, artefacts=folder / "checkpoint/tiny/artefacts",
                           checkpoint=folder / "checkpoint/tiny/S5VH_8bit/last.pth",
                           logs=folder / "logs/tiny/S5VH_8bit")


def checkpoint_tensors(path) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint at `path` by its place in it."""
    def walk(prefix, value):
        if torch.is_tensor(value):
            yield prefix, value
        elif isinstance(value, dict):
            for name, item in value.items():
                yield from walk(f"{prefix}/{name}", item)
        elif isinstance(value, list):
            for place, item in enumerate(value):
                yield from walk(f"{prefix}/{place}", item)
    return dict(walk("", torch.load(path, weights_only=True)))


def assert_same_tensors(first, second):
    """That two checkpoints are equal in every bit of weights, pseudo-labels and optimiser."""
    ours, theirs = checkpoint_tensors(first), checkpoint_tensors(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 60  # weights and both moments of the optimiser
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert value.numpy().tobytes() == theirs[name].numpy().tobytes(), name


def message_of(call: Callable[[], object]) -> str:
    """The one line of the UserError that `call` must raise."""
    with pytest.raises(UserError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def run(script: str, *arguments: object) -> SimpleNamespace:
    """Runs a script of the repository in this process, as its own `__main__`; exit code, output, errors."""
    output, errors, code = io.StringIO(), io.StringIO(), 0
    argv = [str(ROOT / script), *map(str, arguments)]
    handlers = list(logging.getLogger().handlers)
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        finally:
            for handler in set(logging.getLogger().handlers) - set(handlers):
                logging.getLogger().removeHandler(handler)
                handler.close()
    return SimpleNamespace(code=code, output=output.getvalue(), errors=errors.getvalue())


def succeed(script: str, *arguments: object) -> SimpleNamespace:
    """The same, for a run that must end well."""
    result = run(script, *arguments)
    assert result.code == 0, result.errors
    return result


def own_table(table):
    """A stand-in for `utils.registry.Registry.load` by which reproduce.py makes `table`, whatever name it is given."""
    load = registry.Registry.load
    return lambda self, name: table if self is registry.TABLES else load(self, name)
