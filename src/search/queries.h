/* The resident side of a search: queries, or a block of a join's left rows. */
#ifndef FLA_SEARCH_QUERIES_H
#define FLA_SEARCH_QUERIES_H

#include "lsh/hash.h"
#include "search/base.h"

/* One coding of all queries. */
typedef struct fla_coded_queries {
    size_t steps;     /* there is room for; 0: none */
    int8_t *codes;    /* [n x steps x 4] */
    fla_coded *coded; /* [n] */
} fla_coded_queries;

typedef struct fla_queries {
    fla_matrix rows;         /* borrowed: what distances are computed from */
    size_t n;                /* rows.rows */
    int64_t *buckets;        /* [n x functions], or NULL without a model */
    fla_coded_queries full;  /* as the base's rows are coded */
    fla_coded_queries brief; /* and its short forms */
} fla_queries;

/* Room for rows and their buckets; model may be NULL.  False: no memory.  Clear in either
 * case. */
bool fla_queries_init(fla_queries *queries, const fla_model *model,
                      const fla_matrix *rows);
void fla_queries_clear(fla_queries *queries);

/*
 * Check and bucket queries first .. first + n - 1.  hasher belongs to the model, NULL
 * without one.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE, without describing it.
 */
fla_status fla_queries_fill(fla_queries *queries, fla_hasher *hasher, size_t first,
                            size_t n);

/* Room for codes like those of a base.  False: no memory. */
bool fla_queries_reserve(fla_queries *queries, const fla_base *base);

/*
 * Code queries first .. first + n - 1 as a base codes its rows.
 *
 * work  as many floats as a tile of rows has, aligned.
 */
void fla_queries_encode(fla_queries *queries, const fla_base *base, float *work,
                        size_t first, size_t n);

static inline const int8_t *fla_coded_query(const fla_coded_queries *coded, size_t i)
{
    return coded->codes + i * coded->steps * FLA_STEP;
}

#endif
