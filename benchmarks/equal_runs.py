"""Whether two checkouts of this project compute the same: short runs of every method and mixer, compared bit by bit.

    git worktree add ../before <commit>
    python -m benchmarks.equal_runs --before ../before

Each case preprocesses, trains and evaluates the sample dataset with the scripts of both checkouts, in folders of their
own. Equal must be the artefacts, the weights with all that the method tracks, the optimiser's state and the metrics.
Only one machine and one number of threads give equal bits.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch

from dataset.digits import write_digits
from utils.cli import run_script

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ["model_name=S5VH_release", "method=s5vh", "hash_center_mode=learned", "pseudo_label_update=release",
           "tied_bits=zero", "mixer_init=xavier", "select=best_on_test"]
CASES = {
    "S5VH": ("S5VH", []), "S5VH, separate": ("S5VH", ["directions=separate"]), "S5VH release": ("S5VH", RELEASE),
    "S5VH, semantic centers": ("S5VH", ["hash_center_assign=semantic", "nclusters=20", "batch_size=100"]),
    "LSTM": ("LSTM", []), "RetNet": ("RetNet", []), "RWKV": ("RWKV", []), "Transformer": ("Transformer", []),
    "VHMT": ("VHMT", []), "VHMT, masked": ("VHMT", ["student_views=masked", "teacher_dropout=0.1"]),
    "VHMT, siamese": ("VHMT", ["student_views=siamese"]),
}


def run_case(checkout: Path, folder: Path, model: str, settings: list[str], epochs: int) -> None:
    """Preprocesses, trains and evaluates with the scripts of `checkout`; what they make lies under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_digits(folder / "data")
    overrides = [f"home_root={folder}/", f"data_root={folder}/data/", f"num_epochs={epochs}", "warm_up_epoch=1",
                 "eval_every=2", *settings]
    if model == "VHMT":
        overrides.remove("warm_up_epoch=1")
    for script in ("preprocess.py", "train.py", "eval.py"):
        subprocess.run([sys.executable, script, "--config", f"configs/{model}/digits.py", "--gpu", "cpu", "--set",
                        *overrides], cwd=checkout, check=True, stdout=subprocess.DEVNULL)


def content(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that must be equal, by name."""
    for path in sorted(folder.rglob("*.h5"), key=lambda path: path.name):  # artefacts once lay beside the features
        with h5py.File(path) as file:
            for key, array in file.items():
                yield f"{path.name} {key}", array[()].tobytes()
    for path in sorted(folder.glob("checkpoint/*/*/*.pth")):
        yield from tensors(path.name, torch.load(path, weights_only=True))
    for path in sorted(folder.glob("logs/*/*/metrics.json")):
        metrics = json.loads(path.read_text())
        yield path.name, json.dumps([metrics["map_at"], metrics["normaliser"]]).encode()


def tensors(name: str, value: object) -> Iterator[tuple[str, bytes]]:
    """The tensors of the nested dicts and lists in a checkpoint, and the plain numbers among their names."""
    if isinstance(value, torch.Tensor):
        yield name, str(value.dtype).encode() + value.numpy().tobytes()
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("model_state_dict", "optimizer_state_dict", "epoch", "best") or name.count("/"):
                yield from tensors(f"{name}/{key}", item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from tensors(f"{name}/{place}", item)
    elif isinstance(value, int | float):
        yield name, repr(value).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_runs", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, metavar="DIR", help="the other checkout")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="only these")
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the other checkout's runs here, and use them")
    arguments = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as temporary:
        for case in arguments.cases:
            model, settings = CASES[case]
            before, after = (arguments.keep or Path(temporary) / "before") / case, Path(temporary) / "after" / case
            if not list(before.glob("logs/*/*/metrics.json")):
                run_case(arguments.before.resolve(), before.resolve(), model, settings, arguments.epochs)
            run_case(ROOT, after, model, settings, arguments.epochs)
            old, new = dict(content(before)), dict(content(after))
            alone = [name for name in old.keys() ^ new.keys() if ".h5 " in name]  # artefacts of one of the two
            unequal = [name for name in old.keys() | new.keys() if name not in alone and old.get(name) != new.get(name)]
            differing += len(unequal)
            if alone:
                print(f"{case}: only one of the two makes {', '.join(sorted(alone))}")
            print(f"{case}: {len(old)} values, " + (f"{len(unequal)} differ: {sorted(unequal)[:5]}" if unequal
                                                    else "all equal"), flush=True)
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    run_script(main)
