"""Codes of videos in one call, from the file of a trained model.

    import vh
    model = vh.load("logs/digits/S5VH_16bit")     # or a folder of checkpoints, or a file: last.pth, model.pth
    database = model.encode(videos)               # (N, T, F) array -> codes
    ids, distances = database.search(model.encode(queries), k=10)

`vh` is a command as well: `vh --help`.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vh.hasher import Codes, Hasher

__all__ = ["ROOT", "__version__", "load", "read_codes"]
__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parents[1]
_ROOMS = "utils", "dataset", "artefacts", "Loss", "model", "optim", "training", "inference"


def load(path: str | os.PathLike, *, config: str | os.PathLike | None = None,
         device: str | int | None = None) -> "Hasher":
    """The trained model at `path`, ready to encode.

    Args:
        path: a checkpoint (last.pth, best.pth, model.pth), or the folder of a run: that of its checkpoints or its logs.
        config: the config file of a checkpoint that holds none (a release's), or whose method is a file of your own.
            It is executed.
        device: "cpu" or a GPU's number; None: the first GPU where there is one, else the CPU.

    Raises:
        UserError (a ValueError): no such model, a damaged one, or one that needs `config`.
    """
    from vh.hasher import load_hasher  # torch takes a moment, which `vh --help` need not wait for

    return load_hasher(path, config=config, device=device)


def read_codes(path: str | os.PathLike) -> "Codes":
    """The codes in a file of `Codes.save`, of `search.py encode`, or in an index of `search.py index`.

    Raises:
        UserError (a ValueError): missing, damaged, or no such file.
    """
    from inference.code_file import read_codes as read
    from vh.hasher import Codes

    return Codes(**vars(read(path)))


def _refuse_other_packages() -> None:
    """The project's packages have plain names, which a file of the user's own may hide.

    Raises:
        ImportError: one does; where it lies and what helps.
    """
    for name in _ROOMS:
        known = sys.modules.get(name)
        spec = known.__spec__ if known else importlib.util.find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or ROOT not in Path(origin).resolve().parents:
            raise ImportError(f"vh needs its own package '{name}' in {ROOT}, but Python finds {origin or 'none'}. "
                              "Start Python from another folder, or with -P, or rename that file.")


_refuse_other_packages()
