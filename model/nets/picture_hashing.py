"""Hashing of pictures by a backbone and one linear layer, and the versions of a picture that it learns from.

Letters: B pictures, K bits.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dataset.views import Draws
from model.contract import HashingMethod
from model.nets import backbones
from model.nets.backbones import Backbone, normalised
from model.nets.shared_norm import norms_over
from utils.config.keys import AT_LEAST_1, NON_NEGATIVE, UNIT, Key

NUM_UNIFORMS = 5  # of a picture: top, left, flip, brightness, contrast


class PictureHashing(HashingMethod):
    """Real codes (B, K) = linear(backbone(picture)); a subclass says what they are trained towards.

    Args:
        config: the resolved configuration.
        num_videos: N of the training pictures; 0 where only codes are wanted.
    """

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("resize", "int", None, "rows and columns that pictures are brought to, before any crop; None: as they are",
            AT_LEAST_1, shapes_codes=True),
        Key("crop", "int", None, "rows and columns that are cut from a picture, anywhere in training, else from its "
            "middle; None: all", AT_LEAST_1, shapes_codes=True),
        Key("crop_padding", "int", 0, "black rows and columns around a picture that is cropped in training",
            NON_NEGATIVE),
        Key("flip", "bool", True, "mirror half of the pictures in training"),
        Key("jitter", "float", 0.0, "most that brightness and contrast change in training, as a share", UNIT),
        *backbones.KEYS,
    )
    uses_labels = True
    hash: nn.Module

    def __init__(self, config, num_videos: int = 0):
        super().__init__()
        self.config = config
        self.backbone = self.network(config, pretrained=num_videos > 0)
        layer = nn.Linear(self.backbone.num_features, config.nbits)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
        self.hash = layer

    @classmethod
    def network(cls, config, pretrained: bool) -> Any:
        """Pictures, as `normalised`, to features (B, D), its `num_features`; from given weights where `pretrained`."""
        return Backbone(config, pretrained)

    @classmethod
    def check(cls, config) -> str | None:
        if complaint := backbones.check(config):
            return complaint
        size = [config.resize] * 2 if config.resize else config.item_shape[:2]
        if config.crop and config.crop > min(size) + 2 * config.crop_padding:
            return f"crop = {config.crop} is more than the pictures have, {size}. Set it to fewer."
        return None

    def draws(self) -> Draws:
        return Draws(num_views=1, num_uniforms=NUM_UNIFORMS)

    def encode(self, items: Tensor) -> Tensor:
        """Real codes (B, K) of pictures (B, rows, columns, 3) uint8."""
        items, size = self.resized(items), self.config.crop
        if size and size < min(items.shape[1:3]):
            top, left = ((length - size) // 2 for length in items.shape[1:3])
            items = items[:, top:top + size, left:left + size]
        return self.hash(self.backbone(normalised(items)))

    def resized(self, items: Tensor) -> Tensor:
        """(B, `resize`, `resize`, channels) uint8 from pictures of any rows and columns, where `resize` is set."""
        if not self.config.resize:
            return items
        x = F.interpolate(items.permute(0, 3, 1, 2).float(), [self.config.resize] * 2, mode="bilinear", antialias=True)
        return x.round().to(torch.uint8).permute(0, 2, 3, 1)

    def codes(self, batch) -> Tensor:
        """Real codes (B, K) float32 of a training batch, each picture in the version that its draws say."""
        if not batch.share.alone:
            with norms_over(batch.share, self):
                return self.hash(self.backbone(self.versions(batch))).float()
        return self.hash(self.backbone(self.versions(batch))).float()

    def versions(self, batch) -> Tensor:
        """(B, 3, rows, columns) float32: cropped, flipped and coloured by `batch.uniforms` (B, 1, 5)."""
        config, draws, items = self.config, batch.uniforms[:, 0], self.resized(batch.items)
        size = [config.crop, config.crop] if config.crop else items.shape[1:3]
        items = F.pad(items, (0, 0, *(config.crop_padding,) * 4)) if config.crop_padding else items
        rows, columns = (_places(draws[:, i], items.shape[1 + i], size[i]) for i in range(2))
        if config.flip:
            columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
        batch_rows = torch.arange(len(items), device=items.device)[:, None, None]
        x = normalised(items[batch_rows, rows[:, :, None], columns[:, None, :]])
        if config.jitter:
            brightness, contrast = (1 + config.jitter * (2 * draws[:, 3:] - 1))[:, :, None, None, None].unbind(1)
            mean = x.mean(dim=(1, 2, 3), keepdim=True)
            x = (contrast * (x - mean) + mean) * brightness
        return x


def _places(draws: Tensor, length: int, size: int) -> Tensor:
    """(B, size) int64: which of `length` rows or columns each picture keeps, the first of them from `draws` (B,)."""
    first = (draws * (length - size + 1)).long().clamp(max=length - size)
    return first[:, None] + torch.arange(size, device=draws.device)


def class_weights(labels: Tensor) -> Tensor:
    """(B, C) float32 whose rows sum to 1: a picture's classes, each alike; rows without a class stay zeros."""
    labels = labels.float()
    return labels / labels.sum(dim=1, keepdim=True).clamp(min=1)
