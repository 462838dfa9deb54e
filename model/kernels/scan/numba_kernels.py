"""Compiled loops of the selective scan, float32. Each innermost loop runs over channels and becomes vectors.

A block is WIDTH neighbouring channels, a tile TILE neighbouring states, a chunk up to CHUNK steps of a row. All sizes
are whole blocks and tiles; `numba_engine` sees to that. Before a vector loop its arrays are checked to lie apart, and
with too many pairs to check LLVM keeps to scalars: so what is used together lies side by side in one array.
All of it stands in one file because numba's cache on disk does not notice changes in another.
"""

from typing import NamedTuple

import numpy as np

from utils.jit import compiled

WIDTH, TILE, CHUNK = 64, 4, 64  # a chunk's kept states fit the L2 cache
TILE_SIZE = TILE * WIDTH
S1, S2, S3 = WIDTH, 2 * WIDTH, 3 * WIDTH  # where the second, third and fourth state of a tile begin

# Of a step: drive = dt u, sum = C h + D u, slope that of softplus; for the gradient, ds is that of sum, and summed over
# the states are along_B = dh B and along_A = dh a h_(t-1) A.
DT, DRIVE, SUM, U, SLOPE, DS, GATE_SLOPE, ALONG_B, ALONG_A = (field * WIDTH for field in range(9))
STEP_SIZE = 9 * WIDTH
DECAY = TILE_SIZE  # of a tile at a step are kept the states before it, then their decays a
KEPT_SIZE = 2 * TILE_SIZE
DA = TILE_SIZE  # a tile carries a_(t+1) dh_(t+1) from step to step, then its sums of dA from row to row
CARRY_SIZE = 2 * TILE_SIZE

F = np.float32  # a bare constant would make its expression float64
ZERO, ONE, TWO = F(0), F(1), F(2)
LOG2E, LN2, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693147181), F(0.693359375), F(-2.12194440e-4)
ROUNDER = F(12582912)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
LOWEST_POWER, HIGHEST_POWER, LOWEST_EXPONENT = F(-127), F(128), F(-87)
P6, P5, P4 = F(0.00015246564), F(0.0013392073), F(0.0096188504)
P3, P2, P1 = F(0.055503562), F(0.24022645), F(0.69314718)
Q5, Q4, Q3, Q2, Q1 = F(0.24413069), F(0.2139325), F(0.28620723), F(0.39998692), F(0.66666681)

kernel = compiled(error_model="numpy")
# Sums over channels may go by lanes. Only that: with all of fastmath a NaN could be lost.
reducing_kernel = compiled(error_model="numpy", fastmath=frozenset({"contract", "reassoc"}))


class Series(NamedTuple):
    """A (B, L, width) tensor: its memory, flat, and how far apart rows and steps lie in it."""

    data: np.ndarray
    row: int
    step: int


class Scan(NamedTuple):
    """The inputs. `rates` (blocks, tiles, TILE_SIZE) is A log2(e); `skips` and `biases` (blocks, WIDTH) are D and
    delta_bias; `z` is any series where not `gated`. Rows from `first_reversed` on run from the last step to the first.
    """

    u: Series
    delta: Series
    z: Series
    B: Series
    C: Series
    rates: np.ndarray
    skips: np.ndarray
    biases: np.ndarray
    length: int
    first_reversed: int
    gated: bool
    softplus: bool


class Gradient(NamedTuple):
    """The gradients of the output and the inputs. du, ddelta and dz are laid out alike, so are dB and dC, which start
    at 0; dz is any of them where there is no gate."""

    dy: Series
    du: Series
    ddelta: Series
    dz: Series
    dB: Series
    dC: Series


@kernel
def power_of_fraction(f):
    """2^f on [-1/2, 1/2], exactly 1 at 0; minimax of the error weighted by 1 / (1 - 2^f), as slow decay does: 1e-8."""
    return (((((P6 * f + P5) * f + P4) * f + P3) * f + P2) * f + P1) * f + ONE


@kernel
def times_power(p, rounded):
    """p 2^k for `rounded` = k + ROUNDER; k = -127 gives 0 and k = 128 infinity."""
    return p * np.int32((F(rounded).view(np.int32) + 127) << 23).view(F)


@kernel
def exp2(x):
    x = LOWEST_POWER if x < LOWEST_POWER else x  # in this order a NaN goes through
    x = HIGHEST_POWER if x > HIGHEST_POWER else x
    rounded = x + ROUNDER
    return times_power(power_of_fraction(x - (rounded - ROUNDER)), rounded)


@kernel
def exp_negative(x):
    """exp(x) for x <= 0 to about an ulp: ln 2 is taken off in two parts."""
    x = LOWEST_EXPONENT if x < LOWEST_EXPONENT else x
    rounded = x * LOG2E + ROUNDER
    k = rounded - ROUNDER
    return times_power(power_of_fraction(((x - k * LN2_HIGH) - k * LN2_LOW) * LOG2E), rounded)


@kernel
def softplus(x):
    """softplus(x) and its slope. ln(1 + e) = 2 artanh(e / (2 + e)) keeps its relative accuracy as e goes to 0."""
    e = exp_negative(-abs(x))
    q = e / (TWO + e)
    s = q * q
    log1p = q * (((((Q5 * s + Q4) * s + Q3) * s + Q2) * s + Q1) * s + TWO)
    return (x if x > ZERO else ZERO) + log1p, (ONE if x > ZERO else e) / (ONE + e)


@kernel
def silu(x):
    """x sigmoid(x) and its slope."""
    e = exp_negative(-abs(x))
    sigmoid = (ONE if x > ZERO else e) / (ONE + e)
    return x * sigmoid, sigmoid * (ONE + x * (ONE - sigmoid))


@kernel
def clear(x):
    """Fills x (n,) with 0. Loops like this compile in a fraction of the time that assigning to a slice takes."""
    for i in range(x.size):
        x[i] = ZERO


@kernel
def copy(source, to):
    for i in range(to.size):
        to[i] = source[i]


@kernel
def four(x, first):
    return x[first], x[first + 1], x[first + 2], x[first + 3]


@kernel
def add_four(x, first, a, b, c, d):
    x[first] += a
    x[first + 1] += b
    x[first + 2] += c
    x[first + 3] += d


@kernel
def place(series, scan, row, start):
    """Where step `start` of a row lies in the memory of a series, and how far from it the next one."""
    if row < scan.first_reversed:
        return row * series.row + start * series.step, series.step
    return row * series.row + (scan.length - 1 - start) * series.step, -series.step


@kernel
def enter(scan, block, row, start, num_steps, steps):
    """Fills what a chunk's steps hold before their states are run."""
    skip, bias = scan.skips[block], scan.biases[block]
    u_at, u_pace = place(scan.u, scan, row, start)
    delta_at, delta_pace = place(scan.delta, scan, row, start)
    for i in range(num_steps):
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        first = u_at + i * u_pace + block * WIDTH
        u = scan.u.data[first:first + WIDTH]
        first = delta_at + i * delta_pace + block * WIDTH
        delta = scan.delta.data[first:first + WIDTH]
        if scan.softplus:
            for d in range(WIDTH):
                step[DT + d], step[SLOPE + d] = softplus(delta[d] + bias[d])
        else:
            for d in range(WIDTH):
                step[DT + d], step[SLOPE + d] = delta[d] + bias[d], ONE
        for d in range(WIDTH):
            step[U + d] = u[d]
            step[DRIVE + d] = step[DT + d] * u[d]
            step[SUM + d] = skip[d] * u[d]


@kernel
def leave(scan, y, block, row, start, num_steps, steps):
    """Writes y of a chunk."""
    y_at, y_pace = place(y, scan, row, start)
    z_at, z_pace = place(scan.z, scan, row, start)
    for i in range(num_steps):
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        first = y_at + i * y_pace + block * WIDTH
        out = y.data[first:first + WIDTH]
        first = z_at + i * z_pace + block * WIDTH
        z = scan.z.data[first:first + WIDTH]
        if scan.gated:
            for d in range(WIDTH):
                out[d] = step[SUM + d] * silu(z[d])[0]
        else:
            for d in range(WIDTH):
                out[d] = step[SUM + d]


@kernel
def advance(scan, row, start, num_steps, n, steps, rate, h, kept, kept_pace):
    """Runs the tile h, from state n on, through a chunk and adds C h to the steps' sums.

    What is kept of step i goes to `kept` from i * `kept_pace` on; a pace of 0 is for those who do not want it.
    """
    B_at, B_pace = place(scan.B, scan, row, start)
    C_at, C_pace = place(scan.C, scan, row, start)
    for i in range(num_steps):
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        keep = kept[i * kept_pace:i * kept_pace + KEPT_SIZE]
        B0, B1, B2, B3 = four(scan.B.data, B_at + i * B_pace + n)
        C0, C1, C2, C3 = four(scan.C.data, C_at + i * C_pace + n)
        for d in range(WIDTH):
            dt, drive = step[DT + d], step[DRIVE + d]
            a0, a1 = exp2(dt * rate[d]), exp2(dt * rate[S1 + d])
            a2, a3 = exp2(dt * rate[S2 + d]), exp2(dt * rate[S3 + d])
            h0, h1, h2, h3 = h[d], h[S1 + d], h[S2 + d], h[S3 + d]
            keep[d], keep[S1 + d], keep[S2 + d], keep[S3 + d] = h0, h1, h2, h3
            keep[DECAY + d], keep[DECAY + S1 + d], keep[DECAY + S2 + d], keep[DECAY + S3 + d] = a0, a1, a2, a3
            h0, h1, h2, h3 = a0 * h0 + drive * B0, a1 * h1 + drive * B1, a2 * h2 + drive * B2, a3 * h3 + drive * B3
            h[d], h[S1 + d], h[S2 + d], h[S3 + d] = h0, h1, h2, h3
            step[SUM + d] += (h0 * C0 + h1 * C1) + (h2 * C2 + h3 * C3)


@kernel
def run_forward(scan, y, carried, first_row, end_row, steps, states, kept):
    """Writes y of some rows. `states` is (tiles, TILE_SIZE); `steps` and `kept` have room for a chunk and a step.

    `carried` (rows, blocks, tiles, TILE_SIZE) are the states before the first step, then those after the last; with no
    rows in it they start at 0.
    """
    for row in range(first_row, end_row):
        for block in range(scan.rates.shape[0]):
            for tile in range(states.shape[0]):
                if carried.shape[0]:
                    copy(carried[row, block, tile], states[tile])
                else:
                    clear(states[tile])
            for start in range(0, scan.length, CHUNK):
                num_steps = min(CHUNK, scan.length - start)
                enter(scan, block, row, start, num_steps, steps)
                for tile in range(states.shape[0]):
                    advance(scan, row, start, num_steps, tile * TILE, steps, scan.rates[block, tile], states[tile],
                            kept, 0)
                leave(scan, y, block, row, start, num_steps, steps)
            if carried.shape[0]:
                for tile in range(states.shape[0]):
                    copy(states[tile], carried[row, block, tile])


@kernel
def save_states(scan, block, row, steps, states, kept):
    """Fills `states` (chunks, tiles, TILE_SIZE) with the states before each chunk of a row."""
    for tile in range(states.shape[1]):
        clear(states[0, tile])
    for chunk in range(states.shape[0] - 1):
        start = chunk * CHUNK
        enter(scan, block, row, start, CHUNK, steps)
        for tile in range(states.shape[1]):
            h = states[chunk + 1, tile]
            copy(states[chunk, tile], h)
            advance(scan, row, start, CHUNK, tile * TILE, steps, scan.rates[block, tile], h, kept, 0)


@kernel
def enter_backward(scan, gradient, block, row, start, num_steps, steps):
    """Fills, beside what `enter` does, what the gradient needs of a chunk's steps."""
    enter(scan, block, row, start, num_steps, steps)
    dy_at, dy_pace = place(gradient.dy, scan, row, start)
    z_at, z_pace = place(scan.z, scan, row, start)
    for i in range(num_steps):
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        first = dy_at + i * dy_pace + block * WIDTH
        dy = gradient.dy.data[first:first + WIDTH]
        first = z_at + i * z_pace + block * WIDTH
        z = scan.z.data[first:first + WIDTH]
        if scan.gated:
            for d in range(WIDTH):
                gate, slope = silu(z[d])
                step[DS + d] = dy[d] * gate
                step[GATE_SLOPE + d] = dy[d] * slope
        else:
            for d in range(WIDTH):
                step[DS + d] = dy[d]
        for d in range(WIDTH):
            step[ALONG_B + d] = ZERO
            step[ALONG_A + d] = ZERO


@reducing_kernel
def retreat(scan, gradient, row, start, num_steps, n, steps, rate, kept, carry):
    """Takes the gradient of a tile, from state n on, through a chunk from its last step to its first."""
    B_at, B_pace = place(scan.B, scan, row, start)
    C_at, C_pace = place(scan.C, scan, row, start)
    dB_at, dB_pace = place(gradient.dB, scan, row, start)
    for i in range(num_steps - 1, -1, -1):
        # Slices, not rows of a matrix: LLVM would check once for all steps, and takes descending ones to overlap.
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        keep = kept[i * KEPT_SIZE:(i + 1) * KEPT_SIZE]
        after = kept[(i + 1) * KEPT_SIZE:(i + 1) * KEPT_SIZE + TILE_SIZE]
        B0, B1, B2, B3 = four(scan.B.data, B_at + i * B_pace + n)
        C0, C1, C2, C3 = four(scan.C.data, C_at + i * C_pace + n)
        dB0 = dB1 = dB2 = dB3 = dC0 = dC1 = dC2 = dC3 = ZERO
        for d in range(WIDTH):
            dt, drive, ds = step[DT + d], step[DRIVE + d], step[DS + d]
            dC0 += ds * after[d]
            dC1 += ds * after[S1 + d]
            dC2 += ds * after[S2 + d]
            dC3 += ds * after[S3 + d]
            dh0, dh1 = carry[d] + ds * C0, carry[S1 + d] + ds * C1
            dh2, dh3 = carry[S2 + d] + ds * C2, carry[S3 + d] + ds * C3
            dB0 += dh0 * drive
            dB1 += dh1 * drive
            dB2 += dh2 * drive
            dB3 += dh3 * drive
            step[ALONG_B + d] += (dh0 * B0 + dh1 * B1) + (dh2 * B2 + dh3 * B3)
            dh0, dh1 = dh0 * keep[DECAY + d], dh1 * keep[DECAY + S1 + d]
            dh2, dh3 = dh2 * keep[DECAY + S2 + d], dh3 * keep[DECAY + S3 + d]
            carry[d], carry[S1 + d], carry[S2 + d], carry[S3 + d] = dh0, dh1, dh2, dh3
            q0, q1, q2, q3 = dh0 * keep[d], dh1 * keep[S1 + d], dh2 * keep[S2 + d], dh3 * keep[S3 + d]
            step[ALONG_A + d] += (q0 * rate[d] + q1 * rate[S1 + d]) + (q2 * rate[S2 + d] + q3 * rate[S3 + d])
            carry[DA + d] += q0 * dt
            carry[DA + S1 + d] += q1 * dt
            carry[DA + S2 + d] += q2 * dt
            carry[DA + S3 + d] += q3 * dt
        add_four(gradient.dB.data, dB_at + i * dB_pace + n, dB0, dB1, dB2, dB3)
        add_four(gradient.dC.data, dB_at + i * dB_pace + n, dC0, dC1, dC2, dC3)


@kernel
def leave_backward(scan, gradient, block, row, start, num_steps, steps, dskip, dbias):
    """Writes du, ddelta and dz of a chunk; adds to the sums of dD and of delta_bias's gradient."""
    skip = scan.skips[block]
    du_at, du_pace = place(gradient.du, scan, row, start)
    for i in range(num_steps):
        step = steps[i * STEP_SIZE:(i + 1) * STEP_SIZE]
        first = du_at + i * du_pace + block * WIDTH
        du = gradient.du.data[first:first + WIDTH]
        ddelta = gradient.ddelta.data[first:first + WIDTH]
        dz = gradient.dz.data[first:first + WIDTH]
        for d in range(WIDTH):
            d_delta = (step[ALONG_B + d] * step[U + d] + step[ALONG_A + d] * LN2) * step[SLOPE + d]
            dskip[d] += step[DS + d] * step[U + d]
            dbias[d] += d_delta
            step[ALONG_A + d] = d_delta
        for d in range(WIDTH):  # a loop of its own for the sake of the checks that arrays lie apart
            du[d] = step[ALONG_B + d] * step[DT + d] + skip[d] * step[DS + d]
            ddelta[d] = step[ALONG_A + d]
        if scan.gated:
            for d in range(WIDTH):
                dz[d] = step[SUM + d] * step[GATE_SLOPE + d]


@kernel
def run_backward(scan, gradient, first_row, end_row, steps, states, kept, carry, sums):
    """Writes the gradients of some rows and, into `sums` (blocks, N + 2, WIDTH), those of A, D and delta_bias summed
    over these rows. `states` is (chunks, tiles, TILE_SIZE), `carry` (blocks, tiles, CARRY_SIZE); `steps` has room for
    a chunk, `kept` for a step more.
    """
    num_blocks, num_tiles = carry.shape[:2]
    for block in range(num_blocks):
        clear(sums[block, num_tiles * TILE])
        clear(sums[block, num_tiles * TILE + 1])
        for tile in range(num_tiles):
            clear(carry[block, tile])
    for row in range(first_row, end_row):
        for block in range(num_blocks):
            for tile in range(num_tiles):
                clear(carry[block, tile, :DA])
            save_states(scan, block, row, steps, states, kept)
            for chunk in range(states.shape[0] - 1, -1, -1):
                start = chunk * CHUNK
                num_steps = min(CHUNK, scan.length - start)
                enter_backward(scan, gradient, block, row, start, num_steps, steps)
                for tile in range(num_tiles):
                    rate, h = scan.rates[block, tile], states[chunk, tile]
                    advance(scan, row, start, num_steps, tile * TILE, steps, rate, h, kept, KEPT_SIZE)
                    copy(h, kept[num_steps * KEPT_SIZE:num_steps * KEPT_SIZE + TILE_SIZE])
                    retreat(scan, gradient, row, start, num_steps, tile * TILE, steps, rate, kept, carry[block, tile])
                leave_backward(scan, gradient, block, row, start, num_steps, steps,
                               sums[block, num_tiles * TILE], sums[block, num_tiles * TILE + 1])
    for block in range(num_blocks):
        for n in range(num_tiles * TILE):
            first = DA + n % TILE * WIDTH
            copy(carry[block, n // TILE, first:first + WIDTH], sums[block, n])
