// Selective scan (Mamba, Gu & Dao 2023, arXiv 2312.00752, eq. 2 with the zero-order hold of section 2) and its
// gradient on CPUs. Vectors run over channels; the states of a channel stay in registers.
//
//   dt_t = softplus(delta_t + bias)          a_t = exp(dt_t A)         h_t = a_t h_(t-1) + dt_t u_t B_t,  h_(-1) = 0
//   s_t  = sum_n C_t[n] h_t[n] + skip u_t    y_t = s_t silu(z_t)
//
// Letters: b row of the batch, t step of L, d channel of D, n state of N. A block is W neighbouring channels, a tile
// is a few neighbouring states, a chunk is up to CHUNK neighbouring steps. Steps count in the direction of the row.
// Work is cut by the shapes alone and every sum has a fixed order, so the number of threads changes no bit.
#include <type_traits>

#include "cpu_work.h"

int64_t home_process = 0;

struct Scan {
    Series<Element> u, delta, z;  // z may be absent
    Series<float> B, C;
    Series<Element> y;            // the backward pass does not touch it
    float *A, *skip, *bias;       // (D, N), (D) or null, (D) or null
    int64_t rows, length, channels, states, softplus;
    int64_t reversed;  // so many rows at the end run from the last step to the first
    int64_t threads;
    float* carried;  // (rows, N, D): the states before the first step, then those after the last; null: from 0
};

struct Gradient {
    Series<Element> dy, du, ddelta, dz;
    Series<float> dB, dC;       // contiguous
    float *dA, *dskip, *dbias;  // contiguous; dskip and dbias are written even if their input was absent
};

namespace {

constexpr int FORWARD_TILE = W == 16 ? 16 : 8;
constexpr int BACKWARD_TILE = 4;
constexpr int64_t CHUNK = 64;  // steps whose states the backward pass keeps at once: they fit the L2 cache

struct Plan : Cut {
    const Scan& s;
    int64_t chunks;
    V* rate = nullptr;  // (blocks, N): A log2(e)

    explicit Plan(const Scan& scan)
        : Cut(scan.rows, scan.channels), s(scan), chunks((scan.length + CHUNK - 1) / CHUNK) {}

    int64_t threads(int64_t each) const {
        return Cut::threads(s.threads, s.rows * s.length * s.channels * s.states, each);
    }
    int64_t steps(int64_t chunk) const { return std::min(CHUNK, s.length - chunk * CHUNK); }

    void set_rates(V* memory) {
        rate = memory;
        for (int64_t block = 0; block < blocks; ++block)
            for (int64_t n = 0; n < s.states; ++n) {
                V v{};
                for (int64_t i = 0; i < lanes(block); ++i) v[i] = s.A[(block * W + i) * s.states + n] * LOG2E;
                memory[block * s.states + n] = at_most(EXP2_LIMIT, at_least(-EXP2_LIMIT, v));
            }
    }
};

// One block of channels over one chunk of steps of one row.
struct Patch {
    int64_t b, block, steps, channel, lanes, origin, stride;
    Patch(const Plan& plan, int64_t b, int64_t block, int64_t chunk)
        : b(b), block(block), steps(plan.steps(chunk)), channel(block * W), lanes(plan.lanes(block)) {
        const bool backwards = b >= plan.s.rows - plan.s.reversed;
        origin = backwards ? plan.s.length - 1 - chunk * CHUNK : chunk * CHUNK;
        stride = backwards ? -1 : 1;
    }
    int64_t step(int64_t i) const { return origin + stride * i; }
    template <class T>
    T* row(const Series<T>& x, int64_t i) const { return x.at(b, step(i)); }
    V read(const Series<Element>& x, int64_t i) const { return load(row(x, i) + channel, lanes); }
    V read(const float* x) const { return x ? load(x + channel, lanes) : V{}; }
    // Asks for the next block's lines of inputs and for this block's of outputs: one line per step is a pattern that no
    // hardware prefetcher follows.
    template <class... All>
    void next(int64_t i, const All&... inputs) const {
        (__builtin_prefetch(row(inputs, i) + channel + W, 0, 3), ...);
    }
    template <class... All>
    void soon(int64_t i, const All&... outputs) const {
        (__builtin_prefetch(row(outputs, i) + channel, 1, 3), ...);
    }
    void write(const Series<Element>& x, int64_t i, V v) const { store(row(x, i) + channel, v, lanes); }
};

// One step of a patch; side by side in memory, since arrays a power of two apart would compete for cache sets.
// Summed over the states: `sum` C h, `along_B` dh B, `along_A` dh a h_(t-1) A.
struct Step {
    V dt, drive, sum;                                 // drive = dt u
    V u, slope, ds, gate_slope, along_B, along_A;     // backward only
};

constexpr int64_t STEP_SIZE = CHUNK * sizeof(Step) / sizeof(V);

Step* take_steps(Arena& arena) { return reinterpret_cast<Step*>(arena.take(STEP_SIZE)); }

inline void enter(const Scan& s, const Patch& at, V bias, V skip, Step* m, int64_t i) {
    V dt = at.read(s.delta, i) + bias, u = at.read(s.u, i);
    if (s.softplus) dt = softplus(dt).value;
    m[i].dt = dt;
    m[i].drive = dt * u;
    m[i].sum = skip * u;
}

// Carries the states of a tile over a patch. The first tile also enters each step, one ahead of its use, and with
// `output` the last one leaves it: spread like this, misses and long chains of operations hide behind the states.
template <bool output, int S>
void advance(const Scan& s, const Patch& at, Step* m, const V* rate, int64_t n0, V* state) {
    const bool first = n0 == 0, last = n0 + S == s.states;
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    V h[S];
    for (int n = 0; n < S; ++n) h[n] = state[n0 + n];
    if (first) enter(s, at, bias, skip, m, 0);
    for (int64_t i = 0; i < at.steps; ++i) {
        const float *B = at.row(s.B, i) + n0, *C = at.row(s.C, i) + n0;
        const V dt = at_most(EXP2_LIMIT, m[i].dt), drive = m[i].drive;
        V sum[2] = {m[i].sum, V{}};
        if (first) {
            at.next(i, s.u, s.delta, s.z);
            if (output) at.soon(i, s.y);
            if (i + 1 < at.steps) enter(s, at, bias, skip, m, i + 1);
        }
        V gate = splat(1);
        if (output && last && s.z.data) gate = silu(at.read(s.z, i)).value;
#pragma GCC unroll 16  // left as a loop the states would live in memory
        for (int n = 0; n < S; ++n) {
            h[n] = exp2_product(dt, rate[n0 + n]) * h[n] + drive * B[n];
            if (output) sum[n % 2] += h[n] * C[n];
        }
        if (output && last) at.write(s.y, i, (sum[0] + sum[1]) * gate);
        else if (output) m[i].sum = sum[0] + sum[1];
    }
    for (int n = 0; n < S; ++n) state[n0 + n] = h[n];
}

// Calls act(std::integral_constant<int, S>, n0) for the tiles of S = TILE, TILE / 2, .. 1 states that make up N.
template <int TILE, class Act>
void for_tiles(int64_t states, int64_t n0, Act act) {
    for (; states - n0 >= TILE; n0 += TILE) act(std::integral_constant<int, TILE>(), n0);
    if constexpr (TILE > 1) for_tiles<TILE / 2>(states, n0, act);
}

template <bool output>
void advance_all(const Plan& plan, const Patch& at, Step* m, V* state) {
    const V* rate = plan.rate + at.block * plan.s.states;
    for_tiles<FORWARD_TILE>(plan.s.states, 0, [&](auto size, int64_t n0) {
        advance<output, decltype(size)::value>(plan.s, at, m, rate, n0, state);
    });
}

void forward_item(const Plan& plan, const Cut::Item& item, Step* m, V* state) {
    for (int64_t b = item.first_row; b < item.end_row; ++b)
        for (int64_t block = item.first_block; block < item.end_block; ++block) {
            const int64_t N = plan.s.states, D = plan.s.channels, lanes = plan.lanes(block);
            float* carried = plan.s.carried ? plan.s.carried + b * N * D + block * W : nullptr;
            for (int64_t n = 0; n < N; ++n) state[n] = carried ? load(carried + n * D, lanes) : V{};
            for (int64_t chunk = 0; chunk < plan.chunks; ++chunk)
                advance_all<true>(plan, Patch(plan, b, block, chunk), m, state);
            for (int64_t n = 0; carried && n < N; ++n) store(carried + n * D, state[n], lanes);
        }
}

void enter_backward(const Scan& s, const Gradient& g, const Patch& at, Step* m) {
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        const V dy = at.read(g.dy, i), u = at.read(s.u, i);
        Curve dt{at.read(s.delta, i) + bias, splat(1)}, gate{splat(1), V{}};
        if (s.softplus) dt = softplus(dt.value);
        if (s.z.data) gate = silu(at.read(s.z, i));
        m[i].dt = dt.value;
        m[i].slope = dt.slope;
        m[i].u = u;
        m[i].drive = dt.value * u;
        m[i].sum = skip * u;
        m[i].ds = dy * gate.value;
        m[i].gate_slope = dy * gate.slope;
        m[i].along_B = m[i].along_A = V{};
    }
}

void leave_backward(const Scan& s, const Gradient& g, const Patch& at, const Step* m, V& dskip, V& dbias) {
    const V skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        const V ddelta = (m[i].along_B * m[i].u + m[i].along_A * LN2) * m[i].slope;
        at.write(g.du, i, m[i].along_B * m[i].dt + skip * m[i].ds);
        at.write(g.ddelta, i, ddelta);
        if (s.z.data) at.write(g.dz, i, m[i].sum * m[i].gate_slope);
        dskip += m[i].ds * m[i].u;
        dbias += ddelta;
    }
}

// The tile from the first step of a patch to its last. Keeps h before each step and a of it, (steps, 2, S), and adds to
// dC, which lies in lanes as (steps, 2, N).
template <int S>
void replay(const Scan& s, const Gradient& g, const Patch& at, Step* m, const V* rate, int64_t n0, const V* start,
            V* kept, V* dBC) {
    V h[S];
    for (int n = 0; n < S; ++n) h[n] = start[n0 + n];
    for (int64_t i = 0; i < at.steps; ++i) {
        // Spread over the tiles, since many misses at once would hold one up.
        if (n0 == 0) at.next(i, s.u, g.dy), at.soon(i, g.du);
        if (n0 == S) at.next(i, s.delta), at.soon(i, g.ddelta);
        if (n0 == 2 * S) at.next(i, s.z), at.soon(i, g.dz);
        const float *B = at.row(s.B, i) + n0, *C = at.row(s.C, i) + n0;
        V *before = kept + 2 * i * S, *decay = before + S, *dC = dBC + (2 * i + 1) * s.states + n0;
        const V dt = at_most(EXP2_LIMIT, m[i].dt), drive = m[i].drive, ds = m[i].ds;
        V sum[2] = {m[i].sum, V{}};
#pragma GCC unroll 16  // left as a loop the states would live in memory
        for (int n = 0; n < S; ++n) {
            const V a = exp2_product(dt, rate[n0 + n]);
            before[n] = h[n];
            decay[n] = a;
            h[n] = a * h[n] + drive * B[n];
            sum[n % 2] += h[n] * C[n];
            dC[n] += ds * h[n];
        }
        m[i].sum = sum[0] + sum[1];
    }
}

// From the last step of a patch to its first; adds to dB, dA and the sums over the states. dh holds a_(t+1) dh_(t+1)
// between steps.
template <int S>
void retreat(const Scan& s, const Patch& at, Step* m, const V* rate, int64_t n0, const V* kept, V* carry, V* dA_sums,
             V* dBC) {
    V dh[S], dA[S];
    for (int n = 0; n < S; ++n) dh[n] = carry[n0 + n], dA[n] = dA_sums[n0 + n];
    for (int64_t i = at.steps; i-- > 0;) {
        const float *B = at.row(s.B, i) + n0, *C = at.row(s.C, i) + n0;
        const V *before = kept + 2 * i * S, *decay = before + S;
        V* dB = dBC + 2 * i * s.states + n0;
        const V dt = m[i].dt, drive = m[i].drive, ds = m[i].ds;
        V along_B = m[i].along_B, along_A = m[i].along_A;
#pragma GCC unroll 16  // left as a loop the states would live in memory
        for (int n = 0; n < S; ++n) {
            dh[n] += ds * C[n];
            dB[n] += dh[n] * drive;
            along_B += dh[n] * B[n];
            dh[n] *= decay[n];
            const V q = dh[n] * before[n];
            along_A += q * rate[n0 + n];
            dA[n] += q * dt;
        }
        m[i].along_B = along_B;
        m[i].along_A = along_A;
    }
    for (int n = 0; n < S; ++n) carry[n0 + n] = dh[n], dA_sums[n0 + n] = dA[n];
}

constexpr int64_t KEPT_SIZE = 2 * CHUNK * BACKWARD_TILE;

// Scratch of one thread in the backward pass: see Step and replay; states at the start of each chunk, (chunks, blocks,
// N); dh, (blocks, N); dB and dC of a chunk still in lanes, (CHUNK, 2, N).
struct Worker {
    Step* step;
    V *kept, *starts, *carry, *dBC;

    static int64_t size(const Plan& p) {
        return STEP_SIZE + KEPT_SIZE + ((p.chunks + 1) * p.blocks + 2 * CHUNK) * p.s.states;
    }
    Worker(Arena& arena, const Plan& p)
        : step(take_steps(arena)), kept(arena.take(KEPT_SIZE)), starts(arena.take(p.chunks * p.blocks * p.s.states)),
          carry(arena.take(p.blocks * p.s.states)), dBC(arena.take(2 * CHUNK * p.s.states)) {}
};

// Sums over the batch are kept per row group and block: (N) vectors of dA, then dskip, then dbias.
struct Partial {
    V* data;
    int64_t blocks, states;
    V* at(int64_t group, int64_t block) const { return data + (group * blocks + block) * (states + 2); }
};

void save_starts(const Plan& plan, int64_t b, const Cut::Item& item, const Worker& w) {
    const int64_t N = plan.s.states;
    std::fill_n(w.starts, (item.end_block - item.first_block) * N, V{});
    for (int64_t chunk = 0; chunk + 1 < plan.chunks; ++chunk)
        for (int64_t block = item.first_block; block < item.end_block; ++block) {
            V* from = w.starts + (chunk * plan.blocks + block - item.first_block) * N;
            V* to = from + plan.blocks * N;
            std::copy_n(from, N, to);
            advance_all<false>(plan, Patch(plan, b, block, chunk), w.step, to);
        }
}

// The gradient of one patch from the states before it; `carry` holds dh of what follows it, then of what it follows.
void backward_patch(const Plan& plan, const Gradient& g, const Worker& w, const Patch& at, const V* start, V* carry,
                    V* sums) {
    const int64_t N = plan.s.states;
    const V* rate = plan.rate + at.block * N;
    enter_backward(plan.s, g, at, w.step);
    for_tiles<BACKWARD_TILE>(N, 0, [&](auto size, int64_t n0) {
        constexpr int S = decltype(size)::value;
        replay<S>(plan.s, g, at, w.step, rate, n0, start, w.kept, w.dBC);
        retreat<S>(plan.s, at, w.step, rate, n0, w.kept, carry, sums, w.dBC);
    });
    leave_backward(plan.s, g, at, w.step, sums[N], sums[N + 1]);
}

// dB and dC (L, N) of one row from some of its blocks, the last chunk first. Inlined it would be compiled more than
// once, and worse.
__attribute__((noinline))
void backward_row(const Plan& plan, const Gradient& g, int64_t b, const Cut::Item& item, const Worker& w,
                  const Partial& partial, float* dB, float* dC) {
    const int64_t N = plan.s.states;
    save_starts(plan, b, item, w);
    std::fill_n(w.carry, (item.end_block - item.first_block) * N, V{});
    for (int64_t chunk = plan.chunks; chunk-- > 0;) {
        std::fill_n(w.dBC, 2 * plan.steps(chunk) * N, V{});
        for (int64_t block = item.first_block; block < item.end_block; ++block) {
            const int64_t offset = (block - item.first_block) * N;
            backward_patch(plan, g, w, Patch(plan, b, block, chunk), w.starts + chunk * plan.blocks * N + offset,
                           w.carry + offset, partial.at(item.rows, block));
        }
        const Patch at(plan, b, item.first_block, chunk);
        for (int64_t i = 0; i < at.steps; ++i)
            for (int64_t n = 0; n < N; ++n) {
                dB[at.step(i) * N + n] = total(w.dBC[2 * i * N + n]);
                dC[at.step(i) * N + n] = total(w.dBC[(2 * i + 1) * N + n]);
            }
    }
}

void gather(const Plan& plan, const Gradient& g, const Partial& partial) {
    const int64_t N = plan.s.states;
    for (int64_t block = 0; block < plan.blocks; ++block) {
        V* sums = partial.at(0, block);
        for (int64_t rows = 1; rows < plan.row_groups; ++rows)
            for (int64_t n = 0; n < N + 2; ++n) sums[n] += partial.at(rows, block)[n];
        for (int64_t n = 0; n < N; ++n)
            for (int64_t i = 0; i < plan.lanes(block); ++i) g.dA[(block * W + i) * N + n] = sums[n][i];
        store(g.dskip + block * W, sums[N], plan.lanes(block));
        store(g.dbias + block * W, sums[N + 1], plan.lanes(block));
    }
}

}  // namespace

// Both return 0, or 1 when memory ran out. Rows, length, channels and states are at least 1.
extern "C" int scan_forward(const Scan* scan) {
    Plan plan(*scan);
    const int64_t threads = plan.threads(400000), N = scan->states;
    Arena arena(plan.blocks * N + threads * (STEP_SIZE + N));
    if (arena.failed()) return 1;
    plan.set_rates(arena.take(plan.blocks * N));
    std::vector<Step*> steps;
    for (int64_t i = 0; i < threads; ++i) steps.push_back(take_steps(arena));
    V* states = arena.take(threads * N);
    share(plan.items(), threads, [&](int64_t index, int64_t worker) {
        forward_item(plan, plan.item(index), steps[worker], states + worker * N);
    });
    return 0;
}

extern "C" int scan_backward(const Scan* scan, const Gradient* gradient) {
    const Gradient& g = *gradient;
    Plan plan(*scan);
    const int64_t threads = plan.threads(150000), N = scan->states;
    const int64_t partial_size = plan.row_groups * plan.blocks * (N + 2);
    const int64_t plane = scan->rows * scan->length * N;  // floats of dB, and of dC
    const int64_t plane_vectors = (plane + W - 1) / W;
    Arena arena(plan.blocks * N + partial_size + threads * Worker::size(plan)
                + 2 * (plan.channel_groups - 1) * plane_vectors);
    if (arena.failed()) return 1;
    plan.set_rates(arena.take(plan.blocks * N));
    const Partial partial{arena.take(partial_size), plan.blocks, N};
    std::fill_n(partial.data, partial_size, V{});
    std::vector<Worker> workers;
    for (int64_t i = 0; i < threads; ++i) workers.emplace_back(arena, plan);
    std::vector<float*> dB{g.dB.data}, dC{g.dC.data};  // one plane per channel group
    for (int64_t group = 1; group < plan.channel_groups; ++group) {
        dB.push_back(reinterpret_cast<float*>(arena.take(plane_vectors)));
        dC.push_back(reinterpret_cast<float*>(arena.take(plane_vectors)));
    }
    share(plan.items(), threads, [&](int64_t index, int64_t worker) {
        const Cut::Item item = plan.item(index);
        for (int64_t b = item.first_row; b < item.end_row; ++b)
            backward_row(plan, g, b, item, workers[worker], partial, dB[item.channels] + b * scan->length * N,
                         dC[item.channels] + b * scan->length * N);
    });
    for (int64_t group = 1; group < plan.channel_groups; ++group)
        for (int64_t i = 0; i < plane; ++i) {
            dB[0][i] += dB[group][i];
            dC[0][i] += dC[group][i];
        }
    gather(plan, g, partial);
    return 0;
}
