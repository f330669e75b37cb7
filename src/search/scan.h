/*
 * The one inner loop of every search: a block of queries against tiles of base rows.
 *
 * Distance first: the float32 filter drops what cannot be within a query's radius; only
 * what it keeps is tested for collision, and only candidates get an exact distance.  A
 * query without a radius yet (infinite) skips the filter, so that collision comes first
 * where distance cannot select.
 */
#ifndef FLA_SEARCH_SCAN_H
#define FLA_SEARCH_SCAN_H

#include "search/queries.h"
#include "search/tile.h"

/*
 * Receives the candidates of one query in one tile: n row numbers, ascending, and exact
 * distances, not all of them within the radius.  May set the query's radius.
 * Returns FLA_OK, or why the search must end.
 */
typedef struct fla_scan fla_scan;
typedef fla_status fla_scan_visit(fla_scan *scan, size_t query, size_t n,
                                  const int64_t *rows, const double *distances);

struct fla_scan {
    fla_tile tile;
    double *query;   /* [dim]: the query whose distances are being computed */
    size_t capacity; /* queries that radius and limits have room for */
    double *radius;  /* [capacity]: what may enter the answer is within it */
    float *limits;   /* [capacity]: the filter's limits for these radii */
    double rounding; /* of the base rows so far; the limits allow for it */

    /* set by fla_scan_begin */
    const fla_queries *queries;
    size_t first, n; /* the queries of this block */
    uint64_t min_collisions;
    bool upper; /* only rows numbered above the query's own number */
    fla_scan_visit *visit;
    void *arg; /* the visitor's */
};

/* Working memory for blocks of up to capacity queries.  False: no memory. */
bool fla_scan_init(fla_scan *scan, const fla_kernels *kernels, const fla_model *model,
                   size_t dim, size_t capacity);
void fla_scan_clear(fla_scan *scan);

/* Take queries first .. first + n - 1, n <= capacity, each with the same radius. */
void fla_scan_begin(fla_scan *scan, const fla_queries *queries, size_t first, size_t n,
                    double radius);

/* query counts from the first of the block. */
void fla_scan_set_radius(fla_scan *scan, size_t query, double radius);

/*
 * Scan base rows first .. first + n - 1; first is a multiple of 64.  Polls the job and
 * reports n rows x block queries to it.
 * Returns FLA_OK (also when the job was stopped), FLA_ERR_NONFINITE or FLA_ERR_RANGE for
 * the base rows, or what the visitor returned.
 */
fla_status fla_scan_rows(fla_scan *scan, const fla_matrix *rows, size_t first, size_t n,
                         fla_job *job, unsigned worker);

#endif
