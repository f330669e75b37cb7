/* Codes by the dot products of 64-bit Arm: signed bytes times signed bytes, 16 at once.
 */
#include "kernels/kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

/* 16 sums, 4 row vectors and a query of 32 registers. */
enum { LANES = 4, QUERIES = 4, ROWS = 4, CHAINS = 2, AT_ONCE = 1 };

typedef int32x4_t vi;
typedef uint32x4_t vb;

#define vi_load(at) vld1q_s32((const int32_t *)(const void *)(at))
#define vi_loadu vi_load
#define vi_store vst1q_s32
#define vi_zero() vdupq_n_s32(0)
#define vi_set1 vdupq_n_s32
#define vi_add vaddq_s32
#define vi_max vmaxq_s32
#define vi_total vaddvq_s32
#define vi_below vcltq_s32
#define vb_and vandq_u32

static inline vi vi_load_first(const void *at, size_t n)
{
    int32_t lanes[LANES] = {0};
    memcpy(lanes, at, n * sizeof lanes[0]);
    return vld1q_s32(lanes);
}

static inline unsigned vb_bits(vb v)
{
    static const uint32_t bit[LANES] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(v, vld1q_u32(bit)));
}

static inline vi vi_multiply_add(vi sum, const vi rows[AT_ONCE], const vi query[AT_ONCE],
                                 size_t n)
{
    (void)n;
    return vdotq_s32(sum, vreinterpretq_s8_s32(rows[0]), vreinterpretq_s8_s32(query[0]));
}

#include "kernels/codes_lanes.h"

const fla_code_kernels fla_codes_neon = {
    .step_time = 0.0155F,
    .code_max = 127,
    .code_offset = 0,
    .filter = filter,
    .best = best,
    .check = check,
};
#endif
