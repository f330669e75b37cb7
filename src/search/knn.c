/*
 * Nearest neighbors of resident queries among rows that arrive in blocks: from the first
 * query to the sorted answer.  knn_push.c has what happens to a block.
 *
 * Work is split into tasks of (block of queries) x (range of rows).  With many queries a
 * task is one block of queries against all rows, and a query's neighbors live in one
 * list. With few, all queries meet small ranges of rows; then every worker has a list of
 * its own per query, and they are merged at the end.  A neighbor's place depends on its
 * distance and row alone, so neither way nor the order of tasks shows in the result.
 */
#include "search/knn.h"

#include <math.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/index.h"
#include "search/options.h"

enum {
    /* Below this many queries per thread, threads share out rows instead of queries. */
    QUERIES_PER_THREAD = 256,
    BLOCK_QUERIES = 1024,          /* what a tile costs to fetch is shared by so many */
    FILL_QUERIES = 16 * FLA_GROUP, /* queries a task prepares */
    FINISH_QUERIES = 64,           /* queries a task sorts */
};

fla_status fla_knn_fail_run(fla_status status, fla_error *err)
{
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "the search was cancelled");
    return fla_fail_memory(err, "the search");
}

/* ---- create -------------------------------------------------------------------- */

fla_knn_split fla_knn_split_queries(size_t queries, unsigned threads)
{
    fla_knn_split split = {threads > 1 && queries / threads < QUERIES_PER_THREAD,
                           queries > 0 ? queries : 1};
    if (!split.share_rows && queries > 0) {
        /* As many blocks as fill every thread the same number of times. */
        const size_t blocks = fla_size_parts(queries, BLOCK_QUERIES);
        const size_t rounds = fla_size_parts(blocks, threads);
        split.block = fla_size_parts(queries, rounds * threads);
    }
    return split;
}

static bool make_room(fla_knn *knn, size_t k)
{
    const fla_kernels *kernels = knn->context->kernels;
    const fla_matrix *queries = &knn->queries.rows;
    const size_t slots = knn->split.share_rows ? knn->threads : 1;
    knn->workers = fla_alloc_zeroed(knn->threads, sizeof *knn->workers);
    if (knn->workers == NULL || !fla_lists_init(&knn->lists, kernels, queries, slots, k))
        return false;
    for (unsigned i = 0; i < knn->threads; i++) {
        fla_knn_worker *worker = &knn->workers[i];
        worker->knn = knn;
        worker->slot = knn->split.share_rows ? i : 0;
        if (!fla_scan_init(&worker->scan, kernels, knn->model, queries->dim,
                           knn->split.block))
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
    return status == FLA_OK ? FLA_OK : fla_knn_fail_run(status, err);
}

static fla_status create(fla_knn *knn, const fla_call *call, const fla_matrix *queries,
                         size_t k, fla_error *err)
{
    if (!fla_queries_init(&knn->queries, knn->model, queries))
        return fla_fail_memory(err, "the queries");
    knn->split = fla_knn_split_queries(knn->queries.n, knn->threads);
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

/* ---- push and finish ---------------------------------------------------------- */

fla_status fla_knn_push(fla_knn *knn, const fla_call *call, const fla_matrix *rows,
                        fla_error *err)
{
    if (knn->failed)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "this search failed before: free it and make a new one");
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, knn->queries.rows.dim, "rows", err);
    return status == FLA_OK ? fla_knn_push_block(knn, call, rows, NULL, err) : status;
}

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
    return status == FLA_OK ? FLA_OK : fla_knn_fail_run(status, err);
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
    status = fla_knn_push_block(knn, call, rows, &index->base, err);
    if (status == FLA_OK)
        status = fla_knn_finish(knn, call, width, indices, distances, counts, err);
    fla_knn_free(knn);
    return status;
}
