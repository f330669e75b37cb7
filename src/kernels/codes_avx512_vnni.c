/* Codes by AVX-512 VNNI: unsigned base bytes times signed query bytes, 64 a instruction.
 */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "kernels/bits.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

/* A register block: 4 queries x 64 rows are 16 sums, 4 row vectors and a query. */
enum { QUERIES = 4 };

/*
 * sum += products of 4 bytes a lane.  Inline assembly, because gcc 12 moves the sums of
 * the intrinsic to the stack and halves the speed (bench/kernels.c).
 */
#define MULTIPLY_ADD(sum, rows, query) \
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(rows), "v"(query))

/* n queries against a tile; sums[q][g]: the scores of group g. */
INLINE void score(const uint8_t *tile, const int32_t *bias, size_t steps,
                  const int8_t *queries, size_t n, __m512i sums[QUERIES][FLA_TILE_GROUPS])
{
    const size_t bytes = steps * FLA_STEP;
    UNROLL
    for (size_t g = 0; g < FLA_TILE_GROUPS; g++) {
        UNROLL
        for (size_t q = 0; q < n; q++)
            sums[q][g] = _mm512_load_si512(bias + g * FLA_GROUP);
    }
    for (size_t s = 0; s < bytes; s += FLA_STEP) {
        __m512i rows[FLA_TILE_GROUPS];
        UNROLL
        for (size_t g = 0; g < FLA_TILE_GROUPS; g++)
            rows[g] = _mm512_load_si512(tile + (g * bytes + s) * FLA_GROUP);
        UNROLL
        for (size_t q = 0; q < n; q++) {
            int32_t four;
            memcpy(&four, queries + q * bytes + s, sizeof four);
            const __m512i query = _mm512_set1_epi32(four);
            UNROLL
            for (size_t g = 0; g < FLA_TILE_GROUPS; g++)
                MULTIPLY_ADD(sums[q][g], rows[g], query);
        }
    }
}

INLINE __mmask16 any_reaches(const __m512i sums[FLA_TILE_GROUPS], int32_t limit)
{
    const __m512i most = _mm512_max_epi32(_mm512_max_epi32(sums[0], sums[1]),
                                          _mm512_max_epi32(sums[2], sums[3]));
    return _mm512_cmpge_epi32_mask(most, _mm512_set1_epi32(limit));
}

INLINE uint64_t all_that_reach(const __m512i sums[FLA_TILE_GROUPS], int32_t limit)
{
    uint64_t rows = 0;
    UNROLL
    for (size_t g = 0; g < FLA_TILE_GROUPS; g++)
        rows |= (uint64_t)_mm512_cmpge_epi32_mask(sums[g], _mm512_set1_epi32(limit))
                << (g * FLA_GROUP);
    return rows;
}

/* One compare a query and one branch a block, as long as nothing passes. */
INLINE size_t filter_block(const uint8_t *tile, const int32_t *bias, size_t steps,
                           const int8_t *queries, size_t first, size_t n,
                           const int32_t *limits, fla_hit *hits)
{
    __m512i sums[QUERIES][FLA_TILE_GROUPS];
    unsigned any = 0;
    size_t found = 0;
    score(tile, bias, steps, queries + first * steps * FLA_STEP, n, sums);
    UNROLL
    for (size_t q = 0; q < n; q++)
        any |= any_reaches(sums[q], limits[first + q]);
    if (__builtin_expect(any == 0, 1))
        return 0;
    UNROLL
    for (size_t q = 0; q < n; q++) {
        hits[found] = (fla_hit){all_that_reach(sums[q], limits[first + q]), first + q};
        found += hits[found].rows != 0;
    }
    return found;
}

static size_t filter(const uint8_t *tile, const int32_t *bias, size_t steps,
                     const int8_t *queries, size_t n_queries, const int32_t *limits,
                     fla_hit *hits)
{
    size_t q = 0, n = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES)
        n += filter_block(tile, bias, steps, queries, q, QUERIES, limits, hits + n);
    for (; q < n_queries; q++)
        n += filter_block(tile, bias, steps, queries, q, 1, limits, hits + n);
    return n;
}

INLINE void best_block(const uint8_t *tile, const int32_t *bias, size_t steps,
                       const int8_t *queries, size_t n, int32_t *best, size_t stride)
{
    __m512i sums[QUERIES][FLA_TILE_GROUPS];
    score(tile, bias, steps, queries, n, sums);
    UNROLL
    for (size_t q = 0; q < n; q++) {
        UNROLL
        for (size_t g = 0; g < FLA_TILE_GROUPS; g++) {
            int32_t *at = best + q * stride + g * FLA_GROUP;
            _mm512_store_si512(at, _mm512_max_epi32(_mm512_load_si512(at), sums[q][g]));
        }
    }
}

static void best(const uint8_t *tile, const int32_t *bias, size_t steps,
                 const int8_t *queries, size_t n_queries, int32_t *scores, size_t stride)
{
    const size_t bytes = steps * FLA_STEP;
    size_t q = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES)
        best_block(tile, bias, steps, queries + q * bytes, QUERIES, scores + q * stride,
                   stride);
    for (; q < n_queries; q++)
        best_block(tile, bias, steps, queries + q * bytes, 1, scores + q * stride,
                   stride);
}

/* One row; the rows that are checked after it hide the latency of its chain. */
INLINE int32_t score_record(const uint8_t *record, size_t steps, const int8_t *query)
{
    __m512i sum = _mm512_setzero_si512();
    size_t s = 0;
    for (; s + FLA_GROUP <= steps; s += FLA_GROUP) {
        const __m512i codes = _mm512_loadu_si512(record + s * FLA_STEP);
        MULTIPLY_ADD(sum, codes, _mm512_loadu_si512(query + s * FLA_STEP));
    }
    if (s < steps) {
        const __mmask16 left = (__mmask16)((1u << (steps - s)) - 1);
        const __m512i codes = _mm512_maskz_loadu_epi32(left, record + s * FLA_STEP);
        MULTIPLY_ADD(sum, codes, _mm512_maskz_loadu_epi32(left, query + s * FLA_STEP));
    }
    return _mm512_reduce_add_epi32(sum);
}

static uint64_t check(const uint8_t *records, const int32_t *bias, size_t steps,
                      const int8_t *query, int32_t limit, uint64_t rows)
{
    uint64_t reach = 0;
    for (; rows != 0; rows &= rows - 1) {
        const size_t r = fla_lowest_bit(rows);
        const uint8_t *record = records + r * steps * FLA_STEP;
        const int32_t sum = bias[r] + score_record(record, steps, query);
        reach |= (uint64_t)(sum >= limit) << r;
    }
    return reach;
}

const fla_code_kernels fla_codes_avx512_vnni = {
    .code_max = 127,
    .code_offset = 128,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
