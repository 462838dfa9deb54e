"""Where the file of an artefact lies.

Artefacts go to `artefact_root`, under the release's names. Where another config's file has that name already, a
fingerprint of what shapes ours stands behind it, so that two configs in one folder leave each other's files alone.
What is not there is read from `data_root`, where downloaded files lie and earlier versions wrote, if it fits; nothing
is written there. A path that a config sets to anywhere else is taken as it is.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from artefacts.artefact import Artefact, made_from
from artefacts.store import PREPROCESS, inspect_artefact

_FITS = "fresh", "foreign"


def candidates(artefact: Artefact, config) -> list[str]:
    """The paths where the artefact may lie under `config`, the first of them where it is looked for first."""
    own = artefact.path(config)
    if os.path.abspath(os.path.dirname(own)) != os.path.abspath(config.artefact_root):
        return [own]
    path, shape = Path(own), {name: value for name, value in _settings(artefact, config).items() if value is not None}
    code = hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return [own, str(path.with_name(f"{path.stem}_{code}{path.suffix}")), os.path.join(config.data_root, path.name)]


def place(artefact: Artefact, config, origin: Callable[[str], Mapping[str, Any]], command: str = PREPROCESS, *,
          force: bool = False) -> str:
    """The path of the artefact under `config`: of the file to read, or else to write.

    Args:
        origin: path -> what the file there must be made from. force: to write, so never in data_root.

    Raises:
        UserError: a file is there but cannot be read.
    """
    own, *others = candidates(artefact, config)
    if not others:
        return own
    apart, downloaded = others
    settings = _settings(artefact, config)
    for path in (own, apart):
        if inspect_artefact(path, settings, command).kind in _FITS:
            return path
    if not force and os.path.exists(downloaded) and inspect_artefact(
            downloaded, origin(downloaded), command).kind in _FITS:
        return downloaded
    return apart if os.path.exists(own) else own


def _settings(artefact: Artefact, config) -> dict[str, Any]:
    """What shapes the artefact, but for features and labels: where these change, its file is made anew in its place."""
    inputs = "features", "labels"
    return {name: value for name, value in made_from(artefact, config, "").items() if name not in inputs}
