/* Codes by AVX2, without dot products: 16-bit sums of pairs of 7-bit codes. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include "kernels/codes_ymm.h"

/* 8 sums, 4 row vectors, 2 queries, ones and a temporary of 16 registers. */
enum { QUERIES = 4, ROWS = 2, CHAINS = 2, AT_ONCE = 2 };

/*
 * Stored codes are at most 64 + 63, a query's magnitudes 64: a pair of products is at
 * most 2 * 127 * 64 = 16,256, and two steps' pairs together 32,512 < 2^15, so no 16-bit
 * sum saturates or wraps.
 */
static inline vi vi_multiply_add(vi sum, const vi rows[AT_ONCE], const vi query[AT_ONCE],
                                 size_t n)
{
    vi pairs = _mm256_maddubs_epi16(rows[0], query[0]);
    if (n == 2)
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(rows[1], query[1]));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "kernels/codes_lanes.h"

const fla_code_kernels fla_codes_avx2 = {
    .step_time = 0.0239F,
    .code_max = 63,
    .code_offset = 64,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
