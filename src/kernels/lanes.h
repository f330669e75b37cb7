/*
 * The kernels in terms of vectors, written once: avx2.c and avx512.c define the vector
 * types and operations below for their instruction set and include this file.
 *
 *   vf, vd           vectors of F_LANES floats, of D_LANES = F_LANES / 2 doubles
 *   vf_*, vd_*       one instruction each; loads and stores at aligned addresses are
 * _load and _store, at any address _loadu QUERIES, ROWS_F  queries and row vectors of one
 * register block of the filter TABLES           hash tables of one register block of the
 * projection
 *
 * The blocks are sized so that accumulators, one row vector set and temporaries fit in
 * the register file; loops over them have constant bounds and unroll completely.
 */
#ifndef FLA_KERNELS_LANES_H
#define FLA_KERNELS_LANES_H

#include "kernels/portable.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { GROUP_F = FLA_GROUP / F_LANES, GROUP_D = FLA_GROUP / D_LANES };

/* ---- packing: blocks of lanes x lanes are transposed in registers ---------------- */

INLINE void store_f32(void *group, size_t at, vf v)
{
    vf_store((float *)group + at, v);
}

INLINE void store_f32_as_f64(void *group, size_t at, vf v)
{
    vd_store((double *)group + at, vd_from_low(v));
    vd_store((double *)group + at + D_LANES, vd_from_high(v));
}

INLINE void store_f64_as_f32(void *group, size_t at, vd v)
{
    vd_store_as_f32((float *)group + at, v);
}

INLINE void store_f64(void *group, size_t at, vd v)
{
    vd_store((double *)group + at, v);
}

/*
 * One pack kernel: v is vf or vd, LANES its lanes, source the rows' type, target the
 * group's, put a store_* above.  The columns past the last whole block go one by one.
 */
#define FLA_PACK(v, LANES, source, target, put, load)                            \
    const size_t whole = dim - dim % LANES;                                      \
    v##_bits most = v##_bits_zero();                                             \
    for (size_t first = 0; first < FLA_GROUP; first += LANES) {                  \
        for (size_t j = 0; j < whole; j += LANES) {                              \
            v block[LANES];                                                      \
            UNROLL                                                               \
            for (size_t i = 0; i < LANES; i++) {                                 \
                block[i] = v##_loadu((const source *)rows[first + i] + j);       \
                most = v##_bits_max(most, block[i]);                             \
                _mm_prefetch((const source *)ahead[first + i] + j, _MM_HINT_T0); \
            }                                                                    \
            v##_transpose(block);                                                \
            UNROLL                                                               \
            for (size_t i = 0; i < LANES; i++)                                   \
                put(group, (j + i) * FLA_GROUP + first, block[i]);               \
        }                                                                        \
    }                                                                            \
    double peak = v##_bits_peak(most);                                           \
    for (size_t j = whole; j < dim; j++) {                                       \
        for (size_t i = 0; i < FLA_GROUP; i++) {                                 \
            const double value = load(rows[i], j);                               \
            ((target *)group)[j * FLA_GROUP + i] = (target)value;                \
            peak = larger_magnitude(peak, value);                                \
        }                                                                        \
    }                                                                            \
    return peak;

static double pack_f32_to_f32(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(vf, F_LANES, float, float, store_f32, load_f32)
}

static double pack_f32_to_f64(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(vf, F_LANES, float, double, store_f32_as_f64, load_f32)
}

static double pack_f64_to_f32(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim, void *group)
{
    FLA_PACK(vd, D_LANES, double, float, store_f64_as_f32, load_f64)
}

static double pack_f64_to_f64(const void *const rows[FLA_GROUP],
                              const void *const ahead[FLA_GROUP], size_t dim,
                              void *group){
    FLA_PACK(vd, D_LANES, double, double, store_f64, load_f64)}

/* ---- the filter ------------------------------------------------------------------ */

/* Row vector v of a tile: group v / GROUP_F, lanes from (v % GROUP_F) * F_LANES on. */
INLINE const float *row_vector(const float *tile, size_t dim, size_t v)
{
    return tile + (v / GROUP_F) * dim * FLA_GROUP + (v % GROUP_F) * F_LANES;
}

/* n queries against ROWS_F row vectors from the first-th on. */
INLINE void filter_block(const float *tile, size_t dim, size_t first,
                         const float *queries, size_t n, const float *limits,
                         uint64_t *keep)
{
    const float *row[ROWS_F];
    vf sum[QUERIES][ROWS_F];
    UNROLL
    for (size_t v = 0; v < ROWS_F; v++) {
        row[v] = row_vector(tile, dim, first + v);
        UNROLL
        for (size_t q = 0; q < n; q++)
            sum[q][v] = vf_zero();
    }
    for (size_t j = 0; j < dim; j++) {
        vf x[ROWS_F];
        UNROLL
        for (size_t v = 0; v < ROWS_F; v++)
            x[v] = vf_load(row[v] + j * FLA_GROUP);
        UNROLL
        for (size_t q = 0; q < n; q++) {
            const vf query = vf_set1(queries[q * dim + j]);
            UNROLL
            for (size_t v = 0; v < ROWS_F; v++) {
                const vf difference = vf_sub(x[v], query);
                sum[q][v] = vf_fma(difference, difference, sum[q][v]);
            }
        }
    }
    UNROLL
    for (size_t q = 0; q < n; q++) {
        UNROLL
        for (size_t v = 0; v < ROWS_F; v++)
            keep[q] |= vf_not_greater(sum[q][v], vf_set1(limits[q]))
                       << ((first + v) * F_LANES);
    }
}

INLINE void filter_queries(const float *tile, size_t dim, const float *queries, size_t n,
                           const float *limits, uint64_t *keep)
{
    UNROLL
    for (size_t q = 0; q < n; q++)
        keep[q] = 0;
    for (size_t first = 0; first < FLA_TILE / F_LANES; first += ROWS_F)
        filter_block(tile, dim, first, queries, n, limits, keep);
}

static void filter_f32(const float *tile, size_t dim, const float *queries,
                       size_t n_queries, const float *limits, uint64_t *keep)
{
    size_t q = 0;
    for (; q + QUERIES <= n_queries; q += QUERIES)
        filter_queries(tile, dim, queries + q * dim, QUERIES, limits + q, keep + q);
    for (; q < n_queries; q++)
        filter_queries(tile, dim, queries + q * dim, 1, limits + q, keep + q);
}

/* ---- the projection -------------------------------------------------------------- */

/* n hash tables; each of the GROUP_D x n lanes vectors is one chain of fused steps. */
INLINE void project_tables(const double *group, size_t dim, const double *vectors,
                           size_t n, double reciprocal, double *buckets)
{
    vd sum[TABLES][GROUP_D];
    UNROLL
    for (size_t t = 0; t < n; t++) {
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++)
            sum[t][v] = vd_zero();
    }
    for (size_t j = 0; j < dim; j++) {
        vd x[GROUP_D];
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++)
            x[v] = vd_load(group + j * FLA_GROUP + v * D_LANES);
        UNROLL
        for (size_t t = 0; t < n; t++) {
            const vd vector = vd_set1(vectors[t * dim + j]);
            UNROLL
            for (size_t v = 0; v < GROUP_D; v++)
                sum[t][v] = vd_fma(x[v], vector, sum[t][v]);
        }
    }
    UNROLL
    for (size_t t = 0; t < n; t++) {
        UNROLL
        for (size_t v = 0; v < GROUP_D; v++)
            vd_store(buckets + t * FLA_GROUP + v * D_LANES,
                     vd_floor(vd_mul(vd_set1(reciprocal), sum[t][v])));
    }
}

/* The tables left over, n of them, as one register block. */
#define FLA_PROJECT_LEFT(n)                                          \
    case n:                                                          \
        project_tables(group, dim, vectors + t * dim, n, reciprocal, \
                       buckets + t * FLA_GROUP);                     \
        break;

static void project_f64(const double *group, size_t dim, const double *vectors,
                        size_t tables, double reciprocal, double *buckets)
{
    size_t t = 0;
    for (; t + TABLES <= tables; t += TABLES)
        project_tables(group, dim, vectors + t * dim, TABLES, reciprocal,
                       buckets + t * FLA_GROUP);
    switch (tables - t) {
        FLA_TABLES_LEFT(FLA_PROJECT_LEFT)
        default:
            break;
    }
}

/* ---- buckets --------------------------------------------------------------------- */

static uint64_t match_i64(const int64_t *buckets, int64_t bucket)
{
    uint64_t same = 0;
    UNROLL
    for (size_t i = 0; i < FLA_TILE; i += D_LANES)
        same |= vi_equal(buckets + i, bucket) << i;
    return same;
}

#define FLA_KERNELS_TABLE(tier, cpu)        \
    {                                       \
        .name = tier,                       \
        .needs = cpu,                       \
        .pack_f32_to_f32 = pack_f32_to_f32, \
        .pack_f64_to_f32 = pack_f64_to_f32, \
        .pack_f32_to_f64 = pack_f32_to_f64, \
        .pack_f64_to_f64 = pack_f64_to_f64, \
        .filter_f32 = filter_f32,           \
        .distance_f32 = distance_f32,       \
        .distance_f64 = distance_f64,       \
        .project_f64 = project_f64,         \
        .match_i64 = match_i64,             \
    }

#endif
