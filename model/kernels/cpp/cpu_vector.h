// Vectors of W neighbouring channels and the functions that the kernels need of them. A NaN in gives a NaN out.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif

typedef float V __attribute__((vector_size(4 * W)));
typedef int32_t Bits __attribute__((vector_size(4 * W)));
typedef uint32_t Words __attribute__((vector_size(4 * W)));
typedef uint16_t Halves __attribute__((vector_size(2 * W)));  // bfloat16: the upper half of a float

inline V splat(float x) { return x - V{}; }

__attribute__((noinline)) V load_part(const float* from, int64_t lanes) {
    V v{};
    for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
    return v;
}

__attribute__((noinline)) void store_part(float* to, V v, int64_t lanes) {
    for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}

inline V load(const float* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline V load(const float* from, int64_t lanes) { return lanes == W ? load(from) : load_part(from, lanes); }

inline void store(float* to, V v, int64_t lanes) {
    if (lanes == W) std::memcpy(to, &v, sizeof v);
    else store_part(to, v, lanes);
}

inline V widen(Halves v) { return (V)(__builtin_convertvector(v, Words) << 16); }

// To the nearest, ties to even; a NaN stays one.
inline Halves narrow(V v) {
    const Words bits = (Words)v, rounded = bits + 0x7fff + ((bits >> 16) & 1);
    return __builtin_convertvector((v == v ? rounded : bits | 0x400000) >> 16, Halves);
}

__attribute__((noinline)) V load_part(const uint16_t* from, int64_t lanes) {
    Halves v{};
    for (int64_t i = 0; i < lanes; ++i) v[i] = from[i];
    return widen(v);
}

__attribute__((noinline)) void store_part(uint16_t* to, Halves v, int64_t lanes) {
    for (int64_t i = 0; i < lanes; ++i) to[i] = v[i];
}

inline V load(const uint16_t* from, int64_t lanes) {
    if (lanes != W) return load_part(from, lanes);
    Halves v;
    std::memcpy(&v, from, sizeof v);
    return widen(v);
}

inline void store(uint16_t* to, V v, int64_t lanes) {
    const Halves halves = narrow(v);
    if (lanes == W) std::memcpy(to, &halves, sizeof halves);
    else store_part(to, halves, lanes);
}

#if defined(__AVX512F__)
inline V at_least(float low, V x) { return (V)_mm512_max_ps((__m512)splat(low), (__m512)x); }
inline V at_most(float high, V x) { return (V)_mm512_min_ps((__m512)splat(high), (__m512)x); }
inline float total(V v) { return _mm512_reduce_add_ps((__m512)v); }
#else
#if defined(__AVX2__) && defined(__FMA__)
inline V at_least(float low, V x) { return (V)_mm256_max_ps((__m256)splat(low), (__m256)x); }
inline V at_most(float high, V x) { return (V)_mm256_min_ps((__m256)splat(high), (__m256)x); }
#elif defined(__SSE2__)
inline V at_least(float low, V x) { return (V)_mm_max_ps((__m128)splat(low), (__m128)x); }
inline V at_most(float high, V x) { return (V)_mm_min_ps((__m128)splat(high), (__m128)x); }
#else
inline V at_least(float low, V x) { return x < low ? splat(low) : x; }
inline V at_most(float high, V x) { return x > high ? splat(high) : x; }
#endif
inline float total(V v) {
    float sum = 0;
    for (int i = 0; i < W; ++i) sum += v[i];
    return sum;
}
#endif

// `x + ROUNDER` holds x rounded to a multiple of 1 / 16 or of 1 in its low bits, and `power(x + ROUNDER, rest)` is two
// to that multiple plus a small rest. The polynomials are minimax of the error relative to 1 - 2^rest, which is what a
// slowly decaying state makes of it.
#if defined(__AVX512F__)
constexpr float ROUNDER = 786432;  // 1.5 * 2^19: sixteenths, whose powers are looked up, so that few terms do (1e-7)

inline V power(V rounded, V rest) {
    const V roots = {1.0f,        1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                     1.29683955f, 1.35425555f, 1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f,
                     1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};
    V root = (V)_mm512_permutexvar_ps((__m512i)rounded, (__m512)roots);
    V slope = (0.05550410867f * rest + 0.2402335515f) * rest + 0.693147181f;
    return (V)_mm512_scalef_ps((__m512)(root + root * rest * slope), (__m512)(rounded - ROUNDER));
}
#else
constexpr float ROUNDER = 12582912;  // 1.5 * 2^23: whole numbers (1e-8)

inline V power(V rounded, V rest) {
    V p = (((((0.00015246564f * rest + 0.0013392073f) * rest + 0.0096188504f) * rest + 0.055503562f) * rest
            + 0.24022645f) * rest + 0.69314718f) * rest + 1.0f;
    return p * (V)(((Bits)rounded + 127) << 23);
}
#endif

// 2^(x y) for factors up to EXP2_LIMIT. Beyond the range of a float it is zero or not finite: scalef makes it so as
// long as `power`'s polynomial does not overflow.
constexpr float EXP2_LIMIT = 8589934592;
inline V exp2_product(V x, V y) {
    V product = x * y;
#if defined(__AVX512F__)
    asm("" : "+v"(product));  // fused into what follows, it would load the multipliers, which are the busier units
#else
    product = at_most(128, at_least(-127, product));  // 2^-127 comes out as zero and 2^128 as infinity
#endif
    V rounded = product + ROUNDER;
    return power(rounded, product - (rounded - ROUNDER));
}

constexpr float LOG2E = 1.44269504f, LN2 = 0.693147181f;

// exp(-|x|), exact to about an ulp: ln 2 is taken off in two parts.
inline V exp_minus(V x) {
    x = at_least(-88, (V)((Bits)x | INT32_MIN));  // whose power comes out as zero
    V rounded = x * LOG2E + ROUNDER, k = rounded - ROUNDER;
    V rest = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    return power(rounded, rest * LOG2E);
}

struct Curve {
    V value, slope;
};

// ln(1 + e) = 2 artanh(e / (2 + e)) keeps its relative accuracy as e goes to 0.
inline Curve softplus(V x) {
    V e = exp_minus(x);
    V q = e / (2.0f + e), q2 = q * q;
    V log1p = q * (((((0.24413069f * q2 + 0.2139325f) * q2 + 0.28620723f) * q2 + 0.39998692f) * q2
                    + 0.66666681f) * q2 + 2.0f);
    return {at_least(0, x) + log1p, (x > 0.0f ? splat(1) : e) / (1.0f + e)};
}

inline Curve silu(V x) {
    V e = exp_minus(x);
    V sigmoid = (x > 0.0f ? splat(1) : e) / (1.0f + e);
    return {x * sigmoid, sigmoid * (1.0f + x * (1.0f - sigmoid))};
}

}  // namespace
