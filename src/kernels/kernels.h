/*
 * The contract of the inner loops, one implementation per instruction set.
 *
 * Rows are handled in groups of 16 and tiles of 64.  A packed group holds coordinate j of
 * its 16 rows side by side, [dim x 16]; a packed tile is four packed groups one after the
 * other.  Packed blocks, and whatever else is said to be aligned, start on FLA_ALIGNMENT
 * bytes; row pointers need no alignment and may end at an unmapped page.
 *
 * Codes.  A coordinate's code is a small integer; four codes make a step.  A coded group
 * holds step s of its 16 rows side by side, [steps x 16 x 4] bytes, a coded tile is four
 * coded groups one after the other.  Rows of the base are stored with code_offset added,
 * queries as they are, so that the products suit the tier's instruction.
 *
 * Numerics.  The float64 kernels are exact contracts: the order of operations is given
 * and every tier returns the same bits.  So are the code kernels: integers.  The float32
 * sums are bounds: any order of additions, fused or not, so tiers may differ; see
 * search/bound.h for what may rely on them.
 */
#ifndef FLA_KERNELS_KERNELS_H
#define FLA_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FLA_GROUP = 16,
    FLA_TILE = 64,
    FLA_TILE_GROUPS = FLA_TILE / FLA_GROUP,
    FLA_STEP = 4, /* codes that lie together */
    FLA_RUN = 64, /* coordinates that a float32 sum takes before it starts anew */
    FLA_ESTIMATE_LANES = 8,
    FLA_PAIRS = 8, /* pairs that one call of a distance or chain kernel takes */
};

/* ---- rows and floats ------------------------------------------------------------- */

/*
 * Transpose 16 rows of dim values into a packed float64 group.
 *
 * ahead  16 rows of the same kind that will be packed next, fetched towards the cache:
 *        rows lie in as many streams as the hardware's own prefetchers follow badly.
 *
 * Returns the largest magnitude read, +infinity if any value read is NaN or infinite.
 */
typedef double fla_pack_fn(const void *const rows[FLA_GROUP],
                           const void *const ahead[FLA_GROUP], size_t dim, double *group);

/*
 * The same into a packed float32 group, less a centre: value - centre[j], subtracted in
 * the type of the rows, then rounded to float32; infinite where that is beyond float32.
 */
typedef double fla_center_fn(const void *const rows[FLA_GROUP],
                             const void *const ahead[FLA_GROUP], size_t dim,
                             const float *centre, float *group);

/*
 * What encoding 16 rows left behind.  The float32 sums are summed in runs: at most
 * FLA_RUN terms in any order, and the sums of the runs, at most dim / FLA_RUN + 1 of
 * them, in any order; so a term passes fewer additions than there are terms.
 */
typedef struct fla_residue {
    int32_t squares[FLA_GROUP]; /* sum of code^2, exact */
    float
        residual[FLA_GROUP]; /* sum of (value - scale * code)^2, each difference fused */
    float length[FLA_GROUP]; /* sum of value^2 */
} fla_residue;

/*
 * Code a packed float32 group: code = value / scale, near enough to the nearest whole
 * number, clamped to -code_max - 1 and code_max; stored with code_offset added;
 * coordinates past dim have code 0.  Values that are not finite get some code and a
 * residual that is not finite.
 *
 * scale  > 0 with a finite reciprocal.
 * codes  a coded group of (dim + 3) / 4 steps, aligned.
 */
typedef void fla_encode_fn(const float *group, size_t dim, float scale, int32_t code_max,
                           int32_t code_offset, uint8_t *codes, fla_residue *residue);

/*
 * Products of a packed float32 group with vectors [n x dim]: products[v * 16 + i] is the
 * sum over j of row_ij * vectors[v * dim + j] in float32, fused or not, summed in runs as
 * above.
 *
 * products  [n x 16], aligned.
 */
typedef void fla_multiply_fn(const float *group, size_t dim, const float *vectors,
                             size_t n, float *products);

/*
 * For each query, the set of rows r (bit r) of a packed float32 tile with
 * !(sum over j of (query_j - row_j)^2 > limit), so that a NaN keeps its row.
 *
 * queries  [n_queries x dim], aligned.
 */
typedef void fla_filter_fn(const float *tile, size_t dim, const float *queries,
                           size_t n_queries, const float *limits, uint64_t *keep);

/*
 * Euclidean distances of eight pairs of a row and a query: the correctly rounded square
 * root of sum_j (row_j - query_j)^2 in double, from 0.0, j ascending, subtract, multiply
 * and add each rounded.  Pairs may repeat.
 */
typedef void fla_distance_fn(const void *const rows[FLA_PAIRS],
                             const void *const queries[FLA_PAIRS], size_t dim,
                             double distances[FLA_PAIRS]);

/*
 * About the sum over j of (row_j - query_j)^2: in float32 if both are float32, else in
 * double; fused or not; a term passes at most dim / FLA_ESTIMATE_LANES +
 * FLA_ESTIMATE_LANES additions.  For what it may be used see search/bound.h.
 */
typedef double fla_estimate_fn(const void *row, const void *query, size_t dim);

/*
 * Buckets of a packed float64 group by every hash function, as doubles:
 * floor(reciprocal * (s + offset)), s = fma(row_j, vector_j, s) for j ascending from 0.0.
 *
 * vectors  [functions x dim].
 * offsets  [functions].
 * buckets  [functions x 16], aligned.
 */
typedef void fla_project_fn(const double *group, size_t dim, const double *vectors,
                            const double *offsets, size_t functions, double reciprocal,
                            double *buckets);

/* s of fla_project_fn for eight pairs of a row and a vector; pairs may repeat. */
typedef void fla_chain_fn(const void *const rows[FLA_PAIRS],
                          const double *const vectors[FLA_PAIRS], size_t dim,
                          double sums[FLA_PAIRS]);

/*
 * Transpose 16 rows into a packed float32 group, each value rounded to float32 (infinite
 * where it is beyond).
 *
 * norms  [16]: the square root of each row's sum of squares of what is in the group, in
 *        float32, summed in any order: infinite or NaN if any value is.
 */
typedef void fla_narrow_fn(const void *const rows[FLA_GROUP], size_t dim, float *group,
                           float norms[FLA_GROUP]);

/* What the bucket kernel projects on, and how far off its projections may be. */
typedef struct fla_narrow {
    size_t functions, dim;
    float *vectors;    /* [functions x dim] */
    float *offsets;    /* [functions] */
    float *tolerances; /* [functions] */
    float least;
} fla_narrow;

/*
 * Buckets of packed float32 groups that are the same for every projection within a slack.
 *
 * The projection y of a row on a vector: the products over each run of FLA_RUN
 * coordinates are summed, j ascending, each rounded before it is added or fused; then the
 * runs' sums, in order; then the offset.  The slack of a pair is norm * tolerance +
 * least, fused or not. The caller sees to |y| + slack < 2^30.
 *
 * groups   [n_groups x dim x 16], aligned.
 * norms    [n_groups x 16].
 * ahead    ahead_bytes of memory to be fetched towards the cache meanwhile: sums need
 *          none, and the memory would idle.
 * buckets  [n_groups x functions x 16], aligned: floor(y - slack).
 * unsure   [n_groups x functions]: bit r is set where row r's floor(y + slack) differs.
 *
 * Returns the union of unsure.
 */
typedef uint32_t fla_bucket_fn(const fla_narrow *narrow, const float *groups,
                               const float *norms, size_t n_groups, const void *ahead,
                               size_t ahead_bytes, int64_t *buckets, uint16_t *unsure);

/*
 * Lay the buckets of the first n of 16 rows, [functions x 16] and aligned, out row by
 * row: out [n x functions].
 */
typedef void fla_lay_out_fn(const int64_t *buckets, size_t functions, size_t n,
                            int64_t *out);

/* The rows r (bit r) of a tile with buckets[r] == bucket.  buckets: [64], aligned. */
typedef uint64_t fla_match_fn(const int64_t *buckets, int64_t bucket);

typedef struct fla_float_kernels {
    fla_center_fn *center_f32, *center_f64; /* by the type of the rows */
    fla_pack_fn *pack_f32, *pack_f64;
    fla_encode_fn *encode;
    fla_multiply_fn *multiply;
    fla_filter_fn *filter;
    fla_distance_fn *distance[2][2]; /* [fla_dtype of the rows][of the queries] */
    fla_estimate_fn *estimate[2][2]; /* the same */
    fla_project_fn *project;
    fla_chain_fn *chain_f32, *chain_f64;    /* by the type of the rows */
    fla_narrow_fn *narrow_f32, *narrow_f64; /* the same */
    fla_bucket_fn *bucket;
    fla_lay_out_fn *lay_out;
    fla_match_fn *match_i64;
} fla_float_kernels;

/* ---- codes ----------------------------------------------------------------------- */

/* Rows of one tile that pass one query's limit: bit r stands for row r, never none. */
typedef struct fla_hit {
    uint64_t rows;
    uint64_t query;
} fla_hit;

/*
 * Score 64 rows against queries and list those that reach their query's limit.
 *
 * The score of a row is bias + sum over all codes of stored code * query code, in int32
 * without overflow (the caller sees to that).
 *
 * tile     a coded tile, aligned.
 * bias     [64], aligned.
 * queries  [n_queries x steps x 4], of any alignment.
 * limits   [n_queries]; a row passes with score >= limit.
 * hits     room for n_queries; queries ascend, counting from 0.
 *
 * Returns the number of hits.
 */
typedef size_t fla_filter_codes_fn(const uint8_t *tile, const int32_t *bias, size_t steps,
                                   const int8_t *queries, size_t n_queries,
                                   const int32_t *limits, fla_hit *hits);

/*
 * Raise best[q * stride + r], r < 64, to the score of row r for query q where that is
 * more.  best and stride * 4 are aligned.
 */
typedef void fla_best_codes_fn(const uint8_t *tile, const int32_t *bias, size_t steps,
                               const int8_t *queries, size_t n_queries, int32_t *best,
                               size_t stride);

/*
 * Of some rows of a tile, none or more, those that reach a limit, scored as above from
 * records: the stored codes of one row side by side, the next row after them.
 *
 * records  [64 x steps x 4].
 * query    [steps x 4].
 */
typedef uint64_t fla_check_codes_fn(const uint8_t *records, const int32_t *bias,
                                    size_t steps, const int8_t *query, int32_t limit,
                                    uint64_t rows);

typedef struct fla_code_kernels {
    float step_time;  /* about the nanoseconds of a step of a pair (bench/kernels.c on a
                         Zen 5; amx and neon_dot are guesses): for choosing plans */
    int32_t code_max; /* codes lie in [-code_max - 1, code_max] */
    int32_t code_offset; /* base rows are stored as the low byte of code + code_offset */
    fla_filter_codes_fn *filter;
    fla_best_codes_fn *best;
    fla_check_codes_fn *check;
} fla_code_kernels;

/* ---- tiers ----------------------------------------------------------------------- */

extern const fla_float_kernels fla_floats_scalar; /* these define the right answer */
extern const fla_code_kernels fla_codes_scalar;
#if defined(__x86_64__)
extern const fla_float_kernels fla_floats_avx2, fla_floats_avx512;
extern const fla_code_kernels fla_codes_avx2, fla_codes_avx_vnni;
extern const fla_code_kernels fla_codes_avx512, fla_codes_avx512_vnni, fla_codes_amx;
fla_check_codes_fn fla_check_codes_avx512_vnni; /* which fla_codes_amx shares */
#elif defined(__aarch64__)
extern const fla_code_kernels fla_codes_neon;
#endif

typedef struct fla_kernels {
    const char *name; /* what FAST_LSH_ANN_SIMD=<name> asks for */
    uint32_t needs;   /* FLA_CPU_* bits that must all be present */
    const fla_float_kernels *floats;
    const fla_code_kernels *codes;
} fla_kernels;

/* Tiers of this build, best first, scalar last; NULL past the end. */
const fla_kernels *fla_kernels_at(size_t i);

/* The best tier for a processor, or that of a name; NULL: unknown or unusable. */
const fla_kernels *fla_kernels_pick(uint32_t cpu, const char *want);

#endif
