// Causal depth-wise convolution and SiLU, and their gradient, on CPUs. Vectors run over channels; a pass over memory
// goes step by step through a row, so that the steps a tap reaches back to are still in the cache.
//
//   x_t = bias + sum_k w_k u_(t-k)     y_t = silu(x_t)     dx_t = dy_t silu'(x_t), x_t computed again
//   du_t = sum_k w_k dx_(t+k)          dw_k = sum_t dx_t u_(t-k)          dbias = sum_t dx_t
//
// Letters: b row of the batch, i step of L in the direction of the row, k tap of K. A block is W neighbouring channels.
#include "cpu_work.h"

struct Conv {
    Series u, y;           // the backward pass does not touch y
    float *weight, *bias;  // (channels, K), its last column for the step itself; (channels)
    int64_t rows, length, channels, taps;
    int64_t reversed;  // so many rows at the end run from the last step to the first
    int64_t threads;
};

struct ConvGradient {
    Series dy, du;
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

// One step of a row.
struct At {
    int64_t b, i, step, direction;
    At(const Conv& c, int64_t b, int64_t i) : b(b), i(i), step(i), direction(1) {
        if (b >= c.rows - c.reversed) step = c.length - 1 - i, direction = -1;
    }
    float* in(const Series& x) const { return x.at(b, step); }
    int64_t back(const Series& x) const { return -direction * x.step; }  // from a step to the one before it
};

// bias + sum over the first `seen` taps, from the step at `u` back.
inline V convolve(const V* w, int64_t taps, int64_t seen, const float* u, int64_t back, int64_t lanes) {
    V x = w[taps];
    for (int64_t k = 0; k < seen; ++k) x += w[k] * load(u + k * back, lanes);
    return x;
}

void forward_step(const ConvPlan& plan, const Cut::Item& item, const At& at) {
    const Conv& c = plan.c;
    const int64_t seen = std::min(c.taps, at.i + 1), back = at.back(c.u);
    const float* u = at.in(c.u);
    float* y = at.in(c.y);
    for (int64_t block = item.first_block; block < item.end_block; ++block) {
        const int64_t channel = block * W, lanes = plan.lanes(block);
        const V* w = plan.weights + block * plan.width();
        store(y + channel, silu(convolve(w, c.taps, seen, u + channel, back, lanes)).value, lanes);
    }
}

// Takes a row from its last step to its first. `recent` holds dx of the last K steps, (K, blocks); `sums` gathers dw
// and dbias like `weights`.
void backward_step(const ConvPlan& plan, const ConvGradient& g, const Cut::Item& item, const At& at, V* recent,
                   V* sums) {
    const Conv& c = plan.c;
    const int64_t seen = std::min(c.taps, at.i + 1), later = std::min(c.taps, c.length - at.i), back = at.back(c.u);
    const float *u = at.in(c.u), *dy = at.in(g.dy);
    float* du = at.in(g.du);
    for (int64_t block = item.first_block; block < item.end_block; ++block) {
        const int64_t channel = block * W, lanes = plan.lanes(block);
        const V* w = plan.weights + block * plan.width();
        V* sum = sums + block * plan.width();
        const V x = convolve(w, c.taps, seen, u + channel, back, lanes);
        const V dx = load(dy + channel, lanes) * silu(x).slope;
        for (int64_t k = 0; k < seen; ++k) sum[k] += dx * load(u + channel + k * back, lanes);
        sum[c.taps] += dx;
        recent[at.i % c.taps * plan.blocks + block] = dx;
        V back_u = w[0] * dx;
        for (int64_t k = 1; k < later; ++k) back_u += w[k] * recent[(at.i + k) % c.taps * plan.blocks + block];
        store(du + channel, back_u, lanes);
    }
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
    Arena arena(plan.blocks * plan.width());
    if (arena.failed()) return 1;
    plan.set_weights(arena.take(plan.blocks * plan.width()));
    share(plan.items(), plan.threads(), [&](int64_t index, int64_t) {
        const Cut::Item item = plan.item(index);
        for (int64_t b = item.first_row; b < item.end_row; ++b)
            for (int64_t i = 0; i < conv->length; ++i) forward_step(plan, item, At(*conv, b, i));
    });
    return 0;
}

extern "C" int conv_backward(const Conv* conv, const ConvGradient* gradient) {
    ConvPlan plan(*conv);
    const int64_t threads = plan.threads(), size = plan.blocks * plan.width(), ring = plan.blocks * conv->taps;
    Arena arena((1 + plan.row_groups) * size + threads * ring);
    if (arena.failed()) return 1;
    plan.set_weights(arena.take(size));
    V* sums = arena.take(plan.row_groups * size);
    std::fill_n(sums, plan.row_groups * size, V{});
    V* recent = arena.take(threads * ring);
    share(plan.items(), threads, [&](int64_t index, int64_t worker) {
        const Cut::Item item = plan.item(index);
        for (int64_t b = item.first_row; b < item.end_row; ++b)
            for (int64_t i = conv->length; i-- > 0;)
                backward_step(plan, *gradient, item, At(*conv, b, i), recent + worker * ring, sums + item.rows * size);
    });
    gather(plan, *gradient, sums);
    return 0;
}
