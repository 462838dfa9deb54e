"""Losses: pure functions, one file per loss."""

from Loss.center_alignment import center_alignment_loss
from Loss.class_centers import center_bits_loss, quantisation_loss
from Loss.code_following import code_following_loss
from Loss.contrastive import debiased_contrastive_loss
from Loss.distillation import distillation_loss
from Loss.greedy_hash import cubic_loss, straight_through_sign
from Loss.neighbors import pair_similarity_loss, quadruplet_loss, squared_errors
from Loss.orthogonal_targets import cosine_margin_loss
from Loss.own_clusters import own_cluster_loss
from Loss.pairs import pair_likelihood_loss, sign_loss
from Loss.prototypes import prototype_loss
from Loss.reconstruction import cosine_reconstruction_loss, reconstruction_loss
from Loss.structure import structure_loss

__all__ = ["center_alignment_loss", "center_bits_loss", "code_following_loss", "cosine_margin_loss",
           "cosine_reconstruction_loss", "cubic_loss", "debiased_contrastive_loss", "distillation_loss",
           "own_cluster_loss", "pair_likelihood_loss", "pair_similarity_loss", "prototype_loss", "quadruplet_loss",
           "quantisation_loss", "reconstruction_loss", "sign_loss", "squared_errors", "straight_through_sign",
           "structure_loss"]
