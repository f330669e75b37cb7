/* Putting many lists of pairs into order. */
#include "search/order.h"

#include <string.h>

#include "base/alloc.h"

enum {
    TASK_LISTS = 16, /* lists a task orders */
    SORTED_RUN = 16, /* shorter runs are sorted by insertion, and then merged */
};

/* A pair by what it is ordered by, as a whole number that ascends with it, and the
   rest. */
typedef struct item {
    uint64_t key, rest;
} item;

static void sort_run(item *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const item one = items[i];
        size_t place = i;
        for (; place > 0 && items[place - 1].key > one.key; place--)
            items[place] = items[place - 1];
        items[place] = one;
    }
}

static void merge(const item *from, size_t n, size_t middle, item *to)
{
    size_t a = 0, b = middle;
    for (size_t i = 0; i < n; i++) {
        const bool second = a == middle || (b < n && from[b].key < from[a].key);
        to[i] = second ? from[b++] : from[a++];
    }
}

/* Merge sort from the bottom up; returns which of the two holds the result.  Unfinished
   when the job was stopped: nobody will look. */
static const item *sort(item *items, item *spare, size_t n, fla_job *job, unsigned worker)
{
    for (size_t i = 0; i < n; i += SORTED_RUN)
        sort_run(items + i, fla_size_min(n - i, SORTED_RUN));
    for (size_t run = SORTED_RUN; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            if (fla_job_stopped(job, worker))
                return items;
            const size_t both = fla_size_min(n - i, 2 * run);
            merge(items + i, both, fla_size_min(both, run), spare + i);
        }
        item *sorted = spare;
        spare = items;
        items = sorted;
    }
    return items;
}

/* ---- by number, or by distance --------------------------------------------------- */

typedef struct ordering {
    fla_ordered *lists;
    bool by_distance;
} ordering;

/* The bits of doubles that are not negative ascend as they do; those of signed integers
   once the sign is turned. */
static item item_of(const ordering *work, int64_t number, double distance)
{
    const uint64_t sign = (uint64_t)1 << 63;
    uint64_t bits;
    memcpy(&bits, &distance, sizeof bits);
    return work->by_distance ? (item){bits, (uint64_t)number}
                             : (item){(uint64_t)number ^ sign, bits};
}

static void store(const ordering *work, const item *one, int64_t *number,
                  double *distance)
{
    const uint64_t sign = (uint64_t)1 << 63;
    *number = (int64_t)(work->by_distance ? one->rest : one->key ^ sign);
    memcpy(distance, work->by_distance ? &one->key : &one->rest, sizeof *distance);
}

static size_t length(const fla_ordered *lists, size_t list)
{
    return (size_t)(lists->starts[list + 1] - lists->starts[list]);
}

static void order_list(const ordering *work, size_t list, item *items, fla_job *job,
                       unsigned worker)
{
    const size_t n = length(work->lists, list);
    int64_t *numbers = work->lists->numbers + work->lists->starts[list];
    double *distances = work->lists->distances + work->lists->starts[list];
    for (size_t i = 0; i < n; i++)
        items[i] = item_of(work, numbers[i], distances[i]);
    const item *sorted = sort(items, items + n, n, job, worker);
    for (size_t i = 0; i < n; i++)
        store(work, &sorted[i], &numbers[i], &distances[i]);
}

static void order_task(fla_job *job, void *arg, size_t task, unsigned worker)
{
    const ordering *work = arg;
    const size_t first = task * TASK_LISTS;
    const size_t end = first + fla_size_min(work->lists->n - first, TASK_LISTS);
    size_t longest = 0, both;
    for (size_t i = first; i < end; i++)
        longest = length(work->lists, i) > longest ? length(work->lists, i) : longest;
    if (longest < 2)
        return;
    item *items = fla_size_mul(longest, 2, &both) ? fla_alloc(both, sizeof *items) : NULL;
    if (items == NULL) {
        fla_job_fail(job, FLA_ERR_MEMORY);
        return;
    }
    for (size_t i = first; i < end && !fla_job_stopped(job, worker); i++)
        order_list(work, i, items, job, worker);
    fla_free(items);
}

static fla_status order(ordering *work, fla_pool *pool, fla_run *run)
{
    const size_t tasks = fla_size_parts(work->lists->n, TASK_LISTS);
    return fla_pool_run(pool, run, tasks, order_task, work);
}

fla_status fla_order_by_number(fla_ordered *lists, fla_pool *pool, fla_run *run)
{
    return order(&(ordering){lists, false}, pool, run);
}

fla_status fla_order_by_distance(fla_ordered *lists, fla_pool *pool, fla_run *run)
{
    return order(&(ordering){lists, true}, pool, run);
}
