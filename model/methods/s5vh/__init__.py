"""S5VH, and what makes its codes better: see `model.methods.s5vh.method`."""

from model.methods.s5vh.method import Method

__all__ = ["Method"]
