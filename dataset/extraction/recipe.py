"""How features were made of videos, as their file and the checkpoint trained on them say it."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from utils.errors import UserError

ATTRIBUTE = "extraction"  # of an HDF5 file of features; also its entry in a checkpoint


@dataclass(frozen=True)
class Recipe:
    """`model` a name of `dataset.extraction.backbones`, `weights` the SHA-256 of its weights, "" without any; T frames
    of `size` pixels, spread over a video or over each `window` of it, in seconds, one every `stride`; `shots`: over
    each shot, or each window of it."""

    model: str
    weights: str
    size: int
    crop: bool
    num_frames: int
    window: float | None = None
    stride: float | None = None
    shots: bool = False
    version: int = 1  # of decoding and of what is made of the frames

    @property
    def text(self) -> str:
        """The recipe as a line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def told(self) -> str:
        """The recipe in a few words."""
        weights = f" ({self.weights[:12]})" if self.weights else ""
        return f"{self.num_frames} frames by {self.model}{weights}"

    @property
    def _identity(self) -> tuple:
        """What two recipes have in common whose features compare; a model's path and how videos are cut do not matter.
        """
        return self.weights or self.model, self.size, self.crop, self.num_frames, self.version


def read_recipe(text: str, source: str) -> Recipe:
    """The recipe of `Recipe.text`.

    Raises:
        UserError: it is none; `source` is named.
    """
    try:
        recipe = Recipe(**json.loads(text))
        kinds: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float | None": (float, int, type(None))}
        odd = [field.name for field in fields(Recipe)
               if not isinstance(getattr(recipe, field.name), kinds[str(getattr(field.type, "__name__", field.type))])]
        if odd or not 1 <= recipe.size <= 4096 or not 1 <= recipe.num_frames <= 65536:
            raise ValueError(odd or "sizes")
    except (ValueError, TypeError) as error:
        raise UserError(f"{source}: what it says of how its features were made cannot be read ({error}). Extract them "
                        "again, with extract.py.") from error
    return recipe


def check_same_extraction(known: str, found: str, source: str, model: str) -> None:
    """Refuses features of the file `source`, made as `found` says, for the checkpoint `model` trained on those of
    `known`; either is "" where nothing is said of it, and then it is let through.

    Raises:
        UserError: they were made otherwise.
    """
    if not known or not found or known == found:
        return
    ours, theirs = read_recipe(known, model), read_recipe(found, source)
    if ours._identity != theirs._identity:
        raise UserError(f"{source}: {theirs.told}, but {model} was trained on {ours.told}, so its codes of them mean "
                        "nothing. Extract them as it was, or name its own checkpoint.")
