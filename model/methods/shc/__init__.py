"""SHC, in three stages: see `model.methods.shc.method`."""

from model.methods.shc.method import Method

__all__ = ["Method"]
