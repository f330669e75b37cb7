/*
 * A join whose candidates are admitted by a count-min sketch of the pairs' collisions.
 *
 * First the sketch counts every pair once for every hash table in which it collides;
 * then all colliding pairs are gone through again (bucket_scan.c), and those whose
 * estimate reaches min_collisions are checked: the estimate is never too low, so that
 * nothing is lost, and the check is exact, so that nothing else is found.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "search/meeting.h"
#include "search/options.h"
#include "search/pairs.h"
#include "search/sketch.h"

enum {
    PART_QUERIES = 64,     /* in a row of one part, then come the next part's */
    POLL_PAIRS = 1 << 16,  /* counted between two looks at the stop flag */
    QUERIES_PER_POLL = 16, /* if these have few pairs */
};

/* ---- counting --------------------------------------------------------------------- */

/*
 * A task counts some of the queries in one level of one sketch, which is its alone for
 * that time.  So up to FLA_SKETCH_DEPTH threads share a sketch without a lock, each in
 * memory a quarter as large; more threads take a sketch more for every so many of them,
 * which are merged at the end.
 */
typedef struct counting {
    const fla_meeting *meeting;
    fla_sketch **sketches; /* [parts] */
    size_t parts;
} counting;

/* Of rows with themselves a pair is counted from its lower row only. */
static void count_query(const counting *work, fla_sketch *sketch, unsigned level,
                        size_t query, fla_job *job, unsigned worker)
{
    const fla_meeting *meeting = work->meeting;
    const uint32_t number = (uint32_t)((uint64_t)meeting->queries->first_row + query);
    for (size_t t = 0; t < meeting->base.runs.n_tables; t++) {
        size_t n;
        const uint32_t *rows = fla_meeting_rows(meeting, query, t, &n);
        for (size_t i = meeting->itself ? fla_runs_first(rows, n, (uint32_t)query + 1)
                                        : 0;
             i < n; i += POLL_PAIRS) {
            if (n > POLL_PAIRS && fla_job_stopped(job, worker))
                return;
            fla_sketch_add_pairs(sketch, level, number, rows + i,
                                 fla_size_min(n - i, POLL_PAIRS));
        }
    }
}

/* This level's share of what all levels report for a query: its number of base rows. */
static uint64_t units_of(uint64_t rows, unsigned level)
{
    return rows * (level + 1) / FLA_SKETCH_DEPTH - rows * level / FLA_SKETCH_DEPTH;
}

static void count_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const counting *work = arg;
    const size_t queries = work->meeting->queries->rows;
    const unsigned level = task % FLA_SKETCH_DEPTH;
    const size_t part = task / FLA_SKETCH_DEPTH;
    const uint64_t units = units_of(work->meeting->base.rows.rows, level);
    for (size_t block = part; block * PART_QUERIES < queries; block += work->parts) {
        const size_t first = block * PART_QUERIES;
        const size_t n = fla_size_min(queries - first, PART_QUERIES);
        for (size_t i = 0; i < n; i++) {
            if (i % QUERIES_PER_POLL == 0 && fla_job_stopped(job, worker))
                return;
            count_query(work, work->sketches[part], level, first + i, job, worker);
        }
        fla_job_advance(job, n * units);
    }
}

static void free_sketches(counting *work)
{
    for (size_t i = 0; work->sketches != NULL && i < work->parts; i++)
        fla_sketch_free(work->sketches[i]);
    fla_free(work->sketches);
}

static fla_status count_parts(counting *work, fla_context *context, fla_run *run,
                              uint64_t width, fla_error *err)
{
    fla_status status = FLA_OK;
    work->sketches = fla_alloc_zeroed(work->parts, sizeof(fla_sketch *));
    if (work->sketches == NULL)
        return fla_fail_memory(err, "sketches");
    for (size_t i = 0; i < work->parts && status == FLA_OK; i++)
        status = fla_sketch_create(width, &work->sketches[i], err);
    if (status != FLA_OK)
        return status;
    status = fla_pool_run(context->pool, run, work->parts * FLA_SKETCH_DEPTH, count_task,
                          work);
    if (status != FLA_OK)
        return fla_fail(err, status, "the join was cancelled");
    for (size_t i = 1; i < work->parts && status == FLA_OK; i++)
        status = fla_sketch_merge(work->sketches[0], work->sketches[i], err);
    return status;
}

/* Count the collisions of all pairs that meet.  NULL in *out on failure. */
static fla_status count(const fla_meeting *meeting, fla_context *context, fla_run *run,
                        uint64_t width, fla_sketch **out, fla_error *err)
{
    const unsigned threads = fla_call_threads(run->call, context->pool);
    counting work = {meeting, NULL, fla_size_parts(threads, FLA_SKETCH_DEPTH)};
    const fla_status status = count_parts(&work, context, run, width, err);
    *out = NULL;
    if (status == FLA_OK) {
        *out = work.sketches[0]; /* ownership passes here */
        work.sketches[0] = NULL;
    }
    free_sketches(&work);
    return status;
}

/* ---- joining ---------------------------------------------------------------------- */

static fla_status join(fla_meeting *meeting, fla_context *context, fla_run *run,
                       double threshold, uint64_t width,
                       const fla_search_options *options, fla_pairs **out, fla_error *err)
{
    fla_joining joining;
    fla_sketch *sketch;
    uint64_t total;
    fla_joining_init(&joining, context, meeting->base.model, &meeting->base,
                     meeting->itself ? NULL : meeting->queries,
                     meeting->queries_are_right, threshold, options);
    fla_status status = count(meeting, context, run, width, &sketch, err);
    fla_meeting_forget_ranks(meeting);
    if (status == FLA_OK) {
        joining.within.sketch = sketch;
        joining.within.plan = FLA_PLAN_GATHER;
        status = fla_joining_run(&joining, run->call, run, out, &total, err);
    }
    fla_sketch_free(sketch);
    return status;
}

static fla_status check(const fla_search_options *options, double threshold,
                        uint64_t width, bool two_sides, fla_error *err)
{
    if (options->min_collisions == 0)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "min_collisions",
                                 "min_collisions must be at least 1 for a sketch of "
                                 "collisions, got 0");
    if (options->plan != FLA_PLAN_AUTO && options->plan != FLA_PLAN_GATHER)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "plan",
                                 "a join by a sketch gathers: plan must be auto or "
                                 "gather");
    const fla_status status = fla_sketch_check_width(width, err);
    return status == FLA_OK ? fla_join_check(threshold, options->upper, two_sides, err)
                            : status;
}

fla_status fla_sketch_join(const fla_model *model, fla_context *context,
                           const fla_call *call, const fla_matrix *left,
                           const fla_matrix *right, double threshold, uint64_t width,
                           const fla_search_options *options, fla_pairs **out,
                           fla_error *err)
{
    fenv_t callers;
    fla_meeting meeting;
    fla_search_options read;
    const fla_model *used = model;
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_search_options_read(options, &used, &read, err);
    if (status == FLA_OK)
        status = check(&read, threshold, width, right != NULL, err);
    if (status != FLA_OK)
        return status;
    fla_fenv_enter(&callers);
    /* Both passes over the pairs are progress. */
    const size_t rows = right != NULL ? right->rows : left->rows;
    fla_run run = fla_run_begin(call, 2 * (uint64_t)left->rows * rows);
    status = fla_meeting_arrange(&meeting, context, &run, model, left, right, err);
    if (status == FLA_OK)
        status = join(&meeting, context, &run, threshold, width, &read, out, err);
    fla_meeting_clear(&meeting);
    fla_fenv_leave(&callers);
    return status;
}
