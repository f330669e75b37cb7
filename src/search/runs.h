/*
 * Rows sorted by bucket, hash table by hash table: what a model that selects little is
 * searched by.  8 bytes a row and hash table.
 */
#ifndef FLA_SEARCH_RUNS_H
#define FLA_SEARCH_RUNS_H

#include "lsh/context.h"
#include "lsh/rows.h"

/*
 * One hash table: its distinct buckets ascending, and the run of rows of each.  A table
 * of several hashes has tuples for buckets, ordered by the first hash, then the next.
 */
typedef struct fla_run_table {
    size_t n;         /* distinct buckets */
    size_t hashes;    /* numbers of a bucket */
    int64_t *buckets; /* [n x hashes] */
    uint32_t *starts; /* [n + 1]: where in order a bucket's run begins */
    uint32_t *order;  /* [rows]: ascending within a run */
} fla_run_table;

typedef struct fla_runs {
    size_t rows, n_tables;
    fla_run_table *tables; /* NULL: there are no runs */
    uint32_t *ranks;       /* [rows x n_tables]: a bucket's position among the distinct */
} fla_runs;

/* True when so many rows can be numbered. */
bool fla_runs_can_hold(size_t rows);

/*
 * Sort rows, whose buckets are known to fit int64.  Clear in any case.
 * Returns FLA_OK, FLA_ERR_MEMORY or FLA_ERR_CANCELLED.
 */
fla_status fla_runs_build(fla_runs *runs, fla_context *context, fla_run *run,
                          const fla_model *model, const fla_matrix *rows);
void fla_runs_clear(fla_runs *runs);

/*
 * The ranks of other rows' buckets; a table's n where none of its rows has the bucket.
 *
 * buckets  [n x n_tables x hashes].
 * ranks    [n x n_tables].
 */
void fla_runs_rank(const fla_runs *runs, const int64_t *buckets, size_t n,
                   uint32_t *ranks);

/* The rows of a rank in a table, ascending, and their number; none for a table's n. */
static inline const uint32_t *fla_runs_rows(const fla_runs *runs, size_t table,
                                            uint32_t rank, size_t *n)
{
    const fla_run_table *of = &runs->tables[table];
    *n = rank < of->n ? of->starts[rank + 1] - of->starts[rank] : 0;
    return *n > 0 ? of->order + of->starts[rank] : of->order;
}

/* The first of a run's rows that is a row or above it; n if none is. */
size_t fla_runs_first(const uint32_t *rows, size_t n, uint32_t row);

/*
 * Add to *total how many rows queries meet in a table: of each run its rows times its
 * queries.  False where that passes int64.
 *
 * queries  [n], of each rank.
 */
bool fla_runs_total(const fla_run_table *table, const uint32_t *queries, uint64_t *total);

/* Bytes that runs of so many rows take, but for the distinct buckets. */
uint64_t fla_runs_bytes(const fla_runs *runs);

#endif
