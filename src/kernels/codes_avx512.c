/* Codes by AVX-512 BW, without dot products: 16-bit sums of pairs of 7-bit codes. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include "kernels/codes_zmm.h"

/* 16 sums, 8 row vectors, 2 queries, ones and a temporary of 32 registers. */
enum { QUERIES = 4, ROWS = 4, CHAINS = 4, AT_ONCE = 2 };

/* No 16-bit sum saturates or wraps: see codes_avx2.c. */
static inline vi vi_multiply_add(vi sum, const vi rows[AT_ONCE], const vi query[AT_ONCE],
                                 size_t n)
{
    vi pairs = _mm512_maddubs_epi16(rows[0], query[0]);
    if (n == 2)
        pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(rows[1], query[1]));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#include "kernels/codes_lanes.h"

const fla_code_kernels fla_codes_avx512 = {
    .step_time = 0.0119F,
    .code_max = 63,
    .code_offset = 64,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
