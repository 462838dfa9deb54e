// How many packed codes, and how many relevant ones, lie at each Hamming distance of each query, or altogether. Letters
// as in hamming.h.
#include "hamming.h"

namespace {

using namespace hamming;

constexpr int64_t SCRATCH = 1 << 22;  // bytes of counts that a thread aims for

template <class Level>
class Counter {
    const Search& s;
    const Passes<Level> passes;
    const int64_t levels = 64 * s.words + 1;
    const int64_t row = (s.num_codes + 63) / 64;
    const int64_t group = std::clamp<int64_t>(SCRATCH / (16 * levels + 8 * row), 1, GROUP);

    struct State {
        Desk<Level> desk;
        std::vector<uint32_t> counts;    // (queries, L, 4): four counts, as equal distances would wait for each other
        std::vector<uint64_t> relevant;  // (queries, ceil(N / 64))
    };

    void count_block(int64_t id, uint32_t* counts, const uint64_t* relevant, Desk<Level>& desk) const {
        const Block& block = desk.block;
        Level* distances = desk.distances();
        passes.measure(block, s.queries + id * s.words, distances);
        int64_t i = 0;
        for (; i + 4 <= block.size; i += 4)
            for (int part = 0; part < 4; ++part) ++counts[4 * distances[i + part] + part];
        for (; i < block.size; ++i) ++counts[4 * distances[i]];
        const int64_t own = s.own ? s.first_query + id - block.first : -1;
        if (own >= 0 && own < block.size) --counts[4 * distances[own]];
        int64_t* hits = s.r + id * levels;
        for (i = 0; i < block.size; i += 64)
            for (uint64_t left = relevant[(block.first + i) / 64]; left; left &= left - 1)
                ++hits[distances[i + __builtin_ctzll(left)]];
    }

    void count_group(int64_t first, int64_t last, State& state) const {
        std::fill(state.counts.begin(), state.counts.end(), 0);
        std::fill(s.r + first * levels, s.r + last * levels, 0);
        for (int64_t id = first; id < last; ++id) find_relevant(s, id, state.relevant.data() + row * (id - first));
        state.desk.each_block(s, [&] {
            for (int64_t id = first; id < last; ++id)
                count_block(id, state.counts.data() + 4 * levels * (id - first),
                            state.relevant.data() + row * (id - first), state.desk);
        });
        for (int64_t i = 0; i < (last - first) * levels; ++i) {
            const uint32_t* part = state.counts.data() + 4 * i;
            s.n[first * levels + i] = uint32_t(part[0] + part[1] + part[2] + part[3]);
        }
    }

  public:
    explicit Counter(const Search& s) : s(s), passes(choose<Level>(s.words)) {}

    int run() const {
        return share((s.num_queries + group - 1) / group, s.threads,
                     [&] {
                         return State{Desk<Level>(s.words), std::vector<uint32_t>(4 * levels * group),
                                      std::vector<uint64_t>(row * group)};
                     },
                     [&](int64_t i, State& state) {
                         count_group(i * group, std::min((i + 1) * group, s.num_queries), state);
                     });
    }
};

}  // namespace

// Fills n and r, (Q, L) here, with the codes and the relevant codes at each distance. 0, or 1 when memory ran out.
// N below 2^32.
extern "C" int count_codes(const Search* search) {
    return fits_byte(search->words) ? Counter<uint8_t>(*search).run() : Counter<uint16_t>(*search).run();
}

POPCOUNT static int64_t count_bits(const std::vector<uint64_t>& bits) {
    int64_t sum = 0;
    for (const uint64_t word : bits) sum += __builtin_popcountll(word);
    return sum;
}

// Fills n (Q) with the number of relevant items. 0, or 1 as above.
extern "C" int count_relevant(const Search* search) {
    const Search& s = *search;
    return share(s.num_queries, s.threads, [&] { return std::vector<uint64_t>((s.num_codes + 63) / 64); },
                 [&](int64_t id, std::vector<uint64_t>& bits) {
                     find_relevant(s, id, bits.data());
                     s.n[id] = count_bits(bits);
                 });
}
