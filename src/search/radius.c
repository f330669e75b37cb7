/* All candidates of each query within a radius, as lists of different lengths. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/index.h"
#include "search/options.h"
#include "search/order.h"
#include "search/within.h"

/* ---- the result ---------------------------------------------------------------- */

static fla_neighbor_lists *lists_create(size_t queries, uint64_t pairs)
{
    size_t starts;
    fla_neighbor_lists *lists = fla_alloc_zeroed(1, sizeof *lists);
    if (lists == NULL || pairs > SIZE_MAX || !fla_size_add(queries, 1, &starts)) {
        fla_free(lists);
        return NULL;
    }
    lists->queries = queries;
    lists->indptr = fla_alloc(starts, sizeof *lists->indptr);
    lists->indices = fla_alloc((size_t)pairs, sizeof *lists->indices);
    lists->distances = fla_alloc((size_t)pairs, sizeof *lists->distances);
    if (lists->indptr != NULL && lists->indices != NULL && lists->distances != NULL)
        return lists;
    fla_neighbor_lists_free(lists);
    return NULL;
}

void fla_neighbor_lists_free(fla_neighbor_lists *lists)
{
    if (lists == NULL)
        return;
    fla_free(lists->indptr);
    fla_free(lists->indices);
    fla_free(lists->distances);
    fla_free(lists);
}

static fla_status search(fla_within *within, const fla_call *call,
                         fla_neighbor_lists **out)
{
    const size_t queries = within->queries->rows;
    fla_run run = fla_run_begin(call, fla_within_units(within));
    fla_status status = fla_within_run(within, &run);
    if (status != FLA_OK)
        return status;
    fla_neighbor_lists *lists = lists_create(queries, within->pairs);
    if (lists == NULL)
        return FLA_ERR_MEMORY;
    fla_within_lists filled = {false, lists->indptr, NULL, lists->indices,
                               lists->distances};
    status = fla_within_take(within, call, &filled);
    if (status == FLA_OK) {
        run = fla_run_begin(call, 0); /* sorting is not progress */
        fla_ordered ordered = {queries, lists->indptr, lists->indices, lists->distances};
        status = fla_order_by_distance(&ordered, within->context->pool, &run);
    }
    if (status == FLA_OK) {
        *out = lists; /* ownership passes to the caller here and nowhere else */
        return FLA_OK;
    }
    fla_neighbor_lists_free(lists);
    return status;
}

/* ---- the public function ------------------------------------------------------- */

static fla_status check_radius(const double *radius, size_t n_radius, size_t queries,
                               fla_error *err)
{
    if (n_radius != 1 && n_radius != queries)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "radius",
                                 "radius must be one, or one for each of %zu queries, "
                                 "got %zu",
                                 queries, n_radius);
    for (size_t i = 0; i < n_radius; i++)
        if (!(radius[i] >= 0))
            return fla_fail_row(err, FLA_ERR_ARGUMENT, "radius", (int64_t)i, -1, 0,
                                "radius must be 0 or more, got %g", radius[i]);
    return FLA_OK;
}

static fla_status describe(fla_status status, const fla_within *within,
                           const fla_call *call, fla_error *err)
{
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "the search was cancelled");
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        return fla_rows_describe_fault(within->context, call, within->queries,
                                       within->model, "queries", err);
    return status == FLA_OK ? FLA_OK : fla_fail_memory(err, "the neighbors");
}

fla_status fla_radius_neighbors(const fla_index *index, fla_context *context,
                                const fla_call *call, const fla_matrix *queries,
                                const double *radius, size_t n_radius,
                                const fla_search_options *options,
                                fla_neighbor_lists **out, fla_error *err)
{
    fla_search_options read;
    fenv_t callers;
    const fla_model *model = index->base.model;
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_search_options_read(options, &model, &read, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(queries, index->base.rows.dim, "queries", err);
    if (status == FLA_OK)
        status = check_radius(radius, n_radius, queries->rows, err);
    if (status != FLA_OK)
        return status;
    fla_within within = {
        .context = context,
        .model = model,
        .base = &index->base,
        .queries = queries,
        .radius = radius,
        .one_radius = n_radius == 1,
        .min_collisions = read.min_collisions,
        .plan = read.plan,
        .strict = read.strict,
    };
    fla_fenv_enter(&callers);
    status = describe(search(&within, call, out), &within, call, err);
    fla_within_clear(&within);
    fla_fenv_leave(&callers);
    return status;
}
