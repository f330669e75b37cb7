/*
 * The k nearest rows of each query so far.
 *
 * A query has one list, or one for each worker of those that share out rows; what any of
 * them has proven about the radius holds for all.  Lists take upper bounds of distances;
 * before it matters which of two is less, the rows are measured.
 */
#ifndef FLA_SEARCH_LISTS_H
#define FLA_SEARCH_LISTS_H

#include <stdatomic.h>

#include "base/pool.h"
#include "lsh/rows.h"
#include "search/topk.h"

typedef struct fla_lists {
    const fla_kernels *kernels;
    const fla_matrix *queries;
    size_t slots; /* lists of a query */
    size_t k;
    fla_topk *tops;         /* [slots x queries] */
    _Atomic double *radius; /* [queries] */

    /* set by fla_lists_meet */
    const fla_matrix *rows; /* what is offered: the block at hand */
    fla_estimator estimator;
} fla_lists;

/* Empty lists of queries, which are borrowed.  False: no memory.  Clear in any case. */
bool fla_lists_init(fla_lists *lists, const fla_kernels *kernels,
                    const fla_matrix *queries, size_t slots, size_t k);
void fla_lists_clear(fla_lists *lists);

/* From now on rows of this block are offered, with bounds of this estimator; all that was
   offered before is settled. */
void fla_lists_meet(fla_lists *lists, const fla_matrix *rows, fla_estimator estimator);

/* What may enter a query's list is within this radius. */
double fla_lists_radius(const fla_lists *lists, size_t query);

/* Lower it to what is proven elsewhere; the least that is known now. */
double fla_lists_lower(fla_lists *lists, size_t query, double radius);

/*
 * Offer rows of the block by their numbers, with upper bounds of their distances.  No two
 * threads may use one slot at a time.
 *
 * radius  the query's, as it is known after that.
 *
 * False: no memory.
 */
bool fla_lists_offer(fla_lists *lists, size_t slot, size_t query, size_t n,
                     const int64_t *rows, const double *bounds, double *radius);

/* Measure the rows of some queries' lists that may be among the k nearest. */
void fla_lists_settle(fla_lists *lists, size_t first, size_t n, fla_job *job,
                      unsigned worker);

/* A query's neighbors, all settled, nearest first in one list; NULL: no memory. */
const fla_topk *fla_lists_merge(fla_lists *lists, size_t query);

#endif
