/* All candidates within a fixed radius of each query, kept in memory. */
#include "search/within.h"

#include "base/alloc.h"
#include "search/bucket_scan.h"
#include "search/order.h"
#include "search/plan.h"

enum {
    BLOCK_QUERIES = 256,        /* share the reading of a tile; their codes stay in L2 */
    BATCH_BYTES = 1 << 24,      /* of the codes of a batch */
    PREPARE_QUERIES = 128,      /* queries a task prepares */
    TASKS_PER_THREAD = 16,      /* at least: evens out their lengths */
    RANGE_ROWS = 16 * FLA_TILE, /* least rows of a range */
    MOST_RANGE_ROWS = 1 << 30,  /* so that 32 bits count them */
};

/* ---- cutting ------------------------------------------------------------------- */

static size_t batch_queries(const fla_within *within)
{
    const size_t blocks = BATCH_BYTES / (within->base->rows.dim * within->block);
    return (blocks > 0 ? blocks : 1) * within->block;
}

static void cut(fla_within *within)
{
    const size_t rows = within->base->rows.rows, queries = within->queries->rows;
    within->block = fla_size_min(queries, BLOCK_QUERIES);
    within->blocks = fla_size_parts(queries, within->block);
    within->batch_queries = batch_queries(within);
    const size_t batch = fla_size_min(queries, within->batch_queries);
    const size_t blocks = fla_size_parts(batch, within->block);
    const size_t ranges =
        fla_size_parts((size_t)within->threads * TASKS_PER_THREAD, blocks);
    const size_t even = fla_size_parts(fla_size_parts(rows, ranges), FLA_TILE) * FLA_TILE;
    within->range_rows =
        even < RANGE_ROWS ? RANGE_ROWS : fla_size_min(even, MOST_RANGE_ROWS);
    if (within->runs != NULL)
        within->range_rows = rows;
    within->ranges = fla_size_parts(rows, within->range_rows);
}

static bool make_room(fla_within *within)
{
    size_t tasks;
    within->scans = fla_alloc_zeroed(within->threads, sizeof *within->scans);
    within->counts = fla_alloc_zeroed(within->threads, sizeof *within->counts);
    if (within->scans == NULL || within->counts == NULL ||
        !fla_size_mul(within->blocks, within->ranges, &tasks) ||
        (within->found = fla_alloc_zeroed(tasks, sizeof *within->found)) == NULL)
        return false;
    for (unsigned i = 0; i < within->threads; i++)
        if (!fla_scan_init(&within->scans[i], within->context->kernels, within->model,
                           within->base->rows.dim, within->block))
            return false;
    return true;
}

/* ---- scanning ------------------------------------------------------------------ */

static void prepare_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    fla_within *within = arg;
    const fla_base *base = within->base;
    fla_scan *scan = &within->scans[worker];
    const size_t first = task * PREPARE_QUERIES;
    const size_t n = fla_size_min(within->batch.n - first, PREPARE_QUERIES);
    const fla_status status =
        fla_queries_fill(&within->batch, fla_tile_hasher(&scan->tile), first, n);
    if (status != FLA_OK)
        fla_job_fail(job, status);
    else if (base->coded)
        fla_scan_encode(scan, &within->batch, base, first, n);
}

typedef struct visit_arg {
    const fla_within *within;
    int64_t first_row; /* the range's first, by its number */
    fla_found *found;
    uint64_t count;
} visit_arg;

static double radius_of(const fla_within *within, size_t query)
{
    return within->radius[within->one_radius ? 0 : query];
}

static fla_status keep(fla_scan *scan, size_t query, size_t n, const int64_t *rows,
                       const double *distances)
{
    visit_arg *visit = scan->arg;
    const fla_within *within = visit->within;
    for (size_t i = 0; i < n; i++) {
        if (within->strict && !(distances[i] < scan->radius[query]))
            continue;
        visit->count++;
        if (within->count)
            continue;
        const fla_found_pair pair = {
            (uint32_t)query, (uint32_t)(rows[i] - visit->first_row), distances[i]};
        if (!fla_found_add(visit->found, pair))
            return FLA_ERR_MEMORY;
    }
    return FLA_OK;
}

/* The first base row, a multiple of 64, that can be above a query's number. */
static size_t first_above(const fla_within *within, int64_t number)
{
    const fla_matrix *rows = &within->base->rows;
    if (!within->upper || number < rows->first_row)
        return 0;
    const uint64_t skip = (uint64_t)number - (uint64_t)rows->first_row;
    return skip >= rows->rows ? rows->rows : (size_t)(skip - skip % FLA_TILE);
}

static void scan_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    fla_within *within = arg;
    fla_scan *scan = &within->scans[worker];
    const size_t q = task / within->ranges * within->block;
    const size_t n = fla_size_min(within->batch.n - q, within->block);
    const size_t start = task % within->ranges * within->range_rows;
    const size_t rows = fla_size_min(within->base->rows.rows - start, within->range_rows);
    const size_t above = first_above(within, within->batch.rows.first_row + (int64_t)q);
    const size_t first = above < start ? start : fla_size_min(above, start + rows);
    const size_t done = within->batch_first / within->block * within->ranges;
    visit_arg visit = {within, within->base->rows.first_row + (int64_t)start,
                       &within->found[done + task], 0};
    if (within->runs == NULL)
        fla_job_advance(job, (uint64_t)(first - start) * n);
    if (first == start + rows)
        return;
    fla_scan_begin(scan, within->base, &within->batch, q, n);
    for (size_t i = 0; i < n; i++)
        fla_scan_set_radius(scan, i, radius_of(within, within->batch_first + q + i));
    scan->min_collisions = within->min_collisions;
    scan->upper = within->upper;
    scan->sketch = within->sketch;
    scan->visit = keep;
    scan->arg = &visit;
    const fla_status status =
        within->runs != NULL
            ? fla_scan_buckets(scan, within->runs, within->plan, job, worker)
            : fla_scan_rows(scan, first, start + rows - first, job, worker);
    within->counts[worker] += visit.count;
    if (status != FLA_OK)
        fla_job_fail(job, status);
}

static fla_status run_batch(fla_within *within, fla_run *run, size_t first)
{
    fla_pool *pool = within->context->pool;
    const size_t n = fla_size_min(within->queries->rows - first, within->batch_queries);
    const fla_matrix rows = fla_rows_slice(within->queries, first, n);
    within->batch_first = first;
    fla_queries_clear(&within->batch);
    if (!fla_queries_init(&within->batch, within->model, &rows) ||
        (within->base->coded && !fla_queries_reserve(&within->batch, within->base)))
        return FLA_ERR_MEMORY;
    fla_status status =
        fla_pool_run(pool, run, fla_size_parts(n, PREPARE_QUERIES), prepare_task, within);
    if (status == FLA_OK)
        status =
            fla_pool_run(pool, run, fla_size_parts(n, within->block) * within->ranges,
                         scan_task, within);
    return status;
}

/* Whether to go by buckets, and by whose runs. */
static fla_status choose_runs(fla_within *within, fla_run *run)
{
    const fla_base *base = within->base;
    if (!fla_plan_goes_by_buckets(base, within->model, within->plan) ||
        !fla_runs_can_hold(base->rows.rows))
        return FLA_OK;
    within->runs = &base->runs;
    if (base->runs.tables != NULL)
        return FLA_OK;
    within->runs = &within->own_runs;
    return fla_runs_build(&within->own_runs, within->context, run, within->model,
                          &base->rows);
}

fla_status fla_within_run(fla_within *within, fla_run *run)
{
    const size_t queries = within->queries->rows, rows = within->base->rows.rows;
    fla_status status = FLA_OK;
    if (queries == 0 || rows == 0)
        return FLA_OK;
    within->threads = fla_pool_threads(within->context->pool);
    status = choose_runs(within, run);
    if (status != FLA_OK)
        return status;
    cut(within);
    if (!make_room(within))
        return FLA_ERR_MEMORY;
    for (size_t q = 0; q < queries && status == FLA_OK; q += within->batch_queries)
        status = run_batch(within, run, q);
    for (unsigned i = 0; i < within->threads; i++)
        within->pairs += within->counts[i];
    return status;
}

void fla_within_clear(fla_within *within)
{
    for (size_t i = 0; within->found != NULL && i < within->blocks * within->ranges; i++)
        fla_found_clear(&within->found[i]);
    for (unsigned i = 0; within->scans != NULL && i < within->threads; i++)
        fla_scan_clear(&within->scans[i]);
    fla_queries_clear(&within->batch);
    fla_runs_clear(&within->own_runs);
    fla_free(within->found);
    fla_free(within->counts);
    fla_free(within->scans);
}

/* ---- lists --------------------------------------------------------------------- */

/*
 * A scan goes through base rows in ascending order of tiles, and through the queries of
 * its block in ascending order for each; so one query's rows ascend within a task and
 * from range to range, one row's queries within a task and from block to block.  Lists
 * are filled by tasks that own them: a block's by one task, or a range's.  Buckets come
 * in another order: then each list is sorted.
 */
typedef struct taking {
    fla_within *within;
    fla_within_lists *lists;
    size_t n;     /* lists */
    size_t *next; /* [lists]: how many pairs, then where the next one goes */
} taking;

/* The finds of one task: where its queries and rows begin. */
typedef struct task_finds {
    fla_found *found;
    size_t query, row;
} task_finds;

/* The i-th task of those that fill a group of lists. */
static task_finds finds_of(const taking *work, size_t group, size_t i)
{
    const fla_within *within = work->within;
    const size_t block = work->lists->by_row ? i : group;
    const size_t range = work->lists->by_row ? group : i;
    return (task_finds){&within->found[block * within->ranges + range],
                        block * within->block, range * within->range_rows};
}

static void count_pairs(taking *work, const task_finds *finds, const fla_found_chunk *c)
{
    const bool by_row = work->lists->by_row;
    size_t *next = work->next + (by_row ? finds->row : finds->query);
    for (size_t p = 0; p < c->n; p++)
        next[by_row ? c->pairs[p].row : c->pairs[p].query]++;
}

static void place_pairs(taking *work, const task_finds *finds, const fla_found_chunk *c)
{
    const fla_within *within = work->within;
    const fla_within_lists *lists = work->lists;
    const int64_t query = within->queries->first_row + (int64_t)finds->query;
    const int64_t row = within->base->rows.first_row + (int64_t)finds->row;
    size_t *next = work->next + (lists->by_row ? finds->row : finds->query);
    for (size_t p = 0; p < c->n; p++) {
        const fla_found_pair *pair = &c->pairs[p];
        const size_t place = next[lists->by_row ? pair->row : pair->query]++;
        if (lists->owners != NULL)
            lists->owners[place] = lists->by_row ? row + pair->row : query + pair->query;
        lists->others[place] = lists->by_row ? query + pair->query : row + pair->row;
        lists->distances[place] = pair->distance;
    }
}

typedef void visit_chunk(taking *work, const task_finds *finds, const fla_found_chunk *c);

static void visit_group(taking *work, size_t group, fla_job *job, unsigned worker,
                        visit_chunk *visit, bool last)
{
    const fla_within *within = work->within;
    const size_t tasks = work->lists->by_row ? within->blocks : within->ranges;
    for (size_t i = 0; i < tasks; i++) {
        const task_finds finds = finds_of(work, group, i);
        for (const fla_found_chunk *c = finds.found->first; c != NULL; c = c->next) {
            if (fla_job_stopped(job, worker))
                return;
            visit(work, &finds, c);
        }
        if (last)
            fla_found_clear(finds.found);
    }
}

static void count_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    visit_group(arg, task, job, worker, count_pairs, false);
}

static void place_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    visit_group(arg, task, job, worker, place_pairs, true);
}

fla_status fla_within_take(fla_within *within, const fla_call *call,
                           fla_within_lists *lists)
{
    fla_pool *pool = within->context->pool;
    const size_t n = lists->by_row ? within->base->rows.rows : within->queries->rows;
    const size_t groups = lists->by_row ? within->ranges : within->blocks;
    taking work = {within, lists, n, fla_alloc_zeroed(n, sizeof *work.next)};
    fla_run run = fla_run_begin(call, 0); /* arranging is not progress */
    if (work.next == NULL)
        return FLA_ERR_MEMORY;
    fla_status status = fla_pool_run(pool, &run, groups, count_task, &work);
    size_t place = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t count = work.next[i];
        lists->starts[i] = (int64_t)place;
        work.next[i] = place;
        place += count;
    }
    lists->starts[n] = (int64_t)place;
    if (status == FLA_OK)
        status = fla_pool_run(pool, &run, groups, place_task, &work);
    if (status == FLA_OK && within->runs != NULL) {
        fla_ordered ordered = {n, lists->starts, lists->others, lists->distances};
        status = fla_order_by_number(&ordered, pool, &run);
    }
    fla_free(work.next);
    return status;
}
