"""What a method owes its trainer."""

from collections.abc import Mapping

from torch import Tensor, nn


class HashingMethod(nn.Module):
    """A network that learns to hash, with everything it learns or tracks in its state dict.

    A method is a class `Method` in a file of `model/methods/`. `Method(config, num_videos, **artefacts)` makes it;
    `num_videos` is 0 and no artefact is given if only codes are wanted. B videos, T frames, F features, K bits.
    """

    resident_state: tuple[str, ...] = ()
    """Names in the state dict with a row per training video, of no use to `encode`."""

    @staticmethod
    def required_artefacts(config) -> tuple[str, ...]:
        """What preprocess must have made before training: names among `pseudo_labels`, `hash_centers`."""
        return ()

    @property
    def num_uniforms(self) -> int:
        """Uniform draws per video and view that training steps want (for stochastic depth, say)."""
        return 0

    def encode(self, x: Tensor) -> Tensor:
        """Real video codes (B, K) of videos x (B, T, F); the sign of an entry is its bit."""
        raise NotImplementedError

    def losses(self, batch, epoch: int) -> Mapping[str, Tensor]:
        """The named loss terms of one step; `total` is what to descend.

        Args:
            batch: `index` (B,), `features` (B, T, F), `masks` (B, 2, T), `uniforms` (B, 2, U) or None.
            epoch: from 0.
        """
        raise NotImplementedError

    def before_step(self, batch, epoch: int) -> None:
        """Moves the method's own targets (pseudo-labels, a teacher), without gradient. Does nothing here."""

    def tracked(self) -> dict[str, float]:
        """What is worth logging every epoch besides the losses."""
        return {}
