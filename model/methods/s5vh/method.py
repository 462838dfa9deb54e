"""S5VH: self-supervised video hashing with selective state spaces (Wang et al., AAAI 2025, arXiv 2412.14518).

Letters: B videos, T frames, V visible frames of a view, F feature size, D width, K bits, C centers, N training
videos. A "frame code" is +-1 per frame, a "video code" the mean of a video's frame codes.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor, nn

from artefacts.artefact import Artefact, with_keys
from artefacts.centers.artefact import HASH_CENTERS
from artefacts.centers.solver import too_many_centers
from artefacts.clusters import PSEUDO_LABELS
from artefacts.frame_components import FRAME_COMPONENTS, FrameAxes
from artefacts.teacher_codes import TEACHER_CODES
from dataset.views import Draws
from Loss import (
    center_alignment_loss,
    code_following_loss,
    cosine_reconstruction_loss,
    debiased_contrastive_loss,
    reconstruction_loss,
)
from model.contract import Step
from model.methods.s5vh import augmentation
from model.nets.augment import beta_quantiles, mixed
from model.nets.autoencoder import binarize_down, split_frames, take_frames
from model.nets.frame_hashing import CONTRASTIVE_KEYS, FrameHashing
from model.nets.ordered import OrderedHead
from utils.config.keys import BELOW_1, NON_NEGATIVE, POSITIVE, UNIT, Key, choice

DEPTHS = {"mini": 1, "small": 6, "base": 12}
DECODER_DEPTH = 1
RECONSTRUCTIONS = {"squares": reconstruction_loss, "cosine": cosine_reconstruction_loss}


class Views(NamedTuple):
    """What the training forward gives for the two views, stacked view after view (2B rows)."""

    reconstructions: Tensor | None  # (2B, T - V, F), hidden frames; None without a decoder
    targets: Tensor | None  # (2B, T - V, F)
    frame_codes: Tensor | None  # (2B, V, K)
    center_logits: Tensor  # (2B, C), before any scale
    logits: Tensor  # (2B, K), real video codes before they are squashed
    codes: Tensor  # (2B, K), video codes in [-1, 1]


class Method(FrameHashing):
    """The method: encoder, hash layer, decoder, centers, and the pseudo-labels that training moves.

    Args:
        config: the resolved configuration.
        num_videos: N, the rows of the pseudo-labels; 0 where only codes are wanted.
        pseudo_labels: (N,) int64, the cluster of each training video, the start of the soft labels.
        hash_centers: (C, K) of +-1; label i belongs to center i. Not used with hash_center_mode 'learned'.
        frame_components: see `FrameHashing`.
        teacher_codes: (N, K) int8 of +-1, what the codes of the training videos follow where that has a weight.
    """

    title = "S5VH"
    KEYS = (
        *FrameHashing.KEYS,
        choice("pooling", "mean", ["ordered"], "a video's code: the mean of its frames' codes, or one "
               "of the means of its segments (num_segments), side by side in time order", shapes_codes=True),
        Key("head_dropout", "float", 0.3, "share of the segments' numbers dropped in training, where ordered", BELOW_1),
        Key("teacher_weight", "float", 0.0, "weight of following the codes that GraphCode gives the training videos",
            NON_NEGATIVE),
        *augmentation.KEYS,
        Key("reconstruction_weight", "float", 1.0, "weight of the reconstruction loss; 0: there is no decoder",
            NON_NEGATIVE),
        choice("reconstruction", "squares", ["cosine"], "what the reconstruction loss measures"),
        choice("S5VH_type", "small", ["mini", "base"], "encoder depth: mini 1, small 6, base 12 blocks",
               shapes_codes=True),
        *CONTRASTIVE_KEYS,
        Key("a_cluster", "float", 0.1, "weight of the center alignment loss", NON_NEGATIVE),
        Key("temperature_cluster", "float", 0.5, "temperature of the center alignment loss", POSITIVE),
        choice("hash_center_mode", "fixed", ["learned"], "solved centers, or a free linear layer (release)"),
        choice("pseudo_label_update", "normalised", ["frozen", "release"],
               "labels move by the loss's own logits, not at all, or by raw logits (release)"),
        Key("pseudo_label_temperature", "float", 0.05, "temperature of the label update, where normalised", POSITIVE),
        Key("warm_up_epoch", "int", 50, "epochs before the pseudo-labels move", NON_NEGATIVE),
        Key("smoothing_alpha", "float", 0.01, "step of the pseudo-labels towards the prediction", UNIT),
        *with_keys(PSEUDO_LABELS, HASH_CENTERS, FRAME_COMPONENTS, TEACHER_CODES),
    )
    resident_state = ("pseudo_labels",)
    optional_state = ("hash_centers",)
    ignored_state = ("get_token_probs.", "classifier.weight", "hash_centers")  # of the release, or of the other mode
    pseudo_labels: Tensor
    hash_centers: Tensor
    teacher_codes: Tensor | None
    mix_quantiles: Tensor | None

    def __init__(self, config, num_videos: int = 0, pseudo_labels: Tensor | None = None,
                 hash_centers: Tensor | None = None, frame_components: FrameAxes | None = None,
                 teacher_codes: Tensor | None = None):
        ordered, decodes = config.pooling == "ordered", config.reconstruction_weight > 0
        super().__init__(config, DEPTHS[config.S5VH_type], DECODER_DEPTH if decodes else 0,
                         frame_codes=decodes or not ordered, frame_components=frame_components)
        K, C = config.nbits, config.nclusters
        if config.hash_center_mode == "learned":
            self.classifier = nn.Linear(K, C, bias=False)
        else:
            self.register_buffer("hash_centers", torch.zeros(C, K, dtype=torch.int8))
        self.register_buffer("pseudo_labels", torch.zeros(num_videos, C))
        self.head = (OrderedHead(config.hidden_size, K, config.num_segments, config.max_frames, config.head_dropout)
                     if ordered else None)
        # Not in the state dict: they do not change, and a resumed run reads the artefact again.
        self.register_buffer("teacher_codes", teacher_codes, persistent=False)
        self.register_buffer("mix_quantiles", beta_quantiles(config.mixup) if config.mixup else None, persistent=False)
        self.initialise()
        if pseudo_labels is not None:
            self.pseudo_labels.scatter_(1, pseudo_labels[:, None], 1.0)
        if hash_centers is not None and config.hash_center_mode == "fixed":
            self.hash_centers.copy_(hash_centers)

    @classmethod
    def check(cls, config) -> str | None:
        return too_many_centers(config.nclusters, config.nbits) or super().check(config)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        centers = () if config.hash_center_mode == "learned" else (HASH_CENTERS,)
        teacher = (TEACHER_CODES,) if config.teacher_weight else ()
        return (PSEUDO_LABELS, *centers, *teacher, *super().artefacts(config))

    def draws(self) -> Draws:
        """Those of `FrameHashing`, and of each view a uniform that decides what the ordered head drops, and one that
        its augmentation is spread from."""
        draws, more = super().draws(), bool(self.head) + augmentation.augments(self.config)
        return replace(draws, num_uniforms=draws.num_uniforms + more)

    def views(self, features: Tensor, masks: Tensor, uniforms: Tensor | None = None,
              tokens: Tensor | None = None) -> Views:
        """The training forward over both views.

        Args:
            features: (B, T, D) as `framed`, or of each view its own, (2B, T, D), view after view.
            masks: (B, 2, T), True = hidden, int(mask_ratio T) in every row.
            uniforms: (B, 2, .) of `draws`, for stochastic depth first; None: every block counts and nothing is dropped.
            tokens: (B, T, D), the embedding of all frames where it is at hand.
        """
        num_videos, num_views, num_frames = masks.shape
        visible, hidden = split_frames(masks.transpose(0, 1).reshape(-1, num_frames),
                                       int(self.config.mask_ratio * num_frames))
        if uniforms is not None:
            uniforms = uniforms.transpose(0, 1).reshape(num_videos * num_views, -1)
        tokens = self.encoder.embed_frames(features, visible) if tokens is None else take_frames(tokens, visible)
        encoded = self.encoder(tokens, uniforms)
        decoded = targets = frame_codes = None
        if hasattr(self, "binary"):
            frame_codes = binarize_down(self.ln(self.binary(encoded)))
        if self.mask_token is not None:
            decoded = self.decoder(self.encoder_to_decoder(frame_codes), self.mask_token, visible, hidden)
            targets = take_frames(features, hidden)
        with torch.autocast(features.device.type, enabled=False):  # bfloat16 would round inner products of long codes
            if self.head:
                drops = None if uniforms is None else uniforms[:, len(self.encoder.blocks)]
                logits = self.head(encoded.float(), num_frames, visible, drops)
                return Views(decoded, targets, frame_codes, self.center_logits(logits.tanh()), logits, logits.tanh())
            assert frame_codes is not None  # only an ordered head does without
            centers = self.center_logits(frame_codes.float().mean(dim=1))
            codes = frame_codes.float().mean(dim=1)  # once more: shared, its two gradients would round otherwise
            return Views(decoded, targets, frame_codes, centers, codes, codes)

    def center_logits(self, video_codes: Tensor) -> Tensor:
        """Inner products (B, C) of video codes (B, K) with the centers."""
        if self.config.hash_center_mode == "learned":
            return self.classifier(video_codes)
        return video_codes @ self.hash_centers.to(video_codes.dtype).T

    def encode(self, items: Tensor) -> Tensor:
        """Real codes (B, K) of whole videos (B, T, F)."""
        if not self.head:
            return super().encode(items)
        return self._head_of(self.encoder.embed(self.framed(items)))

    def _head_of(self, tokens: Tensor) -> Tensor:
        """(B, K) float32 of the embedded frames (B, T, D) of whole videos, where there is an ordered head."""
        assert self.head is not None
        with torch.autocast(tokens.device.type, enabled=False):
            return self.head(self.encoder(tokens).float(), tokens.shape[1])

    def step_losses(self, batch, step: Step) -> Mapping[str, Tensor]:
        """As in the contract; the frames are embedded once for the pseudo-labels and the views."""
        batch = batch.with_tensors({"items": self.framed(batch.items)})
        if not self._labels_move(step.epoch):
            return self.losses(batch, step)
        tokens = self.encoder.embed(batch.items)
        self._move_labels(batch, tokens.detach())
        return self.losses(batch, step, tokens)

    def losses(self, batch, step: Step, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """`reconstruction` + alpha `contrastive` + a_cluster `center` = `total`, and `follow` where that has a weight.

        `tokens` as in `views`; they are of no use where videos are augmented.
        """
        features, labels = batch.items, self.pseudo_labels[batch.index]
        targets = None
        if self.config.teacher_weight and self.teacher_codes is not None:
            targets = self.teacher_codes[batch.index].float()
        if batch.uniforms is not None and augmentation.augments(self.config):
            features, shares = augmentation.augmented(batch, self.config, self.mix_quantiles)
            labels = mixed(labels, augmentation.partners(batch, labels), shares)
            if targets is not None:
                targets = mixed(targets, augmentation.partners(batch, targets), shares)
            tokens = None
        views = self.views(features, batch.masks, batch.uniforms, tokens)
        return self._terms(batch, views, labels, targets)

    def _terms(self, batch, views: Views, labels: Tensor, targets: Tensor | None) -> dict[str, Tensor]:
        """The loss terms and their `total`; `labels` (B, C) are soft, `targets` (B, K) are followed, if any."""
        config, share = self.config, batch.share
        terms: dict[str, Tensor] = {}
        with torch.autocast(batch.items.device.type, enabled=False):
            if views.reconstructions is not None and views.targets is not None:
                measure = RECONSTRUCTIONS[config.reconstruction]
                terms["reconstruction"] = share.mean(sum(  # type: ignore[arg-type]
                    measure(predicted.float(), target)
                    for predicted, target in zip(views.reconstructions.chunk(2), views.targets.chunk(2), strict=True)))
            z1, z2 = (share.gather(z) for z in views.codes.chunk(2))
            terms["contrastive"] = debiased_contrastive_loss(z1, z2, temperature=config.temperature,
                                                             tau_plus=config.tau_plus)
            logits = views.center_logits.float() / (config.nbits * config.temperature_cluster)
            terms["center"] = share.mean(sum(center_alignment_loss(rows, labels) for rows in logits.chunk(2)) / 2)
            if targets is not None:
                terms["follow"] = share.mean(code_following_loss(views.logits.float(), targets.repeat(2, 1)))
        weights = {"reconstruction": config.reconstruction_weight, "contrastive": config.alpha,
                   "center": config.a_cluster, "follow": config.teacher_weight}
        total = reduce(add, (weights[name] * value for name, value in terms.items()))
        return {"total": total, **terms}

    @torch.no_grad()
    def before_step(self, batch, step: Step) -> None:
        """Moves the pseudo-labels of the batch towards what the model predicts of the whole videos."""
        if self._labels_move(step.epoch):
            self._move_labels(batch, self.encoder.embed(batch.items))

    def _labels_move(self, epoch: int) -> bool:
        return epoch >= self.config.warm_up_epoch and self.config.pseudo_label_update != "frozen"

    @torch.no_grad()
    def _move_labels(self, batch, tokens: Tensor) -> None:
        alpha = self.config.smoothing_alpha
        predicted = self.pseudo_label_logits(tokens).softmax(dim=1)
        own = self.pseudo_labels[batch.index]
        moved = (1 - alpha) * own + alpha * predicted
        if self.config.supervised:
            moved = torch.where(batch.labels.bool().any(dim=1, keepdim=True), own, moved)
        self.pseudo_labels[batch.share.gather(batch.index)] = batch.share.gather(moved)

    def pseudo_label_logits(self, tokens: Tensor) -> Tensor:
        """Logits (B, C) whose softmax the pseudo-labels follow, from the embedded frames (B, T, D) of whole videos.

        `normalised`: the loss's logits, over K times `pseudo_label_temperature`, sharper than the loss's (the
        measurement is in docs/pseudo_labels.md). `release`: of codes without the LayerNorm, without any scale.
        """
        config = self.config
        if self.head:
            logits = self.center_logits(self._head_of(tokens).tanh())
            return logits / (config.nbits * config.pseudo_label_temperature)
        h = self.binary(self.encoder(tokens))
        if config.pseudo_label_update == "release":
            return self.center_logits(binarize_down(h.float()).mean(dim=1)).float()
        logits = self.center_logits(binarize_down(self.ln(h).float()).mean(dim=1)).float()
        return logits / (config.nbits * config.pseudo_label_temperature)

    def tracked(self) -> dict[str, float]:
        """`label_entropy`: mean entropy of the pseudo-labels in nats; 0 where one-hot, log C where uniform."""
        labels = self.pseudo_labels
        entropy = (labels * -labels.clamp(min=1e-30).log()).sum(dim=1).mean()
        return {"label_entropy": float(entropy)}
