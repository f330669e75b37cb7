/* The k nearest of the rows seen so far, by (distance, row). */
#ifndef FLA_SEARCH_TOPK_H
#define FLA_SEARCH_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "search/bound.h"

/*
 * A buffer of somewhat more than k rows.  A row's distance may be an estimate, an upper
 * bound of it: then the row is stored as ~row, and is measured before it matters.
 */
typedef struct fla_topk {
    double *distances; /* in no order before fla_topk_sort */
    int64_t *rows;
    size_t count, capacity;
    double radius; /* beyond it nothing can enter: infinity until there are k */
} fla_topk;

/* Rows a buffer has room for at most, so that k of them can be told. */
size_t fla_topk_most(size_t k);

void fla_topk_init(fla_topk *top); /* holds no memory yet */
void fla_topk_clear(fla_topk *top);

/* Add a row that is not full; false when there is no memory for it. */
bool fla_topk_add(fla_topk *top, size_t k, double distance, int64_t row);

/* True when it must be tightened or selected before more is added. */
bool fla_topk_full(const fla_topk *top, size_t k);

/*
 * Lower the radius to about the k-th least distance and drop what cannot be among the k
 * nearest.  Leaves it full where distances are too close to be told apart.
 */
void fla_topk_tighten(fla_topk *top, size_t k, const fla_estimator *estimator);

/* Keep the k nearest, or all if they are fewer; every row must have been measured. */
void fla_topk_select(fla_topk *top, size_t k);

/* Select and order by (distance, row). */
void fla_topk_sort(fla_topk *top, size_t k);

#endif
