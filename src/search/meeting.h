/*
 * Rows of two sides brought together by their buckets: which rows of the one, the base,
 * each row of the other, a query, shares a bucket with, hash table by hash table.  No
 * pair is kept.
 */
#ifndef FLA_SEARCH_MEETING_H
#define FLA_SEARCH_MEETING_H

#include "search/base.h"

typedef struct fla_meeting {
    fla_base base; /* the smaller side, its rows sorted into runs, not coded */
    const fla_matrix *queries; /* the larger side; of one side alone that one */
    bool itself;               /* there is one side alone, the left one */
    bool queries_are_right;
    const uint32_t *ranks; /* [queries x tables]: the run that a query meets */
    uint32_t *own_ranks;   /* NULL where these are the base's own */
} fla_meeting;

/*
 * Bring two sides together; right NULL: the left one with itself.  The rows are borrowed.
 * Clear in any case.
 *
 * Returns FLA_OK, FLA_ERR_SHAPE, FLA_ERR_NONFINITE or FLA_ERR_RANGE (err->argument is
 * "left" or "right"), FLA_ERR_ARGUMENT (a side of 2^32 - 1 rows or more), FLA_ERR_MEMORY,
 * FLA_ERR_CANCELLED, and describes it.
 */
fla_status fla_meeting_arrange(fla_meeting *meeting, fla_context *context, fla_run *run,
                               const fla_model *model, const fla_matrix *left,
                               const fla_matrix *right, fla_error *err);
void fla_meeting_clear(fla_meeting *meeting);

/* Free what only fla_meeting_rows needs. */
void fla_meeting_forget_ranks(fla_meeting *meeting);

/* The base rows a query shares a table's bucket with, ascending, and their number. */
static inline const uint32_t *fla_meeting_rows(const fla_meeting *meeting, size_t query,
                                               size_t table, size_t *n)
{
    const fla_runs *runs = &meeting->base.runs;
    return fla_runs_rows(runs, table, meeting->ranks[query * runs->n_tables + table], n);
}

#endif
