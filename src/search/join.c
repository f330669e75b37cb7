/*
 * All pairs of left and right rows within a threshold, in (left, right) order and in
 * bounded memory.
 *
 * Left rows are cut into groups, right rows into ranges; a task scans one range for one
 * group and keeps its pairs, of bounded number, in order.  Tasks run in waves of several
 * per thread; then the calling thread hands their pairs on, group by group.
 *
 * Where that is the plan a group's rows meet those that share a bucket with them instead
 * (bucket_scan.c), of all right rows at once, and the task orders what it found.
 *
 * A task that finds more pairs than it may keep gives up, and the wave counts up to the
 * group before; what follows is cut anew into smaller groups.  At last groups and ranges
 * are so small that no task can find too many, and scan.  Groups grow again when pairs
 * get rare.
 */
#include "search/join.h"

#include <math.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/index.h"
#include "search/options.h"
#include "search/plan.h"

enum {
    MIN_GROUP = 16,             /* left rows; fewer where no task may find too many */
    SHRINK = 4,                 /* how many times smaller the next size of a group is */
    TASKS_PER_THREAD = 16,      /* of a wave: evens out their lengths */
    RANGE_ROWS = 16 * FLA_TILE, /* least rows of a range */
};

/* ---- waves --------------------------------------------------------------------- */

static size_t largest_group(const fla_join *join)
{
    const size_t even = fla_size_parts(join->left.rows, join->most_tasks);
    return even < MIN_GROUP ? MIN_GROUP : fla_size_min(even, FLA_JOIN_GROUP);
}

/* Cut n right rows from wave->row on into up to most ranges of at least some rows. */
static void cut_ranges(fla_join_wave *wave, size_t n, size_t most, size_t least)
{
    const size_t even = fla_size_parts(fla_size_parts(n, most), FLA_TILE) * FLA_TILE;
    wave->range_rows = even < least ? least : even;
    wave->ranges = fla_size_parts(n, wave->range_rows);
    wave->end_row = wave->row + n;
}

/* Groups of left rows against all right rows: the fewer groups, the more ranges. */
static void plan_wave(fla_join *join)
{
    fla_join_wave *wave = &join->wave;
    const size_t groups = fla_size_parts(join->left.rows - wave->first, join->group);
    wave->group = join->group;
    wave->groups = fla_size_min(groups, join->most_tasks);
    wave->buckets = join->runs != NULL;
    cut_ranges(wave, join->right->rows.rows,
               wave->buckets ? 1 : join->most_tasks / wave->groups, RANGE_ROWS);
}

/*
 * Tasks of at most FLA_JOIN_PAIRS row pairs: one group against all right rows, or if even
 * a single left row has too many of those, that row against some of them.
 */
static void plan_small_tasks(fla_join *join)
{
    fla_join_wave *wave = &join->wave;
    const size_t rows = join->right->rows.rows - wave->row;
    size_t group = wave->row > 0 ? 1 : MIN_GROUP;
    while (group > 1 && fla_size_parts(rows, FLA_JOIN_PAIRS / group) > join->most_tasks)
        group /= 2;
    const size_t most_rows = FLA_JOIN_PAIRS / group; /* of a range: a multiple of 64 */
    wave->group = fla_size_min(group, join->left.rows - wave->first);
    wave->groups = 1;
    wave->buckets = false; /* so few left rows share hardly any */
    cut_ranges(wave, fla_size_min(rows, most_rows * join->most_tasks), join->most_tasks,
               FLA_TILE);
}

static fla_status run_wave(fla_join *join, fla_run *run)
{
    fla_join_wave *wave = &join->wave;
    if (join->group > 0)
        plan_wave(join);
    else
        plan_small_tasks(join);
    atomic_store(&join->whole, wave->groups);
    join->cursor = (fla_join_cursor){0};
    /* From where the wave begins, also when parts of it were done before. */
    run->done = (uint64_t)wave->first * join->right->rows.rows +
                (uint64_t)wave->group * wave->row;
    return fla_pool_run(join->context->pool, run, wave->groups * wave->ranges,
                        fla_join_run_task, join);
}

/* Choose the next wave's groups by what the last one found. */
static void choose_group(fla_join *join)
{
    const fla_join_wave *wave = &join->wave;
    const size_t groups = atomic_load(&join->whole);
    size_t pairs = 0;
    if (groups < wave->groups) {
        join->group = join->group > MIN_GROUP ? join->group / SHRINK : 0;
        return;
    }
    for (size_t i = 0; i < groups * wave->ranges; i++)
        pairs += join->tasks[i].sorted.n;
    /* With as many again a row, would groups of the next larger size be far from full? */
    const size_t larger = join->group == 0
                              ? MIN_GROUP
                              : fla_size_min(join->group * SHRINK, largest_group(join));
    if (pairs / (groups * wave->group) < FLA_JOIN_PAIRS / SHRINK / larger)
        join->group = larger;
}

/* Go on behind the wave at hand. */
static void leave_wave(fla_join *join)
{
    fla_join_wave *wave = &join->wave;
    const size_t rows = wave->group * atomic_load(&join->whole);
    if (wave->end_row < join->right->rows.rows) {
        wave->row = wave->end_row; /* of the same left row */
    } else {
        choose_group(join);
        wave->row = 0;
        wave->first += fla_size_min(rows, join->left.rows - wave->first);
    }
    wave->groups = 0;
    atomic_store(&join->whole, 0);
}

static void start(fla_join *join, const fla_matrix *left)
{
    join->left = *left;
    join->group = largest_group(join);
    join->wave = (fla_join_wave){0};
    join->cursor = (fla_join_cursor){0};
    atomic_store(&join->whole, 0);
}

/*
 * The next pairs of the wave, up to most; false at its end.  Per group, per left row,
 * range after range; with one range a group's pairs lie together.
 */
static bool take_pairs(fla_join *join, size_t most, const fla_pair **pairs, size_t *n)
{
    const fla_join_wave *wave = &join->wave;
    fla_join_cursor *at = &join->cursor;
    while (at->group < atomic_load(&join->whole)) {
        const size_t rows = fla_join_group_rows(join, at->group);
        const size_t step = wave->ranges == 1 ? rows : 1;
        const fla_join_task *task = &join->tasks[at->group * wave->ranges + at->range];
        const size_t first = task->starts[at->left] + at->pair;
        const size_t left = task->starts[at->left + step] - first;
        if (left > 0) {
            *pairs = task->sorted.pairs + first;
            *n = fla_size_min(left, most);
            at->pair += *n;
            return true;
        }
        at->pair = 0;
        if (++at->range < wave->ranges)
            continue;
        at->range = 0;
        at->left += step;
        if (at->left < rows)
            continue;
        at->left = 0;
        at->group++;
    }
    return false;
}

/* Decide once whether to go by buckets, and by whose runs. */
static fla_status choose_runs(fla_join *join, fla_run *run)
{
    const fla_base *right = join->right;
    if (join->runs != NULL ||
        !fla_plan_goes_by_buckets(right, join->model, join->options.plan) ||
        !fla_runs_can_hold(right->rows.rows))
        return FLA_OK;
    fla_status status = FLA_OK;
    if (right->runs.tables == NULL)
        status =
            fla_runs_build(&join->made, join->context, run, join->model, &right->rows);
    if (status == FLA_OK)
        join->runs = right->runs.tables != NULL ? &right->runs : &join->made;
    return status;
}

/* The next pairs, up to most; none at the end. */
static fla_status next_pairs(fla_join *join, fla_run *run, size_t most,
                             const fla_pair **pairs, size_t *n)
{
    *n = 0;
    while (!take_pairs(join, most, pairs, n)) {
        if (join->wave.groups > 0)
            leave_wave(join);
        if (join->wave.first == join->left.rows || join->right->rows.rows == 0)
            return FLA_OK;
        fla_status status = choose_runs(join, run);
        if (status == FLA_OK)
            status = run_wave(join, run);
        if (status != FLA_OK)
            return status;
    }
    return FLA_OK;
}

/* ---- making and freeing -------------------------------------------------------- */

static fla_status describe(fla_status status, const fla_join *join, const fla_call *call,
                           const fla_matrix *rows, const char *argument, fla_error *err)
{
    if (status == FLA_ERR_CANCELLED)
        return fla_fail(err, status, "the join was cancelled");
    if (status == FLA_ERR_SINK)
        return fla_fail(err, status, "the sink stopped the join");
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        return fla_rows_describe_fault(join->context, call, rows, join->model, argument,
                                       err);
    return status == FLA_OK ? FLA_OK : fla_fail_memory(err, "the join");
}

/* The join without its working memory. */
static fla_status create(fla_context *context, const fla_model *model, double threshold,
                         const fla_search_options *options, bool two_sides,
                         fla_join **out, fla_error *err)
{
    fla_search_options read;
    fla_status status = fla_search_options_read(options, &model, &read, err);
    if (status == FLA_OK)
        status = fla_join_check(threshold, read.upper, two_sides, err);
    if (status != FLA_OK)
        return status;
    fla_join *join = fla_alloc_zeroed(1, sizeof *join);
    if (join == NULL)
        return fla_fail_memory(err, "the join");
    join->context = context;
    join->model = model;
    join->options = read;
    join->threshold = threshold;
    fla_base_init(&join->own, model);
    join->right = &join->own;
    *out = join; /* ownership passes to the caller here and nowhere else */
    return FLA_OK;
}

/* What is needed once the right side is known. */
static fla_status make_room(fla_join *join, fla_error *err)
{
    join->threads = fla_pool_threads(join->context->pool);
    join->most_tasks = (size_t)join->threads * TASKS_PER_THREAD;
    join->workers = fla_alloc_zeroed(join->threads, sizeof *join->workers);
    join->tasks = fla_alloc_zeroed(join->most_tasks, sizeof *join->tasks);
    if (join->workers == NULL || join->tasks == NULL)
        return fla_fail_memory(err, "the join");
    for (unsigned i = 0; i < join->threads; i++)
        if (!fla_scan_init(&join->workers[i].scan, join->context->kernels, join->model,
                           join->right->rows.dim, FLA_JOIN_GROUP))
            return fla_fail_memory(err, "the join");
    return FLA_OK;
}

void fla_join_free(fla_join *join)
{
    if (join == NULL)
        return;
    for (unsigned i = 0; join->workers != NULL && i < join->threads; i++) {
        fla_scan_clear(&join->workers[i].scan);
        fla_free(join->workers[i].found.pairs);
    }
    for (size_t i = 0; join->tasks != NULL && i < join->most_tasks; i++)
        fla_free(join->tasks[i].sorted.pairs);
    fla_runs_clear(&join->made);
    fla_base_clear(&join->own);
    fla_free(join->workers);
    fla_free(join->tasks);
    fla_free(join);
}

/* ---- left rows pushed ---------------------------------------------------------- */

static fla_status prepare_right(fla_join *join, const fla_call *call,
                                const fla_matrix *right, fla_error *err)
{
    fenv_t callers;
    fla_run run = fla_run_begin(call, right->rows);
    fla_base_set(&join->own, right);
    if (right->rows == 0)
        return FLA_OK;
    fla_fenv_enter(&callers);
    fla_status status =
        fla_base_prepare(&join->own, join->context, &run, right, right, 1, true);
    if (status == FLA_OK)
        status = fla_plan_runs(&join->own, join->context, &run);
    if (status != FLA_OK)
        status = describe(status, join, call, right, "right", err);
    fla_fenv_leave(&callers);
    return status;
}

fla_status fla_join_create(fla_context *context, const fla_call *call,
                           const fla_model *model, const fla_matrix *right,
                           double threshold, const fla_search_options *options,
                           fla_join **out, fla_error *err)
{
    fla_join *join = NULL;
    *out = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status =
            fla_rows_check_shape(right, model != NULL ? model->dim : 0, "right", err);
    if (status == FLA_OK)
        status = create(context, model, threshold, options, false, &join, err);
    if (status == FLA_OK)
        status = prepare_right(join, call, right, err);
    if (status == FLA_OK)
        status = make_room(join, err);
    if (status == FLA_OK) {
        *out = join; /* ownership passes to the caller here and nowhere else */
        join = NULL;
    }
    fla_join_free(join);
    return status;
}

/* Hand all pairs of the left rows to a sink. */
static fla_status pour(fla_join *join, const fla_call *call, fla_pair_sink *sink,
                       void *sink_arg)
{
    fla_run run = fla_run_begin(call, (uint64_t)join->left.rows * join->right->rows.rows);
    const fla_pair *pairs;
    for (;;) {
        size_t n;
        const fla_status status = next_pairs(join, &run, SIZE_MAX, &pairs, &n);
        if (status != FLA_OK || n == 0)
            return status;
        if (sink(sink_arg, pairs, n) != 0)
            return FLA_ERR_SINK;
    }
}

static fla_status refuse(const fla_join *join, bool pulled, const fla_call *call,
                         fla_error *err)
{
    if (join->failed)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "this join failed before: free it and make a new one");
    if (join->opened != pulled)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        pulled ? "this join was not opened with a left side: push rows"
                               : "this join was opened with a left side: take its pairs");
    return fla_call_check(call, err);
}

fla_status fla_join_push(fla_join *join, const fla_call *call, const fla_matrix *left,
                         fla_pair_sink *sink, void *sink_arg, fla_error *err)
{
    fenv_t callers;
    fla_status status = refuse(join, false, call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(left, join->right->rows.dim, "left", err);
    if (status != FLA_OK)
        return status;
    fla_fenv_enter(&callers);
    start(join, left);
    status = pour(join, call, sink, sink_arg);
    if (status != FLA_OK)
        status = describe(status, join, call, left, "left", err);
    fla_fenv_leave(&callers);
    join->failed = status != FLA_OK;
    return status;
}

/* ---- two indexes --------------------------------------------------------------- */

fla_status fla_join_open(const fla_index *left, fla_context *context,
                         const fla_index *right, double threshold,
                         const fla_search_options *options, fla_join **out,
                         fla_error *err)
{
    fla_join *join = NULL;
    const fla_base *base = right != NULL ? &right->base : &left->base;
    *out = NULL;
    fla_status status =
        fla_rows_check_shape(&left->base.rows, base->rows.dim, "left", err);
    if (status == FLA_OK)
        status = create(context, left->base.model, threshold, options, right != NULL,
                        &join, err);
    if (status != FLA_OK)
        return status;
    join->right = base;
    join->opened = true;
    status = make_room(join, err);
    if (status == FLA_OK) {
        start(join, &left->base.rows);
        *out = join; /* ownership passes to the caller here and nowhere else */
        join = NULL;
    }
    fla_join_free(join);
    return status;
}

fla_status fla_join_next(fla_join *join, const fla_call *call, size_t most,
                         const fla_pair **pairs, size_t *n, fla_error *err)
{
    fenv_t callers;
    *n = 0;
    fla_status status = refuse(join, true, call, err);
    if (status == FLA_OK && most < 1)
        status = fla_fail_argument(err, FLA_ERR_ARGUMENT, "most",
                                   "most must be at least 1, got 0");
    if (status != FLA_OK)
        return status;
    fla_fenv_enter(&callers);
    fla_run run = fla_run_begin(call, (uint64_t)join->left.rows * join->right->rows.rows);
    status = next_pairs(join, &run, most, pairs, n);
    if (status != FLA_OK)
        status = describe(status, join, call, &join->left, "left", err);
    fla_fenv_leave(&callers);
    join->failed = status != FLA_OK;
    return status;
}

fla_status fla_similarity_join(const fla_index *left, fla_context *context,
                               const fla_call *call, const fla_index *right,
                               double threshold, const fla_search_options *options,
                               fla_pair_sink *sink, void *sink_arg, fla_error *err)
{
    fenv_t callers;
    fla_join *join = NULL;
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_join_open(left, context, right, threshold, options, &join, err);
    if (status != FLA_OK)
        return status;
    fla_fenv_enter(&callers);
    status = pour(join, call, sink, sink_arg);
    if (status != FLA_OK)
        status = describe(status, join, call, &join->left, "left", err);
    fla_fenv_leave(&callers);
    fla_join_free(join);
    return status;
}
