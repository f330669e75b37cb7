/* Codes by AVX-VNNI: unsigned base bytes times signed query bytes, 32 a instruction. */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include "kernels/codes_ymm.h"

/* 12 sums, 2 row vectors and a query of 16 registers. */
enum { QUERIES = 6, ROWS = 2, CHAINS = 4, AT_ONCE = 1 };

/* Inline assembly for the same reason as in codes_avx512_vnni.c. */
static inline vi vi_multiply_add(vi sum, const vi rows[AT_ONCE], const vi query[AT_ONCE],
                                 size_t n)
{
    (void)n;
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(rows[0]), "x"(query[0]));
    return sum;
}

#include "kernels/codes_lanes.h"

const fla_code_kernels fla_codes_avx_vnni = {
    .step_time = 0.0155F,
    .code_max = 127,
    .code_offset = 128,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
