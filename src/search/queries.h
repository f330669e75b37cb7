/* The resident side of a search: queries, or a block of a join's left rows. */
#ifndef FLA_SEARCH_QUERIES_H
#define FLA_SEARCH_QUERIES_H

#include "lsh/hash.h"

typedef struct fla_queries {
    fla_matrix rows;  /* borrowed: what distances are computed from */
    size_t n;         /* rows.rows */
    float *packed;    /* [n x dim]: what the filter reads */
    double *rounding; /* [n]: at least what rounding to float32 moved each */
    int64_t *buckets; /* [n x tables], or NULL without a model */
} fla_queries;

/* Room for rows; model may be NULL.  False: no memory.  Clear in either case. */
bool fla_queries_init(fla_queries *queries, const fla_model *model,
                      const fla_matrix *rows);
void fla_queries_clear(fla_queries *queries);

/*
 * Prepare queries first .. first + n - 1.  hasher belongs to the model, NULL without one.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_queries_fill(fla_queries *queries, fla_hasher *hasher, size_t first,
                            size_t n);

#endif
