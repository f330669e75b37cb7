/* Buckets of a whole matrix, its rows shared out over the pool. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/hash.h"
#include "lsh/model.h"

typedef struct hash_work {
    const fla_matrix *rows;
    int64_t *out;
    fla_hasher *hashers; /* one a worker */
    size_t rows_per_poll;
} hash_work;

enum {
    VALUES_PER_POLL = 1 << 20, /* between two looks at the stop flag: below 2 ms */
    POLLS = 8,                 /* a task: rows enough in order for hardware prefetchers */
};

static void hash_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const hash_work *work = arg;
    const fla_matrix *rows = work->rows;
    fla_hasher *hasher = &work->hashers[worker];
    size_t first = task * work->rows_per_poll * POLLS;
    for (int i = 0; i < POLLS && first < rows->rows; i++) {
        const size_t n = fla_size_min(rows->rows - first, work->rows_per_poll);
        if (fla_job_stopped(job, worker))
            return;
        const fla_status status = fla_hash_rows(
            hasher, rows, first, n, work->out + first * hasher->model->functions);
        if (status != FLA_OK) {
            fla_job_fail(job, status);
            return;
        }
        fla_job_advance(job, n);
        first += n;
    }
}

static fla_status hash_matrix(const fla_model *model, fla_context *context,
                              const fla_call *call, const fla_matrix *rows, int64_t *out,
                              fla_error *err)
{
    const unsigned threads = fla_call_threads(call, context->pool);
    const size_t block = FLA_HASH_GROUPS * FLA_GROUP;
    const size_t values = model->dim * model->functions * block; /* 2^31: see model.c */
    fla_status status = FLA_OK;
    hash_work work = {.rows = rows,
                      .out = out,
                      .rows_per_poll = (1 + VALUES_PER_POLL / values) * block};
    work.hashers = fla_alloc_zeroed(threads, sizeof *work.hashers);
    bool room = work.hashers != NULL;
    for (unsigned i = 0; room && i < threads; i++)
        room = fla_hasher_init(&work.hashers[i], context->kernels, model);
    if (!room) {
        status = fla_fail_memory(err, "hashing");
        goto done;
    }
    const size_t tasks = fla_size_parts(rows->rows, work.rows_per_poll * POLLS);
    fla_run run = fla_run_begin(call, rows->rows);
    status = fla_pool_run(context->pool, &run, tasks, hash_task, &work);
    if (status == FLA_ERR_CANCELLED)
        fla_fail(err, status, "hashing was cancelled");
    else if (status != FLA_OK)
        status = fla_rows_describe_fault(context, call, rows, model, "rows", err);
done:
    for (unsigned i = 0; work.hashers != NULL && i < threads; i++)
        fla_hasher_clear(&work.hashers[i]);
    fla_free(work.hashers);
    return status;
}

fla_status fla_model_hash(const fla_model *model, fla_context *context,
                          const fla_call *call, const fla_matrix *rows, int64_t *out,
                          size_t out_len, fla_error *err)
{
    size_t wanted;
    fenv_t callers;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(rows, model->dim, "rows", err);
    if (status != FLA_OK)
        return status;
    if (!fla_size_mul(rows->rows, model->functions, &wanted) || out_len != wanted)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "out",
                                 "out must have %zu rows x %zu hashes, got %zu elements",
                                 rows->rows, model->functions, out_len);
    if (rows->rows == 0)
        return FLA_OK;
    fla_fenv_enter(&callers);
    status = hash_matrix(model, context, call, rows, out, err);
    fla_fenv_leave(&callers);
    return status;
}
