"""Data that come with a Python package, which is not imported for them."""

import importlib.util
from pathlib import Path


def within_package(package: str, *place: str) -> Path | None:
    """What lies at `place` in the folder of an installed `package`; None where that is not installed or lacks it."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or ()) if spec is not None else ()
    return next((path for folder in folders if (path := Path(folder, *place)).exists()), None)
