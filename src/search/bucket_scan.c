/*
 * Scanning buckets instead of all rows.
 *
 * Hash table by hash table, the block's queries are brought together by bucket; each
 * bucket's run of rows then meets its queries.  A pair belongs to the first table in
 * which it collides, so that it comes once.
 */
#include "search/bucket_scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/bits.h"
#include "lsh/model.h"
#include "search/sketch.h"

enum {
    STRIP = 64,               /* queries the float32 filter takes at once */
    TILE_QUERIES = 2,         /* one fetches a row about as fast as it is packed */
    TILE_ROWS = FLA_TILE / 2, /* fewer leave most lanes empty */
    GATHER_ROWS = 1024,       /* candidates between two looks at the stop flag */
};

typedef struct bucket_scan {
    fla_scan *scan;
    const fla_runs *runs;
    fla_plan plan;
    fla_job *job;
    unsigned worker;
    uint32_t *ranks; /* [block queries x tables] */
    uint64_t *keys;  /* [block queries]: rank in the table at hand, query */
    float *floats;   /* [STRIP x dim] */
    size_t table;
} bucket_scan;

/* Whether a pair collides often enough, and in no table before the one at hand. */
static bool belongs(const bucket_scan *b, size_t query, size_t row)
{
    const size_t tables = b->runs->n_tables;
    const uint32_t *mine = b->ranks + query * tables;
    const uint32_t *its = b->runs->ranks + row * tables;
    uint64_t collisions = 1;
    for (size_t t = 0; t < b->table; t++)
        if (mine[t] == its[t])
            return false;
    for (size_t t = b->table + 1; t < tables && collisions < b->scan->min_collisions; t++)
        collisions += mine[t] == its[t];
    return collisions >= b->scan->min_collisions;
}

static int64_t query_number(const bucket_scan *b, size_t query)
{
    return b->scan->queries->rows.first_row + (int64_t)(b->scan->first + query);
}

static bool eligible(const bucket_scan *b, size_t query, size_t row)
{
    const fla_scan *scan = b->scan;
    return !scan->upper ||
           scan->base->rows.first_row + (int64_t)row > query_number(b, query);
}

static fla_status add(const bucket_scan *b, size_t query, size_t row)
{
    if (!eligible(b, query, row) || !belongs(b, query, row))
        return FLA_OK;
    return fla_scan_add(b->scan, query, row);
}

/* Some rows of a run, one by one. */
static fla_status add_rows(const bucket_scan *b, size_t query, const uint32_t *rows,
                           size_t n)
{
    enum { AHEAD = 16 };
    fla_status status = FLA_OK;
    for (size_t i = 0; i < n && status == FLA_OK; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(b->runs->ranks + rows[i + AHEAD] * b->runs->n_tables);
        status = add(b, query, rows[i]);
    }
    return status;
}

/* Every row of a run by itself; with a sketch those that it admits. */
static fla_status gather(const bucket_scan *b, size_t query, const uint32_t *rows,
                         size_t n)
{
    const fla_scan *scan = b->scan;
    const int64_t number = query_number(b, query);
    const int64_t below = scan->upper ? number - scan->base->rows.first_row + 1 : 0;
    uint32_t admitted[GATHER_ROWS];
    fla_status status = FLA_OK;
    size_t some;
    for (size_t i = below > 0 ? fla_runs_first(rows, n, (uint32_t)below) : 0;
         i < n && status == FLA_OK; i += GATHER_ROWS) {
        some = fla_size_min(n - i, GATHER_ROWS);
        if (fla_job_stopped(b->job, b->worker))
            return FLA_OK;
        if (scan->sketch == NULL) {
            status = add_rows(b, query, rows + i, some);
            continue;
        }
        some = fla_sketch_admit(scan->sketch, (uint32_t)number, rows + i, some,
                                scan->min_collisions, admitted);
        status = add_rows(b, query, admitted, some);
    }
    return status;
}

/* The packed tile against up to STRIP queries. */
static fla_status filter_strip(bucket_scan *b, const uint64_t *keys, size_t n)
{
    fla_scan *scan = b->scan;
    const fla_tile *tile = &scan->tile;
    float limits[STRIP];
    uint64_t keep[STRIP];
    fla_status status = FLA_OK;
    for (size_t q = 0; q < n; q++) {
        const uint32_t query = (uint32_t)keys[q];
        memcpy(b->floats + q * scan->dim, scan->floats + query * scan->dim,
               scan->dim * sizeof *b->floats);
        limits[q] = scan->float_limits[query];
    }
    scan->kernels->floats->filter(tile->floats, scan->dim, b->floats, n, limits, keep);
    for (size_t q = 0; q < n; q++) {
        uint64_t rows = keep[q] & fla_tile_all(tile);
        for (; rows != 0 && status == FLA_OK; rows &= rows - 1)
            status = add(b, (uint32_t)keys[q], tile->list[fla_lowest_bit(rows)]);
    }
    return status;
}

/* A run, tile by tile, against all queries of its bucket. */
static fla_status filter_run(bucket_scan *b, const uint64_t *keys, size_t queries,
                             const uint32_t *rows, size_t n)
{
    fla_status status = FLA_OK;
    for (size_t i = 0; i < n && status == FLA_OK; i += FLA_TILE) {
        if (fla_job_stopped(b->job, b->worker))
            return FLA_OK;
        fla_tile_take_list(&b->scan->tile, b->scan->base, rows + i,
                           fla_size_min(n - i, FLA_TILE));
        status = fla_scan_pack(b->scan);
        for (size_t q = 0; q < queries && status == FLA_OK; q += STRIP)
            status = filter_strip(b, keys + q, fla_size_min(queries - q, STRIP));
    }
    return status;
}

static fla_status scan_bucket(bucket_scan *b, const uint64_t *keys, size_t queries)
{
    size_t n;
    const uint32_t *rows =
        fla_runs_rows(b->runs, b->table, (uint32_t)(keys[0] >> 32), &n);
    const bool tiles =
        b->plan == FLA_PLAN_BUCKET ||
        (b->plan == FLA_PLAN_AUTO && queries >= TILE_QUERIES && n >= TILE_ROWS);
    fla_status status = FLA_OK;
    if (tiles)
        return filter_run(b, keys, queries, rows, n);
    for (size_t q = 0; q < queries && status == FLA_OK; q++)
        status = gather(b, (uint32_t)keys[q], rows, n);
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static fla_status scan_table(bucket_scan *b)
{
    const size_t tables = b->runs->n_tables;
    fla_status status = FLA_OK;
    size_t n = 0;
    for (size_t q = 0; q < b->scan->n; q++) {
        const uint64_t rank = b->ranks[q * tables + b->table];
        if (rank < b->runs->tables[b->table].n)
            b->keys[n++] = rank << 32 | q;
    }
    qsort(b->keys, n, sizeof *b->keys, compare_keys);
    for (size_t i = 0, end; i < n && status == FLA_OK; i = end) {
        for (end = i + 1; end < n && b->keys[end] >> 32 == b->keys[i] >> 32;)
            end++;
        status = scan_bucket(b, b->keys + i, end - i);
    }
    return status;
}

fla_status fla_scan_buckets(fla_scan *scan, const fla_runs *runs, fla_plan plan,
                            fla_job *job, unsigned worker)
{
    bucket_scan b = {scan, runs, plan, job, worker, NULL, NULL, NULL, 0};
    const uint64_t units = (uint64_t)runs->rows * scan->n;
    fla_status status = FLA_ERR_MEMORY;
    b.ranks = fla_alloc(scan->n, runs->n_tables * sizeof *b.ranks);
    b.keys = fla_alloc(scan->n, sizeof *b.keys);
    b.floats = fla_alloc(STRIP, scan->dim * sizeof *b.floats);
    if (b.ranks != NULL && b.keys != NULL && b.floats != NULL) {
        const size_t functions = scan->tile.hasher.model->functions;
        fla_runs_rank(runs, scan->queries->buckets + scan->first * functions, scan->n,
                      b.ranks);
        status = FLA_OK;
    }
    for (size_t t = 0; t < runs->n_tables && status == FLA_OK; t++) {
        b.table = t;
        status = scan_table(&b);
        fla_job_advance(job,
                        units * (t + 1) / runs->n_tables - units * t / runs->n_tables);
    }
    if (status == FLA_OK)
        status = fla_scan_flush(scan);
    fla_free(b.ranks);
    fla_free(b.keys);
    fla_free(b.floats);
    return status;
}
