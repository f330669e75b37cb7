/* Codes by AVX-512 VNNI: unsigned base bytes times signed query bytes, 64 a instruction.
 */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include "kernels/codes_zmm.h"

/* 16 sums, 4 row vectors and a query of 32 registers; 98 % of the peak. */
enum { QUERIES = 4, ROWS = 4, CHAINS = 4, AT_ONCE = 1 };

/*
 * Inline assembly, because gcc 12 moves the sums of the intrinsic to the stack and halves
 * the speed (bench/kernels.c).
 */
static inline vi vi_multiply_add(vi sum, const vi rows[AT_ONCE], const vi query[AT_ONCE],
                                 size_t n)
{
    (void)n;
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(rows[0]), "v"(query[0]));
    return sum;
}

#include "kernels/codes_lanes.h"

uint64_t fla_check_codes_avx512_vnni(const uint8_t *records, const int32_t *bias,
                                     size_t steps, const int8_t *query, int32_t limit,
                                     uint64_t rows)
{
    return check(records, bias, steps, query, limit, rows);
}

const fla_code_kernels fla_codes_avx512_vnni = {
    .step_time = 0.0077F,
    .code_max = 127,
    .code_offset = 128,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
