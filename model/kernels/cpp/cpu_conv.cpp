// Causal depth-wise convolution and SiLU, and their gradient, on CPUs. Vectors run over channels; a block of channels
// is carried through all steps of a row, the steps that the taps reach back to in registers: one pass over memory.
//
//   x_t = bias + sum_k w_k u_(t-k)     y_t = silu(x_t)     dx_t = dy_t silu'(x_t), x_t computed again
//   du_t = sum_k w_k dx_(t+k)          dw_k = sum_t dx_t u_(t-k)          dbias = sum_t dx_t
//
// Letters: b row of the batch, i step of L in the direction of the row, k tap of K. A block is W neighbouring channels.
#include "cpu_work.h"

struct Conv {
    Series<Element> u, y;  // the backward pass does not touch y
    float *weight, *bias;  // (channels, K), its last column for the step itself; (channels)
    int64_t rows, length, channels, taps;
    int64_t reversed;  // so many rows at the end run from the last step to the first
    int64_t threads;
};

struct ConvGradient {
    Series<Element> dy, du;
    float *dweight, *dbias;
};

namespace {

struct ConvPlan : Cut {
    const Conv& c;
    V* weights = nullptr;  // (blocks, K + 1): w_0 .. w_(K-1), bias

    explicit ConvPlan(const Conv& conv) : Cut(conv.rows, conv.channels), c(conv) {}

    int64_t threads() const { return Cut::threads(c.threads, c.rows * c.length * c.channels, 100000); }
    int64_t width() const { return c.taps + 1; }

    void set_weights(V* memory) {
        weights = memory;
        for (int64_t block = 0; block < blocks; ++block) {
            V* w = weights + block * width();
            for (int64_t k = 0; k < c.taps; ++k) {
                w[k] = V{};
                for (int64_t j = 0; j < lanes(block); ++j)
                    w[k][j] = c.weight[(block * W + j) * c.taps + c.taps - 1 - k];
            }
            w[c.taps] = load(c.bias + block * W, lanes(block));
        }
    }
};

// One block of one row. Steps count in the direction of the row.
struct Strip {
    int64_t b, channel, lanes, origin, stride;
    Strip(const ConvPlan& plan, int64_t b, int64_t block)
        : b(b), channel(block * W), lanes(plan.lanes(block)), origin(0), stride(1) {
        if (b >= plan.c.rows - plan.c.reversed) origin = plan.c.length - 1, stride = -1;
    }
    Element* at(const Series<Element>& x, int64_t i) const { return x.at(b, origin + stride * i) + channel; }
    V read(const Series<Element>& x, int64_t i) const { return load(at(x, i), lanes); }
    void write(const Series<Element>& x, int64_t i, V v) const { store(at(x, i), v, lanes); }
    // Ask for the next block's line of an input and of an output: one line per step is a pattern that no hardware
    // prefetcher follows.
    void next(const Series<Element>& x, int64_t i) const { __builtin_prefetch(at(x, i) + W, 0, 3); }
    void soon(const Series<Element>& x, int64_t i) const { __builtin_prefetch(at(x, i) + W, 1, 3); }
};

// TAPS is K where the compiler knows it, and then keeps all that belongs to a tap in registers; else it is 0 and
// `scratch` holds 3 K + 1 vectors.
template <int TAPS>
void forward_strip(const ConvPlan& plan, const Strip& strip, const V* w, V* scratch) {
    const Conv& c = plan.c;
    const int64_t taps = TAPS ? TAPS : c.taps;
    V registers[TAPS ? TAPS : 1];
    V* u = TAPS ? registers : scratch;  // of this step and of the K - 1 before it
    for (int64_t k = 0; k < taps; ++k) u[k] = V{};
    for (int64_t i = 0; i < c.length; ++i) {
        strip.next(c.u, i);
        strip.soon(c.y, i);
        for (int64_t k = taps - 1; k > 0; --k) u[k] = u[k - 1];
        u[0] = strip.read(c.u, i);
        V x = w[taps];
        for (int64_t k = 0; k < taps; ++k) x += w[k] * u[k];
        strip.write(c.y, i, silu(x).value);
    }
}

// From the last step to the first; adds to `sums`, which lie like `w`.
template <int TAPS>
void backward_strip(const ConvPlan& plan, const ConvGradient& g, const Strip& strip, const V* w, V* scratch, V* sums) {
    const Conv& c = plan.c;
    const int64_t taps = TAPS ? TAPS : c.taps;
    V registers[TAPS ? 3 * TAPS + 1 : 1];
    V* u = TAPS ? registers : scratch;  // of this step and of the K - 1 before it
    V *dx = u + taps, *dw = dx + taps;  // dx of this step and of the K - 1 after it
    for (int64_t k = 0; k < taps; ++k) u[k] = k < c.length ? strip.read(c.u, c.length - 1 - k) : V{}, dx[k] = V{};
    for (int64_t k = 0; k <= taps; ++k) dw[k] = sums[k];
    for (int64_t i = c.length; i-- > 0;) {
        strip.next(c.u, i);
        strip.next(g.dy, i);
        strip.soon(g.du, i);
        V x = w[taps];
        for (int64_t k = 0; k < taps; ++k) x += w[k] * u[k];
        for (int64_t k = taps - 1; k > 0; --k) dx[k] = dx[k - 1];
        dx[0] = strip.read(g.dy, i) * silu(x).slope;
        V du = w[0] * dx[0];
        for (int64_t k = 1; k < taps; ++k) du += w[k] * dx[k];
        strip.write(g.du, i, du);
        for (int64_t k = 0; k < taps; ++k) dw[k] += dx[0] * u[k];
        dw[taps] += dx[0];
        for (int64_t k = 0; k + 1 < taps; ++k) u[k] = u[k + 1];
        u[taps - 1] = i >= taps ? strip.read(c.u, i - taps) : V{};
    }
    for (int64_t k = 0; k <= taps; ++k) sums[k] = dw[k];
}

// Calls act(strip, where the weights of its block begin) for all strips of an item.
template <class Act>
void for_strips(const ConvPlan& plan, const Cut::Item& item, Act act) {
    for (int64_t b = item.first_row; b < item.end_row; ++b)
        for (int64_t block = item.first_block; block < item.end_block; ++block)
            act(Strip(plan, b, block), block * plan.width());
}

void gather(const ConvPlan& plan, const ConvGradient& g, V* sums) {
    const int64_t size = plan.blocks * plan.width(), taps = plan.c.taps;
    for (int64_t group = 1; group < plan.row_groups; ++group)
        for (int64_t j = 0; j < size; ++j) sums[j] += sums[group * size + j];
    for (int64_t block = 0; block < plan.blocks; ++block) {
        const V* sum = sums + block * plan.width();
        for (int64_t k = 0; k < taps; ++k)
            for (int64_t j = 0; j < plan.lanes(block); ++j)
                g.dweight[(block * W + j) * taps + taps - 1 - k] = sum[k][j];
        store(g.dbias + block * W, sum[taps], plan.lanes(block));
    }
}

}  // namespace

// Both return 0, or 1 when memory ran out. Rows, length, channels and taps are at least 1.
extern "C" int conv_forward(const Conv* conv) {
    ConvPlan plan(*conv);
    const int64_t threads = plan.threads(), size = plan.blocks * plan.width();
    Arena arena(size + threads * conv->taps);
    if (arena.failed()) return 1;
    plan.set_weights(arena.take(size));
    V* scratch = arena.take(threads * conv->taps);
    const auto strip = conv->taps == 4 ? forward_strip<4> : forward_strip<0>;
    share(plan.items(), threads, [&](int64_t index, int64_t worker) {
        for_strips(plan, plan.item(index), [&](const Strip& at, int64_t place) {
            strip(plan, at, plan.weights + place, scratch + worker * conv->taps);
        });
    });
    return 0;
}

extern "C" int conv_backward(const Conv* conv, const ConvGradient* gradient) {
    ConvPlan plan(*conv);
    const int64_t threads = plan.threads(), size = plan.blocks * plan.width(), scratch_size = 3 * conv->taps + 1;
    Arena arena((1 + plan.row_groups) * size + threads * scratch_size);
    if (arena.failed()) return 1;
    plan.set_weights(arena.take(size));
    V* sums = arena.take(plan.row_groups * size);
    std::fill_n(sums, plan.row_groups * size, V{});
    V* scratch = arena.take(threads * scratch_size);
    const auto strip = conv->taps == 4 ? backward_strip<4> : backward_strip<0>;
    share(plan.items(), threads, [&](int64_t index, int64_t worker) {
        const Cut::Item item = plan.item(index);
        for_strips(plan, item, [&](const Strip& at, int64_t place) {
            strip(plan, *gradient, at, plan.weights + place, scratch + worker * scratch_size,
                  sums + item.rows * size + place);
        });
    });
    gather(plan, *gradient, sums);
    return 0;
}
