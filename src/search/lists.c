/* The k nearest rows of each query so far. */
#include "search/lists.h"

#include <math.h>

#include "base/alloc.h"
#include "search/measure.h"

/* Lists that took so much are handed back to the system when they are cleared. */
enum { TRIM_BYTES = 1 << 25 };

static fla_topk *list_of(const fla_lists *lists, size_t slot, size_t query)
{
    return &lists->tops[slot * lists->queries->rows + query];
}

bool fla_lists_init(fla_lists *lists, const fla_kernels *kernels,
                    const fla_matrix *queries, size_t slots, size_t k)
{
    const size_t n = queries->rows;
    size_t all;
    *lists = (fla_lists){.kernels = kernels, .queries = queries, .slots = slots, .k = k};
    lists->radius = fla_alloc(n, sizeof *lists->radius);
    if (lists->radius == NULL || !fla_size_mul(slots, n, &all) ||
        (lists->tops = fla_alloc(all, sizeof *lists->tops)) == NULL)
        return false;
    for (size_t i = 0; i < all; i++)
        fla_topk_init(&lists->tops[i]);
    for (size_t q = 0; q < n; q++)
        atomic_init(&lists->radius[q], INFINITY);
    return true;
}

void fla_lists_clear(fla_lists *lists)
{
    size_t bytes = 0;
    for (size_t i = 0; lists->tops != NULL && i < lists->slots * lists->queries->rows;
         i++) {
        bytes += lists->tops[i].capacity * (sizeof(double) + sizeof(int64_t));
        fla_topk_clear(&lists->tops[i]);
    }
    fla_free(lists->tops);
    fla_free(lists->radius);
    *lists = (fla_lists){0};
    if (bytes >= TRIM_BYTES)
        fla_alloc_trim();
}

void fla_lists_meet(fla_lists *lists, const fla_matrix *rows, fla_estimator estimator)
{
    lists->rows = rows;
    lists->estimator = estimator;
}

/* ---- radius -------------------------------------------------------------------- */

double fla_lists_radius(const fla_lists *lists, size_t query)
{
    return atomic_load_explicit(&lists->radius[query], memory_order_relaxed);
}

double fla_lists_lower(fla_lists *lists, size_t query, double radius)
{
    double known = fla_lists_radius(lists, query);
    while (radius < known) {
        if (atomic_compare_exchange_weak_explicit(&lists->radius[query], &known, radius,
                                                  memory_order_relaxed,
                                                  memory_order_relaxed))
            return radius;
    }
    return known;
}

/* ---- rows of the block --------------------------------------------------------- */

/* Have the rows of a list measured that have only an estimate yet. */
static void settle(const fla_lists *lists, fla_measure *measure, size_t query,
                   fla_topk *top)
{
    const fla_matrix *rows = lists->rows;
    for (size_t i = 0; i < top->count; i++) {
        if (top->rows[i] >= 0)
            continue;
        top->rows[i] = ~top->rows[i];
        fla_measure_add(measure, fla_row(rows, (size_t)(top->rows[i] - rows->first_row)),
                        fla_row(lists->queries, query), &top->distances[i]);
    }
}

/* Make room in a full list. */
static void shrink(const fla_lists *lists, size_t query, fla_topk *top)
{
    fla_topk_tighten(top, lists->k, &lists->estimator);
    if (!fla_topk_full(top, lists->k))
        return;
    fla_measure measure;
    fla_measure_begin(&measure, lists->kernels, lists->rows, lists->queries);
    settle(lists, &measure, query, top);
    fla_measure_flush(&measure);
    fla_topk_select(top, lists->k);
}

bool fla_lists_offer(fla_lists *lists, size_t slot, size_t query, size_t n,
                     const int64_t *rows, const double *bounds, double *radius)
{
    fla_topk *top = list_of(lists, slot, query);
    for (size_t i = 0; i < n; i++) {
        if (!fla_topk_add(top, lists->k, bounds[i], ~rows[i]))
            return false;
        if (fla_topk_full(top, lists->k))
            shrink(lists, query, top);
    }
    *radius = fla_lists_lower(lists, query, top->radius);
    return true;
}

void fla_lists_settle(fla_lists *lists, size_t first, size_t n, fla_job *job,
                      unsigned worker)
{
    fla_measure measure;
    fla_measure_begin(&measure, lists->kernels, lists->rows, lists->queries);
    for (size_t q = first; q < first + n; q++) {
        if (fla_job_stopped(job, worker))
            return;
        for (size_t slot = 0; slot < lists->slots; slot++) {
            fla_topk *top = list_of(lists, slot, q);
            fla_topk_tighten(top, lists->k, &lists->estimator);
            settle(lists, &measure, q, top);
        }
    }
    fla_measure_flush(&measure);
}

/* ---- the answer ---------------------------------------------------------------- */

const fla_topk *fla_lists_merge(fla_lists *lists, size_t query)
{
    fla_topk *top = list_of(lists, 0, query);
    for (size_t slot = 1; slot < lists->slots; slot++) {
        fla_topk *other = list_of(lists, slot, query);
        for (size_t i = 0; i < other->count; i++) {
            if (!fla_topk_add(top, lists->k, other->distances[i], other->rows[i]))
                return NULL;
            if (fla_topk_full(top, lists->k))
                fla_topk_select(top, lists->k);
        }
        fla_topk_clear(other);
    }
    fla_topk_sort(top, lists->k);
    return top;
}
