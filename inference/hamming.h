// What the compiled searches share: their arguments, the distances of a block of codes, and work on several threads.
//
// Letters: Q queries, N codes, W words of 64 bits in a code, L = 64 W + 1 distances, C words of 64 classes.
// `Level` is the type of a distance: uint8_t while 64 W fits into it, else uint16_t.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <thread>
#include <vector>
#if defined(__x86_64__) && !defined(PLAIN)
#include <immintrin.h>
#define X86 1
#else
#define X86 0
#endif

struct Search {
    const uint64_t *queries, *codes;               // (Q, W), (N, W)
    const uint64_t *query_labels;                  // (Q, C), a bit per class; or null: nothing is relevant
    const uint64_t *members;                       // (64 C, ceil(N / 64)): which items each class has, a bit per item
    int64_t num_queries, num_codes, words, label_words, k, first_query;
    int64_t own;                                   // 1: query i is code first_query + i, which it never meets
    int64_t threads;
    int64_t *items;                                // (Q, k): the k nearest, ties by index; or null
    uint16_t* distances;                           // (Q, k) or null
    uint8_t* relevant;                             // (Q, k) or null; of the item at each rank
    int64_t *n, *r, *above, *hits_above;           // (Q, k) or null: see inference/ties.py
};

namespace hamming {

constexpr int64_t BLOCK_WORDS = 2048;  // words of the codes in a pass: 16 KiB, a third of a first-level cache
constexpr int64_t STEP = 64;           // codes that are measured at a time; a block is filled up to a multiple
constexpr int64_t GROUP = 32;          // queries that share a pass over the codes

inline bool fits_byte(int64_t words) { return 64 * words <= 255; }

// Codes of a database side by side by word, so that the same word of eight codes is one load.
class Block {
    struct alignas(64) Line {
        uint64_t words[8];
    };
    std::vector<Line> lines;

  public:
    int64_t words, capacity, first = 0, size = 0;

    Block(int64_t words, int64_t wanted)
        : lines((wanted + STEP - 1) / STEP * STEP / 8 * words), words(words),
          capacity((wanted + STEP - 1) / STEP * STEP) {}

    const uint64_t* word(int64_t w) const { return lines.data()->words + w * capacity; }

    // Takes every `stride`-th code from `start` on, `count` of them.
    void load(const uint64_t* codes, int64_t start, int64_t count, int64_t stride = 1) {
        first = start, size = count;
        for (int64_t w = 0; w < words; ++w) {
            uint64_t* to = lines.data()->words + w * capacity;
            const uint64_t* from = codes + start * words + w;
            if (stride * words == 1) std::copy_n(from, count, to);
            else for (int64_t i = 0; i < count; ++i) to[i] = from[i * stride * words];
        }
    }
};

#if X86
#define POPCOUNT __attribute__((target("popcnt")))
#define WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vbmi2,avx512vpopcntdq,popcnt,bmi,bmi2")))
#else
#define POPCOUNT
#endif

// The passes over a block, as fast as the processor has them.
template <class Level>
struct Passes {
    // Distances of all codes of the block to the query; writes up to the next multiple of STEP.
    void (*measure)(const Block&, const uint64_t* query, Level* distances);
    // Which of `size` distances are at most `reach`, in order, and how many; may write STEP further.
    int64_t (*select)(const Level* distances, int64_t size, uint64_t reach, uint16_t* positions);
    // How many of them are.
    int64_t (*count)(const Level* distances, int64_t size, uint64_t reach);
    // Both, faster where hardly any code of the block is near: sets the distances of those alone. Null: there is none.
    int64_t (*find_few)(const Block&, const uint64_t* query, uint64_t reach, Level* distances, uint16_t* positions);
};

template <class Level, int WORDS>  // 0: any number
POPCOUNT void measure_plain(const Block& block, const uint64_t* query, Level* distances) {
    const int64_t words = WORDS ? WORDS : block.words;
    for (int64_t i = 0; i < block.size; ++i) {
        uint64_t sum = 0;
        for (int64_t w = 0; w < words; ++w) sum += uint64_t(__builtin_popcountll(block.word(w)[i] ^ query[w]));
        distances[i] = Level(sum);
    }
}

template <class Level>
int64_t select_plain(const Level* distances, int64_t size, uint64_t reach, uint16_t* positions) {
    int64_t found = 0;
    for (int64_t i = 0; i < size; ++i) {
        positions[found] = uint16_t(i);
        found += distances[i] <= reach;
    }
    return found;
}

template <class Level>
int64_t count_plain(const Level* distances, int64_t size, uint64_t reach) {
    int64_t found = 0;
    for (int64_t i = 0; i < size; ++i) found += distances[i] <= reach;
    return found;
}

#if X86
// A vector holds the distances of eight codes, one in every 8 bytes. Shifted and joined they fill a vector of Levels,
// whose element c then stands at SPREAD[c].
template <class Level>
struct alignas(64) Spread {
    Level from[64 / sizeof(Level)], count[64 / sizeof(Level)];

    constexpr Spread() : from(), count() {
        for (int c = 0; c < int(64 / sizeof(Level)); ++c)
            from[c] = Level(8 / sizeof(Level) * (c % 8) + c / 8), count[c] = Level(c);
    }
};
template <class Level>
inline constexpr Spread<Level> SPREAD{};

template <class Level, int WORDS>
WIDE void measure_wide(const Block& block, const uint64_t* query, Level* distances) {
    constexpr int PARTS = 8 / sizeof(Level);
    const int64_t words = WORDS ? WORDS : block.words;
    const __m512i order = _mm512_load_si512(SPREAD<Level>.from);
    for (int64_t i = 0; i < block.size; i += 8 * PARTS) {
        __m512i all = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int part = 0; part < PARTS; ++part) {
            __m512i sum = _mm512_setzero_si512();
            for (int64_t w = 0; w < words; ++w) {
                const __m512i its = _mm512_load_si512(block.word(w) + i + 8 * part);
                const __m512i differ = _mm512_xor_si512(its, _mm512_set1_epi64(int64_t(query[w])));
                sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(differ));
            }
            all = _mm512_or_si512(all, _mm512_slli_epi64(sum, 8 * int(sizeof(Level)) * part));
        }
        if constexpr (sizeof(Level) == 1) all = _mm512_permutexvar_epi8(order, all);
        else all = _mm512_permutexvar_epi16(order, all);
        _mm512_store_si512(distances + i, all);
    }
}

// Which of the `left` distances that begin at `distances` are at most the limit; looks at one vector of them.
WIDE inline uint64_t within(const uint8_t* distances, uint64_t reach, int64_t left) {
    const uint64_t all = _mm512_cmple_epu8_mask(_mm512_load_si512(distances), _mm512_set1_epi8(char(reach)));
    return left < 64 ? _bzhi_u64(all, unsigned(left)) : all;
}

WIDE inline uint64_t within(const uint16_t* distances, uint64_t reach, int64_t left) {
    const uint64_t all = _mm512_cmple_epu16_mask(_mm512_load_si512(distances), _mm512_set1_epi16(short(reach)));
    return left < 32 ? _bzhi_u64(all, unsigned(left)) : all;
}

template <class Level>
WIDE int64_t select_wide(const Level* distances, int64_t size, uint64_t reach, uint16_t* positions) {
    uint16_t* to = positions;
    const __m512i count = _mm512_load_si512(SPREAD<Level>.count);
    for (int64_t i = 0; i < size; i += 64 / sizeof(Level)) {
        uint64_t near = within(distances + i, reach, size - i);
        const int64_t found = __builtin_popcountll(near);
        const __m512i base = _mm512_set1_epi16(short(i));
        if constexpr (sizeof(Level) == 2) {
            _mm512_storeu_si512(to, _mm512_add_epi16(_mm512_maskz_compress_epi16(__mmask32(near), count), base));
        } else {  // the first 32 of 64 at once, which is nearly always all
            const __m512i packed = _mm512_maskz_compress_epi8(near, count);
            const __m256i low = _mm512_castsi512_si256(packed), high = _mm512_extracti64x4_epi64(packed, 1);
            _mm512_storeu_si512(to, _mm512_add_epi16(_mm512_cvtepu8_epi16(low), base));
            if (found > 32) _mm512_storeu_si512(to + 32, _mm512_add_epi16(_mm512_cvtepu8_epi16(high), base));
        }
        to += found;
    }
    return to - positions;
}

template <class Level>
WIDE int64_t count_wide(const Level* distances, int64_t size, uint64_t reach) {
    int64_t found = 0;
    for (int64_t i = 0; i < size; i += 64 / sizeof(Level))
        found += __builtin_popcountll(within(distances + i, reach, size - i));
    return found;
}

template <class Level, int WORDS>
WIDE int64_t find_few_wide(const Block& block, const uint64_t* query, uint64_t reach, Level* distances,
                           uint16_t* positions) {
    const int64_t words = WORDS ? WORDS : block.words;
    const __m512i limit = _mm512_set1_epi64(int64_t(reach));
    uint16_t* to = positions;
    for (int64_t i = 0; i < block.size; i += 32) {
        __m512i sums[4];
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) {
            sums[part] = _mm512_setzero_si512();
            for (int64_t w = 0; w < words; ++w) {
                const __m512i its = _mm512_load_si512(block.word(w) + i + 8 * part);
                const __m512i differ = _mm512_xor_si512(its, _mm512_set1_epi64(int64_t(query[w])));
                sums[part] = _mm512_add_epi64(sums[part], _mm512_popcnt_epi64(differ));
            }
        }
        unsigned near = 0;
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) near |= unsigned(_mm512_cmple_epu64_mask(sums[part], limit)) << 8 * part;
        if (!near) continue;
        alignas(64) uint64_t lanes[32];
        for (int part = 0; part < 4; ++part) _mm512_store_si512(lanes + 8 * part, sums[part]);
        for (; near; near &= near - 1) {
            const int64_t lane = __builtin_ctz(near);
            if (i + lane >= block.size) break;
            distances[i + lane] = Level(lanes[lane]);
            *to++ = uint16_t(i + lane);
        }
    }
    return to - positions;
}

inline bool has_wide() {
    return __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("bmi2");
}
#endif

template <class Level>
Passes<Level> choose(int64_t words) {
    const int64_t row = words <= 3 ? words : 0;
#if X86
    if (has_wide()) {
        constexpr decltype(Passes<Level>::measure) measures[] = {measure_wide<Level, 0>, measure_wide<Level, 1>,
                                                                 measure_wide<Level, 2>, measure_wide<Level, 3>};
        constexpr decltype(Passes<Level>::find_few) finds[] = {find_few_wide<Level, 0>, find_few_wide<Level, 1>,
                                                               find_few_wide<Level, 2>, find_few_wide<Level, 3>};
        return {measures[row], select_wide<Level>, count_wide<Level>, finds[row]};
    }
#endif
    constexpr decltype(Passes<Level>::measure) measures[] = {measure_plain<Level, 0>, measure_plain<Level, 1>,
                                                             measure_plain<Level, 2>, measure_plain<Level, 3>};
    return {measures[row], select_plain<Level>, count_plain<Level>, nullptr};
}

// Which items share a class with a query, a bit each in ceil(N / 64) words; the query's own item does not.
inline void find_relevant(const Search& s, int64_t id, uint64_t* bits) {
    const int64_t size = (s.num_codes + 63) / 64;
    std::fill_n(bits, size, 0);
    for (int64_t c = 0; c < s.label_words; ++c)
        for (uint64_t left = s.query_labels[id * s.label_words + c]; left; left &= left - 1) {
            const uint64_t* members = s.members + (64 * c + __builtin_ctzll(left)) * size;
            for (int64_t i = 0; i < size; ++i) bits[i] |= members[i];
        }
    const int64_t own = s.first_query + id;
    if (s.own) bits[own / 64] &= ~(uint64_t(1) << own % 64);
}

inline bool has_bit(const uint64_t* bits, int64_t i) { return bits[i / 64] >> i % 64 & 1; }

// Runs work(i) for i in 0 .. items - 1 on up to `threads` threads, each with a state of its own; 1 when memory ran out.
template <class Make, class Work>
int share(int64_t items, int64_t threads, Make make, Work work) {
    std::atomic<int64_t> next{0};
    std::atomic<int> failed{0};
    auto loop = [&] {
        try {
            auto state = make();
            for (int64_t i; (i = next.fetch_add(1)) < items;) work(i, state);
        } catch (const std::bad_alloc&) {
            failed = 1;
        }
    };
    std::vector<std::thread> helpers;
    try {
        for (int64_t i = 1; i < std::min(threads, items); ++i) helpers.emplace_back(loop);
    } catch (const std::exception&) {  // no thread or no memory for one: fewer will do
    }
    loop();
    for (auto& helper : helpers) helper.join();
    return failed;
}

// What a thread works at: a block of codes, their distances to a query, and which of them are near.
template <class Level>
class Desk {
    struct alignas(64) Line {
        Level levels[64 / sizeof(Level)];
    };
    std::vector<Line> lines;

  public:
    Block block;
    std::vector<uint16_t> positions;

    Desk(int64_t words, int64_t wanted)
        : lines((wanted + STEP) * sizeof(Level) / 64 + 1), block(words, wanted), positions(block.capacity + STEP) {}

    explicit Desk(int64_t words) : Desk(words, std::max<int64_t>(1, BLOCK_WORDS / words)) {}

    Level* distances() { return lines.data()->levels; }

    // Calls work() for every block of the searched codes in turn.
    template <class Work>
    void each_block(const Search& s, Work work) {
        for (int64_t start = 0; start < s.num_codes; start += block.capacity) {
            block.load(s.codes, start, std::min(block.capacity, s.num_codes - start));
            work();
        }
    }
};

}  // namespace hamming
