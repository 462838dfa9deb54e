// The k nearest of many packed codes by Hamming distance, exactly, with whole tie groups counted.
//
// A query remembers, for every distance d, how many codes it met there and the first k of them. Its reach is the least d
// within which k codes have been met; codes beyond it are passed over, and it only shrinks. So after a short start a
// code costs an exclusive or, a population count and a comparison, and memory does not grow with the database. A sample
// shortens the start.
//
// Letters: Q queries, N codes, W words of 64 bits in a code, L = 64 W + 1 distances, C words of 64 bits in a label row.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#else
#define X86 0
#endif

struct Search {
    const uint64_t *queries, *codes;               // (Q, W), (N, W)
    const uint64_t *query_labels, *labels;         // (Q, C), (N, C), or null: nothing is relevant
    int64_t num_queries, num_codes, words, label_words, k, first_query;
    int64_t own;                                   // 1: query i is code first_query + i, which it never meets
    int64_t threads;
    int64_t *items;                                // (Q, k): the k nearest, ties by index; or null
    uint16_t* distances;                           // (Q, k) or null
    uint8_t* relevant;                             // (Q, k) or null; of the item at each rank
    int64_t *n, *r, *above, *hits_above;           // (Q, k) or null: see inference/ties.py
};

namespace {

constexpr int64_t GROUP = 32;           // queries that share a pass over the codes
constexpr int64_t BLOCK_WORDS = 2048;   // words of the codes in a pass: 16 KiB, half of a first-level cache
constexpr int64_t SAMPLE = 1024;        // codes that a query's first reach is guessed from
constexpr int64_t SCRATCH = 1 << 25;    // bytes of remembered items that a thread aims for

#if X86
#define POPCOUNT __attribute__((target("popcnt")))
#else
#define POPCOUNT
#endif

POPCOUNT inline uint64_t distance(const uint64_t* a, const uint64_t* b, int64_t width) {
    uint64_t sum = 0;
    for (int64_t w = 0; w < width; ++w) sum += uint64_t(__builtin_popcountll(a[w] ^ b[w]));
    return sum;
}

class Query {
    const Search& s;
    int64_t id, levels, own, met = 0;
    std::unique_ptr<uint32_t[]> slots;        // (L, k)
    std::vector<uint32_t> counts, late_hits;  // codes met at each distance; relevant ones past the k-th of them

  public:
    uint64_t reach;

    Query(const Search& s, int64_t id)
        : s(s), id(id), levels(64 * s.words + 1), own(s.own ? s.first_query + id : -1), slots(new uint32_t[levels * s.k]),
          counts(levels), late_hits(levels), reach(levels - 1) {}

    const uint64_t* words() const { return s.queries + id * s.words; }

    bool is_relevant(int64_t item) const {
        const uint64_t *mine = s.query_labels + id * s.label_words, *its = s.labels + item * s.label_words;
        for (int64_t c = 0; c < s.label_words; ++c)
            if (mine[c] & its[c]) return true;
        return false;
    }

    // Begins with the least distance within which `wanted` of the sampled codes lie.
    POPCOUNT void guess_reach(const std::vector<uint64_t>& sample, int64_t wanted) {
        std::vector<uint32_t> found(levels);
        const uint64_t* q = words();
        for (size_t i = 0; i < sample.size(); i += s.words) ++found[distance(sample.data() + i, q, s.words)];
        int64_t within = 0;
        for (reach = 0; (within += found[reach]) < wanted;) ++reach;
    }

    // Forgets all; true if the guess was too low, so that all codes have to be shown again.
    bool starts_again() {
        if (met >= s.k) return false;
        std::fill(counts.begin(), counts.end(), 0);
        std::fill(late_hits.begin(), late_hits.end(), 0);
        met = 0;
        reach = levels - 1;
        return true;
    }

    // A code at most `reach` away.
    void meet(int64_t item, uint64_t distance) {
        if (item == own) return;
        const uint32_t count = counts[distance]++;
        if (count < s.k) slots[distance * s.k + count] = uint32_t(item);
        else if (s.labels) late_hits[distance] += is_relevant(item);
        ++met;
        while (met - counts[reach] >= s.k) met -= counts[reach--];
    }

    void write() const {
        int64_t rank = 0, above = 0, hits_above = 0;
        for (uint64_t d = 0; d <= reach; ++d) {
            const int64_t known = std::min<int64_t>(counts[d], s.k), first = rank;
            int64_t hits = late_hits[d];
            for (int64_t i = 0; i < known; ++i) {
                const int64_t item = slots[d * s.k + i];
                const bool relevant = s.labels && is_relevant(item);
                hits += relevant;
                if (rank == s.k) continue;
                const int64_t to = id * s.k + rank++;
                if (s.items) s.items[to] = item;
                if (s.distances) s.distances[to] = uint16_t(d);
                if (s.relevant) s.relevant[to] = relevant;
            }
            if (s.n)
                for (int64_t to = id * s.k + first; to < id * s.k + rank; ++to) {
                    s.n[to] = counts[d], s.r[to] = hits, s.above[to] = above, s.hits_above[to] = hits_above;
                }
            above += counts[d], hits_above += hits;
        }
    }
};

// Shows the codes first .. last - 1 to a query.
typedef void (*Scan)(const Search&, Query&, int64_t first, int64_t last);

template <int WORDS>  // 0: any number
POPCOUNT void scan_words(const Search& s, Query& query, int64_t first, int64_t last) {
    const int64_t width = WORDS ? WORDS : s.words;
    const uint64_t* q = query.words();
    for (int64_t i = first; i < last; ++i) {
        const uint64_t d = distance(s.codes + i * width, q, width);
        if (d <= query.reach) query.meet(i, d);
    }
}

#if X86
#define WIDE __attribute__((target("avx512f,avx512vpopcntdq,popcnt")))

// One word per code, 32 codes at a time.
WIDE void scan_wide_1(const Search& s, Query& query, int64_t first, int64_t last) {
    const __m512i q = _mm512_set1_epi64(int64_t(query.words()[0]));
    int64_t i = first;
    for (; i + 32 <= last; i += 32) {
        __m512i d[4];
        const __m512i reach = _mm512_set1_epi64(int64_t(query.reach));
        unsigned near = 0;
        for (int j = 0; j < 4; ++j) {
            d[j] = _mm512_popcnt_epi64(_mm512_xor_si512(q, _mm512_loadu_si512(s.codes + i + 8 * j)));
            near |= unsigned(_mm512_cmple_epu64_mask(d[j], reach)) << (8 * j);
        }
        if (!near) continue;
        alignas(64) uint64_t distances[32];
        for (int j = 0; j < 4; ++j) _mm512_store_si512(distances + 8 * j, d[j]);
        for (; near; near &= near - 1) {
            const int lane = __builtin_ctz(near);
            if (distances[lane] <= query.reach) query.meet(i + lane, distances[lane]);
        }
    }
    scan_words<1>(s, query, i, last);
}

// Two words per code, 16 codes at a time.
WIDE void scan_wide_2(const Search& s, Query& query, int64_t first, int64_t last) {
    const uint64_t* words = query.words();
    const __m512i q = _mm512_set_epi64(words[1], words[0], words[1], words[0], words[1], words[0], words[1], words[0]);
    int64_t i = first;
    for (; i + 16 <= last; i += 16) {
        alignas(64) uint64_t counts[32];
        const __m512i reach = _mm512_set1_epi64(int64_t(query.reach));
        unsigned near = 0;
        for (int j = 0; j < 4; ++j) {
            __m512i d = _mm512_popcnt_epi64(_mm512_xor_si512(q, _mm512_loadu_si512(s.codes + 2 * i + 8 * j)));
            d = _mm512_add_epi64(d, _mm512_shuffle_epi32(d, _MM_PERM_BADC));  // both words of a code in both lanes
            near |= unsigned(_mm512_cmple_epu64_mask(d, reach)) << (8 * j);
            _mm512_store_si512(counts + 8 * j, d);
        }
        for (near &= 0x55555555u; near; near &= near - 1) {
            const int lane = __builtin_ctz(near);
            if (counts[lane] <= query.reach) query.meet(i + lane / 2, counts[lane]);
        }
    }
    scan_words<2>(s, query, i, last);
}
#endif

Scan choose(const Search& s) {
#if X86
    if (__builtin_cpu_supports("avx512vpopcntdq")) {
        if (s.words == 1) return scan_wide_1;
        if (s.words == 2) return scan_wide_2;
    }
#endif
    const Scan by_words[] = {scan_words<0>, scan_words<1>, scan_words<2>, scan_words<3>, scan_words<4>};
    return by_words[s.words <= 4 ? s.words : 0];
}

// Codes spread over all of them, and how many of these a query's reach should hold so that k of all probably lie in it.
struct Sample {
    std::vector<uint64_t> codes;
    int64_t wanted = 0;

    explicit Sample(const Search& s) {
        const int64_t stride = s.num_codes / SAMPLE;
        const double share = double(s.k) * SAMPLE / double(s.num_codes);
        wanted = int64_t(share + 2.5 * std::sqrt(share) + 2);
        if (stride < 8 || wanted >= SAMPLE) return;
        for (int64_t i = 0; i < SAMPLE; ++i)
            codes.insert(codes.end(), s.codes + i * stride * s.words, s.codes + (i * stride + 1) * s.words);
    }
};

void search_group(const Search& s, Scan scan, const Sample& sample, int64_t first, int64_t last) {
    std::vector<Query> queries;
    queries.reserve(last - first);
    for (int64_t id = first; id < last; ++id) queries.emplace_back(s, id);
    if (!sample.codes.empty())
        for (Query& query : queries) query.guess_reach(sample.codes, sample.wanted);
    const int64_t step = std::max<int64_t>(1, BLOCK_WORDS / s.words);
    for (int64_t start = 0; start < s.num_codes; start += step)
        for (Query& query : queries) scan(s, query, start, std::min(start + step, s.num_codes));
    for (Query& query : queries) {
        if (query.starts_again()) scan(s, query, 0, s.num_codes);
        query.write();
    }
}

// How many codes, and how many relevant ones, lie at each distance of a query.
struct Tally {
    std::vector<uint32_t> parts;   // four counts a distance, so that equal ones in a row need not wait for each other
    std::vector<uint16_t> distances;
    std::vector<uint64_t> shared;  // not 0: the code is relevant

    explicit Tally(int64_t levels) : parts(4 * levels), distances(BLOCK_WORDS), shared(BLOCK_WORDS) {}
};

// Distances of the codes first .. last - 1.
typedef void (*Measure)(const Search&, const uint64_t* q, int64_t first, int64_t last, uint16_t* distances);

POPCOUNT void measure_words(const Search& s, const uint64_t* q, int64_t first, int64_t last, uint16_t* distances) {
    for (int64_t i = first; i < last; ++i) distances[i - first] = uint16_t(distance(s.codes + i * s.words, q, s.words));
}

#if X86
WIDE void measure_wide_1(const Search& s, const uint64_t* q, int64_t first, int64_t last, uint16_t* distances) {
    const __m512i word = _mm512_set1_epi64(int64_t(*q));
    int64_t i = first;
    for (; i + 8 <= last; i += 8) {
        const __m512i d = _mm512_popcnt_epi64(_mm512_xor_si512(word, _mm512_loadu_si512(s.codes + i)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(distances + i - first), _mm512_cvtepi64_epi16(d));
    }
    measure_words(s, q, i, last, distances + i - first);
}
#endif

// `labels` is (C, N) here.
void tally_query(const Search& s, Measure measure, int64_t id, Tally& t) {
    const int64_t levels = 64 * s.words + 1, step = std::max<int64_t>(1, BLOCK_WORDS / s.words);
    const int64_t own = s.own ? s.first_query + id : -1;
    int64_t *counts = s.n + id * levels, *hits = s.r + id * levels;
    std::fill(t.parts.begin(), t.parts.end(), 0);
    std::fill_n(hits, levels, 0);
    for (int64_t start = 0; start < s.num_codes; start += step) {
        const int64_t size = std::min(step, s.num_codes - start);
        uint16_t* d = t.distances.data();
        measure(s, s.queries + id * s.words, start, start + size, d);
        for (int64_t i = 0; i < size; ++i) ++t.parts[4 * d[i] + i % 4];
        uint64_t* shared = t.shared.data();
        std::fill_n(shared, size, 0);
        for (int64_t c = 0; c < s.label_words; ++c) {
            const uint64_t mine = s.query_labels[id * s.label_words + c], *its = s.labels + c * s.num_codes + start;
            if (mine)
                for (int64_t i = 0; i < size; ++i) shared[i] |= mine & its[i];
        }
        if (own >= start && own < start + size) --t.parts[4 * d[own - start] + (own - start) % 4], shared[own - start] = 0;
        for (int64_t i = 0; i < size; ++i)
            if (shared[i]) ++hits[d[i]];
    }
    for (int64_t l = 0; l < levels; ++l) {
        const uint32_t* part = t.parts.data() + 4 * l;
        counts[l] = int64_t(part[0]) + part[1] + part[2] + part[3];
    }
}

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
    } catch (const std::system_error&) {
    }
    loop();
    for (auto& helper : helpers) helper.join();
    return failed;
}

}  // namespace

// 0, or 1 when memory ran out. k is at least 1 and at most N (N - 1 where `own`), N below 2^32, Q, W at least 1.
extern "C" int nearest_codes(const Search* search) {
    const Search& s = *search;
    const Scan scan = choose(s);
    const int64_t each = (64 * s.words + 1) * (s.k + 2) * 4;
    const int64_t group = std::clamp<int64_t>(SCRATCH / each, 1, GROUP);
    const int64_t groups = (s.num_queries + group - 1) / group;
    const Sample sample(s);
    return share(groups, s.threads, [] { return 0; }, [&](int64_t i, int) {
        search_group(s, scan, sample, i * group, std::min((i + 1) * group, s.num_queries));
    });
}

// Fills n (Q) with the summed `weights` of the items whose labels meet a query's. Labels are (N, C). 0, or 1 as above.
extern "C" int weigh_relevant(const Search* search, const int64_t* weights) {
    const Search& s = *search;
    return share(s.num_queries, s.threads, [] { return 0; }, [&](int64_t id, int) {
        const uint64_t* mine = s.query_labels + id * s.label_words;
        int64_t sum = 0;
        for (int64_t i = 0; i < s.num_codes; ++i) {
            uint64_t shared = 0;
            for (int64_t c = 0; c < s.label_words; ++c) shared |= mine[c] & s.labels[i * s.label_words + c];
            sum += shared ? weights[i] : 0;
        }
        s.n[id] = sum;
    });
}

// Fills n and r, (Q, L) here, with the codes and the relevant codes at each distance. 0, or 1 when memory ran out.
// Labels are (C, N) here.
extern "C" int count_codes(const Search* search) {
    const Search& s = *search;
    Measure measure = measure_words;
#if X86
    if (s.words == 1 && __builtin_cpu_supports("avx512vpopcntdq")) measure = measure_wide_1;
#endif
    return share(s.num_queries, s.threads, [&] { return Tally(64 * s.words + 1); },
                 [&](int64_t id, Tally& tally) { tally_query(s, measure, id, tally); });
}
