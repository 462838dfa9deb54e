"""What a method owes its trainer, and a mixer its block."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class HashingMethod(nn.Module):
    """A network that learns to hash, with everything it learns or tracks in its state dict.

    A method is a class `Method` in a file of `model/methods/`. `Method(config, num_videos, **artefacts)` makes it;
    `num_videos` is 0 and no artefact is given if only codes are wanted. B videos, T frames, F features, K bits.
    """

    resident_state: tuple[str, ...] = ()
    """Names in the state dict with a row per training video, of no use to `encode`."""

    training_only: tuple[str, ...] = ()
    """Beginnings of names in the state dict that only a model made to train has (a teacher, say)."""

    @staticmethod
    def required_artefacts(config) -> tuple[str, ...]:
        """What preprocess must have made before training: names among `pseudo_labels`, `hash_centers`, `anchor_ids`,
        `anchor_distances`."""
        return ()

    def shared_state(self) -> dict[str, Tensor]:
        """The state dict without what only training needs: all that a checkpoint to share has to hold."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(self.training_only)}

    @property
    def num_uniforms(self) -> int:
        """Uniform draws per video and view that training steps want (for stochastic depth, say)."""
        return 0

    def encode(self, x: Tensor) -> Tensor:
        """Real video codes (B, K) of videos x (B, T, F); the sign of an entry is its bit."""
        raise NotImplementedError

    def losses(self, batch, epoch: int) -> Mapping[str, Tensor]:
        """The named loss terms of one step; `total` is what to descend.

        Where several processes train, `batch` is one's share of the rows and the losses are those of the whole batch.
        So every term passes through one of two functions, which do nothing in a process alone: what each video gives
        to a loss that compares videos is `batch.share.gather(rows)`, with no learned parameter after it; a mean over
        videos, or a term that no video enters, is `batch.share.mean(value)`.

        Args:
            batch: `index` (B,), `features` (B, T, F), `masks` (B, 2, T), `uniforms` (B, 2, U) or None, `share`.
            epoch: from 0.
        """
        raise NotImplementedError

    def before_step(self, batch, epoch: int) -> None:
        """Moves the method's own targets (pseudo-labels, a teacher), without gradient. Does nothing here.

        Every process holds all of them: rows of a batch are gathered (`batch.share.gather`), `batch.index` too.
        """

    def step_losses(self, batch, epoch: int) -> Mapping[str, Tensor]:
        """`before_step`, then `losses`: what a training step calls. A method may share work between the two."""
        self.before_step(batch, epoch)
        return self.losses(batch, epoch)

    def tracked(self) -> dict[str, float]:
        """What is worth logging every epoch besides the losses."""
        return {}


class SequenceMixer(nn.Module):
    """A network (B, L, D) -> (B, L, D) that mixes frames; the block around it owns norms, residuals and directions.

    A mixer is a class `Mixer` in a file of `model/mixers/`, made by `Mixer(dim, layer, num_layers, **settings)`.
    Its initialisation is its own and left alone. L steps, D width.
    """

    name: ClassVar[str]
    """What its parameters are filed under: `<name>1` forward, `<name>2` backward."""

    causal: ClassVar[bool] = True
    """An output depends on no later frame, so that the block runs the mixer in both directions. False: the mixer
    sees both by itself."""

    carries_state: ClassVar[bool] = False
    """Long sequences may come in pieces, see `piece`."""

    feed_forward: ClassVar[type[nn.Module] | None] = None
    """Makes the position-wise second half of the block from the width D, where the architecture has one."""

    def both_directions(self, ahead: Tensor, back: Tensor) -> Tensor:
        """mix(ahead) + flip(mix(flip(back))), flips along time, for (B, L, D) each: the tied directions of a block.

        A mixer may compute the same faster.
        """
        up, down = self(torch.cat([ahead, back.flip(1)])).chunk(2)
        return up + down.flip(1)

    def piece(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The outputs (B, L, D) of the next piece (B, L, D) of a sequence, and the state to pass with the one after it.

        `state` is None for the first piece. The outputs of all pieces are those of the whole sequence to round-off, in
        the memory of one. Without gradients, on a CPU, where `carries_state`.
        """
        raise NotImplementedError

    @staticmethod
    def settings(config) -> dict[str, Any]:
        """The keyword arguments that `Mixer` takes from a configuration."""
        return {}
