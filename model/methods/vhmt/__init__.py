"""VHMT (Yang et al.): the method, and the parts of its teacher."""

from model.methods.vhmt.method import Method

__all__ = ["Method"]
