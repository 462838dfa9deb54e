"""AutoSSVH: see `model.methods.autossvh.method`."""

from model.methods.autossvh.method import Method

__all__ = ["Method"]
