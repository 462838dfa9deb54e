"""A code in closed form: half-whitened trajectories beside their place in a warped neighbor graph."""

from model.methods.graph_code.method import Method

__all__ = ["Method"]
