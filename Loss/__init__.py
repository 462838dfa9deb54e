"""Losses: pure functions, one per file."""

from Loss.center_alignment import center_alignment_loss
from Loss.contrastive import debiased_contrastive_loss
from Loss.distillation import distillation_loss
from Loss.reconstruction import reconstruction_loss
from Loss.structure import structure_loss

__all__ = ["center_alignment_loss", "debiased_contrastive_loss", "distillation_loss", "reconstruction_loss",
           "structure_loss"]
