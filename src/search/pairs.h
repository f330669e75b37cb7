/* Joins whose pairs are kept or counted, as their kinds have in common. */
#ifndef FLA_SEARCH_PAIRS_H
#define FLA_SEARCH_PAIRS_H

#include "search/within.h"

/* A join as it is asked for. */
typedef struct fla_joining {
    fla_within within;
    double threshold;
    bool by_row;   /* the left rows are the base's: they are not the ones that search */
    bool mirrored; /* a self-join of which only left < right is searched */
    bool diagonal; /* and where (i, i) belongs to it */
    const char *argument; /* what the searched rows are called */
} fla_joining;

/*
 * Fill in a join whose arguments were checked.  It points into itself: do not copy it.
 *
 * queries  rows to search for; NULL: the base's own.
 * by_row   the left rows are the base's.
 */
void fla_joining_init(fla_joining *join, fla_context *context, const fla_model *model,
                      const fla_base *base, const fla_matrix *queries, bool by_row,
                      double threshold, const fla_search_options *options);

/*
 * Join, and collect the pairs into *out, or with NULL count them only.
 *
 * run    its done grows by fla_within_units.
 * total  pairs; also those found by a join that failed.
 *
 * Returns FLA_OK, FLA_ERR_NONFINITE, FLA_ERR_RANGE, FLA_ERR_MEMORY or FLA_ERR_CANCELLED,
 * and describes it.  Once.
 */
fla_status fla_joining_run(fla_joining *join, const fla_call *call, fla_run *run,
                           fla_pairs **out, uint64_t *total, fla_error *err);

#endif
