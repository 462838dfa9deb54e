"""Compiles what numba and the C++ compiler make once for all, so that the workers of the suite find it cached.

`conftest` runs it while they collect the tests; each would compile the same otherwise, at the same time.
"""

import numpy as np
import torch

from artefacts.centers.descent import solve_by_descent
from artefacts.centers.solver import solve_hash_centers
from model.kernels.scan import ENGINES
from model.kernels.scan.selfcheck import scan_is_right


def main() -> None:
    semantics = np.random.default_rng(0).normal(size=(5, 3))
    solve_hash_centers(semantics, 8, seed=0, max_sweeps=1)
    solve_by_descent(semantics, 8, seed=0)
    for name in ("cpu", "numba"):
        scan_is_right(ENGINES[name].selective_scan, "cpu")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
