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

#if defined(__AVX512F__) && defined(__AVX512DQ__)
constexpr int W = 16;
constexpr int FORWARD_TILE = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int W = 8;
constexpr int FORWARD_TILE = 8;
#else
constexpr int W = 4;
constexpr int FORWARD_TILE = 8;
#endif
constexpr int BACKWARD_TILE = 8;
constexpr int64_t CHUNK = 64;       // steps whose states the backward pass keeps at once: they fit the L2 cache
constexpr int64_t ROW_GROUPS = 32;  // partial sums over the batch, and least number of work items where possible

typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t Bits __attribute__((vector_size(4 * W)));

V load(const float* from, int64_t lanes) {
    V v{};
    if (lanes == W) std::memcpy(&v, from, sizeof v);
    else for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
    return v;
}

void store(float* to, V v, int64_t lanes) {
    if (lanes == W) std::memcpy(to, &v, sizeof v);
    else for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}

V splat(float x) { return x - V{}; }

V select(Bits condition, V yes, V no) { return (V)((condition & (Bits)yes) | (~condition & (Bits)no)); }

float total(V v) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float sum = 0;
    for (int i = 0; i < W; ++i) sum += v[i];
    return sum;
#endif
}

// 2^f on [-1/2, 1/2], exactly 1 at 0. The error is weighted by 1 / (1 - 2^f): what slowly decaying states make of it.
inline V power_of_fraction(V f) {
    return (((((0.00015246564f * f + 0.0013392073f) * f + 0.0096188504f) * f + 0.055503562f) * f + 0.24022645f) * f
            + 0.69314718f) * f + 1.0f;
}

#if defined(__AVX512F__) && defined(__AVX512DQ__)
inline V whole(V x) { return (V)_mm512_roundscale_ps((__m512)x, 0x08); }
inline V times_power(V p, V k) { return (V)_mm512_scalef_ps((__m512)p, (__m512)k); }
inline V fraction(V x) { return (V)_mm512_reduce_ps((__m512)x, 0x08); }

inline V exp2(V x) { return times_power(power_of_fraction(fraction(x)), whole(x)); }
#else
inline V clamp(V x) {  // to [-127, 128], NaN stays
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

inline V exp2(V x) {
    x = clamp(x);
    V k = whole(x);
    return times_power(power_of_fraction(x - k), k);
}
#endif

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
    void write(const Series& x, int64_t i, V v) const { store(x.at(b, start + i) + channel, v, lanes); }
};

// What is known of each step of a patch. Summed over the states: `sum` C h, `along_B` dh B, `along_A` dh a h_(t-1) A.
struct Steps {
    V *dt, *drive, *sum;                                      // drive = dt u
    V *u, *slope, *ds, *gate_slope, *along_B, *along_A, *h, *a;  // backward only
    static constexpr int64_t forward_size = 3 * CHUNK;
    static constexpr int64_t backward_size = 9 * CHUNK + (2 * CHUNK + 1) * BACKWARD_TILE;

    Steps(Arena& arena, bool backward) : dt(arena.take(CHUNK)), drive(arena.take(CHUNK)), sum(arena.take(CHUNK)) {
        if (!backward) return;
        for (V** part : {&u, &slope, &ds, &gate_slope, &along_B, &along_A}) *part = arena.take(CHUNK);
        h = arena.take((CHUNK + 1) * BACKWARD_TILE);
        a = arena.take(CHUNK * BACKWARD_TILE);
    }
};

void enter(const Scan& s, const Patch& at, const Steps& m) {
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        V dt = at.read(s.delta, i) + bias, u = at.read(s.u, i);
        if (s.softplus) dt = softplus(dt).value;
        m.dt[i] = dt;
        m.drive[i] = dt * u;
        m.sum[i] = skip * u;
    }
}

void leave(const Scan& s, const Patch& at, const Steps& m) {
    for (int64_t i = 0; i < at.steps; ++i)
        at.write(s.y, i, s.z.data ? m.sum[i] * silu(at.read(s.z, i)).value : m.sum[i]);
}

enum class Pass { states, output, keep };  // only advance the states; also sum C h; also keep h and a of each step

template <Pass pass, int S>
void advance(const Scan& s, const Patch& at, const Steps& m, const V* rate, int64_t n0, V* state) {
    V h[S];
    for (int n = 0; n < S; ++n) h[n] = state[n0 + n];
    if (pass == Pass::keep)
        for (int n = 0; n < S; ++n) m.h[n] = h[n];
    for (int64_t i = 0; i < at.steps; ++i) {
        const float* B = s.B.at(at.b, at.start + i) + n0;
        const float* C = s.C.at(at.b, at.start + i) + n0;
        const V dt = m.dt[i], drive = m.drive[i];
        V sum[2] = {m.sum[i], V{}};
        for (int n = 0; n < S; ++n) {
            V a = exp2(dt * rate[n0 + n]);
            h[n] = a * h[n] + drive * B[n];
            if (pass != Pass::states) sum[n % 2] += h[n] * C[n];
            if (pass == Pass::keep) {
                m.a[i * S + n] = a;
                m.h[(i + 1) * S + n] = h[n];
            }
        }
        if (pass != Pass::states) m.sum[i] = sum[0] + sum[1];
    }
    for (int n = 0; n < S; ++n) state[n0 + n] = h[n];
}

// Calls act(std::integral_constant<int, S>, n0) for the tiles of S = TILE, TILE / 2, .. 1 states that make up N.
template <int TILE, class Act>
void for_tiles(int64_t states, int64_t n0, Act act) {
    for (; states - n0 >= TILE; n0 += TILE) act(std::integral_constant<int, TILE>(), n0);
    if constexpr (TILE > 1) for_tiles<TILE / 2>(states, n0, act);
}

template <Pass pass>
void advance_all(const Scan& s, const Patch& at, const Steps& m, const V* rate, V* state) {
    for_tiles<FORWARD_TILE>(s.states, 0, [&](auto size, int64_t n0) {
        advance<pass, decltype(size)::value>(s, at, m, rate, n0, state);
    });
}

void forward_item(const Plan& plan, int64_t item, const Steps& m, V* state) {
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

void enter_backward(const Scan& s, const Gradient& g, const Patch& at, const Steps& m) {
    const V bias = at.read(s.bias), skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        const V dy = at.read(g.dy, i), u = at.read(s.u, i);
        Curve dt{at.read(s.delta, i) + bias, splat(1)}, gate{splat(1), V{}};
        if (s.softplus) dt = softplus(dt.value);
        if (s.z.data) gate = silu(at.read(s.z, i));
        m.dt[i] = dt.value;
        m.slope[i] = dt.slope;
        m.u[i] = u;
        m.drive[i] = dt.value * u;
        m.sum[i] = skip * u;
        m.ds[i] = dy * gate.value;
        m.gate_slope[i] = dy * gate.slope;
        m.along_B[i] = m.along_A[i] = V{};
    }
}

void leave_backward(const Scan& s, const Gradient& g, const Patch& at, const Steps& m, V& dskip, V& dbias) {
    const V skip = at.read(s.skip);
    for (int64_t i = 0; i < at.steps; ++i) {
        const V ddelta = (m.along_B[i] * m.u[i] + m.along_A[i] * LN2) * m.slope[i];
        at.write(g.du, i, m.along_B[i] * m.dt[i] + skip * m.ds[i]);
        at.write(g.ddelta, i, ddelta);
        if (s.z.data) at.write(g.dz, i, m.sum[i] * m.gate_slope[i]);
        dskip += m.ds[i] * m.u[i];
        dbias += ddelta;
    }
}

// Sums of one work item over its rows (dA, dskip, dbias) and of one chunk over the channels (dB, dC, still in lanes).
struct Sums {
    V *dA, *dB, *dC;
};

// From the last step of a patch to its first; dh holds a_(t+1) dh_(t+1) between steps.
template <int S>
void retreat(const Scan& s, const Patch& at, const Steps& m, const V* rate, int64_t n0, V* carry, const Sums& to) {
    V dh[S], dA[S];
    for (int n = 0; n < S; ++n) dh[n] = carry[n0 + n], dA[n] = to.dA[n0 + n];
    for (int64_t i = at.steps; i-- > 0;) {
        const float* B = s.B.at(at.b, at.start + i) + n0;
        const float* C = s.C.at(at.b, at.start + i) + n0;
        V* dB = to.dB + i * s.states + n0;
        V* dC = to.dC + i * s.states + n0;
        const V dt = m.dt[i], drive = m.drive[i], ds = m.ds[i];
        V along_B = m.along_B[i], along_A = m.along_A[i];
        for (int n = 0; n < S; ++n) {
            dC[n] += ds * m.h[(i + 1) * S + n];
            dh[n] += ds * C[n];
            dB[n] += dh[n] * drive;
            along_B += dh[n] * B[n];
            dh[n] *= m.a[i * S + n];
            const V q = dh[n] * m.h[i * S + n];
            along_A += q * rate[n0 + n];
            dA[n] += q * dt;
        }
        m.along_B[i] = along_B;
        m.along_A[i] = along_A;
    }
    for (int n = 0; n < S; ++n) carry[n0 + n] = dh[n], to.dA[n0 + n] = dA[n];
}

// Scratch of one thread in the backward pass.
struct Worker {
    Steps steps;
    V *starts, *carry, *dB, *dC;  // states at the start of each chunk (chunks, blocks, N); (blocks, N); (CHUNK, N) twice

    static int64_t size(const Plan& p) {
        return Steps::backward_size + ((p.chunks + 1) * p.blocks + 1 + 2 * CHUNK) * p.s.states;
    }
    Worker(Arena& arena, const Plan& p)
        : steps(arena, true), starts(arena.take(p.chunks * p.blocks * p.s.states)),
          carry(arena.take((p.blocks + 1) * p.s.states)), dB(arena.take(CHUNK * p.s.states)),
          dC(arena.take(CHUNK * p.s.states)) {}
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
            enter(s, at, w.steps);
            advance_all<Pass::states>(s, at, w.steps, plan.rate + block * s.states, to);
        }
}

void backward_patch(const Plan& plan, const Gradient& g, const Patch& at, const Worker& w, V* start, V* carry, V* sums) {
    const Scan& s = plan.s;
    const V* rate = plan.rate + at.block * s.states;
    enter_backward(s, g, at, w.steps);
    for_tiles<BACKWARD_TILE>(s.states, 0, [&](auto size, int64_t n0) {
        constexpr int S = decltype(size)::value;
        advance<Pass::keep, S>(s, at, w.steps, rate, n0, start);
        retreat<S>(s, at, w.steps, rate, n0, carry, Sums{sums, w.dB, w.dC});
    });
    leave_backward(s, g, at, w.steps, sums[s.states], sums[s.states + 1]);
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
        const int64_t size = plan.steps(chunk) * s.states, offset = chunk * CHUNK * s.states;
        std::fill_n(w.dB, size, V{});
        std::fill_n(w.dC, size, V{});
        for (int64_t block = first; block < end; ++block)
            backward_patch(plan, g, Patch(plan, b, block, chunk), w,
                           w.starts + (chunk * plan.blocks + block - first) * s.states,
                           w.carry + (block - first) * s.states, partial.at(rows, block));
        for (int64_t i = 0; i < size; ++i) {
            dB[offset + i] = total(w.dB[i]);
            dC[offset + i] = total(w.dC[i]);
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
    Arena arena(plan.blocks * N + threads * (Steps::forward_size + N));
    if (arena.failed()) return 1;
    plan.set_rates(arena.take(plan.blocks * N));
    std::vector<Steps> steps;
    for (int64_t i = 0; i < threads; ++i) steps.emplace_back(arena, false);
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
