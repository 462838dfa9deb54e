"""MambaHash: see `model.methods.mambahash.method`."""

from model.methods.mambahash.method import Method

__all__ = ["Method"]
