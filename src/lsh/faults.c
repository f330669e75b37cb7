/* Telling good rows from bad, and naming what is wrong once a fast path has found that
   something is. */
#include "lsh/faults.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/error.h"
#include "lsh/context.h"
#include "lsh/hash.h"
#include "lsh/model.h"

/* Rows of a task: soon done for any dimension that fits a tile. */
enum { SEARCHED_ROWS = 512 };

/* What a search for bad rows looks at, and what it has found so far. */
typedef struct fault_search {
    const fla_matrix *rows;
    const fla_model *model; /* NULL: look for NaN and infinity, else for buckets */
    atomic_size_t first;    /* the lowest bad row; rows->rows while there is none */
    atomic_size_t count;    /* bad rows */
} fault_search;

/* The first NaN or infinity of a row, or dim. */
static size_t first_nonfinite(const fla_matrix *rows, size_t i)
{
    size_t j = 0;
    while (j < rows->dim && isfinite(fla_row_value(rows, i, j)))
        j++;
    return j;
}

/* The first hash function by which a row's bucket does not fit, or functions. */
static size_t first_unfit(const fla_model *model, const fla_matrix *rows, size_t i)
{
    size_t f = 0;
    while (f < model->functions && fla_bucket_fits(fla_hash_one(model, rows, i, f)))
        f++;
    return f;
}

static bool is_bad(const fault_search *search, size_t i)
{
    if (search->model == NULL)
        return first_nonfinite(search->rows, i) < search->rows->dim;
    return first_unfit(search->model, search->rows, i) < search->model->functions;
}

static void search_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    fault_search *search = arg;
    const size_t start = task * SEARCHED_ROWS, left = search->rows->rows - start;
    const size_t end = start + fla_size_min(left, SEARCHED_ROWS);
    for (size_t i = start; i < end && !fla_job_stopped(job, worker); i++) {
        if (!is_bad(search, i))
            continue;
        atomic_fetch_add(&search->count, 1);
        size_t first = atomic_load(&search->first);
        while (i < first && !atomic_compare_exchange_weak(&search->first, &first, i))
            continue;
    }
}

static fla_status search_rows(fla_context *context, const fla_call *call,
                              fault_search *search, fla_error *err)
{
    const size_t n = search->rows->rows;
    fla_run run = fla_run_begin(call, 0);
    atomic_init(&search->first, n);
    atomic_init(&search->count, 0);
    const fla_status status = fla_pool_run(
        context->pool, &run, fla_size_parts(n, SEARCHED_ROWS), search_task, search);
    if (status != FLA_OK)
        return fla_fail(err, status, "the call was cancelled");
    return FLA_OK;
}

static fla_status fail_nonfinite(fault_search *search, const char *argument,
                                 fla_error *err)
{
    const fla_matrix *rows = search->rows;
    const size_t row = atomic_load(&search->first);
    const size_t column = first_nonfinite(rows, row), bad = atomic_load(&search->count);
    const double value = column < rows->dim ? fla_row_value(rows, row, column) : NAN;
    const int64_t number = rows->first_row + (int64_t)row;
    return fla_fail_row(
        err, FLA_ERR_NONFINITE, argument, number, (int64_t)column, (int64_t)bad,
        "row %" PRId64
        ", column %zu is %s; %zu of %zu rows hold NaN or infinity: "
        "remove or repair them",
        number, column, isnan(value) ? "NaN" : "infinite", bad, rows->rows);
}

static fla_status fail_range(fault_search *search, const char *argument, fla_error *err)
{
    const fla_model *model = search->model;
    const size_t row = atomic_load(&search->first), bad = atomic_load(&search->count);
    size_t function = first_unfit(model, search->rows, row);
    if (function == model->functions)
        function = 0; /* another thread repaired it meanwhile */
    const int64_t number = search->rows->first_row + (int64_t)row;
    return fla_fail_row(err, FLA_ERR_RANGE, argument, number, -1, (int64_t)bad,
                        "row %" PRId64
                        ": bucket %g of hash table %zu does not fit in int64: "
                        "raise bucket_length (now %g) or scale the rows down",
                        number, fla_hash_one(model, search->rows, row, function),
                        function / model->hashes, model->bucket_length);
}

fla_status fla_rows_describe_fault(fla_context *context, const fla_call *call,
                                   const fla_matrix *rows, const fla_model *model,
                                   const char *argument, fla_error *err)
{
    fault_search search = {.rows = rows};
    fla_status status = search_rows(context, call, &search, err);
    if (status != FLA_OK)
        return status;
    if (atomic_load(&search.count) > 0)
        return fail_nonfinite(&search, argument, err);
    search.model = model;
    if (model != NULL) {
        status = search_rows(context, call, &search, err);
        if (status != FLA_OK)
            return status;
        if (atomic_load(&search.count) > 0)
            return fail_range(&search, argument, err);
    }
    return fla_fail_row(err, FLA_ERR_NONFINITE, argument, -1, -1, 0,
                        "a row held NaN or infinity, or passed the bucket range, "
                        "and was changed by another thread during the call");
}

/* ---- all good rows ---------------------------------------------------------------- */

typedef struct finite_search {
    const fla_matrix *rows;
    uint8_t *finite;
} finite_search;

static void finite_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const finite_search *search = arg;
    const fla_matrix *rows = search->rows;
    const size_t start = task * SEARCHED_ROWS, left = rows->rows - start;
    const size_t end = start + fla_size_min(left, SEARCHED_ROWS);
    for (size_t i = start; i < end && !fla_job_stopped(job, worker); i++)
        search->finite[i] = first_nonfinite(rows, i) == rows->dim;
}

fla_status fla_rows_find_finite(fla_context *context, const fla_call *call,
                                const fla_matrix *rows, uint8_t *finite,
                                size_t finite_len, fla_error *err)
{
    finite_search search = {.rows = rows, .finite = finite};
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, 0, "rows", err);
    if (status != FLA_OK)
        return status;
    if (finite_len != rows->rows)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "finite",
                                 "finite must have %zu elements, got %zu", rows->rows,
                                 finite_len);
    fla_run run = fla_run_begin(call, 0);
    status = fla_pool_run(context->pool, &run, fla_size_parts(rows->rows, SEARCHED_ROWS),
                          finite_task, &search);
    if (status != FLA_OK)
        return fla_fail(err, status, "the call was cancelled");
    return FLA_OK;
}
