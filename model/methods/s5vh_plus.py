"""S5VH+: S5VH over half-whitened frames, codes that keep the order of time, and a closed form to follow.

docs/s5vh_plus.md says what each part is worth.

Letters: B videos, R = 2 views, T frames, D components of a frame, K bits, C centers, N training videos.
"""


import torch
from torch import Tensor

from artefacts.artefact import Artefact, with_keys
from artefacts.frame_components import FrameAxes
from artefacts.teacher_codes import TEACHER_CODES
from dataset.views import Draws
from Loss import code_following_loss
from model.contract import Step
from model.methods import s5vh
from model.nets.augment import beta_quantiles, mix_shares, mixed, warped
from model.nets.draws import dropped, spread
from utils.config.keys import BELOW_1, NON_NEGATIVE, Interval, Key

STREAMS = {"warp": 1, "channels": 2, "shares": 3}


class Method(s5vh.Method):
    """S5VH whose videos are warped, thinned and mixed, and whose codes follow `teacher_codes` beside its own losses.

    Args:
        teacher_codes: (N, K) int8 of +-1, to train.
        others: as of S5VH.
    """

    title = "S5VH+"
    KEYS = (
        *s5vh.Method.KEYS,
        Key("teacher_weight", "float", 1.0, "weight of following the closed-form codes", NON_NEGATIVE),
        Key("view_warp", "float", 0.06, "most that a view's start and end move, as a share of the length",
            Interval(0, 0.5)),
        Key("channel_dropout", "float", 0.2, "share of a view's input channels that is dropped", BELOW_1),
        Key("mixup", "float", 0.4, "a: a video counts for a share of Beta(a, a), another for the rest; 0: none",
            NON_NEGATIVE),
        *with_keys(TEACHER_CODES),
    )
    teacher_codes: Tensor
    mix_quantiles: Tensor

    def __init__(self, config, num_videos: int = 0, pseudo_labels: Tensor | None = None,
                 hash_centers: Tensor | None = None, frame_components: FrameAxes | None = None,
                 teacher_codes: Tensor | None = None):
        super().__init__(config, num_videos, pseudo_labels, hash_centers, frame_components)
        if teacher_codes is None:
            teacher_codes = torch.zeros(num_videos, config.nbits, dtype=torch.int8)
        # Not in the state dict: they do not change, and a resumed run reads their artefact again.
        self.register_buffer("teacher_codes", teacher_codes, persistent=False)
        self.register_buffer("mix_quantiles", beta_quantiles(config.mixup or 1.0), persistent=False)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (*super().artefacts(config), *((TEACHER_CODES,) if config.teacher_weight else ()))

    def draws(self) -> Draws:
        """Those of S5VH, and of each view a uniform that its augmentation is spread from."""
        draws = super().draws()
        return Draws(draws.num_views, draws.num_uniforms + 1, draws.num_frames, draws.mask_ratio)

    def losses(self, batch, step: Step, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """The terms of S5VH on augmented views, `follow`, and their `total`."""
        labels, targets = self.pseudo_labels[batch.index], self.teacher_codes[batch.index].float()
        features = batch.items
        if self.training and batch.uniforms is not None:
            features, shares = self.augmented(batch)
            labels, targets = (mixed(rows, _partners(batch, rows), shares) for rows in (labels, targets))
        views = self.views(features, batch.masks, batch.uniforms)
        terms = self.terms(batch, views, labels)
        if not self.config.teacher_weight:
            return terms
        with torch.autocast(features.device.type, enabled=False):
            follow = batch.share.mean(code_following_loss(views.logits, targets.repeat(2, 1)))
        return terms | {"total": terms["total"] + self.config.teacher_weight * follow, "follow": follow}

    def augmented(self, batch) -> tuple[Tensor, Tensor]:
        """The rows (R B, T, D) of both views, view after view, and each video's own share (B,) where it is mixed."""
        config, draws = self.config, batch.uniforms[:, :, -1]
        shares = torch.ones_like(draws[:, 0])
        if config.mixup:
            shares = mix_shares(spread(draws[:, 0], 1, STREAMS["shares"])[:, 0], self.mix_quantiles)
        x = mixed(batch.items, _partners(batch, batch.items), shares).repeat(draws.shape[1], 1, 1)
        draws = draws.T.flatten()
        if config.view_warp:
            start, end = (config.view_warp * (2 * spread(draws, 2, STREAMS["warp"]) - 1)).unbind(dim=1)
            x = warped(x, start, end)
        if config.channel_dropout:
            kept = dropped(torch.ones_like(x[:, 0]), draws, config.channel_dropout, STREAMS["channels"])
            x = x * kept[:, None]
        return x, shares


def _partners(batch, rows: Tensor) -> Tensor:
    """For each of the `rows` (B, ...) of this process that of the next video of the whole batch, the first's for the
    last."""
    return batch.share.take(batch.share.gather(rows).roll(-1, 0))
