"""MCMSH, an MLP-Mixer with gates over three ranges: see `model.methods.mcmsh.method`."""

from model.methods.mcmsh.method import Method

__all__ = ["Method"]
