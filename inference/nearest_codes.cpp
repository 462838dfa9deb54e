// The k nearest of many packed codes by Hamming distance, exactly, with whole tie groups counted.
//
// A query remembers, for every distance d, how many codes it met there and the first k of them. Its reach is the least
// d within which k codes have been met; codes beyond it are passed over, and it only shrinks. So after a short start a
// code costs an exclusive or, a population count and a comparison; beside a bit per item where relevance is asked for,
// memory does not grow with the database. A sample shortens the start. Letters as in hamming.h.
#include <cmath>
#include <memory>

#include "hamming.h"

namespace {

using namespace hamming;

constexpr int64_t SAMPLE = 4096;      // codes at most that a query's first reach is guessed from
constexpr int64_t FEW = 512;          // one code near in so many, or less, is found best by looking at blocks of 32
constexpr int64_t SCRATCH = 1 << 25;  // bytes of remembered items that a thread aims for

class Query {
    const Search& s;
    int64_t id, levels, own, met = 0;
    std::unique_ptr<uint32_t[]> slots;        // (L, k)
    std::vector<uint32_t> counts, late_hits;  // codes met at each distance; relevant ones past the k-th of them
    std::vector<uint64_t> relevant;           // a bit per item

  public:
    uint64_t reach;

    Query(const Search& s, int64_t id)
        : s(s), id(id), levels(64 * s.words + 1), own(s.own ? s.first_query + id : -1),
          slots(new uint32_t[levels * s.k]), counts(levels), late_hits(levels), reach(levels - 1) {
        if (!s.query_labels) return;
        relevant.resize((s.num_codes + 63) / 64);
        find_relevant(s, id, relevant.data());
    }

    const uint64_t* words() const { return s.queries + id * s.words; }

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
        else if (s.query_labels) late_hits[distance] += has_bit(relevant.data(), item);
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
                const bool hit = s.query_labels && has_bit(relevant.data(), item);
                hits += hit;
                if (rank == s.k) continue;
                const int64_t to = id * s.k + rank++;
                if (s.items) s.items[to] = item;
                if (s.distances) s.distances[to] = uint16_t(d);
                if (s.relevant) s.relevant[to] = hit;
            }
            if (s.n)
                for (int64_t to = id * s.k + first; to < id * s.k + rank; ++to) {
                    s.n[to] = counts[d], s.r[to] = hits, s.above[to] = above, s.hits_above[to] = hits_above;
                }
            above += counts[d], hits_above += hits;
        }
    }
};

// Codes spread over all of them, and how many of these a query's reach should hold so that k of all probably lie in it.
// Empty where a sample would not help.
struct Sample {
    int64_t size, wanted;
    Block codes;

    explicit Sample(const Search& s) : size(std::min(SAMPLE, s.num_codes / 16)), codes(s.words, size) {
        const double share = double(s.k) * double(size) / double(std::max<int64_t>(1, s.num_codes));
        wanted = int64_t(share + 2.5 * std::sqrt(share) + 2);
        if (size < 1024 || wanted >= size) size = 0;
        if (size) codes.load(s.codes, 0, size, s.num_codes / size);
    }
};

template <class Level>
class Searcher {
    const Search& s;
    const Passes<Level> passes;
    const Sample sample;
    const int64_t group;

    // The least distance within which enough of the sampled codes lie.
    uint64_t guess_reach(const Query& query, Level* distances) const {
        passes.measure(sample.codes, query.words(), distances);
        uint64_t low = 0, high = 64 * s.words;
        while (low < high) {
            const uint64_t middle = (low + high) / 2;
            if (passes.count(distances, sample.size, middle) < sample.wanted) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    void show(Query& query, Desk<Level>& desk) const {
        Level* distances = desk.distances();
        uint16_t* near = desk.positions.data();
        int64_t found;
        if (passes.find_few && sample.wanted * FEW < sample.size) {
            found = passes.find_few(desk.block, query.words(), query.reach, distances, near);
        } else {
            passes.measure(desk.block, query.words(), distances);
            found = passes.select(distances, desk.block.size, query.reach, near);
        }
        for (int64_t i = 0; i < found; ++i)
            if (distances[near[i]] <= query.reach) query.meet(desk.block.first + near[i], distances[near[i]]);
    }

    void search_group(int64_t first, int64_t last, Desk<Level>& desk, Desk<Level>& sampled) const {
        std::vector<Query> queries;
        queries.reserve(last - first);
        for (int64_t id = first; id < last; ++id) queries.emplace_back(s, id);
        if (sample.size)
            for (Query& query : queries) query.reach = guess_reach(query, sampled.distances());
        desk.each_block(s, [&] { for (Query& query : queries) show(query, desk); });
        for (Query& query : queries) {
            if (query.starts_again()) desk.each_block(s, [&] { show(query, desk); });
            query.write();
        }
    }

  public:
    explicit Searcher(const Search& s)
        : s(s), passes(choose<Level>(s.words)), sample(s),
          group(std::clamp<int64_t>(SCRATCH / ((64 * s.words + 1) * (s.k + 2) * 4 + s.num_codes / 8), 1, GROUP)) {}

    int run() const {
        struct State {
            Desk<Level> desk, sampled;
        };
        return share((s.num_queries + group - 1) / group, s.threads,
                     [&] { return State{Desk<Level>(s.words), Desk<Level>(s.words, sample.size)}; },
                     [&](int64_t i, State& state) {
                         search_group(i * group, std::min((i + 1) * group, s.num_queries), state.desk, state.sampled);
                     });
    }
};

}  // namespace

// 0, or 1 when memory ran out. k is at least 1 and at most N (N - 1 where `own`), N below 2^32, Q, W at least 1.
extern "C" int nearest_codes(const Search* search) try {
    return fits_byte(search->words) ? Searcher<uint8_t>(*search).run() : Searcher<uint16_t>(*search).run();
} catch (const std::bad_alloc&) {  // for the sample, before any thread
    return 1;
}
