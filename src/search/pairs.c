/* Joins whose pairs are counted, or collected into columns. */
#include "search/pairs.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/faults.h"
#include "lsh/model.h"
#include "search/index.h"
#include "search/options.h"

/* ---- columns ------------------------------------------------------------------- */

static fla_pairs *pairs_create(uint64_t n)
{
    fla_pairs *pairs = n <= SIZE_MAX ? fla_alloc_zeroed(1, sizeof *pairs) : NULL;
    if (pairs == NULL)
        return NULL;
    pairs->n = (size_t)n;
    pairs->left = fla_alloc(pairs->n, sizeof *pairs->left);
    pairs->right = fla_alloc(pairs->n, sizeof *pairs->right);
    pairs->distances = fla_alloc(pairs->n, sizeof *pairs->distances);
    if (pairs->left != NULL && pairs->right != NULL && pairs->distances != NULL)
        return pairs;
    fla_pairs_free(pairs);
    return NULL;
}

void fla_pairs_free(fla_pairs *pairs)
{
    if (pairs == NULL)
        return;
    fla_free(pairs->left);
    fla_free(pairs->right);
    fla_free(pairs->distances);
    fla_free(pairs);
}

/* ---- a self-join's other half -------------------------------------------------- */

/*
 * A distance is the same from either side to the bit, for x - y and y - x differ in sign
 * alone; so is a collision.  Hence all ordered pairs are those with left < right, each
 * turned round as well, and every row with itself: at distance 0, and in a bucket with
 * itself in every hash table.
 */
typedef struct mirroring {
    const fla_within_lists *upper; /* by left row: those above it */
    size_t rows;
    int64_t first_row;
    bool diagonal; /* (i, i) too */
    size_t *next;  /* [rows]: how many are below a row, then where its next pair goes */
    fla_pairs *pairs;
} mirroring;

static size_t above(const mirroring *work, size_t row)
{
    return (size_t)(work->upper->starts[row + 1] - work->upper->starts[row]);
}

static void place(fla_pairs *pairs, size_t at, int64_t left, int64_t right,
                  double distance)
{
    pairs->left[at] = left;
    pairs->right[at] = right;
    pairs->distances[at] = distance;
}

static bool count_below(mirroring *work, fla_job *job, unsigned worker)
{
    const fla_within_lists *upper = work->upper;
    for (size_t i = 0; i < work->rows; i++) {
        if (fla_job_stopped(job, worker))
            return false;
        for (int64_t p = upper->starts[i]; p < upper->starts[i + 1]; p++)
            work->next[upper->others[p] - work->first_row]++;
    }
    return true;
}

static void begin_lists(mirroring *work)
{
    size_t begin = 0;
    for (size_t i = 0; i < work->rows; i++) {
        const size_t all = work->next[i] + work->diagonal + above(work, i);
        work->next[i] = begin;
        begin += all;
    }
}

/* A row's own pairs come after those with rows below it, which are all placed by the time
   it is reached: next has moved past them. */
static void mirror_row(mirroring *work, size_t row)
{
    const fla_within_lists *upper = work->upper;
    const int64_t first = work->first_row, left = first + (int64_t)row;
    size_t at = work->next[row];
    if (work->diagonal)
        place(work->pairs, at++, left, left, 0);
    for (int64_t p = upper->starts[row]; p < upper->starts[row + 1]; p++) {
        const int64_t right = upper->others[p];
        const double distance = upper->distances[p];
        place(work->pairs, at++, left, right, distance);
        place(work->pairs, work->next[right - first]++, right, left, distance);
    }
}

static void mirror_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    mirroring *work = arg;
    (void)task;
    if (!count_below(work, job, worker))
        return;
    begin_lists(work);
    for (size_t i = 0; i < work->rows && !fla_job_stopped(job, worker); i++)
        mirror_row(work, i);
}

static fla_status mirror(const fla_joining *join, const fla_call *call,
                         const fla_within_lists *upper, fla_pairs *pairs)
{
    const fla_within *within = &join->within;
    const size_t rows = within->base->rows.rows;
    mirroring work = {.upper = upper,
                      .rows = rows,
                      .first_row = within->base->rows.first_row,
                      .diagonal = join->diagonal,
                      .next = fla_alloc_zeroed(rows, sizeof *work.next),
                      .pairs = pairs};
    fla_run run = fla_run_begin(call, 0); /* arranging is not progress */
    const fla_status status =
        work.next != NULL
            ? fla_pool_run(within->context->pool, &run, 1, mirror_task, &work)
            : FLA_ERR_MEMORY;
    fla_free(work.next);
    return status;
}

/* ---- collecting ---------------------------------------------------------------- */

/* All pairs, from those found. */
static uint64_t total(const fla_joining *join)
{
    if (!join->mirrored)
        return join->within.pairs;
    return 2 * join->within.pairs + (join->diagonal ? join->within.base->rows.rows : 0);
}

static fla_status take(fla_joining *join, const fla_call *call, fla_pairs *pairs)
{
    fla_within *within = &join->within;
    const size_t found = (size_t)within->pairs;
    const size_t lists = join->by_row ? within->base->rows.rows : within->queries->rows;
    fla_within_lists taken = {join->by_row, NULL, pairs->left, pairs->right,
                              pairs->distances};
    fla_status status = FLA_ERR_MEMORY;
    if (join->mirrored) {
        taken.owners = NULL;
        taken.others = fla_alloc(found, sizeof *taken.others);
        taken.distances = fla_alloc(found, sizeof *taken.distances);
    }
    taken.starts = fla_alloc(lists + 1, sizeof *taken.starts);
    if (taken.starts != NULL && taken.others != NULL && taken.distances != NULL)
        status = fla_within_take(within, call, &taken);
    if (join->mirrored) {
        if (status == FLA_OK)
            status = mirror(join, call, &taken, pairs);
        fla_free(taken.others);
        fla_free(taken.distances);
    }
    fla_free(taken.starts);
    return status;
}

static fla_status collect(fla_joining *join, const fla_call *call, fla_pairs **out)
{
    fla_pairs *pairs = pairs_create(total(join));
    const fla_status status = pairs != NULL ? take(join, call, pairs) : FLA_ERR_MEMORY;
    if (status == FLA_OK) {
        *out = pairs; /* ownership passes to the caller here and nowhere else */
        return FLA_OK;
    }
    fla_pairs_free(pairs);
    return status;
}

/* ---- joining -------------------------------------------------------------------- */

void fla_joining_init(fla_joining *join, fla_context *context, const fla_model *model,
                      const fla_base *base, const fla_matrix *queries, bool by_row,
                      double threshold, const fla_search_options *options)
{
    const bool itself = queries == NULL;
    *join = (fla_joining){
        .within = {.context = context,
                   .model = model,
                   .base = base,
                   .queries = itself ? &base->rows : queries,
                   .one_radius = true,
                   .min_collisions = options->min_collisions,
                   .plan = options->plan,
                   .strict = options->strict,
                   .upper = itself},
        .by_row = by_row,
        .mirrored = itself && !options->upper,
        .diagonal = threshold > 0 || !options->strict,
        .threshold = threshold,
        .argument = by_row ? "right" : "left",
    };
    join->within.radius = &join->threshold;
}

fla_status fla_joining_run(fla_joining *join, const fla_call *call, fla_run *run,
                           fla_pairs **out, uint64_t *n, fla_error *err)
{
    fenv_t callers;
    fla_within *within = &join->within;
    fla_fenv_enter(&callers);
    within->count = out == NULL;
    fla_status status = fla_within_run(within, run);
    *n = total(join);
    if (status == FLA_ERR_NONFINITE || status == FLA_ERR_RANGE)
        status = fla_rows_describe_fault(within->context, call, within->queries,
                                         within->model, join->argument, err);
    else if (status == FLA_OK && out != NULL)
        status = collect(join, call, out);
    if (status == FLA_ERR_CANCELLED)
        status = fla_fail(err, status, "the join was cancelled");
    else if (status == FLA_ERR_MEMORY)
        status = fla_fail(err, status,
                          "out of memory for the join, which has found %" PRIu64
                          " pairs: lower threshold or raise min_collisions",
                          *n);
    fla_within_clear(within);
    fla_fenv_leave(&callers);
    return status;
}

/* ---- the public functions ------------------------------------------------------ */

/* Check what is asked and join. */
static fla_status run(const fla_index *index, fla_context *context, const fla_call *call,
                      const fla_matrix *left, const fla_matrix *right, double threshold,
                      const fla_search_options *options, fla_pairs **out, uint64_t *n,
                      fla_error *err)
{
    fla_joining join;
    fla_search_options read;
    const fla_model *model = index->base.model;
    const fla_matrix *rows = left != NULL ? left : right;
    const char *argument = left != NULL ? "left" : "right";
    fla_status status = fla_call_check(call, err);
    if (status == FLA_OK)
        status = fla_search_options_read(options, &model, &read, err);
    if (status == FLA_OK)
        status = fla_join_check(threshold, read.upper, rows != NULL, err);
    if (status == FLA_OK && left != NULL && right != NULL)
        status = fla_fail_argument(err, FLA_ERR_ARGUMENT, "right",
                                   "one side must be the index's: left or right NULL");
    if (status == FLA_OK && rows != NULL)
        status = fla_rows_check_shape(rows, index->base.rows.dim, argument, err);
    if (status != FLA_OK)
        return status;
    fla_joining_init(&join, context, model, &index->base, rows, right != NULL, threshold,
                     &read);
    fla_run progress = fla_run_begin(call, fla_within_units(&join.within));
    return fla_joining_run(&join, call, &progress, out, n, err);
}

fla_status fla_pairs_collect(const fla_index *index, fla_context *context,
                             const fla_call *call, const fla_matrix *left,
                             const fla_matrix *right, double threshold,
                             const fla_search_options *options, fla_pairs **out,
                             fla_error *err)
{
    uint64_t n;
    *out = NULL;
    return run(index, context, call, left, right, threshold, options, out, &n, err);
}

fla_status fla_pairs_count(const fla_index *index, fla_context *context,
                           const fla_call *call, const fla_matrix *rows, double threshold,
                           const fla_search_options *options, uint64_t *count,
                           fla_error *err)
{
    uint64_t n;
    const fla_status status =
        run(index, context, call, NULL, rows, threshold, options, NULL, &n, err);
    *count = status == FLA_OK ? n : 0;
    return status;
}
