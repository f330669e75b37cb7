/*
 * One block of rows pushed to a search.
 *
 * Rows are coded first where that pays: an index has done so, a block is coded piece by
 * piece.  Before the first scan every query of an exact search gets a radius from a
 * sample of the codes (seed.c), so that the filter drops most rows from the start.  Where
 * the model selects little, the block is sorted into runs instead.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "search/bucket_scan.h"
#include "search/cost.h"
#include "search/knn.h"
#include "search/plan.h"
#include "search/seed.h"

enum {
    RANGE_ROWS = 16 * FLA_TILE,       /* least rows of a task when rows are shared out */
    RANGES_PER_THREAD = 16,           /* evens out their lengths */
    BLOCKS_PER_THREAD = 8,            /* the same when queries go by buckets */
    ENCODED_QUERIES = 16 * FLA_GROUP, /* queries a task codes */
    SETTLED_QUERIES = 64,             /* queries whose lists a task measures */
    /* From so many queries on coding a row to scan it once pays: at large dimensions, and
       so many more by the dimension (bench/ladder.py). */
    CODED_QUERIES = 44,
    CODED_COORDINATES = 1600,
    CODED_PAIRS = 1 << 21, /* and with so many pairs, a quantizer's fit */
    PLANNED_ROWS = 2048,   /* a block that shows how much a model selects */
    FIRST_PIECE =
        8, /* one row in so many is coded before it is known whether that pays */
    PIECE_BYTES = 1 << 24, /* codes of a piece of a block: they stay in the L3 */
    PIECE_TILES = 16,      /* and at least so many tiles */
};

static fla_status offer(fla_scan *scan, size_t query, size_t n, const int64_t *rows,
                        const double *bounds)
{
    const fla_knn_worker *worker = scan->arg;
    double radius;
    if (!fla_lists_offer(&worker->knn->lists, worker->slot, scan->first + query, n, rows,
                         bounds, &radius))
        return FLA_ERR_MEMORY;
    if (radius < scan->radius[query])
        fla_scan_set_radius(scan, query, radius);
    return FLA_OK;
}

/* One scan of prepared rows by all queries. */
typedef struct knn_push {
    fla_knn *knn;
    const fla_base *base;
    const fla_runs *runs; /* NULL: all rows are scanned, range by range */
    size_t block;         /* queries of a task */
    size_t ranges, range_rows;
} knn_push;

static void push_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const knn_push *push = arg;
    fla_knn *knn = push->knn;
    fla_scan *scan = &knn->workers[worker].scan;
    const size_t q = task / push->ranges * push->block;
    const size_t row = task % push->ranges * push->range_rows;
    const size_t queries = knn->queries.n - q, rows = push->base->rows.rows - row;
    fla_scan_begin(scan, push->base, &knn->queries, q,
                   fla_size_min(queries, push->block));
    scan->min_collisions = knn->options.min_collisions;
    scan->estimate = true;
    scan->visit = offer;
    scan->arg = &knn->workers[worker];
    for (size_t i = 0; i < scan->n; i++)
        fla_scan_set_radius(scan, i, fla_lists_radius(&knn->lists, q + i));
    const fla_status status =
        push->runs != NULL
            ? fla_scan_buckets(scan, push->runs, knn->options.plan, job, worker)
            : fla_scan_rows(scan, row, fla_size_min(rows, push->range_rows), job, worker);
    if (status != FLA_OK)
        fla_job_fail(job, status);
}

static void encode_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    knn_push *push = arg;
    fla_knn *knn = push->knn;
    const size_t first = task * ENCODED_QUERIES, left = knn->queries.n - first;
    (void)job;
    fla_scan_encode(&knn->workers[worker].scan, &knn->queries, push->base, first,
                    fla_size_min(left, ENCODED_QUERIES));
}

/* Code the queries by the base's quantizer, unless they are. */
static fla_status encode_queries(knn_push *push, fla_run *run)
{
    fla_knn *knn = push->knn;
    const fla_quantizer *quantizer = &push->base->quantizer;
    if (knn->coded_by == quantizer && knn->coded_fit == quantizer->fits)
        return FLA_OK;
    if (!fla_queries_reserve(&knn->queries, push->base))
        return FLA_ERR_MEMORY;
    knn->coded_by = quantizer;
    knn->coded_fit = quantizer->fits;
    return fla_pool_run(knn->context->pool, run,
                        fla_size_parts(knn->queries.n, ENCODED_QUERIES), encode_task,
                        push);
}

static void seed_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    knn_push *push = arg;
    fla_knn *knn = push->knn;
    const size_t first = task * FLA_SEED_QUERIES, left = knn->queries.n - first;
    const size_t n = fla_size_min(left, FLA_SEED_QUERIES);
    double radius[FLA_SEED_QUERIES];
    (void)worker;
    if (!fla_seed_radii(push->base, &knn->queries, first, n, knn->lists.k, radius)) {
        fla_job_fail(job, FLA_ERR_MEMORY);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fla_lists_lower(&knn->lists, first + i, radius[i]);
}

/* Radii from a sample: valid where every row is a candidate. */
static fla_status seed_queries(knn_push *push, fla_run *run)
{
    fla_knn *knn = push->knn;
    if (knn->seeded || knn->model != NULL || !fla_seed_pays(push->base, knn->lists.k))
        return FLA_OK;
    knn->seeded = true;
    return fla_pool_run(knn->context->pool, run,
                        fla_size_parts(knn->queries.n, FLA_SEED_QUERIES), seed_task,
                        push);
}

/* Cut the work into tasks. */
static void cut(knn_push *push)
{
    const fla_knn *knn = push->knn;
    const size_t rows = push->base->rows.rows, threads = knn->threads;
    push->block = knn->split.block;
    push->ranges = 1;
    push->range_rows = rows;
    if (push->runs != NULL) {
        const size_t even = fla_size_parts(knn->queries.n, threads * BLOCKS_PER_THREAD);
        push->block = fla_size_min(knn->split.block, even);
    } else if (knn->split.share_rows) {
        const size_t even = rows / (RANGES_PER_THREAD * threads);
        push->range_rows = even < RANGE_ROWS ? RANGE_ROWS : even - even % FLA_TILE;
        push->ranges = fla_size_parts(rows, push->range_rows);
    }
}

/*
 * Scan rows that were prepared, or that are to be scanned as they are; runs: NULL for all
 * of them.
 */
static fla_status push_base(fla_knn *knn, fla_run *run, const fla_base *base,
                            const fla_runs *runs)
{
    knn_push push = {.knn = knn, .base = base, .runs = runs};
    fla_status status = FLA_OK;
    cut(&push);
    if (base->coded)
        status = encode_queries(&push, run);
    if (status == FLA_OK && base->coded)
        status = seed_queries(&push, run);
    if (status == FLA_OK)
        status = fla_pool_run(knn->context->pool, run,
                              fla_size_parts(knn->queries.n, push.block) * push.ranges,
                              push_task, &push);
    return status;
}

static void settle_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    fla_knn *knn = arg;
    const size_t first = task * SETTLED_QUERIES, left = knn->queries.n - first;
    fla_lists_settle(&knn->lists, first, fla_size_min(left, SETTLED_QUERIES), job,
                     worker);
}

/* The rows at hand go with their block: measure those that may be in an answer. */
static fla_status settle_block(fla_knn *knn, fla_run *run)
{
    return fla_pool_run(knn->context->pool, run,
                        fla_size_parts(knn->queries.n, SETTLED_QUERIES), settle_task,
                        knn);
}

size_t fla_knn_piece_rows(size_t dim)
{
    const size_t tiles = PIECE_BYTES / (dim * FLA_TILE);
    return (tiles > PIECE_TILES ? tiles : PIECE_TILES) * FLA_TILE;
}

/* The first piece is smaller: codes are tried on it. */
static size_t first_piece_rows(const fla_matrix *rows)
{
    const size_t tiles = rows->rows / (FIRST_PIECE * FLA_TILE);
    const size_t first = (tiles > PIECE_TILES ? tiles : PIECE_TILES) * FLA_TILE;
    return fla_size_min(first, fla_knn_piece_rows(rows->dim));
}

/* Whether codes let too much pass, as far as every worker that has met any knows. */
static bool codes_fail(const fla_knn *knn)
{
    size_t fail = 0, met = 0;
    for (unsigned i = 0; i < knn->threads; i++) {
        const fla_scan *scan = &knn->workers[i].scan;
        met += scan->base != NULL;
        fail += scan->float_tiles > 0;
    }
    return fail > 0 && fail == met;
}

static fla_status push_floats(fla_knn *knn, fla_run *run, const fla_matrix *rows)
{
    fla_base_set(&knn->pushed, rows);
    return push_base(knn, run, &knn->pushed, NULL);
}

/* Code piece by piece, and scan each; the rest as it is, where codes fail. */
static fla_status push_coded(fla_knn *knn, fla_run *run, const fla_matrix *rows)
{
    fla_status status = FLA_OK;
    for (size_t i = 0, n; i < rows->rows && status == FLA_OK; i += n) {
        const size_t piece =
            i == 0 ? first_piece_rows(rows) : fla_knn_piece_rows(rows->dim);
        n = fla_size_min(rows->rows - i, piece);
        const fla_matrix rest = fla_rows_slice(rows, i, rows->rows - i);
        if (i > 0 && codes_fail(knn))
            return push_floats(knn, run, &rest);
        const fla_matrix part = fla_rows_slice(&rest, 0, n);
        status = fla_base_prepare(&knn->pushed, knn->context, run, &part, &rest, 0,
                                  knn->queries.n >= FLA_MANY_QUERIES);
        if (status == FLA_OK)
            status = push_base(knn, run, &knn->pushed, NULL);
    }
    return status;
}

static bool coding_pays(const fla_knn *knn, const fla_matrix *rows)
{
    const size_t queries = knn->queries.n;
    return fla_base_can_code(rows->dim) &&
           queries >= CODED_QUERIES + CODED_COORDINATES / rows->dim &&
           knn->rows_pushed + rows->rows >= CODED_PAIRS / queries;
}

/* By the runs of an index, or by runs made for this search alone. */
static fla_status push_runs(fla_knn *knn, fla_run *run, const fla_base *base)
{
    fla_runs runs;
    if (base->runs.tables != NULL)
        return push_base(knn, run, base, &base->runs);
    if (!fla_runs_can_hold(base->rows.rows))
        return push_base(knn, run, base, NULL);
    fla_status status = fla_runs_build(&runs, knn->context, run, knn->model, &base->rows);
    if (status == FLA_OK)
        status = push_base(knn, run, base, &runs);
    fla_runs_clear(&runs);
    return status;
}

static fla_status push_index(fla_knn *knn, fla_run *run, const fla_base *base)
{
    return fla_plan_goes_by_buckets(base, knn->model, knn->options.plan)
               ? push_runs(knn, run, base)
               : push_base(knn, run, base, NULL);
}

/* Learn from the first block that can tell whether the model selects little. */
static fla_status plan_rows(fla_knn *knn)
{
    const fla_base *base = &knn->pushed;
    double share;
    if (knn->planned || knn->model == NULL || knn->options.plan != FLA_PLAN_AUTO ||
        knn->queries.n < FLA_MANY_QUERIES || base->rows.rows < PLANNED_ROWS)
        return FLA_OK;
    const fla_kernels *kernels = knn->context->kernels;
    const size_t dim = base->rows.dim;
    const fla_status status = fla_plan_share(kernels, knn->model, &base->rows, &share);
    if (status != FLA_OK)
        return status;
    knn->planned = true;
    knn->selective = fla_plan_is_selective(
        share, dim, fla_cost_codes(kernels->codes, fla_size_parts(dim, FLA_STEP)));
    return FLA_OK;
}

static fla_status push_rows(fla_knn *knn, fla_run *run, const fla_matrix *rows)
{
    fla_base *base = &knn->pushed;
    fla_base_set(base, rows);
    const fla_status status = plan_rows(knn);
    if (status != FLA_OK)
        return status;
    if (knn->selective || fla_plan_goes_by_buckets(base, knn->model, knn->options.plan))
        return push_runs(knn, run, base);
    return coding_pays(knn, rows) ? push_coded(knn, run, rows)
                                  : push_floats(knn, run, rows);
}

fla_status fla_knn_push_block(fla_knn *knn, const fla_call *call, const fla_matrix *rows,
                              const fla_base *base, fla_error *err)
{
    fenv_t callers;
    if (rows->rows == 0 || knn->queries.n == 0)
        return FLA_OK;
    fla_run run = fla_run_begin(call, (uint64_t)knn->queries.n * rows->rows);
    fla_fenv_enter(&callers);
    fla_lists_meet(&knn->lists, rows, fla_scan_estimator(rows, &knn->queries.rows));
    fla_status status =
        base != NULL ? push_index(knn, &run, base) : push_rows(knn, &run, rows);
    if (status == FLA_OK)
        status = settle_block(knn, &run);
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        status =
            fla_rows_describe_fault(knn->context, call, rows, knn->model, "rows", err);
    else if (status != FLA_OK)
        status = fla_knn_fail_run(status, err);
    fla_fenv_leave(&callers);
    knn->failed = status != FLA_OK;
    knn->rows_pushed += rows->rows;
    return status;
}
