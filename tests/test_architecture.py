"""Which room may import which, who may name a method, and that a new mixer or method is a new file and nothing else."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from model import build_model, methods, mixers
from tests.steps import config_of, step
from tests.test_s5vh import SETTINGS, make_batch
from utils import registry
from utils.errors import UserError

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "utils": {"utils"}, "dataset": {"dataset", "utils"}, "Loss": {"Loss"}, "optim": {"optim", "utils"},
    "artefacts": {"artefacts", "dataset", "utils"}, "model": {"model", "artefacts", "Loss", "dataset", "utils"},
    "training": {"training", "model", "artefacts", "dataset", "optim", "utils"},
    "inference": {"inference", "artefacts", "dataset", "utils"},
    "tables": {"tables", "training", "inference", "model", "optim", "artefacts", "dataset", "utils"},
    "vh": {"vh", "training", "inference", "model", "artefacts", "dataset", "utils"},
}
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}
MAY_NAME_METHODS = {"configs", "tables", "tests", "benchmarks", "logs", "checkpoint", "results"}  # the last: runs
NAMES_THE_DEFAULT = "model/methods/__init__.py"


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


def test_every_room_is_in_the_table():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms - {"tests", "benchmarks"} == MAY_IMPORT.keys()


def names_and_strings(source):
    """(line, text) of every identifier of a program, and of every string in it that is no docstring."""
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if node not in docstrings:
            for _, field in ast.iter_fields(node):
                texts = field if isinstance(field, list) else [field]
                yield from ((getattr(node, "lineno", 0), text) for text in texts if isinstance(text, str))


def test_no_code_names_a_method():
    """Outside of the method's own file or folder. The path of an example config, as in a help text, is no such name."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        if place.parts[0] in MAY_NAME_METHODS or place.parts[0].startswith(".") or str(place) == NAMES_THE_DEFAULT:
            continue
        others = [name for name in registry.METHODS.names()
                  if place.with_suffix("").parts[:3] != ("model", "methods", name.replace("-", "_"))]
        for line, text in names_and_strings(path.read_text()):
            plain = re.sub(r"configs/[\w/]+\.py", "", text).lower()
            found += [f"{place}:{line}: {text}" for name in others if re.search(rf"(?<![a-z]){name}", plain)]
    assert not found


def test_names_and_strings_of_a_program():
    program = "\n".join(["'A docstring.'", "import s5vh.part as one", "def two(three=4, *, five):",
                         "    'Another.'", "    one.six(seven='eight')", "    return f'nine {ten}'"])
    texts = {text for _, text in names_and_strings(program)}
    assert texts == {"s5vh.part", "one", "two", "three", "five", "six", "seven", "eight", "nine ", "ten"}


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
    model = build_model(config_of(**SETTINGS | {"model_name": "Average", "mixer": None}), 20,
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
    assert registry.method_class(config).__module__ == "model.methods.s5vh.method"


def test_training_and_evaluation_start_without_what_takes_seconds_to_import():
    """Of every run: clustering, rank correlations and counters of operations are imported where they are used."""
    code = "import sys, train, eval; print([name for name in {} if name in sys.modules])".format(
        ["sklearn", "scipy.stats", "torch.utils.flop_counter", "faiss", "transformers"])
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout == "[]\n"
