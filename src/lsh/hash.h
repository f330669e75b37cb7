/* Buckets of rows: from float32 where it is sure of them, else by the definition. */
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
 * within peak * sum |r_j|; an offset is below the bucket length.  The factor 2 covers the
 * roundings for every dim below 2^50, and comes first: where the chain or its sum with
 * the offset might overflow, so does this.
 */
bool fla_buckets_surely_fit(const fla_model *model, double peak);

/* One bucket, by the definition; for naming a fault, not for speed. */
double fla_hash_one(const fla_model *model, const fla_matrix *rows, size_t i,
                    size_t function);

enum { FLA_HASH_GROUPS = 2 }; /* hashed together: see ROWS_P in kernels/floats_*.c */

/* Working memory for hashing groups of rows with one model. */
typedef struct fla_hasher {
    const fla_kernels *kernels;
    const fla_model *model;
    float *groups;    /* [2 x dim x 16] */
    uint16_t *unsure; /* [2 x functions] */
    double *exact;    /* [dim x 16]: a group that float32 does not serve */
    int64_t *buckets; /* [2 x functions x 16]; what fla_hash_group leaves comes first */
    size_t failures;  /* of float32 in a row, as 2^n - 1 up to a limit */
    size_t wait;      /* blocks until float32 is tried again */
} fla_hasher;

bool fla_hasher_init(fla_hasher *hasher, const fla_kernels *kernels,
                     const fla_model *model); /* false: no memory */
void fla_hasher_clear(fla_hasher *hasher);

/*
 * Bucket 16 rows into hasher->buckets.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_hash_group(fla_hasher *hasher, fla_dtype dtype,
                          const void *const rows[FLA_GROUP]);

/*
 * Bucket rows first .. first + n - 1 into out [n x functions], row-major.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_hash_rows(fla_hasher *hasher, const fla_matrix *rows, size_t first,
                         size_t n, int64_t *out);

#endif
