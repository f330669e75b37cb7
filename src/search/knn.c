/*
 * Nearest neighbors of resident queries among rows that arrive in blocks.
 *
 * Rows are coded first where that pays: an index has done so, a block is coded piece by
 * piece.  Before the first scan every query of an exact search gets a radius from a
 * sample of the codes (seed.c), so that the filter drops most rows from the start.
 *
 * Work is split into tasks of (block of queries) x (range of rows).  With many queries a
 * task is one block of queries against all rows, and a query's neighbors live in one
 * list. With few, all queries meet small ranges of rows; then every worker has a list of
 * its own per query, and they are merged at the end.  A neighbor's place depends on its
 * distance and row alone, so neither way nor the order of tasks shows in the result.
 */
#include <math.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/bucket_scan.h"
#include "search/index.h"
#include "search/lists.h"
#include "search/options.h"
#include "search/plan.h"
#include "search/scan.h"
#include "search/seed.h"

enum {
    /* Below this many queries per thread, threads share out rows instead of queries. */
    QUERIES_PER_THREAD = 256,
    BLOCK_QUERIES = 1024,          /* what a tile costs to fetch is shared by so many */
    RANGE_ROWS = 16 * FLA_TILE,    /* least rows of a task when rows are shared out */
    RANGES_PER_THREAD = 16,        /* evens out their lengths */
    BLOCKS_PER_THREAD = 8,         /* the same when queries go by buckets */
    FILL_QUERIES = 16 * FLA_GROUP, /* queries a task prepares */
    SEED_QUERIES = 4 * FLA_GROUP,  /* queries a task finds first radii for */
    FINISH_QUERIES = 64,           /* queries a task sorts */
    /* From so many queries on coding a row to scan it once pays: at large dimensions, and
       so many more by the dimension (bench/ladder.py). */
    CODED_QUERIES = 44,
    CODED_COORDINATES = 1600,
    CODED_PAIRS = 1 << 21, /* and with so many pairs, a quantizer's fit */
    FIRST_PIECE =
        8, /* one row in so many is coded before it is known whether that pays */
    PIECE_BYTES = 1 << 24, /* codes of a piece of a block: they stay in the L3 */
    PIECE_TILES = 16,      /* and at least so many tiles */
};

typedef struct knn_worker {
    fla_knn *knn;
    size_t slot; /* which of a query's lists this worker fills */
    fla_scan scan;
} knn_worker;

struct fla_knn {
    fla_context *context;
    const fla_model *model; /* NULL: exact */
    fla_search_options options;
    fla_queries queries;
    fla_lists lists;
    bool share_rows;
    size_t block;    /* queries of a task */
    fla_base pushed; /* what is being pushed; its quantizer outlives a block */
    const fla_quantizer *coded_by; /* the queries; NULL: not coded */
    unsigned coded_fit;            /* and which of its fits */
    bool seeded;
    unsigned threads;
    knn_worker *workers; /* [threads] */
    uint64_t rows_pushed;
    bool failed;
};

static fla_status fail_run(fla_status status, fla_error *err)
{
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "the search was cancelled");
    return fla_fail_memory(err, "the search");
}

/* ---- create -------------------------------------------------------------------- */

static void choose_split(fla_knn *knn)
{
    const size_t n = knn->queries.n;
    knn->share_rows = knn->threads > 1 && n / knn->threads < QUERIES_PER_THREAD;
    knn->block = n > 0 ? n : 1;
    if (!knn->share_rows && n > 0) {
        /* As many blocks as fill every thread the same number of times. */
        const size_t blocks = fla_size_parts(n, BLOCK_QUERIES);
        const size_t rounds = fla_size_parts(blocks, knn->threads);
        knn->block = fla_size_parts(n, rounds * knn->threads);
    }
}

static bool make_room(fla_knn *knn, size_t k)
{
    const fla_kernels *kernels = knn->context->kernels;
    const fla_matrix *queries = &knn->queries.rows;
    const size_t slots = knn->share_rows ? knn->threads : 1;
    knn->workers = fla_alloc_zeroed(knn->threads, sizeof *knn->workers);
    if (knn->workers == NULL || !fla_lists_init(&knn->lists, kernels, queries, slots, k))
        return false;
    for (unsigned i = 0; i < knn->threads; i++) {
        knn_worker *worker = &knn->workers[i];
        worker->knn = knn;
        worker->slot = knn->share_rows ? i : 0;
        if (!fla_scan_init(&worker->scan, kernels, knn->model, queries->dim, knn->block))
            return false;
    }
    return true;
}

static void fill_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    fla_knn *knn = arg;
    const size_t first = task * FILL_QUERIES, left = knn->queries.n - first;
    fla_hasher *hasher = fla_tile_hasher(&knn->workers[worker].scan.tile);
    const fla_status status =
        fla_queries_fill(&knn->queries, hasher, first, fla_size_min(left, FILL_QUERIES));
    if (status != FLA_OK)
        fla_job_fail(job, status);
}

static fla_status fill_queries(fla_knn *knn, const fla_call *call, fla_error *err)
{
    const size_t n = knn->queries.n;
    const size_t tasks = fla_size_parts(n, FILL_QUERIES);
    fla_run run = fla_run_begin(call, 0); /* preparing is not progress */
    const fla_status status =
        fla_pool_run(knn->context->pool, &run, tasks, fill_task, knn);
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        return fla_rows_describe_fault(knn->context, call, &knn->queries.rows, knn->model,
                                       "queries", err);
    return status == FLA_OK ? FLA_OK : fail_run(status, err);
}

static fla_status create(fla_knn *knn, const fla_call *call, const fla_matrix *queries,
                         size_t k, fla_error *err)
{
    if (!fla_queries_init(&knn->queries, knn->model, queries))
        return fla_fail_memory(err, "the queries");
    choose_split(knn);
    if (!make_room(knn, k))
        return fla_fail_memory(err, "the search");
    return fill_queries(knn, call, err);
}

fla_status fla_knn_create(fla_context *context, const fla_call *call,
                          const fla_model *model, const fla_matrix *queries, size_t k,
                          const fla_search_options *options, fla_knn **out,
                          fla_error *err)
{
    fla_search_options read;
    fenv_t callers;
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_search_options_read(options, &model, &read, err);
    if (status != FLA_OK)
        return status;
    if (k < 1)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "k",
                                 "k must be at least 1, got 0");
    status =
        fla_rows_check_shape(queries, model != NULL ? model->dim : 0, "queries", err);
    if (status != FLA_OK)
        return status;
    fla_knn *knn = fla_alloc_zeroed(1, sizeof *knn);
    if (knn == NULL)
        return fla_fail_memory(err, "the search");
    knn->context = context;
    knn->model = model;
    knn->options = read;
    fla_base_init(&knn->pushed, model);
    knn->threads = fla_pool_threads(context->pool);
    fla_fenv_enter(&callers);
    status = create(knn, call, queries, k, err);
    fla_fenv_leave(&callers);
    if (status == FLA_OK) {
        *out = knn; /* ownership passes to the caller here and nowhere else */
        knn = NULL;
    }
    fla_knn_free(knn);
    return status;
}

void fla_knn_free(fla_knn *knn)
{
    if (knn == NULL)
        return;
    fla_lists_clear(&knn->lists);
    for (unsigned i = 0; knn->workers != NULL && i < knn->threads; i++)
        fla_scan_clear(&knn->workers[i].scan);
    fla_queries_clear(&knn->queries);
    fla_base_clear(&knn->pushed);
    fla_free(knn->workers);
    fla_free(knn);
}

/* ---- push ---------------------------------------------------------------------- */

static fla_status offer(fla_scan *scan, size_t query, size_t n, const int64_t *rows,
                        const double *bounds)
{
    const knn_worker *worker = scan->arg;
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
    const size_t first = task * FILL_QUERIES, left = knn->queries.n - first;
    (void)job;
    fla_scan_encode(&knn->workers[worker].scan, &knn->queries, push->base, first,
                    fla_size_min(left, FILL_QUERIES));
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
                        fla_size_parts(knn->queries.n, FILL_QUERIES), encode_task, push);
}

static void seed_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    knn_push *push = arg;
    fla_knn *knn = push->knn;
    const size_t first = task * SEED_QUERIES, left = knn->queries.n - first;
    const size_t n = fla_size_min(left, SEED_QUERIES);
    double radius[SEED_QUERIES];
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
                        fla_size_parts(knn->queries.n, SEED_QUERIES), seed_task, push);
}

/* Cut the work into tasks. */
static void cut(knn_push *push)
{
    const fla_knn *knn = push->knn;
    const size_t rows = push->base->rows.rows, threads = knn->threads;
    push->block = knn->block;
    push->ranges = 1;
    push->range_rows = rows;
    if (push->runs != NULL) {
        const size_t even = fla_size_parts(knn->queries.n, threads * BLOCKS_PER_THREAD);
        push->block = fla_size_min(knn->block, even);
    } else if (knn->share_rows) {
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
    const size_t first = task * FINISH_QUERIES, left = knn->queries.n - first;
    fla_lists_settle(&knn->lists, first, fla_size_min(left, FINISH_QUERIES), job, worker);
}

/* The rows at hand go with their block: measure those that may be in an answer. */
static fla_status settle_block(fla_knn *knn, fla_run *run)
{
    return fla_pool_run(knn->context->pool, run,
                        fla_size_parts(knn->queries.n, FINISH_QUERIES), settle_task, knn);
}

/* Rows of a block that are coded together. */
static size_t piece_rows(const fla_matrix *rows)
{
    const size_t tiles = PIECE_BYTES / (rows->dim * FLA_TILE);
    return (tiles > PIECE_TILES ? tiles : PIECE_TILES) * FLA_TILE;
}

/* The first piece is smaller: codes are tried on it. */
static size_t first_piece_rows(const fla_matrix *rows)
{
    const size_t tiles = rows->rows / (FIRST_PIECE * FLA_TILE);
    const size_t first = (tiles > PIECE_TILES ? tiles : PIECE_TILES) * FLA_TILE;
    return fla_size_min(first, piece_rows(rows));
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
        const size_t piece = i == 0 ? first_piece_rows(rows) : piece_rows(rows);
        n = fla_size_min(rows->rows - i, piece);
        if (i > 0 && codes_fail(knn)) {
            const fla_matrix rest = fla_rows_slice(rows, i, rows->rows - i);
            return push_floats(knn, run, &rest);
        }
        const fla_matrix part = fla_rows_slice(rows, i, n);
        status = fla_base_prepare(&knn->pushed, knn->context, run, &part, 0, false);
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

static fla_status push_rows(fla_knn *knn, fla_run *run, const fla_matrix *rows)
{
    fla_base *base = &knn->pushed;
    fla_base_set(base, rows);
    if (fla_plan_goes_by_buckets(base, knn->model, knn->options.plan))
        return push_runs(knn, run, base);
    return coding_pays(knn, rows) ? push_coded(knn, run, rows)
                                  : push_floats(knn, run, rows);
}

/* Scan one block: rows, or those of an index if base is not NULL. */
static fla_status push(fla_knn *knn, const fla_call *call, const fla_matrix *rows,
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
        status = fail_run(status, err);
    fla_fenv_leave(&callers);
    knn->failed = status != FLA_OK;
    knn->rows_pushed += rows->rows;
    return status;
}

fla_status fla_knn_push(fla_knn *knn, const fla_call *call, const fla_matrix *rows,
                        fla_error *err)
{
    if (knn->failed)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "this search failed before: free it and make a new one");
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, knn->queries.rows.dim, "rows", err);
    return status == FLA_OK ? push(knn, call, rows, NULL, err) : status;
}

/* ---- finish -------------------------------------------------------------------- */

typedef struct knn_finish {
    fla_knn *knn;
    size_t width;
    int64_t *indices;
    double *distances;
    int64_t *counts; /* may be NULL */
} knn_finish;

static void finish_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const knn_finish *finish = arg;
    fla_knn *knn = finish->knn;
    const size_t first = task * FINISH_QUERIES;
    for (size_t q = first; q < first + FINISH_QUERIES && q < knn->queries.n; q++) {
        if (fla_job_stopped(job, worker))
            return;
        const fla_topk *top = fla_lists_merge(&knn->lists, q);
        if (top == NULL) {
            fla_job_fail(job, FLA_ERR_MEMORY);
            return;
        }
        for (size_t i = 0; i < finish->width; i++) {
            const bool found = i < top->count;
            finish->indices[q * finish->width + i] = found ? top->rows[i] : -1;
            finish->distances[q * finish->width + i] =
                found ? top->distances[i] : INFINITY;
        }
        if (finish->counts != NULL)
            finish->counts[q] = (int64_t)top->count;
    }
}

fla_status fla_knn_finish(fla_knn *knn, const fla_call *call, size_t width,
                          int64_t *indices, double *distances, int64_t *counts,
                          fla_error *err)
{
    const size_t n = knn->queries.n;
    const uint64_t most =
        knn->rows_pushed < knn->lists.k ? knn->rows_pushed : knn->lists.k;
    if (knn->failed)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "this search failed or was finished before: make a new one");
    fla_status status = fla_call_check(call, err);
    if (status != FLA_OK)
        return status;
    if (width < most)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "width",
                                 "width must be at least %llu, got %zu",
                                 (unsigned long long)most, width);
    knn->failed = true; /* the lists are sorted now: nothing may be added */
    knn_finish finish = {knn, width, indices, distances, counts};
    const size_t tasks = fla_size_parts(n, FINISH_QUERIES);
    fla_run run = fla_run_begin(call, 0);
    status = fla_pool_run(knn->context->pool, &run, tasks, finish_task, &finish);
    return status == FLA_OK ? FLA_OK : fail_run(status, err);
}

/* ---- in one call --------------------------------------------------------------- */

fla_status fla_nearest_neighbors(const fla_index *index, fla_context *context,
                                 const fla_call *call, const fla_matrix *queries,
                                 size_t k, const fla_search_options *options,
                                 int64_t *indices, double *distances, size_t out_len,
                                 int64_t *counts, fla_error *err)
{
    size_t wanted;
    fla_knn *knn;
    const fla_matrix *rows = &index->base.rows;
    const size_t width = fla_size_min(k, rows->rows);
    fla_status status = fla_rows_check_shape(queries, rows->dim, "queries", err);
    if (status != FLA_OK)
        return status;
    if (!fla_size_mul(queries->rows, width, &wanted) || out_len != wanted)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "out_len",
                                 "out_len must be %zu queries x %zu, got %zu",
                                 queries->rows, width, out_len);
    status =
        fla_knn_create(context, call, index->base.model, queries, k, options, &knn, err);
    if (status != FLA_OK)
        return status;
    status = push(knn, call, rows, &index->base, err);
    if (status == FLA_OK)
        status = fla_knn_finish(knn, call, width, indices, distances, counts, err);
    fla_knn_free(knn);
    return status;
}
