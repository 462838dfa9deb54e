"""An autoencoder over frames whose bottleneck is a binary code per frame: what several methods share.

Letters: B videos, T frames, K bits.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from artefacts.artefact import Artefact
from artefacts.frame_components import FRAME_COMPONENTS, FrameAxes
from dataset.views import Draws
from model.contract import HashingMethod, Step, videos_only
from model.nets.autoencoder import Decoder, Encoder, video_codes
from model.nets.blocks import init_linears, mixer_factory
from model.nets.whitening import FrameWhitening
from utils.config.keys import AT_LEAST_1, BELOW_1, INSIDE_UNIT, NON_NEGATIVE, POSITIVE, Key, choice

CONTRASTIVE_KEYS = (
    Key("alpha", "float", 1.0, "weight of the contrastive loss", NON_NEGATIVE),
    Key("temperature", "float", 0.5, "tau of the contrastive loss", POSITIVE),
    Key("tau_plus", "float", 0.1, "prior of a false negative in the contrastive loss", BELOW_1),
)


class FrameHashing(HashingMethod):
    """A method whose codes are those of a video's frames in the mean: encoder, hash layer, decoder.

    A subclass has the keys of FRAME_COMPONENTS beside these. It calls `initialise` once it has made what else it holds,
    so that one seed gives every method over the same networks the same weights.

    Args:
        config: the resolved configuration.
        encoder_depth, decoder_depth: blocks; 0 of the decoder: there is none.
        frame_codes: there is a code per frame.
        hides: some frames are hidden from the encoder; a learned token stands for each of them in the decoder.
        frame_components: those of the training frames, to train; used where frames are whitened first.
    """

    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("hidden_size", "int", 256, "D, width of the encoder", AT_LEAST_1, shapes_codes=True),
        Key("decoder_size", "int", 192, "width of the decoder", AT_LEAST_1),
        choice("directions", "tied", ["separate", "forward"],
               "scan both ways with shared or separate weights, or forward only", shapes_codes=True),
        Key("drop_path_rate", "float", 0.5, "stochastic depth of the last block, rising from 0", BELOW_1),
        choice("mixer_init", "own", ["xavier"], "weights of mixers at the start: their own, or Xavier (release)"),
        Key("mask_ratio", "float", 0.5, "r, share of a view's frames that are hidden", INSIDE_UNIT),
        choice("frame_input", "features", ["whitened"], "what the first layer is given: frames as they are, or on "
               "their half-whitened principal components", shapes_codes=True),
        Key("input_dims", "int", 64, "principal components of a whitened frame, feature_size at most", AT_LEAST_1,
            shapes_codes=True),
    )
    mask_token: nn.Parameter | None

    def __init__(self, config, encoder_depth: int, decoder_depth: int, hides: bool = True, frame_codes: bool = True,
                 frame_components: FrameAxes | None = None):
        super().__init__()
        self.config, self.hides = config, hides
        self.frame_size, self.frame_input = config.feature_size, None
        if _whitens(config):
            self.frame_size = min(config.input_dims, config.feature_size)
            self.frame_input = FrameWhitening(config.feature_size, self.frame_size)
        if self.frame_input and frame_components:
            self.frame_input.fit(frame_components, config.whitening)
        make_mixer = mixer_factory(config)
        self.encoder = Encoder(self.frame_size, config.hidden_size, config.max_frames, encoder_depth, make_mixer,
                               config.directions, config.drop_path_rate)
        if frame_codes:
            self.binary = nn.Linear(config.hidden_size, config.nbits)
            self.ln = nn.LayerNorm(config.nbits)
        self.mask_token = None
        if decoder_depth:
            self._add_decoder(decoder_depth, hides, make_mixer)

    def _add_decoder(self, depth: int, hides: bool, make_mixer: Callable) -> None:
        config = self.config
        self.encoder_to_decoder = nn.Linear(config.nbits, config.decoder_size, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_size)) if hides else None
        self.decoder = Decoder(self.frame_size, config.decoder_size, config.max_frames, depth, make_mixer,
                               config.directions)

    @torch.no_grad()
    def initialise(self) -> None:
        """Draws the networks' weights, but for those that a mixer draws for itself."""
        init_linears(self.encoder, include_mixers=self.config.mixer_init == "xavier")
        if hasattr(self, "decoder"):
            init_linears(self.decoder, include_mixers=self.config.mixer_init == "xavier")
        if self.mask_token is not None:
            nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (FRAME_COMPONENTS,) if _whitens(config) else ()

    @classmethod
    def check(cls, config) -> str | None:
        if complaint := videos_only(config) or hides_nothing(config):
            return complaint
        if _whitens(config) and config.input_dims > config.frame_dims:
            return (f"input_dims = {config.input_dims}, but frame_dims = {config.frame_dims} components of the frames "
                    "are kept. Raise frame_dims, or lower input_dims.")
        return None

    def draws(self) -> Draws:
        """Two views of each video; of each the hidden frames, and a uniform for each block of the encoder, which
        decides whether the video skips it (stochastic depth)."""
        return Draws(num_uniforms=len(self.encoder.blocks), num_frames=self.config.max_frames,
                     mask_ratio=self.config.mask_ratio if self.hides else None)

    def framed(self, items: Tensor) -> Tensor:
        """The frames (B, T, D) that the networks are given of items (B, T, F)."""
        return self.frame_input(items) if self.frame_input else items

    def step_losses(self, batch, step: Step) -> Mapping[str, Tensor]:
        """As in the contract; `before_step` and `losses` see a batch of `framed` items."""
        return super().step_losses(batch.with_tensors({"items": self.framed(batch.items)}), step)

    def encode(self, items: Tensor) -> Tensor:
        """Real video codes (B, K) of whole videos (B, T, F), as `video_codes`."""
        h = self.ln(self.binary(self.encoder(self.encoder.embed(self.framed(items))))).float()
        return video_codes(h, self.config.tied_bits)


def hides_nothing(config, key: str = "mask_ratio") -> str | None:
    """What is wrong, and the fix, where the share `key` of a view's frames is none; it cannot be all of them."""
    frames, ratio = config.max_frames, getattr(config, key)
    if int(ratio * frames) < 1:
        return f"{key} = {ratio} hides none of max_frames = {frames} frames; set {key} to {1 / frames:.2g} or more."
    return None


def _whitens(config) -> bool:
    return config.frame_input == "whitened"
