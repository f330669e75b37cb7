/* Preparing rows once for repeated searches. */
#include "search/index.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"

static fla_status prepare(fla_index *index, fla_context *context, const fla_call *call,
                          const fla_matrix *rows, fla_error *err)
{
    fla_run run = fla_run_begin(call, rows->rows);
    const fla_status status =
        fla_base_prepare(&index->base, context, &run, rows, 1, true);
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
