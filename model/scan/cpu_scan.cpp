// Selective scan (Mamba, Gu & Dao 2023, arXiv 2312.00752, eq. 2 with the zero-order hold of section 2) and its
// gradient on CPUs. Vectors run over channels; the states of a channel stay in registers.
//
//   dt_t = softplus(delta_t + bias)          a_t = exp(dt_t A)         h_t = a_t h_(t-1) + dt_t u_t B_t,  h_(-1) = 0
//   s_t  = sum_n C_t[n] h_t[n] + skip u_t    y_t = s_t silu(z_t)
//
// Letters: b row of the batch, t step of L, d channel of D, n state of N. A block is W neighbouring channels, a tile
// is a few neighbouring states, a chunk is up to CHUNK neighbouring steps. Work is cut by the shapes alone and every
// sum has a fixed order, so the number of threads changes no bit of the result.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A (B, L, .) tensor: `row` and `step` are strides in floats, the last stride is one. No data: the tensor is absent.
struct Series {
    float* data;
    int64_t row, step;
    float* at(int64_t b, int64_t t) const { return data + b * row + t * step; }
};

struct Scan {
    Series u, delta, z, B, C, y;  // z may be absent; the backward pass does not touch y
    float *A, *skip, *bias;       // (D, N), (D) or null, (D) or null
    int64_t rows, length, channels, states, softplus, threads;
};

struct Gradient {
    Series dy, du, ddelta, dz, dB, dC;  // dB and dC contiguous
    float *dA, *dskip, *dbias;          // contiguous; dskip and dbias are written even if their input was absent
};

namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
constexpr int FORWARD_TILE = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int W = 8;
constexpr int FORWARD_TILE = 8;
#else
constexpr int W = 4;
constexpr int FORWARD_TILE = 8;
#endif
constexpr int BACKWARD_TILE = 4;
constexpr int64_t CHUNK = 64;       // steps whose states the backward pass keeps at once: they fit the L2 cache
constexpr int64_t ROW_GROUPS = 32;  // partial sums over the batch, and least number of work items where possible

typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t Bits __attribute__((vector_size(4 * W)));

inline V load(const float* from, int64_t lanes) {
    V v{};
    if (lanes == W) std::memcpy(&v, from, sizeof v);
    else for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
    return v;
}

inline void store(float* to, V v, int64_t lanes) {
    if (lanes == W) std::memcpy(to, &v, sizeof v);
    else for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}

inline V splat(float x) { return x - V{}; }

inline V select(Bits condition, V yes, V no) { return (V)((condition & (Bits)yes) | (~condition & (Bits)no)); }

inline float total(V v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float sum = 0;
    for (int i = 0; i < W; ++i) sum += v[i];
    return sum;
#endif
}

// 2^f on [-1/2, 1/2], exactly 1 at 0. Minimax of the error weighted by 1 / (1 - 2^f), which is what a slowly decaying
// state makes of it: 1e-8.
inline V power_of_fraction(V f) {
    return (((((0.00015246564f * f + 0.0013392073f) * f + 0.0096188504f) * f + 0.055503562f) * f + 0.24022645f) * f
            + 0.69314718f) * f + 1.0f;
}

#if defined(__AVX512F__)
inline V whole(V x) { return (V)_mm512_roundscale_ps((__m512)x, 0x08); }
inline V times_power(V p, V k) { return (V)_mm512_scalef_ps((__m512)p, (__m512)k); }

inline V clamp(V x) { return (V)_mm512_max_ps((__m512)splat(-200), (__m512)x); }  // keeps -inf - -inf away
#else
inline V clamp(V x) {  // to [-127, 128]; the order of the operands lets a NaN through
#if defined(__AVX2__) && defined(__FMA__)
    return (V)_mm256_min_ps((__m256)splat(128), _mm256_max_ps((__m256)splat(-127), (__m256)x));
#elif defined(__SSE2__)
    return (V)_mm_min_ps((__m128)splat(128), _mm_max_ps((__m128)splat(-127), (__m128)x));
#else
    V low = select(x < -127.0f, splat(-127), x);
    return select(low > 128.0f, splat(128), low);
#endif
}

constexpr float ROUNDER = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
inline V whole(V x) { return (x + ROUNDER) - ROUNDER; }

// p * 2^k for integer k in [-127, 128]: k = -127 gives zero and k = 128 infinity.
inline V times_power(V p, V k) { return p * (V)(((Bits)(k + ROUNDER) + 127) << 23); }
#endif

inline V exp2(V x) {
    x = clamp(x);
    V k = whole(x);
    return times_power(power_of_fraction(x - k), k);
}

constexpr float LOG2E = 1.44269504f, LN2 = 0.693147181f;

// exp(x) for x <= 0, exact to about an ulp: ln 2 is taken off in two parts.
inline V exp_negative(V x) {
    x = select(x < -87.0f, splat(-87), x);
    V k = whole(x * LOG2E);
    V rest = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    return times_power(power_of_fraction(rest * LOG2E), k);
}

struct Curve {
    V value, slope;
};

// ln(1 + e) = 2 artanh(e / (2 + e)) keeps its relative accuracy as e goes to 0.
inline Curve softplus(V x) {
    V e = exp_negative(select(x > 0.0f, -x, x));
    V q = e / (2.0f + e), q2 = q * q;
    V log1p = q * (((((0.24413069f * q2 + 0.2139325f) * q2 + 0.28620723f) * q2 + 0.39998692f) * q2
                    + 0.66666681f) * q2 + 2.0f);
    return {select(x > 0.0f, x, V{}) + log1p, select(x > 0.0f, splat(1), e) / (1.0f + e)};
}

inline Curve silu(V x) {
    V e = exp_negative(select(x > 0.0f, -x, x));
    V sigmoid = select(x > 0.0f, splat(1), e) / (1.0f + e);
    return {x * sigmoid, sigmoid * (1.0f + x * (1.0f - sigmoid))};
}

// States decay towards zero; denormals on the way would be slow and mean nothing.
class FlushDenormals {
#if defined(__x86_64__)
    unsigned before = _mm_getcsr();
  public:
    FlushDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before); }
#else
  public:
    FlushDenormals() {}
#endif
};

// Calls work(item, worker) for every item, on up to `threads` threads; threads that cannot be had are done without.
template <class Work>
void share(int64_t items, int64_t threads, Work work) {
    std::atomic<int64_t> next{0};
    auto loop = [&](int64_t worker) {
        FlushDenormals flush;
        for (int64_t item; (item = next.fetch_add(1)) < items;) work(item, worker);
    };
    std::vector<std::thread> helpers;
    try {
        for (int64_t worker = 1; worker < threads; ++worker) helpers.emplace_back(loop, worker);
    } catch (const std::system_error&) {
    }
    loop(0);
    for (auto& helper : helpers) helper.join();
}

class Arena {
    void* memory = nullptr;
    V* next = nullptr;

  public:
    explicit Arena(int64_t vectors) {
        if (posix_memalign(&memory, 64, size_t(vectors) * sizeof(V))) memory = nullptr;
        next = static_cast<V*>(memory);
    }
    ~Arena() { std::free(memory); }
    bool failed() const { return !memory; }
    V* take(int64_t vectors) { return (next += vectors) - vectors; }
};

// How the work is cut: a function of the shapes alone.
struct Plan {
    const Scan& s;
    int64_t blocks, row_groups, channel_groups, chunks;
    V* rate = nullptr;  // (blocks, N): A log2(e)

    explicit Plan(const Scan& scan) : s(scan) {
        blocks = (s.channels + W - 1) / W;
        row_groups = std::min(s.rows, ROW_GROUPS);
        channel_groups = std::min(blocks, ROW_GROUPS / row_groups);
        chunks = (s.length + CHUNK - 1) / CHUNK;
    }
    int64_t items() const { return row_groups * channel_groups; }
    int64_t threads(int64_t elements_each) const {
        int64_t worth = s.rows * s.length * s.channels * s.states / elements_each + 1;
        return std::max<int64_t>(1, std::min({s.threads, items(), worth}));
    }
    int64_t lanes(int64_t block) const { return std::min<int64_t>(W, s.channels - block * W); }
    int64_t steps(int64_t chunk) const { return std::min(CHUNK, s.length - chunk * CHUNK); }
    static int64_t cut(int64_t size, int64_t parts, int64_t part) { return size * part / parts; }

    void set_rates(V* memory) {
        rate = memory;
        for (int64_t block = 0; block < blocks; ++block)
            for (int64_t n = 0; n < s.states; ++n) {
                V v{};
                for (int64_t i = 0; i < lanes(block); ++i) v[i] = s.A[(block * W + i) * s.states + n] * LOG2E;
                memory[block * s.states + n] = v;
            }
    }
};

// One block of channels over one chunk of steps of one row.
struct Patch {
    int64_t b, block, start, steps, channel, lanes;
    Patch(const Plan& plan, int64_t b, int64_t block, int64_t chunk)
        : b(b), block(block), start(chunk * CHUNK), steps(plan.steps(chunk)), channel(block * W),
          lanes(plan.lanes(block)) {}
    V read(const Series& x, int64_t i) const { return load(x.at(b, start + i) + channel, lanes); }
    V read(const float* x) const { return x ? load(x + channel, lanes) : V{}; }
    // Asks for the same step of the next block: one line per step is a pattern that no hardware prefetcher follows.
    template <class... All>
    void ahead(int64_t i, const All&... all) const {
        (__builtin_prefetch(all.at(b, start + i) + channel + W, 0, 2), ...);
    }
    void write(const Series& x, int64_t i, V v) const { store(x.at(b, start + i) + channel, v, lanes); }
};

// One step of a patch; side by side in memory, since arrays a power of two apart would compete for cache sets.
// Summed over the states: `sum` C h, `along_B` dh B, `along_A` dh a h_(t-1) A.
struct Step {
    V dt, drive, sum;                                 // drive = dt u
    V u, slope, ds, gate_slope, along_B, along_A;     // backward only
};

constexpr int64_t STEP_SIZE = CHUNK * sizeof(Step) / sizeof(V);
// h before each step and a of the step, for a tile of states; then h after the last step.
constexpr int64_t KEPT_SIZE = (2 * CHUNK + 1) * BACKWARD_TILE;

Step* take_steps(Arena& arena) { return reinterpret_cast<Step*>(arena.take(STEP_SIZE)); }

void enter(const Scan& s, const Patch& at, Step* m) {
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        V dt = at.read(s.delta, i) + bias, u = at.read(s.u, i);
        at.ahead(i, s.u, s.delta, s.z);
        if (s.softplus) dt = softplus(dt).value;
        m[i].dt = dt;
        m[i].drive = dt * u;
        m[i].sum = skip * u;
    }
}

void leave(const Scan& s, const Patch& at, Step* m) {
    for (int64_t i = 0; i < at.steps; ++i)
        at.write(s.y, i, s.z.data ? m[i].sum * silu(at.read(s.z, i)).value : m[i].sum);
}

enum class Pass { states, output, keep };  // only advance the states; also sum C h; also keep h and a of each step

template <Pass pass, int S>
void advance(const Scan& s, const Patch& at, Step* m, const V* rate, int64_t n0, V* state, V* kept) {
    V h[S];
    for (int n = 0; n < S; ++n) h[n] = state[n0 + n];
    for (int64_t i = 0; i < at.steps; ++i) {
        const float* B = s.B.at(at.b, at.start + i) + n0;
        const float* C = s.C.at(at.b, at.start + i) + n0;
        const V dt = m[i].dt, drive = m[i].drive;
        V sum[2] = {m[i].sum, V{}};
#pragma GCC unroll 16  // left as a loop the states would live in memory
        for (int n = 0; n < S; ++n) {
            V a = exp2(dt * rate[n0 + n]);
            if (pass == Pass::keep) {
                kept[2 * i * S + n] = h[n];
                kept[(2 * i + 1) * S + n] = a;
            }
            h[n] = a * h[n] + drive * B[n];
            if (pass != Pass::states) sum[n % 2] += h[n] * C[n];
        }
        if (pass != Pass::states) m[i].sum = sum[0] + sum[1];
    }
    for (int n = 0; n < S; ++n) state[n0 + n] = h[n];
    if (pass == Pass::keep)
        for (int n = 0; n < S; ++n) kept[2 * at.steps * S + n] = h[n];
}

// Calls act(std::integral_constant<int, S>, n0) for the tiles of S = TILE, TILE / 2, .. 1 states that make up N.
template <int TILE, class Act>
void for_tiles(int64_t states, int64_t n0, Act act) {
    for (; states - n0 >= TILE; n0 += TILE) act(std::integral_constant<int, TILE>(), n0);
    if constexpr (TILE > 1) for_tiles<TILE / 2>(states, n0, act);
}

template <Pass pass>
void advance_all(const Scan& s, const Patch& at, Step* m, const V* rate, V* state) {
    for_tiles<FORWARD_TILE>(s.states, 0, [&](auto size, int64_t n0) {
        advance<pass, decltype(size)::value>(s, at, m, rate, n0, state, nullptr);
    });
}

void forward_item(const Plan& plan, int64_t item, Step* m, V* state) {
    const Scan& s = plan.s;
    const int64_t rows = item / plan.channel_groups, group = item % plan.channel_groups;
    const int64_t end = plan.cut(plan.blocks, plan.channel_groups, group + 1);
    for (int64_t b = plan.cut(s.rows, plan.row_groups, rows); b < plan.cut(s.rows, plan.row_groups, rows + 1); ++b)
        for (int64_t block = plan.cut(plan.blocks, plan.channel_groups, group); block < end; ++block) {
            std::fill_n(state, s.states, V{});
            for (int64_t chunk = 0; chunk < plan.chunks; ++chunk) {
                const Patch at(plan, b, block, chunk);
                enter(s, at, m);
                advance_all<Pass::output>(s, at, m, plan.rate + block * s.states, state);
                leave(s, at, m);
            }
        }
}

void enter_backward(const Scan& s, const Gradient& g, const Patch& at, Step* m) {
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        at.ahead(i, s.u, s.delta, s.z, g.dy);
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

void leave_backward(const Scan& s, const Gradient& g, const Patch& at, Step* m, V& dskip, V& dbias) {
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

// From the last step of a patch to its first; dh holds a_(t+1) dh_(t+1) between steps.
template <int S>
void retreat(const Scan& s, const Patch& at, Step* m, const V* rate, int64_t n0, const V* kept, V* carry,
             V* dA_sums, V* dBC) {
    V dh[S], dA[S];
    for (int n = 0; n < S; ++n) dh[n] = carry[n0 + n], dA[n] = dA_sums[n0 + n];
    for (int64_t i = at.steps; i-- > 0;) {
        const float* B = s.B.at(at.b, at.start + i) + n0;
        const float* C = s.C.at(at.b, at.start + i) + n0;
        const V *before = kept + 2 * i * S, *a = before + S, *after = a + S;
        V *dB = dBC + 2 * i * s.states + n0, *dC = dB + s.states;
        const V dt = m[i].dt, drive = m[i].drive, ds = m[i].ds;
        V along_B = m[i].along_B, along_A = m[i].along_A;
#pragma GCC unroll 16  // left as a loop the states would live in memory
        for (int n = 0; n < S; ++n) {
            dC[n] += ds * after[n];
            dh[n] += ds * C[n];
            dB[n] += dh[n] * drive;
            along_B += dh[n] * B[n];
            dh[n] *= a[n];
            const V q = dh[n] * before[n];
            along_A += q * rate[n0 + n];
            dA[n] += q * dt;
        }
        m[i].along_B = along_B;
        m[i].along_A = along_A;
    }
    for (int n = 0; n < S; ++n) carry[n0 + n] = dh[n], dA_sums[n0 + n] = dA[n];
}

// Scratch of one thread in the backward pass: see Step; states at the start of each chunk, (chunks, blocks, N);
// dh, (blocks, N); dB and dC of a chunk still in lanes, (CHUNK, 2, N).
struct Worker {
    Step* step;
    V *kept, *starts, *carry, *dBC;

    static int64_t size(const Plan& p) {
        return STEP_SIZE + KEPT_SIZE + ((p.chunks + 1) * p.blocks + 1 + 2 * CHUNK) * p.s.states;
    }
    Worker(Arena& arena, const Plan& p)
        : step(take_steps(arena)), kept(arena.take(KEPT_SIZE)),
          starts(arena.take((p.chunks * p.blocks + 1) * p.s.states)), carry(arena.take(p.blocks * p.s.states)),
          dBC(arena.take(2 * CHUNK * p.s.states)) {}
};

// Sums over the batch are kept per row group and block: (N) vectors of dA, then dskip, then dbias.
struct Partial {
    V* data;
    int64_t blocks, states;
    V* at(int64_t group, int64_t block) const { return data + (group * blocks + block) * (states + 2); }
};

void save_starts(const Plan& plan, int64_t b, int64_t first, int64_t end, const Worker& w) {
    const Scan& s = plan.s;
    std::fill_n(w.starts, (end - first) * s.states, V{});
    for (int64_t chunk = 0; chunk + 1 < plan.chunks; ++chunk)
        for (int64_t block = first; block < end; ++block) {
            V* from = w.starts + (chunk * plan.blocks + block - first) * s.states;
            V* to = from + plan.blocks * s.states;
            std::copy_n(from, s.states, to);
            const Patch at(plan, b, block, chunk);
            enter(s, at, w.step);
            advance_all<Pass::states>(s, at, w.step, plan.rate + block * s.states, to);
        }
}

void backward_patch(const Plan& plan, const Gradient& g, const Patch& at, const Worker& w, V* start, V* carry, V* sums) {
    const Scan& s = plan.s;
    const V* rate = plan.rate + at.block * s.states;
    enter_backward(s, g, at, w.step);
    for_tiles<BACKWARD_TILE>(s.states, 0, [&](auto size, int64_t n0) {
        constexpr int S = decltype(size)::value;
        advance<Pass::keep, S>(s, at, w.step, rate, n0, start, w.kept);
        retreat<S>(s, at, w.step, rate, n0, w.kept, carry, sums, w.dBC);
    });
    leave_backward(s, g, at, w.step, sums[s.states], sums[s.states + 1]);
}

// dB and dC of one row from some of its blocks, the last chunk first.
void backward_row(const Plan& plan, const Gradient& g, int64_t b, int64_t group, int64_t rows, const Worker& w,
                  const Partial& partial, float* dB, float* dC) {
    const Scan& s = plan.s;
    const int64_t first = plan.cut(plan.blocks, plan.channel_groups, group);
    const int64_t end = plan.cut(plan.blocks, plan.channel_groups, group + 1);
    save_starts(plan, b, first, end, w);
    std::fill_n(w.carry, (end - first) * s.states, V{});
    for (int64_t chunk = plan.chunks; chunk-- > 0;) {
        const int64_t steps = plan.steps(chunk), N = s.states;
        std::fill_n(w.dBC, 2 * steps * N, V{});
        for (int64_t block = first; block < end; ++block)
            backward_patch(plan, g, Patch(plan, b, block, chunk), w,
                           w.starts + (chunk * plan.blocks + block - first) * s.states,
                           w.carry + (block - first) * s.states, partial.at(rows, block));
        for (int64_t i = 0; i < steps; ++i)
            for (int64_t n = 0; n < N; ++n) {
                dB[(chunk * CHUNK + i) * N + n] = total(w.dBC[2 * i * N + n]);
                dC[(chunk * CHUNK + i) * N + n] = total(w.dBC[(2 * i + 1) * N + n]);
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
    share(plan.items(), threads, [&](int64_t item, int64_t worker) {
        forward_item(plan, item, steps[worker], states + worker * N);
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
    share(plan.items(), threads, [&](int64_t item, int64_t worker) {
        const int64_t rows = item / plan.channel_groups, group = item % plan.channel_groups;
        const int64_t end = plan.cut(scan->rows, plan.row_groups, rows + 1);
        for (int64_t b = plan.cut(scan->rows, plan.row_groups, rows); b < end; ++b)
            backward_row(plan, g, b, group, rows, workers[worker], partial, dB[group] + b * scan->length * N,
                         dC[group] + b * scan->length * N);
    });
    for (int64_t group = 1; group < plan.channel_groups; ++group)
        for (int64_t i = 0; i < plane; ++i) {
            g.dB.data[i] += dB[group][i];
            g.dC.data[i] += dC[group][i];
        }
    gather(plan, g, partial);
    return 0;
}
