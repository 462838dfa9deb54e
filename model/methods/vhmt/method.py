"""VHMT: video hashing via a Mamba-Transformer network (Yang et al.), a student that learns beside a teacher.

What the paper leaves open, and what is chosen here, is in docs/vhmt.md.

Letters: B videos, T frames, R views, V visible frames of a view, H frames that it reconstructs, F feature size,
D width, K bits, M anchors, S nearest anchors, N training videos. A "frame code" is +-1 per frame, a "video code" the
mean of a video's frame codes.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from artefacts.anchor_graph import LEVELS, NEAREST_ANCHORS, AnchorGraph, similarity_block
from artefacts.artefact import Artefact, with_keys
from artefacts.frame_components import FRAME_COMPONENTS, FrameAxes
from Loss import debiased_contrastive_loss, distillation_loss, reconstruction_loss, structure_loss
from model.contract import SequenceMixer, Step
from model.methods.vhmt.teacher import Teacher, TeacherViews
from model.mixers import mamba
from model.nets.autoencoder import binarize_down, split_frames, take_frames
from model.nets.blocks import with_settings
from model.nets.frame_hashing import CONTRASTIVE_KEYS, FrameHashing
from utils.config.keys import AT_LEAST_1, BELOW_1, NON_NEGATIVE, Key, choice


class StudentViews(NamedTuple):
    """What the training forward of the student gives for its R views, stacked view after view."""

    latents: Tensor  # (R B, V, D)
    frame_codes: Tensor  # (R B, V, K)
    reconstructions: Tensor  # (R B, H, F)
    visible: Tensor | None  # (R B, V), the frames that it saw; None: all, and H = T
    hidden: Tensor | None  # (R B, H), the frames that it reconstructs


class Method(FrameHashing):
    """The method: S5VH's encoder, hash layer and decoder as the student; to train, the teacher too.

    With student_views `whole` the student sees all frames and reconstructs them, with `masked` it sees the first of
    the two masked views and reconstructs what that hides, both beside the teacher; with `siamese` it sees both masked
    views and there is no teacher (the paper's table 3, X).

    Args:
        config: the resolved configuration.
        num_videos: N, the rows of the similarity graph; 0 where only codes are wanted: no teacher is built then.
        frame_components: see `FrameHashing`.
        nearest_anchors: `ids` (N, S) int64, the anchors nearest to each training video, and `distances` (N, S) to them.
    """

    title = "VHMT"
    KEYS = (
        *FrameHashing.KEYS,
        Key("student_depth", "int", 6, "encoder blocks of the student", AT_LEAST_1),
        Key("student_decoder_depth", "int", 1, "decoder blocks of the student", AT_LEAST_1),
        choice("student_views", "whole", ["masked", "siamese"],
               "what the student sees in training: all frames, one masked view, or two and no teacher"),
        Key("teacher_depths", "ints", [8, 4, 2], "attention modules of the teacher between halvings of the frames",
            AT_LEAST_1),
        Key("teacher_decoder_depth", "int", 1, "attention modules of its decoder", AT_LEAST_1),
        choice("teacher_halving", "haar", ["db4", "sym8", "max", "average"],
               "how the frames are halved: the low band of a wavelet, or pairs pooled"),
        choice("teacher_mixer", "attention", ["mamba"], "what mixes frames in the teacher's modules"),
        choice("teacher_enhancement", "tre", ["mlp", "kan", "none"],
               "second half of the teacher's modules: an MLP gated by a temporal KAN, one of them, or neither"),
        Key("teacher_dropout", "float", 0.1, "dropout within the teacher's modules", BELOW_1),
        *CONTRASTIVE_KEYS,
        Key("reconstruction_weight", "float", 1.0, "weight of the reconstruction losses", NON_NEGATIVE),
        Key("structure_weight", "float", 0.1, "weight of the structure loss", NON_NEGATIVE),
        Key("distill_reconstruction", "float", 1.0, "weight of following the teacher's reconstructions", NON_NEGATIVE),
        Key("distill_attention", "float", 0.1, "weight of following the teacher's attention outputs", NON_NEGATIVE),
        choice("distill_spacing", "halvings", ["even"], "where the teacher's halved frames lie in time: each over the "
               "frames that it was made of, or each over an equal share of all", earlier="even"),
        *with_keys(NEAREST_ANCHORS, FRAME_COMPONENTS),
        *mamba.Mixer.KEYS,  # of the teacher's, whatever the student mixes with
    )
    training_only = ("teacher.", "to_attention.")
    anchor_ids: Tensor
    anchor_factors: Tensor

    def __init__(self, config, num_videos: int = 0, nearest_anchors: Mapping[str, Tensor] | None = None,
                 frame_components: FrameAxes | None = None):
        super().__init__(config, config.student_depth, config.student_decoder_depth,
                         hides=config.student_views != "whole", frame_components=frame_components)
        self.initialise()
        self.teacher = self.to_attention = None
        if num_videos and config.student_views != "siamese":
            self.teacher = _teacher(config, self.frame_size)
            self.to_attention = nn.Linear(config.hidden_size, config.hidden_size)
        self._keep_graph(num_videos, nearest_anchors)

    def _keep_graph(self, num_videos: int, nearest: Mapping[str, Tensor] | None) -> None:
        """Not in the state dict: it does not change, and a resumed run reads it from its file again."""
        if nearest is None:
            ids = torch.zeros(num_videos, 1, dtype=torch.int64)
            factors = torch.zeros(num_videos, len(LEVELS), 1)
        else:
            ids = nearest["ids"]
            graph = AnchorGraph(ids.numpy(), nearest["distances"].numpy(), self.config.nanchors)
            factors = torch.from_numpy(graph.factors())
        self.register_buffer("anchor_ids", ids, persistent=False)
        self.register_buffer("anchor_factors", factors, persistent=False)

    @classmethod
    def artefacts(cls, config) -> tuple[Artefact, ...]:
        return (NEAREST_ANCHORS, *super().artefacts(config))

    def losses(self, batch, step: Step) -> dict[str, Tensor]:
        """The terms of eq. 18 and the distillation, and `total`, their sum by the config's weights.

        The teacher learns from its own reconstruction and from the contrastive term; what the student is to follow
        of it is a target without gradient.
        """
        student = self.views(batch)
        teacher = self.teacher(batch.items) if self.teacher else None
        with torch.autocast(batch.items.device.type, enabled=False):
            terms = self._student_losses(batch, student)
            terms |= self._teacher_losses(batch, student, teacher) if teacher else self._siamese_losses(batch, student)
        weights = self._weights()
        total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
        return {"total": total, **terms}

    def views(self, batch) -> StudentViews:
        """The student's training forward over its views."""
        if self.mask_token is None:
            uniforms = None if batch.uniforms is None else batch.uniforms[:, 0]
            latents, codes = self._codes(self.encoder.embed(batch.items), uniforms)
            decoded = self.decoder.reconstruct_all(self.encoder_to_decoder(codes))
            return StudentViews(latents, codes, decoded, None, None)
        num_views = 1 if self.teacher else 2
        num_frames = batch.items.shape[1]
        visible, hidden = split_frames(_stacked(batch.masks[:, :num_views]), int(self.config.mask_ratio * num_frames))
        uniforms = None if batch.uniforms is None else _stacked(batch.uniforms[:, :num_views])
        latents, codes = self._codes(self.encoder.embed_frames(batch.items, visible), uniforms)
        decoded = self.decoder(self.encoder_to_decoder(codes), self.mask_token, visible, hidden)
        return StudentViews(latents, codes, decoded, visible, hidden)

    def _codes(self, tokens: Tensor, uniforms: Tensor | None) -> tuple[Tensor, Tensor]:
        """Latents (rows, V, D) and frame codes (rows, V, K) of tokens: sign(tanh(.)) with the gradient of tanh."""
        latents = self.encoder(tokens, uniforms)
        return latents, binarize_down(self.ln(self.binary(latents)).float().tanh())

    def _student_losses(self, batch, student: StudentViews) -> dict[str, Tensor]:
        """Of the student alone: means over its views."""
        index, views = batch.share.gather(batch.index), student.latents.float().mean(dim=1).split(len(batch.index))
        similarity = similarity_block(self.anchor_ids[index], self.anchor_factors[index], self.config.nanchors)
        structure = [structure_loss(batch.share.gather(latents), similarity) for latents in views]
        reconstruction = reconstruction_loss(student.reconstructions.float(), _at(batch.items, student.hidden))
        return {"reconstruction": batch.share.mean(reconstruction), "structure": torch.stack(structure).mean()}

    def _siamese_losses(self, batch, student: StudentViews) -> dict[str, Tensor]:
        z1, z2 = map(batch.share.gather, student.frame_codes.float().mean(dim=1).chunk(2))
        return {"contrastive": self._contrastive(z1, z2, both_ways=True)}

    def _teacher_losses(self, batch, student: StudentViews, teacher: TeacherViews) -> dict[str, Tensor]:
        mean = batch.share.mean
        z_student, z_teacher = (batch.share.gather(codes.float().mean(dim=1))
                                for codes in (student.frame_codes, teacher.frame_codes))
        reconstructions = teacher.reconstructions.float()
        assert self.teacher is not None
        assert self.to_attention is not None
        frames_each = self.teacher.decoder.repeats if self.config.distill_spacing == "halvings" else None
        attention = stretch(teacher.attention.float(), batch.items.shape[1], frames_each)
        return {
            "teacher_reconstruction": mean(reconstruction_loss(reconstructions, batch.items)),
            "contrastive": self._contrastive(z_student, z_teacher, both_ways=False),
            "distilled_reconstruction": mean(distillation_loss(student.reconstructions.float(),
                                                               _at(reconstructions, student.hidden))),
            "distilled_attention": mean(distillation_loss(self.to_attention(student.latents.float()),
                                                          _at(attention, student.visible))),
        }

    def _contrastive(self, z1: Tensor, z2: Tensor, both_ways: bool) -> Tensor:
        return debiased_contrastive_loss(z1, z2, temperature=self.config.temperature, tau_plus=self.config.tau_plus,
                                         both_ways=both_ways)

    def _weights(self) -> dict[str, float]:
        config = self.config
        return {"reconstruction": config.reconstruction_weight, "teacher_reconstruction": config.reconstruction_weight,
                "contrastive": config.alpha, "structure": config.structure_weight,
                "distilled_reconstruction": config.distill_reconstruction,
                "distilled_attention": config.distill_attention}


def stretch(x: Tensor, num_frames: int, frames_each: int | None = None) -> Tensor:
    """Halved frames (B, H, D) -> (B, T, D), linear between the middles of the frames that each stands for.

    Those are `frames_each` frames, as in the halvings and the decoder; where H times as many are more than T, the last
    are cut off. None: T / H frames, by which 7 that were made of 4 each lie up to three frames too early in 25.
    """
    size = num_frames if frames_each is None else frames_each * x.shape[1]
    stretched = F.interpolate(x.transpose(1, 2), size=size, mode="linear", align_corners=False)
    return stretched.transpose(1, 2)[:, :num_frames]


def _teacher(config, frame_size: int) -> Teacher:
    mixers: dict[str, str | Callable[..., SequenceMixer]] = {
        "attention": "attention", "mamba": with_settings(mamba.Mixer, config)}
    return Teacher(frame_size, config.hidden_size, config.max_frames, config.nbits,
                   encoder_depths=config.teacher_depths, decoder_depth=config.teacher_decoder_depth,
                   decoder_width=config.decoder_size, halving=config.teacher_halving,
                   mixer=mixers[config.teacher_mixer], enhancement=config.teacher_enhancement,
                   dropout=config.teacher_dropout)


def _stacked(draws: Tensor) -> Tensor:
    """Draws (B, R, n) of a batch's views -> (R B, n), view after view."""
    return draws.transpose(0, 1).flatten(0, 1)


def _at(x: Tensor, frames: Tensor | None) -> Tensor:
    """The frames (R B, V) of x (B, T, D); None: all of x."""
    return x if frames is None else take_frames(x, frames)
