"""How this project compiles loops with numba."""

from typing import Any

import numba


def compiled(function=None, *, fastmath: frozenset[str] = frozenset({"contract"}), error_model: str = "python"):
    """`function` compiled at its first call, free of the interpreter lock; a decorator, plain or with settings.

    The machine code is cached on disk where a folder for it can be written. Products and sums may fuse but are
    never reordered unless `fastmath` says so: equal inputs give equal bits on one machine. `error_model` "numpy"
    divides by zero as numpy does instead of raising.
    """
    if function is None:
        return lambda function: compiled(function, fastmath=fastmath, error_model=error_model)
    settings: dict[str, Any] = {"nogil": True, "fastmath": set(fastmath), "error_model": error_model}
    try:
        return numba.njit(function, cache=True, **settings)
    except RuntimeError:  # no folder for the cache
        return numba.njit(function, **settings)
