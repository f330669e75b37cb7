/*
 * The float32 side of hashing in terms of vectors; part of floats_lanes.h, which says
 * what the operations are.  Rows lie in lanes, so nothing is summed across them.
 */
#ifndef FLA_KERNELS_BUCKETS_LANES_H
#define FLA_KERNELS_BUCKETS_LANES_H

#include <stdbool.h>

enum { SUMS = 4 }; /* of squares: chains enough to hide the latency of their steps */

/*
 * One narrow kernel: blocks of lanes x lanes are rounded, transposed in registers and
 * squared on the way; the columns past the last whole block go one by one.
 */
#define FLA_NARROW(source, load_block, load)                                \
    const size_t whole = dim - dim % F_LANES;                               \
    for (size_t first = 0; first < FLA_GROUP; first += F_LANES) {           \
        vf sum[SUMS];                                                       \
        UNROLL                                                              \
        for (size_t i = 0; i < SUMS; i++)                                   \
            sum[i] = vf_zero();                                             \
        for (size_t j = 0; j < whole; j += F_LANES) {                       \
            vf block[F_LANES];                                              \
            UNROLL                                                          \
            for (size_t i = 0; i < F_LANES; i++) {                          \
                block[i] = load_block((const source *)rows[first + i] + j); \
            }                                                               \
            vf_transpose(block);                                            \
            UNROLL                                                          \
            for (size_t i = 0; i < F_LANES; i++) {                          \
                sum[i % SUMS] = vf_fma(block[i], block[i], sum[i % SUMS]);  \
                vf_store(group + (j + i) * FLA_GROUP + first, block[i]);    \
            }                                                               \
        }                                                                   \
        for (size_t j = whole; j < dim; j++) {                              \
            float *column = group + j * FLA_GROUP + first;                  \
            for (size_t i = 0; i < F_LANES; i++)                            \
                column[i] = (float)load(rows[first + i], j);                \
            const vf values = vf_load(column);                              \
            sum[0] = vf_fma(values, values, sum[0]);                        \
        }                                                                   \
        sum[0] = vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3]));    \
        vf_storeu(norms + first, vf_sqrt(sum[0]));                          \
    }

static void narrow_f32(const void *const rows[FLA_GROUP], size_t dim, float *group,
                       float norms[FLA_GROUP])
{
    FLA_NARROW(float, vf_loadu, load_f32)
}

static void narrow_f64(const void *const rows[FLA_GROUP], size_t dim, float *group,
                       float norms[FLA_GROUP])
{
    FLA_NARROW(double, vf_loadu_f64, load_f64)
}

/* What a register block of the bucket kernel works on: row vectors and functions. */
typedef struct bucket_block {
    const fla_narrow *narrow;
    const float *rows;  /* the first vector's; the others' follow as in a group */
    const float *norms; /* the first vector's */
    size_t first;       /* function */
    int64_t *buckets;   /* the first group's of the first function */
    uint16_t *unsure;   /* the same */
    fetching ahead;
} bucket_block;

/* Buckets of r row vectors, whole groups, by n functions. */
INLINE uint64_t bucket_functions(bucket_block *block, size_t r, size_t n)
{
    const fla_narrow *narrow = block->narrow;
    const vf least = vf_set1(narrow->least);
    vf y[VECTORS][ROWS_P];
    uint64_t any = 0;
    multiply_rows(block->rows, narrow->dim, narrow->vectors + block->first * narrow->dim,
                  n, r, &block->ahead, y);
    UNROLL
    for (size_t f = 0; f < n; f++) {
        const vf tolerance = vf_set1(narrow->tolerances[block->first + f]);
        const vf offset = vf_set1(narrow->offsets[block->first + f]);
        uint64_t unsure = 0;
        UNROLL
        for (size_t i = 0; i < r; i++) {
            const size_t at =
                i / GROUP_F * narrow->functions + f; /* group and function */
            const size_t lane = i % GROUP_F * F_LANES;
            const vf norm = vf_loadu(block->norms + i * F_LANES);
            const vf slack = vf_fma(norm, tolerance, least);
            const vf placed = vf_add(y[f][i], offset);
            const vf low = vf_floor(vf_sub(placed, slack));
            const vf high = vf_floor(vf_add(placed, slack));
            vi_store_wide(block->buckets + at * FLA_GROUP + lane, vi_from_f(low));
            unsure |= vf_not_equal(low, high) << lane;
            if (lane + F_LANES == FLA_GROUP) {
                block->unsure[at] = (uint16_t)unsure;
                any |= unsure;
                unsure = 0;
            }
        }
    }
    block->first += n;
    block->buckets += n * FLA_GROUP;
    block->unsure += n;
    return any;
}

/* The functions left over, n of them, as one register block. */
#define FLA_BUCKETS_LEFT(n) \
    case n:                 \
        return any | bucket_functions(block, r, n);

/* Buckets of r row vectors, whole groups, by every function. */
INLINE uint64_t bucket_rows(bucket_block *block, size_t r)
{
    const size_t functions = block->narrow->functions;
    uint64_t any = 0;
    while (block->first + VECTORS <= functions)
        any |= bucket_functions(block, r, VECTORS);
    switch (functions - block->first) {
        FLA_VECTORS_LEFT(FLA_BUCKETS_LEFT)
        default:
            return any;
    }
}

static uint32_t bucket(const fla_narrow *narrow, const float *groups, const float *norms,
                       size_t n_groups, const void *ahead, size_t ahead_bytes,
                       int64_t *buckets, uint16_t *unsure)
{
    enum { TOGETHER = ROWS_P / GROUP_F }; /* groups of a register block */
    const size_t dim = narrow->dim, functions = narrow->functions;
    const size_t runs = ((n_groups - 1) / TOGETHER + 1) *
                        ((functions - 1) / VECTORS + 1) * ((dim - 1) / FLA_RUN + 1);
    fetching fetched = {ahead, ahead_bytes / runs};
    uint64_t any = 0;
    for (size_t g = 0; g < n_groups; g += TOGETHER) {
        const size_t at = g * functions;
        bucket_block block = {.narrow = narrow,
                              .rows = groups + g * dim * FLA_GROUP,
                              .norms = norms + g * FLA_GROUP,
                              .buckets = buckets + at * FLA_GROUP,
                              .unsure = unsure + at,
                              .ahead = fetched};
        const bool full = TOGETHER == 1 || g + TOGETHER <= n_groups;
        any |= full ? bucket_rows(&block, ROWS_P) : bucket_rows(&block, GROUP_F);
        fetched = block.ahead;
    }
    return (uint32_t)any;
}

static void lay_out(const int64_t *buckets, size_t functions, size_t n, int64_t *out)
{
    const size_t whole = n == FLA_GROUP ? functions - functions % D_LANES : 0;
    for (size_t first = 0; first < FLA_GROUP && whole != 0; first += D_LANES) {
        for (size_t f = 0; f < whole; f += D_LANES) {
            vd block[D_LANES];
            UNROLL
            for (size_t i = 0; i < D_LANES; i++)
                block[i] = vl_load(buckets + (f + i) * FLA_GROUP + first);
            vd_transpose(block);
            UNROLL
            for (size_t i = 0; i < D_LANES; i++)
                vl_storeu(out + (first + i) * functions + f, block[i]);
        }
    }
    lay_out_from(buckets, functions, whole, n, out);
}

#endif
