/*
 * All candidates within a fixed radius of each query, kept in memory: what a radius
 * search returns, and a join whose pairs are collected or counted.
 *
 * Queries are prepared a batch at a time.  A task scans one range of base rows for one
 * block of queries and keeps what it finds to itself; when all is found, the pairs are
 * put into lists, one a query or one a base row, each in ascending order of the other.
 */
#ifndef FLA_SEARCH_WITHIN_H
#define FLA_SEARCH_WITHIN_H

#include "search/found.h"
#include "search/scan.h"

typedef struct fla_within {
    /* what is asked; fla_within_run reads it */
    fla_context *context;
    const fla_model *model; /* NULL: every row is a candidate */
    const fla_base *base;
    const fla_matrix *queries;
    const double *radius; /* one, or one a query */
    bool one_radius;
    uint64_t min_collisions;
    fla_plan plan;
    bool strict;              /* distance < radius */
    bool upper;               /* rows numbered above the query's number only */
    bool count;               /* only count: keep no pair */
    const fla_sketch *sketch; /* of the pairs' collisions, to admit them by; or NULL */

    /* how the work is cut */
    size_t block, blocks;      /* queries of a task, and such blocks in all */
    size_t range_rows, ranges; /* base rows of a task, and such ranges in all */
    const fla_runs *runs;      /* NULL: all rows are scanned; else there is one range */
    fla_runs own_runs;         /* where they are made for this search alone */

    /* what was found */
    fla_found *found; /* [blocks x ranges] */
    uint64_t *counts; /* [threads] */
    uint64_t pairs;

    /* working memory */
    unsigned threads;
    fla_scan *scans; /* [threads] */
    fla_queries batch;
    size_t batch_first,
        batch_queries; /* where the batch begins; queries of one, at most */
} fla_within;

/* What a search reports as progress: queries x base rows. */
static inline uint64_t fla_within_units(const fla_within *within)
{
    return (uint64_t)within->queries->rows * within->base->rows.rows;
}

/*
 * Find them all.  run's done grows by fla_within_units.
 * Returns FLA_OK, FLA_ERR_NONFINITE or FLA_ERR_RANGE (of the queries, without describing
 * it), FLA_ERR_MEMORY or FLA_ERR_CANCELLED.  Clear in any case.
 */
fla_status fla_within_run(fla_within *within, fla_run *run);
void fla_within_clear(fla_within *within);

/* Lists of pairs, all in one: list i is at starts[i] .. starts[i + 1] - 1. */
typedef struct fla_within_lists {
    bool by_row;     /* a list for each base row, of queries; else the other way round */
    int64_t *starts; /* [lists + 1] */
    int64_t *owners; /* which list's: its number; NULL: not wanted */
    int64_t *others; /* the numbers of rows, or of queries */
    double *distances; /* all three [pairs] */
} fla_within_lists;

/*
 * Put what was found into lists, and forget it.  Numbers count from the first_row of
 * their side.
 * Returns FLA_OK, FLA_ERR_MEMORY or FLA_ERR_CANCELLED.
 */
fla_status fla_within_take(fla_within *within, const fla_call *call,
                           fla_within_lists *lists);

#endif
