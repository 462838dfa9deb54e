"""Losses: pure functions, one per file."""

from Loss.center_alignment import center_alignment_loss
from Loss.code_following import code_following_loss
from Loss.contrastive import debiased_contrastive_loss
from Loss.distillation import distillation_loss
from Loss.reconstruction import cosine_reconstruction_loss, reconstruction_loss
from Loss.structure import structure_loss

__all__ = ["center_alignment_loss", "code_following_loss", "cosine_reconstruction_loss", "debiased_contrastive_loss",
           "distillation_loss", "reconstruction_loss", "structure_loss"]
