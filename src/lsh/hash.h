/* Buckets of rows, 16 rows at a time. */
#ifndef FLA_LSH_HASH_H
#define FLA_LSH_HASH_H

#include "lsh/context.h"
#include "lsh/rows.h"

/* True when a bucket number, a whole double, fits int64; false for NaN. */
static inline bool fla_bucket_fits(double bucket)
{
    return bucket >= -0x1p63 && bucket < 0x1p63;
}

/*
 * True when no row with coordinates up to peak in magnitude can have a bucket beyond
 * int64, so that hashing it need not be tried.
 *
 * The chain of fused steps stays within (1 + dim * u) * sum |x_j r_j|, and that sum
 * within peak * sqrt(dim) * |r| with |r| <= 1 + dim * u (Cauchy-Schwarz); twofold room
 * covers the roundings for every dim below 2^50.
 */
bool fla_buckets_surely_fit(const fla_model *model, double peak);

/* One bucket, by the definition; for naming a fault, not for speed. */
double fla_hash_one(const fla_model *model, const fla_matrix *rows, size_t i,
                    size_t table);

/* Working memory for hashing groups of rows with one model. */
typedef struct fla_hasher {
    const fla_kernels *kernels;
    const fla_model *model;
    double *group;   /* [dim x 16] */
    double *buckets; /* [tables x 16]: what fla_hash_group leaves */
} fla_hasher;

bool fla_hasher_init(fla_hasher *hasher, const fla_kernels *kernels,
                     const fla_model *model); /* false: no memory */
void fla_hasher_clear(fla_hasher *hasher);

/*
 * Bucket 16 rows into hasher->buckets; ahead as for the pack kernels.
 * Returns FLA_OK or FLA_ERR_NONFINITE.
 */
fla_status fla_hash_group(fla_hasher *hasher, fla_dtype dtype,
                          const void *const rows[FLA_GROUP],
                          const void *const ahead[FLA_GROUP]);

/*
 * Bucket n rows into out [n x tables], row-major.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_hash_rows(fla_hasher *hasher, const fla_matrix *rows, int64_t *out);

#endif
