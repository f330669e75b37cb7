/* Preparing rows once for repeated searches. */
#include "search/index.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/cost.h"
#include "search/options.h"
#include "search/plan.h"

static fla_status prepare(fla_index *index, fla_context *context, const fla_call *call,
                          const fla_matrix *rows, fla_error *err)
{
    fla_run run = fla_run_begin(call, rows->rows);
    fla_status status =
        fla_base_prepare(&index->base, context, &run, rows, rows, 1, true);
    if (status == FLA_OK)
        status = fla_plan_runs(&index->base, context, &run);
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "preparing rows was cancelled");
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        return fla_rows_describe_fault(context, call, rows, index->base.model, "rows",
                                       err);
    return status == FLA_OK ? FLA_OK : fla_fail_memory(err, "the index");
}

fla_status fla_index_create(fla_context *context, const fla_call *call,
                            const fla_model *model, const fla_matrix *rows,
                            fla_index **out, fla_error *err)
{
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, model != NULL ? model->dim : 0, "rows", err);
    if (status != FLA_OK)
        return status;
    fla_index *index = fla_alloc_zeroed(1, sizeof *index);
    if (index == NULL)
        return fla_fail_memory(err, "an index");
    fla_base_init(&index->base, model);
    fla_base_set(&index->base, rows);
    if (rows->rows > 0) {
        fenv_t callers;
        fla_fenv_enter(&callers);
        status = prepare(index, context, call, rows, err);
        fla_fenv_leave(&callers);
    }
    if (status == FLA_OK) {
        *out = index; /* ownership passes to the caller here and nowhere else */
        index = NULL;
    }
    fla_index_free(index);
    return status;
}

void fla_index_free(fla_index *index)
{
    if (index == NULL)
        return;
    fla_base_clear(&index->base);
    fla_free(index);
}

/* ---- what it is made of, and what it would do -------------------------------------- */

static uint64_t layer_bytes(const fla_layer *layer, size_t tiles)
{
    const uint64_t row = layer->steps * FLA_STEP + sizeof *layer->bias;
    return layer->codes != NULL ? tiles * FLA_TILE * row : 0;
}

fla_status fla_index_measure(const fla_index *index, fla_index_memory *out,
                             fla_error *err)
{
    const fla_base *base = &index->base;
    const fla_status status =
        fla_check_struct(out->struct_size, sizeof *out, "fla_index_memory", err);
    if (status != FLA_OK)
        return status;
    const uint64_t dim = base->rows.dim, tiles = base->tiles;
    const uint64_t samples = base->sample != NULL ? fla_base_samples(base) : 0;
    *out = (fla_index_memory){.struct_size = sizeof *out};
    out->rows = (uint64_t)base->rows.rows * fla_row_bytes(&base->rows);
    out->codes = layer_bytes(&base->full, base->tiles) +
                 (base->exceptions != NULL ? tiles * sizeof *base->exceptions : 0);
    if (fla_base_has_prefix(base))
        out->short_forms =
            layer_bytes(&base->brief, base->tiles) +
            samples * base->full.steps * FLA_STEP * FLA_TILE +
            fla_prefix_padded(base->prefix.directions) * dim * sizeof(float);
    if (base->buckets != NULL)
        out->buckets = tiles * FLA_TILE * base->model->functions;
    out->runs = fla_runs_bytes(&base->runs);
    return FLA_OK;
}

fla_status fla_index_explain(const fla_index *index, fla_context *context,
                             size_t n_queries, const fla_search_options *options,
                             fla_explanation *out, fla_error *err)
{
    const fla_base *base = &index->base;
    const fla_model *model = base->model;
    fla_search_options read;
    double share = 1;
    fla_status status =
        fla_check_struct(out->struct_size, sizeof *out, "fla_explanation", err);
    if (status == FLA_OK)
        status = fla_search_options_read(options, &model, &read, err);
    if (status == FLA_OK && model != NULL && base->rows.rows > 0 &&
        fla_plan_share(context->kernels, model, &base->rows, &share) != FLA_OK)
        status = fla_fail_memory(err, "a sample");
    if (status != FLA_OK)
        return status;
    const double pairs = (double)base->rows.rows * (double)n_queries;
    *out = (fla_explanation){
        .struct_size = sizeof *out,
        .plan = fla_plan_goes_by_buckets(base, model, read.plan) ? FLA_PLAN_BUCKET
                                                                 : FLA_PLAN_DENSE,
        .candidate_share = share,
        .short_form = fla_base_has_prefix(base) ? base->prefix.directions + 1 : 0,
        .row_bytes = (base->coded ? fla_plan_steps(base) * FLA_STEP : 0),
        .dense_seconds = pairs * fla_plan_dense_time(base) * 1e-9,
        .bucket_seconds = pairs * share * fla_cost_candidate(base->rows.dim) * 1e-9,
    };
    return FLA_OK;
}
