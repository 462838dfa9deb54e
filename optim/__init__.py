"""Optimisers over groups of parameters, and learning-rate schedules, by the names of `torch.optim`."""

from optim.optimizers import GroupedOptimizer, build_optimizer
from optim.schedules import learning_rate

__all__ = ["GroupedOptimizer", "build_optimizer", "learning_rate"]
