/* The one inner loop of every search: a block of queries against tiles of base rows. */
#include "search/scan.h"

#include <math.h>

#include "base/alloc.h"
#include "kernels/bits.h"
#include "lsh/model.h"
#include "search/cost.h"
#include "search/measure.h"

enum {
    STRIP = 64,          /* queries the float32 filter takes at once */
    JUDGED_PAIRS = 8192, /* pairs the code filter is judged by */
    FLOAT_TILES = 16,    /* least tiles by floats once codes have failed */
    TRY_IN = 8,        /* another try may cost at most an eighth of what went by floats */
    HOPELESS_IN = 4,   /* codes that let one pair in so many pass are not followed */
    COUNTED_HITS = 16, /* of a tile's hits, to tell how many pairs they are */
};

bool fla_scan_init(fla_scan *scan, const fla_kernels *kernels, const fla_model *model,
                   size_t dim, size_t capacity)
{
    size_t values;
    *scan = (fla_scan){.kernels = kernels, .dim = dim, .capacity = capacity};
    scan->radius = fla_alloc(capacity, sizeof *scan->radius);
    scan->reach = fla_alloc(capacity, sizeof *scan->reach);
    scan->hits = fla_alloc(capacity, sizeof *scan->hits);
    scan->code_limits = fla_alloc(capacity, sizeof *scan->code_limits);
    scan->brief_limits = fla_alloc(capacity, sizeof *scan->brief_limits);
    scan->float_limits = fla_alloc(capacity, sizeof *scan->float_limits);
    scan->rounding = fla_alloc(capacity, sizeof *scan->rounding);
    if (!fla_size_mul(capacity, dim, &values))
        return false;
    scan->floats = fla_alloc(values, sizeof *scan->floats);
    return fla_tile_init(&scan->tile, kernels, model, dim) && scan->radius != NULL &&
           scan->reach != NULL && scan->hits != NULL && scan->code_limits != NULL &&
           scan->brief_limits != NULL && scan->float_limits != NULL &&
           scan->rounding != NULL && scan->floats != NULL;
}

void fla_scan_clear(fla_scan *scan)
{
    fla_tile_clear(&scan->tile);
    fla_free(scan->radius);
    fla_free(scan->reach);
    fla_free(scan->hits);
    fla_free(scan->code_limits);
    fla_free(scan->brief_limits);
    fla_free(scan->float_limits);
    fla_free(scan->rounding);
    fla_free(scan->floats);
    *scan = (fla_scan){0};
}

void fla_scan_encode(fla_scan *scan, fla_queries *queries, const fla_base *base,
                     size_t first, size_t n)
{
    fla_queries_encode(queries, base, scan->tile.floats, first, n);
}

/* ---- radius and limits ----------------------------------------------------------- */

fla_estimator fla_scan_estimator(const fla_matrix *rows, const fla_matrix *queries)
{
    return fla_estimator_for(rows->dim,
                             rows->dtype == FLA_F32 && queries->dtype == FLA_F32);
}

static void forget_judged(fla_scan *scan)
{
    scan->code_tiles = 0;
    scan->lost = 0;
    scan->spent = 0;
    scan->float_time = 0;
}

void fla_scan_begin(fla_scan *scan, const fla_base *base, const fla_queries *queries,
                    size_t first, size_t n)
{
    if (scan->base != base) {
        scan->float_tiles = 0;
        forget_judged(scan);
    }
    scan->base = base;
    scan->queries = queries;
    scan->first = first;
    scan->n = n;
    scan->pairs.n = 0;
    scan->estimator = fla_scan_estimator(&base->rows, &queries->rows);
    scan->floats_ready = false;
    scan->row_rounding = 0;
    scan->estimate = false;
    scan->sketch = NULL;
}

static void limit_floats(fla_scan *scan, size_t query)
{
    scan->float_limits[query] = fla_filter_limit(
        scan->radius[query], scan->rounding[query] + scan->row_rounding, scan->dim);
}

static int32_t limit_codes(const fla_scan *scan, const fla_layer *layer,
                           const fla_quantizer *quantizer,
                           const fla_coded_queries *queries, size_t query)
{
    return fla_code_limit(scan->radius[query], layer->residual, (double)quantizer->scale,
                          &queries->coded[scan->first + query], scan->dim);
}

void fla_scan_set_radius(fla_scan *scan, size_t query, double radius)
{
    const fla_base *base = scan->base;
    scan->radius[query] = radius;
    scan->reach[query] =
        fla_estimate_sum(&scan->estimator, fla_estimate_reach(&scan->estimator, radius));
    if (base->coded)
        scan->code_limits[query] =
            limit_codes(scan, &base->full, &base->quantizer, &scan->queries->full, query);
    if (base->coded && fla_base_has_prefix(base))
        scan->brief_limits[query] = limit_codes(
            scan, &base->brief, &base->prefix.quantizer, &scan->queries->brief, query);
    if (scan->floats_ready)
        limit_floats(scan, query);
}

/* ---- pairs ----------------------------------------------------------------------- */

/* Upper bounds of the waiting pairs' distances; those out of reach leave. */
static void estimate(fla_scan *scan, double bounds[FLA_SCAN_PAIRS])
{
    const fla_matrix *rows = &scan->base->rows, *queries = &scan->queries->rows;
    fla_scan_pairs *pairs = &scan->pairs;
    fla_estimate_fn *sum = scan->kernels->floats->estimate[rows->dtype][queries->dtype];
    size_t kept = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        const size_t query = pairs->query[i], row = pairs->row[i];
        const void *asked = fla_row(queries, scan->first + query);
        bounds[kept] = sum(fla_row(rows, row), asked, scan->dim);
        pairs->query[kept] = query;
        pairs->row[kept] = row;
        kept += bounds[kept] <= scan->reach[query];
    }
    for (size_t i = 0; i < kept; i++)
        bounds[i] = fla_estimate(&scan->estimator, bounds[i]);
    scan->lost += pairs->n - kept;
    pairs->n = kept;
}

/* Distances of the waiting pairs; those beyond the radius leave. */
static void measure(fla_scan *scan, double distances[FLA_SCAN_PAIRS])
{
    const fla_matrix *rows = &scan->base->rows, *queries = &scan->queries->rows;
    fla_scan_pairs *pairs = &scan->pairs;
    fla_measure measure;
    size_t kept = 0;
    fla_measure_begin(&measure, scan->kernels, rows, queries);
    for (size_t i = 0; i < pairs->n; i++)
        fla_measure_add(&measure, fla_row(rows, pairs->row[i]),
                        fla_row(queries, scan->first + pairs->query[i]), &distances[i]);
    fla_measure_flush(&measure);
    for (size_t i = 0; i < pairs->n; i++) {
        const size_t query = pairs->query[i];
        distances[kept] = distances[i];
        pairs->query[kept] = query;
        pairs->row[kept] = pairs->row[i];
        kept += distances[kept] <= scan->radius[query];
    }
    pairs->n = kept;
}

/* Hand on, query by query, the waiting pairs that are within reach. */
fla_status fla_scan_flush(fla_scan *scan)
{
    double distances[FLA_SCAN_PAIRS];
    int64_t rows[FLA_SCAN_PAIRS];
    fla_scan_pairs *pairs = &scan->pairs;
    fla_status status = FLA_OK;
    estimate(scan, distances);
    if (!scan->estimate)
        measure(scan, distances);
    for (size_t i = 0; i < pairs->n && status == FLA_OK;) {
        const size_t query = pairs->query[i], first = i;
        for (; i < pairs->n && pairs->query[i] == query; i++)
            rows[i] = scan->base->rows.first_row + (int64_t)pairs->row[i];
        status = scan->visit(scan, query, i - first, rows + first, distances + first);
    }
    pairs->n = 0;
    return status;
}

/* The rows of a tile that a query may pair with. */
static uint64_t eligible(const fla_scan *scan, size_t query)
{
    const uint64_t all = fla_tile_all(&scan->tile);
    if (!scan->upper)
        return all;
    const int64_t number = scan->queries->rows.first_row + (int64_t)(scan->first + query);
    const int64_t tile = scan->base->rows.first_row + (int64_t)scan->tile.first;
    if (number < tile)
        return all;
    const int64_t skip = number - tile + 1;
    return skip >= FLA_TILE ? 0 : all & (UINT64_MAX << skip);
}

fla_status fla_scan_add(fla_scan *scan, size_t query, size_t row)
{
    const fla_matrix *base = &scan->base->rows;
    fla_scan_pairs *pairs = &scan->pairs;
    fla_prefetch(fla_row(base, row), fla_row_bytes(base));
    pairs->query[pairs->n] = query;
    pairs->row[pairs->n++] = row;
    return pairs->n == FLA_SCAN_PAIRS ? fla_scan_flush(scan) : FLA_OK;
}

/* Let a query wait with the candidates among some rows of the tile. */
static fla_status add_pairs(fla_scan *scan, size_t query, uint64_t rows)
{
    const fla_model *model = scan->tile.hasher.model;
    fla_status status = FLA_OK;
    rows &= eligible(scan, query);
    if (model != NULL && rows != 0)
        rows = fla_tile_candidates(
            &scan->tile, rows,
            scan->queries->buckets + (scan->first + query) * model->functions,
            scan->min_collisions);
    for (; rows != 0 && status == FLA_OK; rows &= rows - 1)
        status = fla_scan_add(scan, query, scan->tile.first + fla_lowest_bit(rows));
    return status;
}

/* ---- the float32 filter ---------------------------------------------------------- */

/* A query less the centre, and at least what rounding to float32 moved it. */
static double center_query(const fla_scan *scan, size_t query)
{
    const fla_matrix *rows = &scan->queries->rows;
    const float *centre = scan->base->quantizer.centre;
    float *floats = scan->floats + query * scan->dim;
    double peak = 0, squares = 0;
    for (size_t j = 0; j < scan->dim; j++) {
        const double value = fla_row_value(rows, scan->first + query, j);
        floats[j] = scan->base->coded ? (float)(value - (double)centre[j]) : (float)value;
        peak = fmax(peak, fabs(value));
        squares += (double)floats[j] * (double)floats[j];
    }
    if (scan->base->coded) /* the sum is double: what it lost is far below the factor */
        return fla_centring_bound(sqrt(squares) * (1 + 0x1p-24), scan->dim);
    return rows->dtype == FLA_F32 ? 0 : fla_rounding_bound(peak, scan->dim);
}

static void ready_floats(fla_scan *scan)
{
    scan->floats_ready = true;
    if (scan->base->coded)
        scan->row_rounding = fla_centring_bound(scan->base->length, scan->dim);
    for (size_t q = 0; q < scan->n; q++) {
        scan->rounding[q] = center_query(scan, q);
        limit_floats(scan, q);
    }
}

/* Rows not coded: those that lost more to rounding than any before widen every limit. */
static void allow_rounding(fla_scan *scan)
{
    if (scan->base->coded || scan->base->rows.dtype == FLA_F32)
        return;
    const double rounding = fla_rounding_bound(scan->tile.peak, scan->dim);
    if (rounding <= scan->row_rounding)
        return;
    scan->row_rounding = rounding;
    for (size_t q = 0; q < scan->n; q++)
        limit_floats(scan, q);
}

static bool all_infinite(const float *limits, size_t n)
{
    for (size_t q = 0; q < n; q++)
        if (limits[q] < INFINITY)
            return false;
    return true;
}

/* The packed tile against up to STRIP queries. */
static fla_status scan_strip(fla_scan *scan, size_t first, size_t n, uint64_t exceptions)
{
    uint64_t keep[STRIP];
    if (all_infinite(scan->float_limits + first, n)) {
        for (size_t q = 0; q < n; q++)
            keep[q] = UINT64_MAX;
    } else {
        scan->kernels->floats->filter(scan->tile.floats, scan->dim,
                                      scan->floats + first * scan->dim, n,
                                      scan->float_limits + first, keep);
    }
    for (size_t q = 0; q < n; q++) {
        const fla_status status = add_pairs(scan, first + q, keep[q] | exceptions);
        if (status != FLA_OK)
            return status;
    }
    return FLA_OK;
}

fla_status fla_scan_pack(fla_scan *scan)
{
    if (!scan->floats_ready)
        ready_floats(scan);
    const fla_status status = fla_tile_pack(&scan->tile);
    if (status == FLA_OK)
        allow_rounding(scan);
    return status;
}

static fla_status scan_floats(fla_scan *scan, uint64_t exceptions, fla_job *job,
                              unsigned worker)
{
    fla_status status = fla_scan_pack(scan);
    for (size_t q = 0; status == FLA_OK && q < scan->n; q += STRIP) {
        if (fla_job_stopped(job, worker))
            return FLA_OK;
        status = scan_strip(scan, q, fla_size_min(scan->n - q, STRIP), exceptions);
    }
    return status;
}

/* ---- the code filter ------------------------------------------------------------- */

/* Every query has exceptions to meet besides its hits, all in row order. */
static fla_status merge_hits(fla_scan *scan, size_t hits, uint64_t exceptions)
{
    fla_status status = FLA_OK;
    size_t h = 0;
    for (size_t q = 0; q < scan->n && status == FLA_OK; q++) {
        const bool hit = h < hits && scan->hits[h].query == q;
        status = add_pairs(scan, q, exceptions | (hit ? scan->hits[h].rows : 0));
        h += hit;
    }
    return status;
}

/* Codes suit the kernels that the base was coded for, whatever the search's are. */
static const fla_code_kernels *code_kernels(const fla_scan *scan)
{
    return scan->base->quantizer.kernels->codes;
}

static size_t filter_tile(fla_scan *scan, const fla_layer *layer,
                          const fla_coded_queries *queries, const int32_t *limits,
                          size_t t)
{
    return code_kernels(scan)->filter(
        fla_layer_tile(layer, t), layer->bias + t * FLA_TILE, layer->steps,
        fla_coded_query(queries, scan->first), scan->n, limits, scan->hits);
}

/*
 * Of the hits of short forms, those of the rows themselves.  Hits fall on records in no
 * order that the hardware could follow: between them the next tile's are fetched.
 */
static size_t check_hits(fla_scan *scan, size_t hits, size_t t)
{
    const fla_layer *full = &scan->base->full;
    const uint8_t *records = fla_layer_tile(full, t);
    const int32_t *bias = full->bias + t * FLA_TILE;
    const bool last = t + 1 == scan->base->tiles;
    const size_t lines = last ? 0 : full->steps * FLA_STEP * FLA_TILE / FLA_ALIGNMENT;
    size_t left = 0, line = 0;
    for (size_t h = 0; h < hits; h++) {
        const fla_hit hit = scan->hits[h];
        for (; line * hits < lines * (h + 1); line++)
            fla_prefetch_far(fla_layer_tile(full, t + 1) + line * FLA_ALIGNMENT);
        const uint64_t rows = code_kernels(scan)->check(
            records, bias, full->steps,
            fla_coded_query(&scan->queries->full, scan->first + hit.query),
            scan->code_limits[hit.query], hit.rows);
        scan->hits[left] = (fla_hit){rows, hit.query};
        left += rows != 0;
    }
    return left;
}

/* About how many pairs hits are, by some of them; but for queries without a radius. */
static size_t count_pairs(const fla_scan *scan, size_t hits)
{
    const size_t apart = hits / COUNTED_HITS + 1;
    size_t pairs = 0;
    for (size_t h = 0; h < hits; h += apart)
        if (scan->radius[scan->hits[h].query] < INFINITY)
            pairs += fla_count_bits(scan->hits[h].rows);
    return pairs * apart;
}

static fla_status add_hits(fla_scan *scan, size_t hits, uint64_t exceptions)
{
    fla_status status = FLA_OK;
    if (exceptions != 0)
        return merge_hits(scan, hits, exceptions);
    for (size_t h = 0; h < hits && status == FLA_OK; h++)
        status = add_pairs(scan, scan->hits[h].query, scan->hits[h].rows);
    return status;
}

/*
 * Codes may let too many pairs pass in vain, in this tile or on the whole: then floats
 * take over, and so long that another try costs little beside.
 */
static void judge_codes(fla_scan *scan, bool hopeless)
{
    const double lost = (double)scan->lost * fla_cost_lost(scan->dim, scan->n);
    const double times = (scan->spent + lost) / scan->float_time;
    if (!hopeless && scan->code_tiles * FLA_TILE * scan->n < JUDGED_PAIRS)
        return;
    if (hopeless || times > 1) {
        const double tiles = TRY_IN * times * (double)scan->code_tiles;
        scan->float_tiles = tiles > FLOAT_TILES ? (size_t)tiles : FLOAT_TILES;
    }
    forget_judged(scan);
}

static fla_status scan_codes(fla_scan *scan, size_t t, uint64_t exceptions, fla_job *job,
                             unsigned worker)
{
    const fla_base *base = scan->base;
    const bool prefix = fla_base_has_prefix(base);
    const fla_layer *layer = prefix ? &base->brief : &base->full;
    const double tile = (double)(scan->n * FLA_TILE);
    size_t hits =
        filter_tile(scan, layer, prefix ? &scan->queries->brief : &scan->queries->full,
                    prefix ? scan->brief_limits : scan->code_limits, t);
    const size_t pairs = count_pairs(scan, hits);
    scan->code_tiles++;
    scan->spent += tile * fla_cost_codes(code_kernels(scan), layer->steps);
    scan->float_time += tile * fla_cost_floats(scan->dim, scan->n);
    if (pairs > scan->n * FLA_TILE / HOPELESS_IN) {
        judge_codes(scan, true);
        return scan_floats(scan, exceptions, job, worker);
    }
    if (prefix) {
        scan->spent += (double)pairs * fla_cost_check(code_kernels(scan), scan->dim);
        hits = check_hits(scan, hits, t);
    }
    const fla_status status = add_hits(scan, hits, exceptions);
    judge_codes(scan, false);
    return status;
}

static fla_status scan_tile(fla_scan *scan, size_t t, fla_job *job, unsigned worker)
{
    const uint64_t exceptions = scan->base->coded ? scan->base->exceptions[t] : 0;
    fla_status status;
    fla_tile_take(&scan->tile, scan->base, t);
    if (!scan->base->coded || scan->float_tiles > 0) {
        status = scan_floats(scan, exceptions, job, worker);
        if (scan->float_tiles > 0)
            scan->float_tiles--;
    } else {
        status = scan_codes(scan, t, exceptions, job, worker);
    }
    return status;
}

fla_status fla_scan_rows(fla_scan *scan, size_t first, size_t n, fla_job *job,
                         unsigned worker)
{
    fla_status status = FLA_OK;
    for (size_t i = first; status == FLA_OK && i < first + n; i += FLA_TILE) {
        if (fla_job_stopped(job, worker))
            return FLA_OK;
        status = scan_tile(scan, i / FLA_TILE, job, worker);
        fla_job_advance(job, (uint64_t)scan->tile.count * scan->n);
    }
    return status == FLA_OK ? fla_scan_flush(scan) : status;
}
