"""WSCH: see `model.methods.wsch.method`."""

from model.methods.wsch.method import Method

__all__ = ["Method"]
