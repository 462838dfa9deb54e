"""Sweeps of single bit flips over hash centers, compiled and in plain numpy; both give the same codes.

Letters: C centers, K bits, S sweeps. `products` (C,C) are the inner products p_ij of the codes, kept up to date from
flip to flip. A pair costs

    f_ij(p) = w_ij (p - t_ij)^2 + penalty max(0, p - limit)^2,

and a flip of bit k of row i turns p_ij into p_ij - 2 h_ik h_jk, so twice its change of the sum over j is exactly

    sum_j [f_ij(p - 2) + f_ij(p + 2) - 2 f_ij(p)] + h_ik sum_j [f_ij(p - 2) - f_ij(p + 2)] h_jk:

one stiffness per row, and one product of the row's forces with a column of codes per bit.

Products, limits, weights and penalties are whole numbers and targets whole eighths, so every sum is a whole number
below 2^53: float64 holds it exactly in whatever order it is summed.
"""

import numpy as np

from utils.jit import compiled

# -log u at the middle of 1,024 equal parts of (0, 1): a flip is taken while it costs less than temperature times one.
PATIENCE = -np.log((np.arange(1024) + 0.5) / 1024)
EXACT = frozenset({"contract", "reassoc"})  # sums of whole numbers may be reordered
_SHIFT_1, _SHIFT_2, _SHIFT_3, _TOP = np.uint64(13), np.uint64(7), np.uint64(17), np.uint64(54)


@compiled(fastmath=EXACT)
def sweep_rows(columns, products, targets, weights, limit, penalties, temperatures, patience, state):
    """The number of flips in the last of at most S sweeps over all rows and, within a row, all bits.

    `columns` (K,C) float64 are the codes transposed, `products`, `targets`, `weights` (C,C) float64; `penalties` and
    `temperatures` (S,), one per sweep, in units of twice the cost; `state` (1,) uint64 that of the draws, not 0.
    `columns`, `products` and `state` change in place. At temperature 0 only flips that lower the cost are taken, and a
    sweep without a flip is the last.
    """
    num_bits, num_centers = columns.shape
    row, forces = np.empty(num_centers), np.empty(num_centers)
    draw, num_flips = state[0], 0
    for s in range(temperatures.size):
        num_flips = 0
        for i in range(num_centers):
            row[:] = products[i]
            stiffness = _feel(row, targets[i], weights[i], i, limit, penalties[s], forces)
            before = num_flips
            for k in range(num_bits):
                bit, threshold = columns[k, i], 0.0
                if temperatures[s] > 0.0:
                    draw ^= draw << _SHIFT_1
                    draw ^= draw >> _SHIFT_2
                    draw ^= draw << _SHIFT_3
                    threshold = np.floor(temperatures[s] * patience[draw >> _TOP])
                if stiffness + bit * _dot(forces, columns[k]) < threshold:
                    _flip(row, columns[k], i, num_bits)
                    stiffness = _feel(row, targets[i], weights[i], i, limit, penalties[s], forces)
                    num_flips += 1
            if num_flips > before:
                products[i] = row
                products[:, i] = row
        if num_flips == 0 and temperatures[s] == 0.0:
            break
    state[0] = draw
    return num_flips


@compiled(fastmath=EXACT)
def _feel(row, targets, weights, index, limit, penalty, forces):
    """The stiffness of row `index`; fills `forces` (C,) with f(p - 2) - f(p + 2), 0 at `index`."""
    stiffness = 0.0
    for j in range(row.size):
        below, over = max(0.0, row[j] - 2.0 - limit), max(0.0, row[j] + 2.0 - limit)
        here = max(0.0, row[j] - limit)
        forces[j] = penalty * (below * below - over * over) - 8.0 * weights[j] * (row[j] - targets[j])
        curvature = penalty * (below * below + over * over - 2.0 * here * here) + 8.0 * weights[j]
        stiffness += curvature if j != index else 0.0
    forces[index] = 0.0
    return stiffness


@compiled(fastmath=EXACT)
def _dot(a, b):
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@compiled(fastmath=EXACT)
def _flip(row, column, index, num_bits):
    """Turns bit `index` of `column` (C,) and takes its part out of the inner products `row` (C,)."""
    step = 2.0 * column[index]
    for j in range(row.size):
        row[j] -= step * column[j]
    row[index] = num_bits
    column[index] = -column[index]


def sweep_rows_plainly(columns, products, targets, weights, limit, penalties, temperatures, patience, state):
    """What `sweep_rows` does and returns, in numpy: slow, read first, and the ground truth of the tests."""
    num_bits, num_centers = columns.shape
    num_flips = 0
    for penalty, temperature in zip(penalties, temperatures, strict=True):
        num_flips = 0
        for i in range(num_centers):
            for k in range(num_bits):
                threshold = np.floor(temperature * patience[_draw(state) >> 54]) if temperature > 0 else 0.0
                flipped = products[i] - 2 * columns[k, i] * columns[k]
                change = (_costs(flipped, targets[i], weights[i], limit, penalty)
                          - _costs(products[i], targets[i], weights[i], limit, penalty))
                change[i] = 0
                if 2 * change.sum() < threshold:
                    flipped[i] = num_bits
                    products[i] = products[:, i] = flipped
                    columns[k, i] = -columns[k, i]
                    num_flips += 1
        if num_flips == 0 and temperature == 0:
            break
    return num_flips


def _costs(row: np.ndarray, targets: np.ndarray, weights: np.ndarray, limit: float, penalty: float) -> np.ndarray:
    """f_ij (C,) of the inner products `row` (C,)."""
    return weights * (row - targets) ** 2 + penalty * np.maximum(0, row - limit) ** 2


def _draw(state: np.ndarray) -> int:
    """The next of a series of 64-bit numbers (xorshift: Marsaglia 2003, "Xorshift RNGs", shifts 13, 7, 17)."""
    draw = int(state[0])
    draw ^= (draw << 13) % 2 ** 64
    draw ^= draw >> 7
    draw ^= (draw << 17) % 2 ** 64
    state[0] = draw
    return draw
