"""What S5VH and VHMT's student share: an autoencoder over frames whose bottleneck is a binary code per frame.

Letters: B videos, T frames, K bits.
"""

import torch
from torch import Tensor, nn

from model.contract import HashingMethod
from model.nets.autoencoder import Decoder, Encoder, video_codes
from model.nets.blocks import init_linears
from utils.registry import mixer_factory


class FrameHashing(HashingMethod):
    """A method whose codes are those of a video's frames in the mean: encoder, hash layer, decoder.

    A subclass calls `initialise` once it has made what else it holds, so that one seed gives every method over the same
    networks the same weights.

    Args:
        config: the resolved configuration; see `utils.config.schema` for the keys.
        encoder_depth, decoder_depth: blocks.
        hides: some frames are hidden from the encoder; a learned token stands for each of them in the decoder.
    """

    mask_token: nn.Parameter | None

    def __init__(self, config, encoder_depth: int, decoder_depth: int, hides: bool = True):
        super().__init__()
        self.config = config
        make_mixer = mixer_factory(config)
        self.encoder = Encoder(config.feature_size, config.hidden_size, config.max_frames, encoder_depth, make_mixer,
                               config.directions, config.drop_path_rate)
        self.binary = nn.Linear(config.hidden_size, config.nbits)
        self.ln = nn.LayerNorm(config.nbits)
        self.encoder_to_decoder = nn.Linear(config.nbits, config.decoder_size, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_size)) if hides else None
        self.decoder = Decoder(config.feature_size, config.decoder_size, config.max_frames, decoder_depth, make_mixer,
                               config.directions)

    @torch.no_grad()
    def initialise(self) -> None:
        """Draws the networks' weights, but for those that a mixer draws for itself."""
        init_linears(self.encoder, include_mixers=self.config.mixer_init == "xavier")
        init_linears(self.decoder, include_mixers=self.config.mixer_init == "xavier")
        if self.mask_token is not None:
            nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    @property
    def num_uniforms(self) -> int:
        """One for each block of the encoder: which ones a video skips (stochastic depth)."""
        return len(self.encoder.blocks)

    def encode(self, x: Tensor) -> Tensor:
        """Real video codes (B, K) of whole videos x (B, T, F), as `video_codes`."""
        h = self.ln(self.binary(self.encoder(self.encoder.embed(x)))).float()
        return video_codes(h, self.config.tied_bits)
