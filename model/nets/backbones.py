"""Networks from pictures to feature vectors: ResNet-18, -34, -50 and ViT-B/16, made by the package transformers.

Letters: B pictures, D features.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from utils.config.keys import POSITIVE, Key, choice
from utils.errors import UserError

DEPTHS = {"resnet18": ("basic", (2, 2, 2, 2)), "resnet34": ("basic", (3, 4, 6, 3)),
          "resnet50": ("bottleneck", (3, 4, 6, 3))}
STEM_WIDTH, WIDTHS = 64, {"basic": (64, 128, 256, 512), "bottleneck": (256, 512, 1024, 2048)}
KEYS = (
    choice("backbone", "resnet34", ["resnet18", "resnet50", "vit_b16"], "the network from a picture to features",
           shapes_codes=True),
    Key("backbone_weights", "path", None, "what the backbone starts from: a folder as transformers saves it, or a "
        "state dict of torchvision's ResNet (.pth); None: random numbers", free=True),
    Key("backbone_width", "float", 1.0, "channels of the backbone over the usual number, of ResNets", POSITIVE,
        shapes_codes=True),
    Key("small_pictures", "bool", False, "a ResNet for pictures of some 32 pixels: a first layer of 3 x 3 without "
        "stride, and no pooling behind it", shapes_codes=True),
)
_TORCHVISION = (  # names of torchvision's ResNet, and of ours
    (r"conv1\.", "embedder.embedder.convolution."),
    (r"bn1\.", "embedder.embedder.normalization."),
    (r"layer(\d)\.(\d+)\.conv(\d)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.convolution."),
    (r"layer(\d)\.(\d+)\.bn(\d)\.", "encoder.stages.{0}.layers.{1}.layer.{2}.normalization."),
    (r"layer(\d)\.(\d+)\.downsample\.0\.", "encoder.stages.{0}.layers.{1}.shortcut.convolution."),
    (r"layer(\d)\.(\d+)\.downsample\.1\.", "encoder.stages.{0}.layers.{1}.shortcut.normalization."),
)


class Backbone(nn.Module):
    """Pictures (B, 3, rows, columns), normalised as `normalised` does, to features (B, D).

    Args:
        config: has the values of `KEYS`, and item_shape.
        pretrained: start from `backbone_weights`, where there are any.

    Raises:
        UserError: transformers is not installed; the weights cannot be read or are of another network.
    """

    def __init__(self, config, pretrained: bool):
        super().__init__()
        self.net: Any = _resnet(config) if config.backbone in DEPTHS else _vit(config)
        made: Any = self.net.config
        self.num_features: int = made.hidden_sizes[-1] if config.backbone in DEPTHS else made.hidden_size
        if pretrained and config.backbone_weights:
            _load(self.net, config.backbone_weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).pooler_output.flatten(1)


def normalised(pictures: Tensor) -> Tensor:
    """float32 (B, 3, rows, columns) of ImageNet's mean 0 and deviation 1, from uint8 (B, rows, columns, 3 or 1)."""
    x = pictures.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (x.new_tensor(values)[:, None, None] for values in ((.485, .456, .406), (.229, .224, .225)))
    return (x - mean) / deviation


def check(config) -> str | None:
    """What is wrong with the keys of a config together, and the fix, or None."""
    if len(config.item_shape) != 3 or config.item_shape[2] not in (1, 3):
        return (f"item_shape = {config.item_shape}, but {config.method} hashes pictures. Set it to [rows, columns, 3], "
                "or choose another method.")
    if config.get("backbone", "resnet34") not in DEPTHS and (config.backbone_width != 1 or config.small_pictures):
        return (f"backbone_width and small_pictures are of ResNets, and backbone = '{config.backbone}'. Leave them "
                "out.")
    return None


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError("the package transformers, which brings the backbones of pictures, is not installed. Install "
                        "it with `pip install -r requirements-pictures.txt`.") from error
    return transformers


def _resnet(config) -> Any:
    library = _transformers()
    kind, depths = DEPTHS[config.backbone]
    stem, *widths = (max(8, round(width * config.backbone_width)) for width in (STEM_WIDTH, *WIDTHS[kind]))
    net = library.ResNetModel(library.ResNetConfig(embedding_size=stem, hidden_sizes=widths, depths=list(depths),
                                                   layer_type=kind))
    if config.small_pictures:
        first = net.embedder.embedder
        first.convolution = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(first.convolution.weight, mode="fan_out", nonlinearity="relu")
        net.embedder.pooler = nn.Identity()
    return net


def _vit(config) -> Any:
    library = _transformers()
    return library.ViTModel(library.ViTConfig(image_size=config.crop or config.resize or config.item_shape[0],
                                              attn_implementation="eager"))


def _load(net: Any, path: str) -> None:
    """Starts `net` from the weights at `path`; the classifier in a file of torchvision is left out."""
    try:
        if os.path.isdir(path):
            state = type(net).from_pretrained(path, local_files_only=True).state_dict()
        else:
            state = torchvision_names(torch.load(path, map_location="cpu", weights_only=True))
        missing, unknown = net.load_state_dict(state, strict=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file or folder; backbone_weights names it. Put the weights there, or leave "
                        "backbone_weights out to start from random numbers.") from error
    except Exception as error:  # the file may be anything
        raise UserError(f"{path}: not weights of this backbone ({' '.join(str(error).split())[:200]}). Name those of "
                        "the network that `backbone` says.") from error
    missing = [name for name in missing if not name.startswith("pooler.")]
    if missing or unknown:
        raise UserError(f"{path}: weights of another network: {len(missing)} are missing ({', '.join(missing[:3])}) "
                        f"and {len(unknown)} unknown ({', '.join(unknown[:3])}). Name those of `backbone`.")


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of torchvision's ResNet under the names of transformers', without its classifier."""
    renamed = {}
    for name, value in state.items():
        for pattern, ours in _TORCHVISION:
            if found := re.match(pattern, name):
                stage, layer, part = (*map(int, found.groups()), 0, 0, 0)[:3]
                renamed[ours.format(stage - 1, layer, part - 1) + name[found.end():]] = value
                break
        else:
            if not name.startswith("fc."):
                renamed[name] = value
    return renamed
