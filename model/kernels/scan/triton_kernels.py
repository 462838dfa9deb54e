"""The Triton kernels of the selective scan; `triton_engine` beside them launches them and says how the work is divided.

A program is one warp. It walks over the steps of one row with the states of a block of channels in registers, a tile
(STATES, CHANNELS): N padded to a power of two, by channels. Arithmetic is in float32 whatever the tensors hold. Step s
of a row lies at position s of the tensors, in reversed rows counted from the end. `*_row` and `*_step` are the strides
of a tensor's first two dimensions; its last has stride 1. An optional tensor may be None.

Triton reads TRITON_INTERPRET when it and this file are first imported: nothing imports them before they are asked for.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
# Plain run-time numbers, whatever their value: one compilation serves every batch and length.
SIZES = ["u_row", "u_step", "delta_row", "delta_step", "B_row", "B_step", "C_row", "C_step", "z_row", "z_step",
         "dy_row", "dy_step", "rows", "rows_each", "length", "channels", "first_reversed", "chunk", "chunks"]


@triton.jit
def load(pointers, mask):
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def load_vector(pointer, d, inside):
    """One value a channel; zeros for a tensor that is None."""
    values = tl.zeros(d.shape, tl.float32)
    if pointer is not None:
        values = load(pointer + d, inside)
    return values


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def softplus(x):
    """log(1 + exp(x)) = max(x, 0) + 2 artanh(e / (2 + e)) with e = exp(-|x|). What the series leaves out is
    below 2e-8 of it, where 1 + e would lose a small e."""
    e = tl.exp(-tl.abs(x))
    a = e / (2 + e)
    b = a * a
    series = 1 + b * (1 / 3 + b * (1 / 5 + b * (1 / 7 + b * (1 / 9 + b * (1 / 11 + b / 13)))))
    return tl.maximum(x, 0.0) + 2 * a * series


@triton.jit
def load_step_size(pointers, shift, inside, SOFTPLUS: tl.constexpr):
    """delta + bias, and the step size that it stands for."""
    raw = load(pointers, inside) + shift
    dt = raw
    if SOFTPLUS:
        dt = softplus(raw)
    return raw, dt


@triton.jit
def position(step, length, turned):
    return tl.where(turned, length - 1 - step, step)


@triton.jit
def advance(state, rates, u, delta, B, d, n, shift, inside, real, SOFTPLUS: tl.constexpr):
    """The state after the step at which the pointers stand."""
    _, dt = load_step_size(delta + d, shift, inside, SOFTPLUS)
    x = dt * load(u + d, inside)
    return tl.exp2(dt[None, :] * rates) * state + x[None, :] * load(B + n, real)[:, None]


@triton.jit(do_not_specialize=SIZES)
def scan_forward(u, u_row, u_step, delta, delta_row, delta_step, A, B, B_row, B_step, C, C_row, C_step, D,
                 z, z_row, z_step, bias, y, length, channels, first_reversed,
                 SOFTPLUS: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr):
    """y (rows, L, channels). One program for each row and block of channels."""
    blocks = tl.cdiv(channels, CHANNELS)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    d = tl.program_id(0) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    inside, real = d < channels, n < N
    turned = row >= first_reversed
    rates = load(A + d[None, :] * N + n[:, None], real[:, None] & inside[None, :]) * LOG2_E  # for exp2
    skip, shift = load_vector(D, d, inside), load_vector(bias, d, inside)
    u += row * u_row
    delta += row * delta_row
    B += row * B_row
    C += row * C_row
    y += row * length * channels
    if z is not None:
        z += row * z_row

    state = tl.zeros((STATES, CHANNELS), tl.float32)
    for step in range(length):
        t = position(step, length, turned)
        state = advance(state, rates, u + t * u_step, delta + t * delta_step, B + t * B_step, d, n, shift,
                        inside, real, SOFTPLUS)
        out = tl.sum(state * load(C + t * C_step + n, real)[:, None], axis=0) + skip * load(u + t * u_step + d, inside)
        if z is not None:
            z_t = load(z + t * z_step + d, inside)
            out *= z_t * sigmoid(z_t)
        tl.store(y + t * channels + d, out, mask=inside)


@triton.jit(do_not_specialize=SIZES)
def scan_backward(u, u_row, u_step, delta, delta_row, delta_step, A, B, B_row, B_step, C, C_row, C_step, D,
                  z, z_row, z_step, bias, dy, dy_row, dy_step, kept,
                  du, ddelta, dz, dA, dB, dC, dD, dbias,
                  rows, rows_each, length, chunk, chunks, channels, first_reversed,
                  SOFTPLUS: tl.constexpr, N: tl.constexpr, STATES: tl.constexpr, CHANNELS: tl.constexpr):
    """The gradients. One program for each group of `rows_each` rows, taken in turn, and block of channels.

    kept: scratch (groups, chunks + chunk, channels, STATES): the state before every chunk of steps, then the state
        before every step of the chunk at hand.
    du, ddelta, dz: (rows, L, channels). dB, dC: (blocks, rows, L, N), summed over a block's channels.
    dA: (groups, channels, N), dD and dbias: (groups, channels), summed over a group's rows and their steps.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    block, group = tl.program_id(0) % blocks, (tl.program_id(0) // blocks).to(tl.int64)
    d = block * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.arange(0, STATES)
    inside, real = d < channels, n < N
    rates = load(A + d[None, :] * N + n[:, None], real[:, None] & inside[None, :]) * LOG2_E
    skip, shift = load_vector(D, d, inside), load_vector(bias, d, inside)
    one_state = channels.to(tl.int64) * STATES
    kept += group * (chunks + chunk) * one_state
    tile = d[None, :] * STATES + n[:, None]
    recent = kept + chunks * one_state
    sum_A = tl.zeros((STATES, CHANNELS), tl.float32)
    sum_D = tl.zeros((CHANNELS,), tl.float32)
    sum_bias = tl.zeros((CHANNELS,), tl.float32)

    for row in range(group * rows_each, tl.minimum(group * rows_each + rows_each, rows)):
        turned = row >= first_reversed
        u_at, delta_at, dy_at = u + row * u_row, delta + row * delta_row, dy + row * dy_row
        B_at, C_at = B + row * B_row, C + row * C_row
        dense = row * length * channels
        per_state = (block.to(tl.int64) * rows + row) * length * N

        state = tl.zeros((STATES, CHANNELS), tl.float32)
        tl.store(kept + tile, state, mask=inside[None, :])
        for step in range((chunks - 1) * chunk):
            t = position(step, length, turned)
            state = advance(state, rates, u_at + t * u_step, delta_at + t * delta_step, B_at + t * B_step, d, n,
                            shift, inside, real, SOFTPLUS)
            if (step + 1) % chunk == 0:
                tl.store(kept + (step + 1) // chunk * one_state + tile, state, mask=inside[None, :])
        tl.debug_barrier()

        d_state = tl.zeros((STATES, CHANNELS), tl.float32)
        for chunks_after in range(chunks):
            first = (chunks - 1 - chunks_after) * chunk
            steps = tl.minimum(chunk, length - first)
            state = load(kept + (chunks - 1 - chunks_after) * one_state + tile, inside[None, :])
            for i in range(steps):
                tl.store(recent + i * one_state + tile, state, mask=inside[None, :])
                t = position(first + i, length, turned)
                state = advance(state, rates, u_at + t * u_step, delta_at + t * delta_step, B_at + t * B_step, d, n,
                                shift, inside, real, SOFTPLUS)
            tl.debug_barrier()

            for steps_after in range(steps):
                i = steps - 1 - steps_after
                t = position(first + i, length, turned)
                u_t, dy_t = load(u_at + t * u_step + d, inside), load(dy_at + t * dy_step + d, inside)
                B_t, C_t = load(B_at + t * B_step + n, real), load(C_at + t * C_step + n, real)
                raw, dt = load_step_size(delta_at + t * delta_step + d, shift, inside, SOFTPLUS)
                x = dt * u_t
                decay = tl.exp2(dt[None, :] * rates)
                decayed = decay * load(recent + i * one_state + tile, inside[None, :])
                state = decayed + x[None, :] * B_t[:, None]

                if z is not None:
                    z_t = load(z + row * z_row + t * z_step + d, inside)
                    gate = sigmoid(z_t)
                    out = tl.sum(state * C_t[:, None], axis=0) + skip * u_t
                    tl.store(dz + dense + t * channels + d, dy_t * out * gate * (1 + z_t * (1 - gate)), mask=inside)
                    dy_t *= z_t * gate
                d_state += dy_t[None, :] * C_t[:, None]
                tl.store(dC + per_state + t * N + n, tl.sum(state * dy_t[None, :], axis=1), mask=real)
                tl.store(dB + per_state + t * N + n, tl.sum(d_state * x[None, :], axis=1), mask=real)

                d_x = tl.sum(d_state * B_t[:, None], axis=0)
                d_exponent = d_state * decayed
                d_raw = d_x * u_t + tl.sum(d_exponent * rates, axis=0) * LN_2
                if SOFTPLUS:
                    d_raw *= sigmoid(raw)
                tl.store(du + dense + t * channels + d, d_x * dt + dy_t * skip, mask=inside)
                tl.store(ddelta + dense + t * channels + d, d_raw, mask=inside)
                sum_A += d_exponent * dt[None, :]
                sum_D += dy_t * u_t
                sum_bias += d_raw
                d_state *= decay
            tl.debug_barrier()

    inside_states = real[:, None] & inside[None, :]
    tl.store(dA + (group * channels + d[None, :]) * N + n[:, None], sum_A, mask=inside_states)
    tl.store(dD + group * channels + d, sum_D, mask=inside)
    tl.store(dbias + group * channels + d, sum_bias, mask=inside)


@triton.jit
def convolve(u, u_step, taps, shift, steps, d, length, turned, inside, TAPS: tl.constexpr, PADDED: tl.constexpr):
    """What the steps see, (PADDED, STEPS, CHANNELS), tap k the one k steps before; and their convolution."""
    k = tl.arange(0, PADDED)[:, None, None]
    seen = steps[None, :, None] - k
    mask = (seen >= 0) & (seen < length) & (k < TAPS) & inside[None, None, :]
    frames = load(u + position(seen, length, turned) * u_step + d[None, None, :], mask)
    return frames, tl.sum(frames * taps[:, None, :], axis=0) + shift[None, :]


@triton.jit(do_not_specialize=["length", "first_reversed"])
def conv_forward(u, u_row, u_step, weight, bias, y, length, channels, first_reversed,
                 TAPS: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr):
    """y (rows, L, channels). One program for each row, STEPS of its steps and CHANNELS of its channels."""
    blocks, spans = tl.cdiv(channels, CHANNELS), tl.cdiv(length, STEPS)
    tile = tl.program_id(0) // blocks
    d = tl.program_id(0) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    k = tl.arange(0, PADDED)
    inside = d < channels
    taps = load(weight + d[None, :] * TAPS + (TAPS - 1 - k)[:, None], inside[None, :] & (k < TAPS)[:, None])
    row = (tile // spans).to(tl.int64)
    turned = row >= first_reversed
    steps = tile % spans * STEPS + tl.arange(0, STEPS)
    _, x = convolve(u + row * u_row, u_step, taps, load(bias + d, inside), steps, d, length, turned, inside,
                    TAPS, PADDED)
    at = position(steps, length, turned)[:, None] * channels + d[None, :]
    tl.store(y + row * length * channels + at, x * sigmoid(x), mask=(steps < length)[:, None] & inside[None, :])


@triton.jit(do_not_specialize=["rows", "tiles_each", "length", "first_reversed"])
def conv_backward(u, u_row, u_step, weight, bias, dy, dy_row, dy_step, du, d_weight, d_bias,
                  rows, tiles_each, length, channels, first_reversed,
                  TAPS: tl.constexpr, PADDED: tl.constexpr, STEPS: tl.constexpr, CHANNELS: tl.constexpr):
    """The gradients. One program for each group of `tiles_each` tiles, the spans of steps of all rows, and CHANNELS.

    du: (rows, L, channels). d_weight: (groups, channels, TAPS) and d_bias: (groups, channels), summed over a group.
    """
    blocks, spans = tl.cdiv(channels, CHANNELS), tl.cdiv(length, STEPS)
    group = tl.program_id(0) // blocks
    d = tl.program_id(0) % blocks * CHANNELS + tl.arange(0, CHANNELS)
    k = tl.arange(0, PADDED)
    inside = d < channels
    known = inside[None, :] & (k < TAPS)[:, None]
    taps = load(weight + d[None, :] * TAPS + (TAPS - 1 - k)[:, None], known)
    shift = load(bias + d, inside)
    sum_taps = tl.zeros((PADDED, STEPS, CHANNELS), tl.float32)
    sum_bias = tl.zeros((STEPS, CHANNELS), tl.float32)
    for tile in range(group * tiles_each, tl.minimum(group * tiles_each + tiles_each, rows * spans)):
        row = (tile // spans).to(tl.int64)
        turned = row >= first_reversed
        steps = tile % spans * STEPS + tl.arange(0, STEPS)
        d_frames = tl.zeros((STEPS, CHANNELS), tl.float32)
        for tap in tl.static_range(TAPS):  # a frame is seen by its own step and the TAPS - 1 after it
            later = steps + tap
            frames, x = convolve(u + row * u_row, u_step, taps, shift, later, d, length, turned, inside, TAPS, PADDED)
            gate = sigmoid(x)
            at = position(later, length, turned)[:, None] * dy_step + d[None, :]
            dx = load(dy + row * dy_row + at, (later < length)[:, None] & inside[None, :])
            dx *= gate * (1 + x * (1 - gate))
            d_frames += dx * load(weight + d * TAPS + (TAPS - 1 - tap), inside)[None, :]
            if tap == 0:
                sum_taps += frames * dx[None, :, :]
                sum_bias += dx
        at = position(steps, length, turned)[:, None] * channels + d[None, :]
        tl.store(du + row * length * channels + at, d_frames, mask=(steps < length)[:, None] & inside[None, :])
    at = (group.to(tl.int64) * channels + d[None, :]) * TAPS + (TAPS - 1 - k)[:, None]
    tl.store(d_weight + at, tl.sum(sum_taps, axis=1), mask=known)
    tl.store(d_bias + group.to(tl.int64) * channels + d, tl.sum(sum_bias, axis=0), mask=inside)
