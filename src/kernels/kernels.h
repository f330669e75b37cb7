/*
 * The contract of the inner loops, one implementation per instruction set.
 *
 * Rows are handled in groups of 16 and tiles of 64.  A packed group holds coordinate j of
 * its 16 rows side by side, [dim x 16]; a packed tile is four packed groups one after the
 * other.  Packed blocks, and whatever else is said to be aligned, start on FLA_ALIGNMENT
 * bytes; row pointers need no alignment and may end at an unmapped page.
 *
 * Numerics.  The float64 kernels are exact contracts: the order of operations is given
 * and every tier returns the same bits.  The float32 filter is a bound: any order of
 * additions, fused or not, so tiers may differ; see search/bound.h for what may rely on
 * it.
 */
#ifndef FLA_KERNELS_KERNELS_H
#define FLA_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FLA_GROUP = 16,
    FLA_TILE = 64,
    FLA_TILE_GROUPS = FLA_TILE / FLA_GROUP,
    FLA_PAIRS = 4, /* rows that one call of a distance kernel takes */
};

/*
 * Transpose 16 rows of dim values into a packed group, converted to the group's type
 * (float64 to float32 rounds to nearest; beyond float32 becomes infinity).
 *
 * ahead  16 rows of the same kind that will be packed next, fetched towards the cache:
 *        rows lie in as many streams as the hardware's own prefetchers follow badly.
 *
 * Returns the largest magnitude read, +infinity if any value read is NaN or infinite.
 */
typedef double fla_pack_fn(const void *const rows[FLA_GROUP],
                           const void *const ahead[FLA_GROUP], size_t dim, void *group);

/*
 * For each query, the set of rows r (bit r) of a packed float32 tile with
 * !(sum over j of (query_j - row_j)^2 > limit), so that a NaN keeps its row.
 *
 * queries  [n_queries x dim], aligned.
 */
typedef void fla_filter_fn(const float *tile, size_t dim, const float *queries,
                           size_t n_queries, const float *limits, uint64_t *keep);

/*
 * Euclidean distances of four rows from a query: the correctly rounded square root of
 * sum_j (row_j - query_j)^2 in double, from 0.0, j ascending, subtract, multiply and add
 * each rounded.
 */
typedef void fla_distance_fn(const void *const rows[FLA_PAIRS], size_t dim,
                             const double *query, double distances[FLA_PAIRS]);

/*
 * Buckets of a packed float64 group in every hash table, as doubles:
 * floor(reciprocal * s), s = fma(row_j, vector_j, s) for j ascending from 0.0.
 *
 * vectors  [tables x dim].
 * buckets  [tables x 16], aligned.
 */
typedef void fla_project_fn(const double *group, size_t dim, const double *vectors,
                            size_t tables, double reciprocal, double *buckets);

/* The rows r (bit r) of a tile with buckets[r] == bucket.  buckets: [64], aligned. */
typedef uint64_t fla_match_fn(const int64_t *buckets, int64_t bucket);

typedef struct fla_kernels {
    const char *name; /* what FAST_LSH_ANN_SIMD=<name> asks for */
    uint32_t needs;   /* FLA_CPU_* bits that must all be present */
    fla_pack_fn *pack_f32_to_f32, *pack_f64_to_f32;
    fla_pack_fn *pack_f32_to_f64, *pack_f64_to_f64;
    fla_filter_fn *filter_f32;
    fla_distance_fn *distance_f32, *distance_f64; /* by the type of the rows */
    fla_project_fn *project_f64;
    fla_match_fn *match_i64;
} fla_kernels;

extern const fla_kernels fla_kernels_scalar; /* defines the right answer */
#if defined(__x86_64__)
extern const fla_kernels fla_kernels_avx2;
extern const fla_kernels fla_kernels_avx512;
#endif

/* Tiers of this build, best first, scalar last; NULL past the end. */
const fla_kernels *fla_kernels_at(size_t i);

/* The best tier for a processor, or that of a name; NULL: unknown or unusable. */
const fla_kernels *fla_kernels_pick(uint32_t cpu, const char *want);

#endif
