/* Checking rows once, so that searches need not describe their faults. */
#include "search/index.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/tile.h"

/* Rows a task checks: enough to hide its start, few enough to stop soon. */
enum { ROWS_PER_TASK = 16 * FLA_TILE };

typedef struct check_work {
    const fla_matrix *rows;
    fla_tile *tiles; /* one a worker */
} check_work;

static void check_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const check_work *work = arg;
    const size_t first = task * ROWS_PER_TASK;
    size_t end = first + ROWS_PER_TASK;
    if (end > work->rows->rows)
        end = work->rows->rows;
    for (size_t i = first; i < end && !fla_job_stopped(job, worker); i += FLA_TILE) {
        const fla_status status = fla_tile_load(&work->tiles[worker], work->rows, i);
        if (status != FLA_OK)
            fla_job_fail(job, status);
    }
    fla_job_advance(job, end - first);
}

static fla_status check_rows(fla_context *context, const fla_call *call,
                             const fla_model *model, const fla_matrix *rows,
                             fla_error *err)
{
    const unsigned threads = fla_call_threads(call, context->pool);
    const size_t tasks = fla_size_parts(rows->rows, ROWS_PER_TASK);
    fla_status status;
    check_work work = {rows, fla_alloc_zeroed(threads, sizeof(fla_tile))};
    bool room = work.tiles != NULL;
    for (unsigned i = 0; room && i < threads; i++)
        room = fla_tile_init(&work.tiles[i], context->kernels, model, rows->dim);
    if (!room) {
        status = fla_fail_memory(err, "checking rows");
        goto done;
    }
    fla_run run = fla_run_begin(call, rows->rows);
    status = fla_pool_run(context->pool, &run, tasks, check_task, &work);
    if (status == FLA_ERR_CANCELLED)
        fla_fail(err, status, "checking rows was cancelled");
    else if (status != FLA_OK)
        status = fla_rows_describe_fault(context, call, rows, model, "rows", err);
done:
    for (unsigned i = 0; work.tiles != NULL && i < threads; i++)
        fla_tile_clear(&work.tiles[i]);
    fla_free(work.tiles);
    return status;
}

fla_status fla_index_create(fla_context *context, const fla_call *call,
                            const fla_model *model, const fla_matrix *rows,
                            fla_index **out, fla_error *err)
{
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, model != NULL ? model->dim : 0, "rows", err);
    if (status == FLA_OK && rows->rows > 0) {
        fenv_t callers;
        fla_fenv_enter(&callers);
        status = check_rows(context, call, model, rows, err);
        fla_fenv_leave(&callers);
    }
    if (status != FLA_OK)
        return status;
    fla_index *index = fla_alloc(1, sizeof *index);
    if (index == NULL)
        return fla_fail_memory(err, "an index");
    *index = (fla_index){model, *rows};
    *out = index;
    return FLA_OK;
}

void fla_index_free(fla_index *index)
{
    fla_free(index);
}
