"""What a method owes its trainer, and a mixer its block."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from artefacts.artefact import Artefact
from dataset.views import Draws
from utils.config.keys import Key


@dataclass(frozen=True)
class Step:
    """Which step of training it is. Epochs and steps count from 0.

    `index` is a tensor, 0-dimensional on the device of the batch: a step that runs as a CUDA graph is recorded once per
    epoch, and a Python number would keep the value that it had then. So schedules over steps compute with `fraction`.
    """

    epoch: int
    num_epochs: int
    index: Tensor
    """Of the step within its epoch."""
    num_steps: int
    """Of an epoch."""

    @property
    def fraction(self) -> Tensor:
        """How much of the training is done before this step, in [0, 1)."""
        return (self.epoch + self.index / self.num_steps) / self.num_epochs


Score = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]
"""The first mAP of queries' codes and a database's codes, int8 +-1 (., K), by the labels of both, in this order."""


class TrainingItems(Protocol):
    """The training split as `begin_epoch` and `fit` see it. N items, K bits."""

    labels: Tensor | None
    """(N, classes) uint8 on the device of the batches; None where the config names no training labels."""

    groups: np.ndarray | None
    """(N,) what is held out together, as whole numbers; None where the config names no training groups."""

    score: Score | None
    """None where nothing is evaluated."""

    def __len__(self) -> int: ...

    def batches(self, size: int = ...) -> Iterator[tuple[Tensor, Tensor]]:
        """(index (B,) int64, items (B, ...)) on the model's device, over all items in their order."""


def videos_only(config) -> str | None:
    """What is wrong, and the fix, where a config's items are no videos: for the `check` of methods over frames."""
    if len(config.item_shape) == 2:
        return None
    return (f"item_shape = {config.item_shape}, but {config.method} hashes videos. Set max_frames and feature_size "
            "instead, or choose another method.")


class HashingMethod(nn.Module):
    """A network, or a code fitted in closed form, that hashes items; all that it learns or tracks is in its state dict.

    A method is a class `Method` in a file of `model/methods/`. `Method(config, num_videos, **artefacts)` makes it;
    `num_videos` is 0 and no artefact is given if only codes are wanted. B items, N training items, T frames, F
    features, K bits.
    """

    title: ClassVar[str] = ""
    """What folders and tables call it unless the config has a model_name; "": its name."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    """Its settings, with those of its artefacts (`artefacts.artefact.with_keys`)."""

    uses_labels: ClassVar[bool] = False
    """It cannot be trained without labels; others may use them where the config names some."""

    closed_form: ClassVar[bool] = False
    """It is fitted by `fit` and has no epochs."""

    selections: ClassVar[tuple[str, ...]] = ()
    """Values of `select` that it knows by itself. All know 'last', and those with epochs 'best_on_test'."""

    resident_state: tuple[str, ...] = ()
    """Names in the state dict with a row per training item, of no use to `encode`."""

    training_only: tuple[str, ...] = ()
    """Beginnings of names in the state dict that only a model made to train has (a teacher, say)."""

    optional_state: tuple[str, ...] = ()
    """Names in the state dict that a checkpoint may lack."""

    ignored_state: tuple[str, ...] = ()
    """Beginnings of names that a checkpoint from elsewhere may have and this model not."""

    @classmethod
    def check(cls, config) -> str | None:
        """What is wrong with the values of a config together, and the fix, or None."""
        return None

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        """What preprocess must have made before training. `Method` is given each by its name: arrays as tensors."""
        return ()

    def shared_state(self) -> dict[str, Tensor]:
        """The state dict without what only training needs: all that a checkpoint to share has to hold."""
        return {name: value for name, value in self.state_dict().items()
                if name not in self.resident_state and not name.startswith(self.training_only)}

    def prepare(self, state: Mapping[str, Tensor]) -> None:
        """Makes room for `state`, which is about to be loaded, where shapes depend on the training data. Does nothing
        here."""

    def draws(self) -> Draws:
        """What is drawn for each item of a batch: views, frame masks or none, uniforms."""
        return Draws()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters, `params` each, with what is not as in the config among `lr`, `min_lr`, `weight_decay`,
        `schedule` and `optimizer_name`. Together they hold every parameter that is learned, each once."""
        return [{"params": list(self.parameters())}]

    def encode(self, items: Tensor) -> Tensor:
        """Real codes (B, K) of items (B, T, F), or (B, rows, columns, channels); the sign of an entry is its bit."""
        raise NotImplementedError

    def fit(self, train: TrainingItems) -> None:
        """Learns all there is to learn, where `closed_form`. The first process alone calls it; its buffers and
        parameters are then given to the others."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, train: TrainingItems) -> None:
        """Moves the method's state before an epoch, without gradient (new clusters, say). Does nothing here.

        The first process alone calls it, in eval mode; its state dict is then given to the others. What it computes
        must be in buffers: an epoch that is continued in its middle does not begin again.
        """

    def losses(self, batch, step: Step) -> Mapping[str, Tensor]:
        """The named loss terms of one step; `total` is what to descend.

        Where several processes train, `batch` is one's share of the rows and the losses are those of the whole batch.
        So every term passes through one of two functions, which do nothing in a process alone: what each item gives
        to a loss that compares items is `batch.share.gather(rows)`, with no learned parameter after it; a mean over
        items, or a term that no item enters, is `batch.share.mean(value)`.

        Args:
            batch: a `dataset.batches.Batch`, with what `draws` asks for.
        """
        raise NotImplementedError

    def before_step(self, batch, step: Step) -> None:
        """Moves the method's own targets (pseudo-labels, a teacher), without gradient. Does nothing here.

        Every process holds all of them: rows of a batch are gathered (`batch.share.gather`), `batch.index` too.
        """

    def step_losses(self, batch, step: Step) -> Mapping[str, Tensor]:
        """`before_step`, then `losses`: what a training step calls. A method may share work between the two."""
        self.before_step(batch, step)
        return self.losses(batch, step)

    def tracked(self) -> dict[str, float]:
        """What is worth logging every epoch besides the losses."""
        return {}


class SequenceMixer(nn.Module):
    """A network (B, L, D) -> (B, L, D) that mixes frames; the block around it owns norms, residuals and directions.

    A mixer is a class `Mixer` in a file of `model/mixers/`, made by `Mixer(dim, layer, num_layers, **settings)`, the
    settings being its KEYS. Its initialisation is its own and left alone. L steps, D width.
    """

    name: ClassVar[str]
    """What its parameters are filed under: `<name>1` forward, `<name>2` backward."""

    KEYS: ClassVar[tuple[Key, ...]] = ()
    """Its settings."""

    causal: ClassVar[bool] = True
    """An output depends on no later frame, so that the block runs the mixer in both directions. False: the mixer
    sees both by itself."""

    carries_state: ClassVar[bool] = False
    """Long sequences may come in pieces, see `piece`."""

    feed_forward: ClassVar[type[nn.Module] | None] = None
    """Makes the position-wise second half of the block from the width D, where the architecture has one."""

    @classmethod
    def describe(cls, config, device: torch.device) -> str | None:
        """One line for a run's log on what computes it there, if there is anything to say.

        Raises:
            UserError: the config asks for what cannot be used on `device`.
        """
        return None

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
