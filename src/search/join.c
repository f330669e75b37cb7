/*
 * All pairs of left and right rows within a threshold, in (left, right) order.
 *
 * Left rows are cut into groups, right rows into ranges; a task scans one range for one
 * group and keeps its pairs in a buffer of bounded size.  Tasks run in waves of a few per
 * thread; after each wave the calling thread hands the pairs on, group by group.  When a
 * buffer runs over, the wave is thrown away and repeated with smaller groups, down to one
 * left row against ranges that cannot overflow; groups grow again when pairs get rare.
 */
#include <math.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/index.h"
#include "search/options.h"
#include "search/scan.h"

enum {
    MAX_GROUP = 256,         /* left rows that share the packing of a right tile */
    MIN_GROUP = 16,          /* fewer only when buffers run over */
    TASKS_PER_THREAD = 4,    /* of a wave: evens out their lengths */
    BUFFER_PAIRS = 1 << 17,  /* of a task: 3 MiB, twice while sorting */
    FIRST_CAPACITY = 1 << 8, /* pairs a buffer begins with */
};

/* One task's pairs, sorted by (left, right) once the task is done. */
typedef struct join_buffer {
    fla_pair *pairs, *sorted;
    size_t count, capacity, sorted_capacity;
    size_t starts[MAX_GROUP + 1]; /* where each left row's pairs start among the sorted */
    bool overflowed;
} join_buffer;

struct fla_join {
    fla_context *context;
    const fla_model *model; /* NULL: exact */
    fla_search_options options;
    double threshold;
    fla_base own;          /* prepared rows, unless an index has them */
    const fla_base *right; /* own or an index's */
    unsigned threads;
    fla_scan *scans;      /* [threads] */
    size_t tasks;         /* of a wave, at most */
    join_buffer *buffers; /* [tasks] */
    bool failed;
};

/* ---- buffers ------------------------------------------------------------------- */

static bool reserve(fla_pair **pairs, size_t used, size_t *capacity, size_t wanted)
{
    size_t grown = *capacity == 0 ? FIRST_CAPACITY : *capacity;
    if (wanted <= *capacity)
        return true;
    while (grown < wanted)
        grown *= 2;
    fla_pair *room = fla_regrow(*pairs, used, grown, sizeof *room);
    if (room == NULL)
        return false;
    *pairs = room;
    *capacity = grown;
    return true;
}

/* A counting sort by left row; each left row's pairs are in right order already. */
static bool sort_pairs(join_buffer *buffer, int64_t first_left, size_t group)
{
    size_t *starts = buffer->starts;
    size_t next[MAX_GROUP];
    if (!reserve(&buffer->sorted, 0, &buffer->sorted_capacity, buffer->count))
        return false;
    for (size_t g = 0; g <= group; g++)
        starts[g] = 0;
    for (size_t i = 0; i < buffer->count; i++)
        starts[buffer->pairs[i].left - first_left + 1]++;
    for (size_t g = 0; g < group; g++) {
        starts[g + 1] += starts[g];
        next[g] = starts[g];
    }
    for (size_t i = 0; i < buffer->count; i++)
        buffer->sorted[next[buffer->pairs[i].left - first_left]++] = buffer->pairs[i];
    return true;
}

/* ---- one task ------------------------------------------------------------------ */

/* What one push joins, and how the wave at hand cuts it. */
typedef struct join_wave {
    fla_join *join;
    const fla_matrix *left;
    fla_run run;
    size_t first;      /* left row the wave begins with */
    size_t group;      /* left rows of a group */
    size_t groups;     /* of the wave */
    size_t ranges;     /* right ranges per group in this wave */
    size_t range_rows; /* a multiple of 64 */
    size_t first_row;  /* right row the wave's ranges begin with */
    size_t end_row;    /* and end before */
} join_wave;

static size_t group_rows(const join_wave *wave, size_t g)
{
    const size_t left = wave->left->rows - (wave->first + g * wave->group);
    return fla_size_min(left, wave->group);
}

static bool within(const fla_join *join, double distance)
{
    return join->options.strict ? distance < join->threshold
                                : distance <= join->threshold;
}

typedef struct join_visit {
    const fla_join *join;
    join_buffer *buffer;
} join_visit;

/* FLA_ERR_SINK stands for an overflow: a reason to end the task, not the join. */
static fla_status keep_pairs(fla_scan *scan, size_t query, size_t n, const int64_t *rows,
                             const double *distances)
{
    const join_visit *visit = scan->arg;
    join_buffer *buffer = visit->buffer;
    const int64_t left = scan->queries->rows.first_row + (int64_t)query;
    for (size_t i = 0; i < n; i++) {
        if (!within(visit->join, distances[i]))
            continue;
        if (buffer->count == BUFFER_PAIRS) {
            buffer->overflowed = true;
            return FLA_ERR_SINK;
        }
        if (!reserve(&buffer->pairs, buffer->count, &buffer->capacity, buffer->count + 1))
            return FLA_ERR_MEMORY;
        buffer->pairs[buffer->count++] = (fla_pair){left, rows[i], distances[i]};
    }
    return FLA_OK;
}

/* The first right row, a multiple of 64, that can be above a left row's number. */
static size_t first_above(const fla_join *join, int64_t left)
{
    if (!join->options.upper || left < join->right->rows.first_row)
        return 0;
    const uint64_t skip = (uint64_t)(left - join->right->rows.first_row);
    return skip >= join->right->rows.rows ? join->right->rows.rows
                                          : (size_t)(skip - skip % FLA_TILE);
}

static fla_status scan_group(join_wave *wave, const fla_queries *queries, size_t range,
                             join_buffer *buffer, fla_job *job, unsigned worker)
{
    fla_join *join = wave->join;
    fla_scan *scan = &join->scans[worker];
    join_visit visit = {join, buffer};
    const size_t start = wave->first_row + range * wave->range_rows;
    const size_t left = wave->end_row - start;
    const size_t end = start + fla_size_min(left, wave->range_rows);
    const size_t above = first_above(join, queries->rows.first_row);
    const size_t first = above < start ? start : fla_size_min(above, end);
    fla_scan_begin(scan, join->right, queries, 0, queries->n);
    for (size_t q = 0; q < queries->n; q++)
        fla_scan_set_radius(scan, q, join->threshold);
    scan->min_collisions = join->options.min_collisions;
    scan->upper = join->options.upper;
    scan->visit = keep_pairs;
    scan->arg = &visit;
    fla_job_advance(job, (uint64_t)(first - start) * queries->n);
    if (first == end)
        return FLA_OK;
    return fla_scan_rows(scan, first, end - first, job, worker);
}

/* Check, bucket and code a group of left rows. */
static fla_status prepare_left(const fla_join *join, fla_queries *queries,
                               const fla_matrix *left, fla_scan *scan)
{
    if (!fla_queries_init(queries, join->model, left) ||
        (join->right->coded && !fla_queries_reserve(queries, join->right)))
        return FLA_ERR_MEMORY;
    const fla_status status =
        fla_queries_fill(queries, fla_tile_hasher(&scan->tile), 0, queries->n);
    if (status == FLA_OK && join->right->coded)
        fla_scan_encode(scan, queries, join->right, 0, queries->n);
    return status;
}

static void join_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    join_wave *wave = arg;
    fla_join *join = wave->join;
    join_buffer *buffer = &join->buffers[task];
    const size_t g = task / wave->ranges;
    const fla_matrix left =
        fla_rows_slice(wave->left, wave->first + g * wave->group, group_rows(wave, g));
    fla_queries queries;
    buffer->count = 0;
    buffer->overflowed = false;
    fla_status status = prepare_left(join, &queries, &left, &join->scans[worker]);
    if (status == FLA_OK)
        status = scan_group(wave, &queries, task % wave->ranges, buffer, job, worker);
    if (status == FLA_OK && !sort_pairs(buffer, left.first_row, left.rows))
        status = FLA_ERR_MEMORY;
    if (status != FLA_OK)
        fla_job_fail(job, status);
    fla_queries_clear(&queries);
}

/* ---- waves --------------------------------------------------------------------- */

/* Hand on what a wave found: per group, per left row, range after range. */
static fla_status emit(const join_wave *wave, fla_pair_sink *sink, void *sink_arg,
                       size_t *pairs)
{
    for (size_t g = 0; g < wave->groups; g++) {
        const join_buffer *buffers = wave->join->buffers + g * wave->ranges;
        /* With one range a group's pairs leave together, else left row by left row. */
        const size_t rows = group_rows(wave, g), step = wave->ranges == 1 ? rows : 1;
        for (size_t i = 0; i < rows; i += step) {
            for (size_t r = 0; r < wave->ranges; r++) {
                const size_t start = buffers[r].starts[i];
                const size_t n = buffers[r].starts[i + step] - start;
                *pairs += n;
                if (n > 0 && sink(sink_arg, buffers[r].sorted + start, n) != 0)
                    return FLA_ERR_SINK;
            }
        }
    }
    return FLA_OK;
}

static bool overflowed(const join_wave *wave)
{
    for (size_t i = 0; i < wave->groups * wave->ranges; i++)
        if (wave->join->buffers[i].overflowed)
            return true;
    return false;
}

/* Cut the left rows from wave->first on into groups, and the right rows into ranges. */
static void plan_wave(join_wave *wave, size_t group)
{
    const fla_join *join = wave->join;
    const size_t left = wave->left->rows - wave->first, right = join->right->rows.rows;
    wave->group = group;
    wave->groups = fla_size_parts(left, group);
    if (wave->groups > join->tasks)
        wave->groups = join->tasks;
    wave->ranges = join->tasks / wave->groups;
    if (wave->ranges > 1 + right / (MAX_GROUP * FLA_TILE))
        wave->ranges = 1 + right / (MAX_GROUP * FLA_TILE);
    const size_t tiles = fla_size_parts(right, FLA_TILE);
    const size_t range_tiles = fla_size_parts(tiles, wave->ranges);
    wave->range_rows = range_tiles * FLA_TILE;
    wave->ranges = fla_size_parts(tiles, range_tiles); /* none is empty */
    wave->first_row = 0;
    wave->end_row = right;
}

/* One left row against as many right rows as the buffers surely hold. */
static void plan_single_row(join_wave *wave, size_t first_row)
{
    const fla_join *join = wave->join;
    const size_t rows = join->right->rows.rows - first_row;
    wave->group = 1;
    wave->groups = 1;
    wave->range_rows = BUFFER_PAIRS;
    wave->ranges = fla_size_parts(rows, BUFFER_PAIRS);
    if (wave->ranges > join->tasks)
        wave->ranges = join->tasks;
    wave->first_row = first_row;
    wave->end_row = join->right->rows.rows;
    if (rows > wave->ranges * BUFFER_PAIRS)
        wave->end_row = first_row + wave->ranges * BUFFER_PAIRS;
}

static fla_status run_wave(join_wave *wave)
{
    const fla_join *join = wave->join;
    /* From where the wave begins, also when it is repeated. */
    wave->run.done = (uint64_t)wave->first * join->right->rows.rows + wave->first_row;
    return fla_pool_run(join->context->pool, &wave->run, wave->groups * wave->ranges,
                        join_task, wave);
}

/* A left row with more pairs than a buffer: its right rows in several waves. */
static fla_status join_single_row(join_wave *wave, fla_pair_sink *sink, void *sink_arg)
{
    fla_status status = FLA_OK;
    size_t pairs = 0, row = 0;
    while (status == FLA_OK && row < wave->join->right->rows.rows) {
        plan_single_row(wave, row);
        status = run_wave(wave);
        if (status == FLA_OK)
            status = emit(wave, sink, sink_arg, &pairs);
        row = wave->end_row;
    }
    return status;
}

static size_t first_group(const fla_join *join, size_t left)
{
    const size_t even = fla_size_parts(left, join->tasks);
    return even < MIN_GROUP ? MIN_GROUP : even > MAX_GROUP ? MAX_GROUP : even;
}

static fla_status join_rows(fla_join *join, const fla_call *call, const fla_matrix *left,
                            fla_pair_sink *sink, void *sink_arg)
{
    const size_t largest = first_group(join, left->rows);
    join_wave wave = {.join = join, .left = left};
    wave.run = fla_run_begin(call, (uint64_t)left->rows * join->right->rows.rows);
    size_t group = largest;
    while (wave.first < left->rows) {
        size_t pairs = 0;
        plan_wave(&wave, group);
        fla_status status = run_wave(&wave);
        if (status == FLA_ERR_SINK && overflowed(&wave) && group > 1) {
            group = group > 4 ? group / 4 : 1;
            continue;
        }
        if (status == FLA_ERR_SINK && overflowed(&wave)) {
            status = join_single_row(&wave, sink, sink_arg);
        } else if (status == FLA_OK) {
            status = emit(&wave, sink, sink_arg, &pairs);
            if (pairs / (wave.groups * wave.ranges) < BUFFER_PAIRS / 16 &&
                group < largest)
                group = fla_size_min(4 * group, largest);
        }
        if (status != FLA_OK)
            return status;
        wave.first += wave.groups * wave.group;
    }
    return FLA_OK;
}

/* ---- the public functions ------------------------------------------------------ */

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

static bool make_room(fla_join *join)
{
    join->threads = fla_pool_threads(join->context->pool);
    join->tasks = (size_t)join->threads * TASKS_PER_THREAD;
    join->scans = fla_alloc_zeroed(join->threads, sizeof *join->scans);
    join->buffers = fla_alloc_zeroed(join->tasks, sizeof *join->buffers);
    if (join->scans == NULL || join->buffers == NULL)
        return false;
    for (unsigned i = 0; i < join->threads; i++) {
        if (!fla_scan_init(&join->scans[i], join->context->kernels, join->model,
                           join->right->rows.dim, MAX_GROUP))
            return false;
    }
    return true;
}

/* right  an index's rows, or NULL: they will be the join's own. */
static fla_status create(fla_context *context, const fla_model *model,
                         const fla_base *right, double threshold,
                         const fla_search_options *options, fla_join **out,
                         fla_error *err)
{
    fla_search_options read;
    fla_status status = fla_search_options_read(options, &model, &read, err);
    if (status != FLA_OK)
        return status;
    if (!(threshold >= 0))
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "threshold",
                                 "threshold must be 0 or more, got %g", threshold);
    fla_join *join = fla_alloc_zeroed(1, sizeof *join);
    if (join == NULL)
        return fla_fail_memory(err, "the join");
    join->context = context;
    join->model = model;
    join->options = read;
    join->threshold = threshold;
    fla_base_init(&join->own, model);
    join->right = right != NULL ? right : &join->own;
    *out = join; /* ownership passes to the caller here and nowhere else */
    return FLA_OK;
}

static fla_status prepare_right(fla_join *join, const fla_call *call,
                                const fla_matrix *right, fla_error *err)
{
    fenv_t callers;
    fla_run run = fla_run_begin(call, right->rows);
    fla_base_set(&join->own, right);
    if (right->rows == 0)
        return FLA_OK;
    fla_fenv_enter(&callers);
    fla_status status = fla_base_prepare(&join->own, join->context, &run, right, 1, true);
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
        status = create(context, model, NULL, threshold, options, &join, err);
    if (status == FLA_OK)
        status = prepare_right(join, call, right, err);
    if (status == FLA_OK && !make_room(join))
        status = fla_fail_memory(err, "the join");
    if (status == FLA_OK) {
        *out = join; /* ownership passes to the caller here and nowhere else */
        join = NULL;
    }
    fla_join_free(join);
    return status;
}

void fla_join_free(fla_join *join)
{
    if (join == NULL)
        return;
    for (unsigned i = 0; join->scans != NULL && i < join->threads; i++) {
        fla_scan_clear(&join->scans[i]);
    }
    for (size_t i = 0; join->buffers != NULL && i < join->tasks; i++) {
        fla_free(join->buffers[i].pairs);
        fla_free(join->buffers[i].sorted);
    }
    fla_base_clear(&join->own);
    fla_free(join->scans);
    fla_free(join->buffers);
    fla_free(join);
}

fla_status fla_join_push(fla_join *join, const fla_call *call, const fla_matrix *left,
                         fla_pair_sink *sink, void *sink_arg, fla_error *err)
{
    fenv_t callers;
    if (join->failed)
        return fla_fail(err, FLA_ERR_ARGUMENT,
                        "this join failed before: free it and make a new one");
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_rows_check_shape(left, join->right->rows.dim, "left", err);
    if (status != FLA_OK || left->rows == 0 || join->right->rows.rows == 0)
        return status;
    fla_fenv_enter(&callers);
    status = join_rows(join, call, left, sink, sink_arg);
    if (status != FLA_OK)
        status = describe(status, join, call, left, "left", err);
    fla_fenv_leave(&callers);
    join->failed = status != FLA_OK;
    return status;
}

fla_status fla_similarity_join(const fla_index *left, fla_context *context,
                               const fla_call *call, const fla_index *right,
                               double threshold, const fla_search_options *options,
                               fla_pair_sink *sink, void *sink_arg, fla_error *err)
{
    fla_join *join = NULL;
    const fla_index *other = right != NULL ? right : left;
    if (right != NULL && options != NULL && options->upper)
        return fla_fail_argument(
            err, FLA_ERR_ARGUMENT, "upper",
            "upper is for rows joined with themselves, got two sides");
    fla_status status =
        create(context, left->base.model, &other->base, threshold, options, &join, err);
    if (status == FLA_OK && !make_room(join))
        status = fla_fail_memory(err, "the join");
    if (status == FLA_OK)
        status = fla_join_push(join, call, &left->base.rows, sink, sink_arg, err);
    fla_join_free(join);
    return status;
}
