"""Which room may import which, and that a new mixer or method is a new file and nothing else."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from model import build_model, methods, mixers
from tests.steps import step
from tests.test_s5vh import SETTINGS, make_batch
from utils import registry
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "utils": {"utils"}, "dataset": {"dataset", "utils"}, "Loss": {"Loss"}, "optim": {"optim", "utils"},
    "inference": {"inference", "dataset", "utils"}, "model": {"model", "Loss", "dataset", "utils"},
    "tables": {"tables", "inference", "model", "optim", "dataset", "utils"},
}
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name in imported_names(path):
            top = name.partition(".")[0]
            assert top not in SCRIPTS, f"{path} imports the script {top}"
            assert top not in MAY_IMPORT or top in MAY_IMPORT[room], f"{path} imports {name}"


def test_figures_know_nothing_of_codes():
    for path in (ROOT / "inference/figures").glob("*.py"):
        ours = {name for name in imported_names(path) if name.partition(".")[0] in MAY_IMPORT}
        assert all(name.startswith("inference.figures") for name in ours), path


def test_nothing_imports_a_script():
    for path in [*ROOT.glob("*.py"), *(ROOT / "tests").glob("*.py")]:
        assert not SCRIPTS & {name.partition(".")[0] for name in imported_names(path)}, path


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Adds one file to a package's folders for the length of a test."""
    def add(package, name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, f"{package.__name__}.{name}", raising=False)
    return add


def test_a_new_mixer_is_one_file(plug_in):
    plug_in(mixers, "average", """
import torch
from model.contract import SequenceMixer
class Mixer(SequenceMixer):
    name = "average"
    def __init__(self, dim, layer, num_layers):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(dim))
    def forward(self, x):
        return self.scale * x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
""")
    model = build_model(SimpleNamespace(**SETTINGS | {"model_name": "Average", "mixer": None}), 20,
                        pseudo_labels=torch.zeros(20, dtype=torch.int64))
    assert "encoder.blocks.0.average1.scale" in model.state_dict()
    model.losses(make_batch(), step(0))["total"].backward()
    assert model.encoder.blocks[0].average1.scale.grad.abs().sum() > 0


def test_a_new_method_is_one_file(plug_in):
    plug_in(methods, "meanhash", """
import torch
from model.contract import HashingMethod
from tests.steps import step
class Method(HashingMethod):
    def __init__(self, config, num_videos=0):
        super().__init__()
        self.project = torch.nn.Linear(config.feature_size, config.nbits)
    def encode(self, x):
        return self.project(x.mean(1))
""")
    model = build_model(SimpleNamespace(**SETTINGS | {"model_name": "MeanHash", "method": None}))
    assert model.encode(torch.zeros(2, 8, 12)).shape == (2, 10)


def test_a_misspelt_model_name_is_no_silent_s5vh():
    config = SimpleNamespace(**SETTINGS | {"model_name": "LTSM", "method": None, "mixer": None})
    for find in (registry.method_class, registry.mixer_class):
        with pytest.raises(UserError, match="LTSM"):
            find(config)


def test_names_of_ones_own_go_with_an_explicit_mixer():
    config = SimpleNamespace(**SETTINGS | {"model_name": "MyModel", "method": None, "mixer": "mamba"})
    assert registry.method_class(config).__module__ == "model.methods.s5vh"
