"""Compiled inner loops of the hash-center solver, all in float64.

Letters: C centers, n = C - 1 other centers, K bits; H (n,K) the other centers' codes, b (K,) the row solved.
"""

import numpy as np

from utils.jit import compiled

INNER_STEPS, OFFERS = 10, 100
NORM_TOLERANCE = 1e-3
TINY = 1e-280  # a dual below it changes no sum; left to shrink it becomes subnormal, and a step ten times slower


@compiled
def weigh_rows(weights, rows, out):
    """Fills `out` (P,) with `weights` (M,) @ `rows` (M,P), eight rows at a pass."""
    num_rows, width = rows.shape
    out[:] = 0.0
    whole = num_rows - num_rows % 8
    for i in range(0, whole, 8):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
        for p in range(width):
            out[p] = (((((((out[p] + w0 * rows[i, p]) + w1 * rows[i + 1, p]) + w2 * rows[i + 2, p])
                         + w3 * rows[i + 3, p]) + w4 * rows[i + 4, p]) + w5 * rows[i + 5, p])
                      + w6 * rows[i + 6, p]) + w7 * rows[i + 7, p]
    for i in range(whole, num_rows):
        for p in range(width):
            out[p] += weights[i] * rows[i, p]


@compiled
def separation(code, columns, products):
    """Mean plus minimum Hamming distance from `code` (K,) to n codes, given as `columns` (K,n)."""
    weigh_rows(code, columns, products)
    return 0.5 * (code.size - products.mean()) + 0.5 * (code.size - products.max())


@compiled
def spread_of(code, columns, products):
    """(mean + minimum - variance, minimum) of the Hamming distances from `code` (K,) to n codes, `columns` (K,n)."""
    weigh_rows(code, columns, products)
    least = 0.5 * (code.size - products.max())
    return 0.5 * (code.size - products.mean()) + least - 0.25 * products.var(), least


@compiled(error_model="numpy")
def _push_out(products, limit, rho, gamma, y3, excess):
    """The z3 and y3 part of a step: `excess` (n,) = max(0, Hb + y3/rho - d) = -min(0, d - Hb - y3/rho).

    As z3 = max(0, d - Hb - y3/rho), the dual step y3 + gamma rho (Hb + z3 - d) is
    (1 - gamma) y3 + gamma rho excess. Returns the number of rows that are pushed. Both loops are such that the
    compiler has eight rows at a time.
    """
    for j in range(products.size):
        over = products[j] + y3[j] / rho - limit
        excess[j] = over if over > 0.0 else 0.0
        dual = (1.0 - gamma) * y3[j] + gamma * rho * excess[j]
        y3[j] = dual if abs(dual) > TINY else 0.0
    num_pushed = 0
    for j in range(products.size):
        num_pushed += excess[j] > 0.0
    return num_pushed


@compiled(error_model="numpy")
def _most_missed(products, limit, rho, y3):
    """The largest |Hb + z3 - d| of a step, before `_push_out` takes it."""
    largest = 0.0
    for j in range(products.size):
        over = products[j] + y3[j] / rho - limit
        largest = max(largest, abs((over if over > 0.0 else 0.0) - y3[j] / rho))
    return largest


@compiled
def _weigh_pushed(excess, codes, num_pushed, out):
    """Fills `out` (K,) with `excess` (n,) @ `codes` (n,K); reads only the pushed rows where they are few."""
    if 2 * num_pushed > excess.size:
        weigh_rows(excess, codes, out)
        return
    out[:] = 0.0
    for j in range(excess.size):
        if excess[j] != 0.0:
            for k in range(out.size):
                out[k] += excess[j] * codes[j, k]


@compiled(error_model="numpy")
def _step_box_and_sphere(b, rho, gamma, z1, z2, y1, y2, all_free, measured):
    """The z1, z2 and their duals' part of a step; returns whether the inner loop may end, and where `measured` the
    largest |b - z|."""
    num_bits = b.size
    square = 0.0
    for k in range(num_bits):
        z1[k] = b[k] + y1[k] / rho
        z2[k] = b[k] + y2[k] / rho
        square += z2[k] * z2[k]
    settled = all_free and abs(square - num_bits) <= NORM_TOLERANCE
    if not settled:
        scale = np.sqrt(num_bits / square) if square > 0.0 else 0.0
        for k in range(num_bits):
            z1[k] = min(max(z1[k], -1.0), 1.0)
            z2[k] *= scale
    largest = 0.0
    if measured:
        for k in range(num_bits):
            largest = max(largest, abs(b[k] - z1[k]), abs(b[k] - z2[k]))
    for k in range(num_bits):
        y1[k] += gamma * rho * (b[k] - z1[k])
        y2[k] += gamma * rho * (b[k] - z2[k])
    return settled, largest


@compiled
def _take_signs(b, candidate):
    """Fills `candidate` (K,) with the signs of `b`, +1 for zero; returns whether any of them changed."""
    changed = False
    for k in range(b.size):
        sign = 1.0 if b[k] >= 0.0 else -1.0
        changed = changed or sign != candidate[k]
        candidate[k] = sign
    return changed


@compiled
def settle_row(row, codes, columns, basis, basis_t, eigenvalues, drive, y1, y2, y3, limit, rho, gamma, growth,
               ceiling, tolerance, pull_of_semantics, apart_alone):
    """The row that ADMM puts in place of `row` (K,), or `row` itself where no candidate separates better.

    `codes` (n,K) are the other centers and `columns` (K,n) their transpose; H^T H = basis diag(eigenvalues)
    basis^T with `basis_t` the transpose of `basis`; `drive` (K,) = 2 H^T w - c; `limit` = d = K - 2 d_max.
    y1, y2 (K,) and y3 (n,) are the duals' draws, overwritten. `rho` grows by `growth` up to `ceiling`, from where on
    signs are offered; once no constraint is missed by more than `tolerance`, there is no further offer.
    `pull_of_semantics` is 2 alpha, the weight of H^T H beside rho; `apart_alone`: an offer is taken if either part of
    its `spread_of` beats the best so far, else if its `separation` does.

    The unknowns that are n long enter the system only through H^T, where they collapse: with
    r = H^T max(0, Hb + y3/rho - d), H^T (d - z3) = H^T H b + H^T y3/rho - r and the dual step turns H^T y3
    into (1 - gamma) H^T y3 + gamma rho r. So an inner step costs Hb, r over the pushed rows, and two
    K x K products that go to the eigenbasis and back; nothing is inverted and nothing allocated.
    """
    num_bits, num_others = columns.shape
    b, z1, z2, best, candidate = row.copy(), row.copy(), row.copy(), row.copy(), row.copy()
    spectrum, pull, pulled = np.empty(num_bits), np.empty(num_bits), np.empty(num_bits)
    dual, shove, lag = np.empty(num_bits), np.empty(num_bits), np.zeros(num_bits)
    products, excess = np.empty(num_others), np.empty(num_others)
    weigh_rows(b, basis, spectrum)
    weigh_rows(y3, codes, dual)
    best_score = separation(row, columns, products)
    best_spread, best_least = spread_of(row, columns, products)
    offers, residual, measured = 0, 0.0, tolerance > 0.0
    while offers < OFFERS:
        for _ in range(INNER_STEPS):  # `lag` is H^T y3/rho - r of the step before, `dual` H^T y3
            for k in range(num_bits):
                pull[k] = rho * (z1[k] + z2[k] + lag[k]) - y1[k] - y2[k] - dual[k] + drive[k]
            weigh_rows(pull, basis, pulled)
            for k in range(num_bits):
                spectrum[k] = ((pulled[k] + rho * eigenvalues[k] * spectrum[k])
                               / (2.0 * rho + (rho + pull_of_semantics) * eigenvalues[k]))
            weigh_rows(spectrum, basis_t, b)
            weigh_rows(b, columns, products)
            if measured:
                residual = _most_missed(products, limit, rho, y3)
            num_pushed = _push_out(products, limit, rho, gamma, y3, excess)
            _weigh_pushed(excess, codes, num_pushed, shove)
            for k in range(num_bits):
                lag[k] = dual[k] / rho - shove[k]
                dual[k] = (1.0 - gamma) * dual[k] + gamma * rho * shove[k]
            settled, gap = _step_box_and_sphere(b, rho, gamma, z1, z2, y1, y2, num_pushed == 0, measured)
            if settled:
                break
        if measured and max(residual, gap) < tolerance:
            return best
        rho = min(growth * rho, ceiling)
        if rho < ceiling:
            continue
        offers += 1
        if not _take_signs(b, candidate):
            continue
        if apart_alone:
            score, least = spread_of(candidate, columns, products)
            if score > best_spread or least > best_least:
                best_spread, best_least = score, least
                best[:] = candidate
        else:
            score = separation(candidate, columns, products)
            if score > best_score:
                best_score = score
                best[:] = candidate
    return best


@compiled
def swap_to_match(codes_similarity, semantic_similarity, order, max_passes):
    """Swaps entries of `order` (C,) in place while that raises sum_ij A[order_i, order_j] S[i, j].

    A and S (C,C) are symmetric. A swap of r and s changes the sum by
    2 sum_{k != r,s} (A[order_r, order_k] - A[order_s, order_k]) (S[s, k] - S[r, k]).
    Returns the number of swaps.
    """
    num = order.size
    swaps = 0
    for _ in range(max_passes):
        before = swaps
        for r in range(num):
            for s in range(r + 1, num):
                gain = 0.0
                for k in range(num):
                    if k != r and k != s:
                        gain += ((codes_similarity[order[r], order[k]] - codes_similarity[order[s], order[k]])
                                 * (semantic_similarity[s, k] - semantic_similarity[r, k]))
                if gain > 1e-9:
                    order[r], order[s] = order[s], order[r]
                    swaps += 1
        if swaps == before:
            break
    return swaps
