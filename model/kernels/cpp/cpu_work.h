// What the kernels share besides vectors: tensors, scratch memory, threads, and how work is cut.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "cpu_pool.h"
#include "cpu_vector.h"

// What the tensors over frames hold: float, or bfloat16 in a library of its own.
#ifdef HALF
using Element = uint16_t;
#else
using Element = float;
#endif

// A (B, L, .) tensor: `row` and `step` are strides in elements, the last stride is one. No data: the tensor is absent.
template <class T>
struct Series {
    T* data;
    int64_t row, step;
    T* at(int64_t b, int64_t t) const { return data + b * row + t * step; }
};

namespace {

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

// Calls work(item, worker) for every item, on up to `threads` threads.
template <class Work>
void share(int64_t items, int64_t threads, Work work) {
    std::atomic<int64_t> next{0};
    Pool::mine().run([&](int64_t worker) {
        FlushDenormals flush;
        for (int64_t item; (item = next.fetch_add(1)) < items;) work(item, worker);
    }, threads - 1);
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

constexpr int64_t ROW_GROUPS = 32;  // partial sums over the batch, and least number of work items where possible

// How rows and blocks of channels are cut into items: a function of the shapes alone, so that the number of threads
// changes no bit of the result.
struct Cut {
    int64_t rows, channels, blocks, row_groups, channel_groups;

    Cut(int64_t rows, int64_t channels)
        : rows(rows), channels(channels), blocks((channels + W - 1) / W), row_groups(std::min(rows, ROW_GROUPS)),
          channel_groups(std::min(blocks, ROW_GROUPS / row_groups)) {}

    struct Item {
        int64_t rows, channels;  // the groups it belongs to
        int64_t first_row, end_row, first_block, end_block;
    };
    Item item(int64_t index) const {
        const int64_t r = index / channel_groups, c = index % channel_groups;
        return {r, c, rows * r / row_groups, rows * (r + 1) / row_groups, blocks * c / channel_groups,
                blocks * (c + 1) / channel_groups};
    }
    int64_t items() const { return row_groups * channel_groups; }
    int64_t lanes(int64_t block) const { return std::min<int64_t>(W, channels - block * W); }
    // How many of `wanted` threads are worth starting for `work` units where one pays off from `each` on.
    int64_t threads(int64_t wanted, int64_t work, int64_t each) const {
        return std::max<int64_t>(1, std::min({wanted, items(), work / each + 1}));
    }
};

}  // namespace
