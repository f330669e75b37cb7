/*
 * One task of a join in order: a group of left rows against a range of right rows, or
 * against those that share their buckets.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "search/bucket_scan.h"
#include "search/join.h"

enum { FIRST_PAIRS = 1 << 8 }; /* a buffer begins with */

/* ---- buffers ------------------------------------------------------------------- */

static bool reserve(fla_pair_buffer *buffer, size_t wanted)
{
    size_t grown = buffer->capacity == 0 ? FIRST_PAIRS : buffer->capacity;
    if (wanted <= buffer->capacity)
        return true;
    while (grown < wanted)
        grown *= 2;
    fla_pair *room = fla_regrow(buffer->pairs, buffer->n, grown, sizeof *room);
    if (room == NULL)
        return false;
    buffer->pairs = room;
    buffer->capacity = grown;
    return true;
}

static int compare_right(const void *a, const void *b)
{
    const int64_t x = ((const fla_pair *)a)->right, y = ((const fla_pair *)b)->right;
    return (x > y) - (x < y);
}

/* A counting sort by left row.  Scans find each left row's pairs in right order; buckets
   do not. */
static bool sort_pairs(const fla_pair_buffer *found, fla_join_task *task,
                       int64_t first_left, size_t group, bool in_order)
{
    size_t *starts = task->starts;
    size_t next[FLA_JOIN_GROUP];
    task->sorted.n = 0;
    if (!reserve(&task->sorted, found->n))
        return false;
    task->sorted.n = found->n;
    for (size_t g = 0; g <= group; g++)
        starts[g] = 0;
    for (size_t i = 0; i < found->n; i++)
        starts[found->pairs[i].left - first_left + 1]++;
    for (size_t g = 0; g < group; g++) {
        starts[g + 1] += starts[g];
        next[g] = starts[g];
    }
    for (size_t i = 0; i < found->n; i++)
        task->sorted.pairs[next[found->pairs[i].left - first_left]++] = found->pairs[i];
    if (in_order || found->n == 0) /* then there may be no memory to sort */
        return true;
    for (size_t g = 0; g < group; g++)
        qsort(task->sorted.pairs + starts[g], starts[g + 1] - starts[g],
              sizeof *found->pairs, compare_right);
    return true;
}

/* ---- one task ------------------------------------------------------------------ */

typedef struct join_visit {
    const fla_join *join;
    fla_pair_buffer *found;
    bool too_many;
} join_visit;

static fla_status keep_pairs(fla_scan *scan, size_t query, size_t n, const int64_t *rows,
                             const double *distances)
{
    join_visit *visit = scan->arg;
    fla_pair_buffer *found = visit->found;
    const int64_t left = scan->queries->rows.first_row + (int64_t)query;
    for (size_t i = 0; i < n; i++) {
        if (visit->join->options.strict && !(distances[i] < visit->join->threshold))
            continue;
        if (found->n == FLA_JOIN_PAIRS) {
            visit->too_many = true;
            return FLA_ERR_SINK; /* ends the task, not the join */
        }
        if (!reserve(found, found->n + 1))
            return FLA_ERR_MEMORY;
        found->pairs[found->n++] = (fla_pair){left, rows[i], distances[i]};
    }
    return FLA_OK;
}

/* The first right row, a multiple of 64, that can be above a left row's number. */
static size_t first_above(const fla_join *join, int64_t left)
{
    if (!join->options.upper || left < join->right->rows.first_row)
        return 0;
    const uint64_t skip = (uint64_t)left - (uint64_t)join->right->rows.first_row;
    return skip >= join->right->rows.rows ? join->right->rows.rows
                                          : (size_t)(skip - skip % FLA_TILE);
}

static fla_status scan_range(fla_join *join, fla_scan *scan, size_t range, fla_job *job,
                             unsigned worker)
{
    const fla_join_wave *wave = &join->wave;
    const size_t start = wave->row + range * wave->range_rows;
    const size_t end = start + fla_size_min(wave->end_row - start, wave->range_rows);
    const size_t above = first_above(join, scan->queries->rows.first_row);
    const size_t first = above < start ? start : fla_size_min(above, end);
    fla_job_advance(job, (uint64_t)(first - start) * scan->n);
    return first < end ? fla_scan_rows(scan, first, end - first, job, worker) : FLA_OK;
}

static fla_status scan_group(fla_join *join, const fla_queries *queries, size_t range,
                             join_visit *visit, fla_job *job, unsigned worker)
{
    fla_scan *scan = &join->workers[worker].scan;
    fla_scan_begin(scan, join->right, queries, 0, queries->n);
    for (size_t q = 0; q < queries->n; q++)
        fla_scan_set_radius(scan, q, join->threshold);
    scan->min_collisions = join->options.min_collisions;
    scan->upper = join->options.upper;
    scan->visit = keep_pairs;
    scan->arg = visit;
    const fla_status status =
        join->wave.buckets
            ? fla_scan_buckets(scan, join->runs, join->options.plan, job, worker)
            : scan_range(join, scan, range, job, worker);
    return visit->too_many ? FLA_OK : status;
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

static void note_too_many(fla_join *join, size_t g)
{
    size_t whole = atomic_load(&join->whole);
    while (g < whole && !atomic_compare_exchange_weak(&join->whole, &whole, g))
        continue;
}

void fla_join_run_task(fla_job *job, void *arg, size_t number, unsigned worker)
{
    fla_join *join = arg;
    const fla_join_wave *wave = &join->wave;
    fla_join_worker *mine = &join->workers[worker];
    fla_join_task *task = &join->tasks[number];
    const size_t g = number / wave->ranges;
    if (g >= atomic_load(&join->whole))
        return;
    const fla_matrix left = fla_rows_slice(&join->left, wave->first + g * wave->group,
                                           fla_join_group_rows(join, g));
    join_visit visit = {join, &mine->found, false};
    fla_queries queries;
    mine->found.n = 0;
    fla_status status = prepare_left(join, &queries, &left, &mine->scan);
    if (status == FLA_OK)
        status = scan_group(join, &queries, number % wave->ranges, &visit, job, worker);
    if (visit.too_many)
        note_too_many(join, g);
    else if (status == FLA_OK &&
             !sort_pairs(&mine->found, task, left.first_row, left.rows, !wave->buckets))
        status = FLA_ERR_MEMORY;
    if (status != FLA_OK)
        fla_job_fail(job, status);
    fla_queries_clear(&queries);
}
