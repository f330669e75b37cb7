/*
 * The one inner loop of every search: a block of queries against tiles of base rows.
 *
 * Distance first: a filter drops what cannot be within a query's radius; what it keeps is
 * tested for collision, and only candidates get an exact distance.  Rows that were coded
 * are filtered by integers, first by their short forms if they have any; where that drops
 * too little, and where nothing was coded, by float32.  A query without a radius yet
 * (infinite) keeps every row, so that collision comes first where distance cannot select.
 */
#ifndef FLA_SEARCH_SCAN_H
#define FLA_SEARCH_SCAN_H

#include "search/queries.h"
#include "search/tile.h"

/* Pairs whose distances are computed together: their rows arrive meanwhile. */
enum { FLA_SCAN_PAIRS = 256 };

/*
 * Receives candidates of one query: n row numbers with their distances, all within the
 * query's radius; or, if the scan estimates, upper bounds of distances that may be within
 * it.  May lower the radius.
 * Returns FLA_OK, or why the search must end.
 */
typedef struct fla_scan fla_scan;
typedef fla_status fla_scan_visit(fla_scan *scan, size_t query, size_t n,
                                  const int64_t *rows, const double *distances);

/* Pairs of a query of the block and a row of the base that wait for their distance. */
typedef struct fla_scan_pairs {
    size_t n;
    size_t query[FLA_SCAN_PAIRS];
    size_t row[FLA_SCAN_PAIRS];
} fla_scan_pairs;

struct fla_scan {
    const fla_kernels *kernels;
    size_t dim;
    fla_tile tile;
    size_t capacity; /* queries of a block, at most */
    double *radius;  /* [capacity]: what may enter the answer is within it */
    double *reach;   /* [capacity]: and an estimate kernel's sum up to this */
    fla_estimator estimator;
    fla_hit *hits; /* [capacity] */
    fla_scan_pairs pairs;

    /* the code filter */
    int32_t *code_limits;  /* [capacity] */
    int32_t *brief_limits; /* [capacity]: for short forms */

    /* the float32 filter, made ready when it is needed */
    bool floats_ready;
    float *floats;       /* [capacity x dim]: the queries less the centre */
    float *float_limits; /* [capacity] */
    double *rounding;    /* [capacity]: at least what that moved each query */
    double row_rounding; /* and the base rows so far; the limits allow for both */

    /* how codes have done lately on the rows of this base */
    size_t float_tiles;       /* tiles yet to be filtered by floats instead */
    size_t code_tiles;        /* those by codes since the last judgement */
    uint64_t lost;            /* pairs of them that were measured in vain */
    double spent, float_time; /* nanoseconds besides; what floats would have taken */

    /* set by fla_scan_begin */
    const fla_base *base;
    const fla_queries *queries;
    size_t first, n; /* the queries of this block */

    /* set by the caller after that */
    uint64_t min_collisions;
    bool upper;               /* only rows numbered above the query's own number */
    bool estimate;            /* the visitor takes upper bounds instead of distances */
    const fla_sketch *sketch; /* buckets' pairs that it tells apart are left; or NULL */
    fla_scan_visit *visit;
    void *arg; /* the visitor's */
};

/* The estimator for pairs of these rows and queries: what a scan of them uses. */
fla_estimator fla_scan_estimator(const fla_matrix *rows, const fla_matrix *queries);

/* Working memory for blocks of up to capacity queries.  False: no memory. */
bool fla_scan_init(fla_scan *scan, const fla_kernels *kernels, const fla_model *model,
                   size_t dim, size_t capacity);
void fla_scan_clear(fla_scan *scan);

/* Code queries in this scan's working memory, between scans; see fla_queries_encode. */
void fla_scan_encode(fla_scan *scan, fla_queries *queries, const fla_base *base,
                     size_t first, size_t n);

/*
 * Take queries first .. first + n - 1, n <= capacity, for rows of a base; queries are
 * coded as it is.  Every radius must be set after that.
 */
void fla_scan_begin(fla_scan *scan, const fla_base *base, const fla_queries *queries,
                    size_t first, size_t n);

/* query counts from the first of the block. */
void fla_scan_set_radius(fla_scan *scan, size_t query, double radius);

/*
 * Scan base rows first .. first + n - 1; first is a multiple of 64.  Polls the job and
 * reports n rows x block queries to it.
 * Returns FLA_OK (also when the job was stopped), FLA_ERR_NONFINITE or FLA_ERR_RANGE for
 * base rows that were not checked before, or what the visitor returned.
 */
fla_status fla_scan_rows(fla_scan *scan, size_t first, size_t n, fla_job *job,
                         unsigned worker);

/* ---- for other ways to enumerate pairs (bucket_scan.c) ---------------------------- */

/* Let a pair wait for its distance; it must be a candidate.  Returns as fla_scan_rows. */
fla_status fla_scan_add(fla_scan *scan, size_t query, size_t row);

/* Decide all pairs that wait. */
fla_status fla_scan_flush(fla_scan *scan);

/* Pack the tile at hand for the float32 filter, and make queries and limits ready.
   Returns as fla_scan_rows. */
fla_status fla_scan_pack(fla_scan *scan);

#endif
