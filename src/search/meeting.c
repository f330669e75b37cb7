/* Rows of two sides brought together by their buckets. */
#include "search/meeting.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/hash.h"
#include "lsh/model.h"

enum { RANK_ROWS = 128 }; /* of a task: soon done for any dimension */

typedef struct ranking {
    fla_meeting *meeting;
    const fla_model *model;
    fla_hasher *hashers; /* [threads] */
    int64_t *buckets;    /* [threads x RANK_ROWS x functions] */
} ranking;

/* Queries are hashed also where there is no base row to meet: they might be bad. */
static void rank_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const ranking *work = arg;
    const fla_meeting *meeting = work->meeting;
    const size_t tables = work->model->tables, first = task * RANK_ROWS;
    const size_t n = fla_size_min(meeting->queries->rows - first, RANK_ROWS);
    int64_t *buckets = work->buckets + worker * RANK_ROWS * work->model->functions;
    const fla_status status =
        fla_hash_rows(&work->hashers[worker], meeting->queries, first, n, buckets);
    if (status != FLA_OK) {
        fla_job_fail(job, status);
        return;
    }
    fla_runs_rank(&meeting->base.runs, buckets, n, meeting->own_ranks + first * tables);
}

static fla_status rank_queries(fla_meeting *meeting, fla_context *context, fla_run *run,
                               const fla_model *model)
{
    const unsigned threads = fla_call_threads(run->call, context->pool);
    const size_t queries = meeting->queries->rows, tables = model->tables;
    ranking work = {.meeting = meeting, .model = model};
    fla_status status = FLA_ERR_MEMORY;
    size_t values, buckets;
    if (!fla_size_mul(queries, tables, &values) ||
        !fla_size_mul((size_t)threads * RANK_ROWS, model->functions, &buckets))
        return FLA_ERR_MEMORY;
    work.buckets = fla_alloc(buckets, sizeof *work.buckets);
    work.hashers = fla_alloc_zeroed(threads, sizeof *work.hashers);
    meeting->own_ranks = fla_alloc(values, sizeof *meeting->own_ranks);
    meeting->ranks = meeting->own_ranks;
    bool room = work.buckets != NULL && work.hashers != NULL && meeting->ranks != NULL;
    for (unsigned i = 0; room && i < threads; i++)
        room = fla_hasher_init(&work.hashers[i], context->kernels, model);
    if (room)
        status = fla_pool_run(context->pool, run, fla_size_parts(queries, RANK_ROWS),
                              rank_task, &work);
    for (unsigned i = 0; work.hashers != NULL && i < threads; i++)
        fla_hasher_clear(&work.hashers[i]);
    fla_free(work.hashers);
    fla_free(work.buckets);
    return status;
}

static fla_status check_side(const fla_model *model, const fla_matrix *rows,
                             const char *argument, fla_error *err)
{
    if (rows->rows > 0 && !fla_runs_can_hold(rows->rows))
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, argument,
                                 "at most %u rows can be sorted by bucket, got %zu",
                                 UINT32_MAX - 1, rows->rows);
    return fla_rows_check_shape(rows, model->dim, argument, err);
}

static fla_status describe(fla_status status, fla_context *context, const fla_call *call,
                           const fla_model *model, const fla_matrix *rows,
                           const char *argument, fla_error *err)
{
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "the call was cancelled");
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        return fla_rows_describe_fault(context, call, rows, model, argument, err);
    return status == FLA_OK ? FLA_OK : fla_fail_memory(err, "the rows' buckets");
}

fla_status fla_meeting_arrange(fla_meeting *meeting, fla_context *context, fla_run *run,
                               const fla_model *model, const fla_matrix *left,
                               const fla_matrix *right, fla_error *err)
{
    const bool swapped = right != NULL && right->rows > left->rows;
    const fla_matrix *base = swapped || right == NULL ? left : right;
    const char *base_name = base == left ? "left" : "right";
    *meeting = (fla_meeting){.queries = swapped ? right : left,
                             .itself = right == NULL,
                             .queries_are_right = swapped};
    fla_base_init(&meeting->base, model);
    fla_status status = check_side(model, left, "left", err);
    if (status == FLA_OK && right != NULL)
        status = check_side(model, right, "right", err);
    if (status != FLA_OK)
        return status;
    fla_base_set(&meeting->base, base);
    if (base->rows > 0)
        status = fla_runs_build(&meeting->base.runs, context, run, model, base);
    if (status != FLA_OK || right == NULL) {
        meeting->ranks = meeting->base.runs.ranks;
        return describe(status, context, run->call, model, base, base_name, err);
    }
    status = rank_queries(meeting, context, run, model);
    return describe(status, context, run->call, model, meeting->queries,
                    swapped ? "right" : "left", err);
}

void fla_meeting_forget_ranks(fla_meeting *meeting)
{
    fla_free(meeting->own_ranks);
    meeting->own_ranks = NULL;
    meeting->ranks = NULL;
}

void fla_meeting_clear(fla_meeting *meeting)
{
    fla_meeting_forget_ranks(meeting);
    fla_base_clear(&meeting->base);
}

/* ---- how often they collide ------------------------------------------------------- */

enum { POLL_QUERIES = 1 << 16 };

typedef struct totalling {
    const fla_meeting *meeting;
    uint32_t *queries; /* of each rank of a table, and last those without one */
    uint64_t total;
} totalling;

/* One task: counting takes little time beside hashing and sorting. */
static void total_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    totalling *work = arg;
    const fla_meeting *meeting = work->meeting;
    const fla_runs *runs = &meeting->base.runs;
    (void)task;
    for (size_t t = 0; t < runs->n_tables; t++) {
        memset(work->queries, 0, (runs->tables[t].n + 1) * sizeof *work->queries);
        for (size_t q = 0; q < meeting->queries->rows; q++) {
            if (q % POLL_QUERIES == 0 && fla_job_stopped(job, worker))
                return;
            work->queries[meeting->ranks[q * runs->n_tables + t]]++;
        }
        if (!fla_runs_total(&runs->tables[t], work->queries, &work->total)) {
            fla_job_fail(job, FLA_ERR_ARGUMENT);
            return;
        }
    }
}

static fla_status total(const fla_meeting *meeting, fla_context *context,
                        const fla_call *call, uint64_t *collisions, fla_error *err)
{
    const fla_runs *runs = &meeting->base.runs;
    totalling work = {.meeting = meeting};
    fla_run run = fla_run_begin(call, 0);
    fla_status status = FLA_ERR_MEMORY;
    size_t most = 0;
    for (size_t t = 0; t < runs->n_tables; t++)
        most = runs->tables[t].n > most ? runs->tables[t].n : most;
    work.queries = fla_alloc(most + 1, sizeof *work.queries);
    if (work.queries != NULL)
        status = fla_pool_run(context->pool, &run, 1, total_task, &work);
    fla_free(work.queries);
    if (status == FLA_ERR_ARGUMENT)
        return fla_fail(err, status,
                        "the rows collide more than 2^63 - 1 times, which is counted no "
                        "further: lower bucket_length or take fewer rows");
    *collisions = status == FLA_OK ? work.total : 0;
    return describe(status, context, call, meeting->base.model, NULL, NULL, err);
}

fla_status fla_collisions_count(const fla_model *model, fla_context *context,
                                const fla_call *call, const fla_matrix *left,
                                const fla_matrix *right, uint64_t *collisions,
                                fla_error *err)
{
    fenv_t callers;
    fla_meeting meeting;
    *collisions = 0;
    fla_status status = fla_call_check(call, err);
    if (status != FLA_OK)
        return status;
    fla_fenv_enter(&callers);
    fla_run run = fla_run_begin(call, 0);
    status = fla_meeting_arrange(&meeting, context, &run, model, left, right, err);
    if (status == FLA_OK && meeting.base.rows.rows > 0)
        status = total(&meeting, context, call, collisions, err);
    fla_meeting_clear(&meeting);
    fla_fenv_leave(&callers);
    return status;
}
