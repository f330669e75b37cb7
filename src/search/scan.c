/* The one inner loop of every search: a block of queries against tiles of base rows. */
#include "search/scan.h"

#include <math.h>

#include "base/alloc.h"
#include "lsh/model.h"
#include "search/bound.h"

/* Queries filtered at once: their keep sets stay in registers' reach, stops come soon. */
enum { STRIP = 64 };

bool fla_scan_init(fla_scan *scan, const fla_kernels *kernels, const fla_model *model,
                   size_t dim, size_t capacity)
{
    *scan = (fla_scan){.capacity = capacity};
    scan->query = fla_alloc(dim, sizeof *scan->query);
    scan->radius = fla_alloc(capacity, sizeof *scan->radius);
    scan->limits = fla_alloc(capacity, sizeof *scan->limits);
    return fla_tile_init(&scan->tile, kernels, model, dim) && scan->query != NULL &&
           scan->radius != NULL && scan->limits != NULL;
}

void fla_scan_clear(fla_scan *scan)
{
    fla_tile_clear(&scan->tile);
    fla_free(scan->query);
    fla_free(scan->radius);
    fla_free(scan->limits);
    *scan = (fla_scan){0};
}

void fla_scan_begin(fla_scan *scan, const fla_queries *queries, size_t first, size_t n,
                    double radius)
{
    scan->queries = queries;
    scan->first = first;
    scan->n = n;
    scan->rounding = 0;
    for (size_t q = 0; q < n; q++)
        fla_scan_set_radius(scan, q, radius);
}

void fla_scan_set_radius(fla_scan *scan, size_t query, double radius)
{
    scan->radius[query] = radius;
    scan->limits[query] = fla_filter_limit(
        radius, scan->queries->rounding[scan->first + query] + scan->rounding,
        scan->tile.dim);
}

/* A tile whose rows lost more to rounding than any before widens every limit. */
static void allow_rounding(fla_scan *scan)
{
    if (scan->tile.rounding <= scan->rounding)
        return;
    scan->rounding = scan->tile.rounding;
    for (size_t q = 0; q < scan->n; q++)
        fla_scan_set_radius(scan, q, scan->radius[q]);
}

/* The rows of a tile that a query may pair with. */
static uint64_t eligible(const fla_scan *scan, size_t query)
{
    const uint64_t all = fla_tile_all(&scan->tile);
    if (!scan->upper)
        return all;
    const int64_t number = scan->queries->rows.first_row + (int64_t)(scan->first + query);
    if (number < scan->tile.number)
        return all;
    const int64_t skip = number - scan->tile.number + 1;
    return skip >= FLA_TILE ? 0 : all & (UINT64_MAX << skip);
}

/* Decide the rows of a tile that the filter kept for one query. */
static fla_status decide(fla_scan *scan, size_t query, uint64_t kept)
{
    size_t positions[FLA_TILE];
    int64_t rows[FLA_TILE];
    double distances[FLA_TILE];
    const fla_model *model = scan->tile.hasher.model;
    if (model != NULL) {
        const fla_status status = fla_tile_bucket(&scan->tile);
        if (status != FLA_OK)
            return status;
        kept = fla_tile_candidates(
            &scan->tile, kept,
            scan->queries->buckets + (scan->first + query) * model->tables,
            scan->min_collisions);
    }
    if (kept == 0)
        return FLA_OK;
    fla_row_widen(&scan->queries->rows, scan->first + query, scan->query);
    const size_t n =
        fla_tile_distances(&scan->tile, kept, scan->query, positions, distances);
    for (size_t i = 0; i < n; i++)
        rows[i] = scan->tile.number + (int64_t)positions[i];
    return scan->visit(scan, query, n, rows, distances);
}

static bool all_infinite(const float *limits, size_t n)
{
    for (size_t q = 0; q < n; q++)
        if (limits[q] < INFINITY)
            return false;
    return true;
}

/* The loaded tile against up to STRIP queries. */
static fla_status scan_strip(fla_scan *scan, size_t first, size_t n)
{
    uint64_t keep[STRIP];
    const size_t dim = scan->tile.dim;
    if (all_infinite(scan->limits + first, n)) {
        for (size_t q = 0; q < n; q++)
            keep[q] = UINT64_MAX;
    } else {
        scan->tile.kernels->filter_f32(
            scan->tile.packed, dim, scan->queries->packed + (scan->first + first) * dim,
            n, scan->limits + first, keep);
    }
    for (size_t q = 0; q < n; q++) {
        const uint64_t kept = keep[q] & eligible(scan, first + q);
        if (kept == 0)
            continue;
        const fla_status status = decide(scan, first + q, kept);
        if (status != FLA_OK)
            return status;
    }
    return FLA_OK;
}

static fla_status scan_tile(fla_scan *scan, fla_job *job, unsigned worker)
{
    fla_status status = FLA_OK;
    allow_rounding(scan);
    for (size_t q = 0; status == FLA_OK && q < scan->n; q += STRIP) {
        if (fla_job_stopped(job, worker))
            return FLA_OK;
        status = scan_strip(scan, q, fla_size_min(scan->n - q, STRIP));
    }
    return status;
}

fla_status fla_scan_rows(fla_scan *scan, const fla_matrix *rows, size_t first, size_t n,
                         fla_job *job, unsigned worker)
{
    const fla_matrix part = fla_rows_slice(rows, 0, first + n);
    fla_status status = FLA_OK;
    for (size_t i = first; status == FLA_OK && i < first + n; i += FLA_TILE) {
        if (fla_job_stopped(job, worker))
            return FLA_OK;
        status = fla_tile_load(&scan->tile, &part, i);
        if (status == FLA_OK)
            status = scan_tile(scan, job, worker);
        fla_job_advance(job, (uint64_t)scan->tile.count * scan->n);
    }
    return status;
}
