/* The k nearest of the rows seen so far, by (distance, row). */
#include "search/topk.h"

#include <math.h>

#include "base/alloc.h"

enum {
    FIRST_CAPACITY = 16,
    SPARE = 8,
    BISECTIONS = 12, /* the radius comes within 2^-12 of the range of the distances */
};

void fla_topk_init(fla_topk *top)
{
    *top = (fla_topk){.radius = INFINITY};
}

void fla_topk_clear(fla_topk *top)
{
    fla_free(top->distances);
    fla_free(top->rows);
    fla_topk_init(top);
}

/* k and half as much again: tightening costs a few passes over all, shared by those. */
size_t fla_topk_most(size_t k)
{
    size_t items;
    return fla_size_add(k, k / 2 + SPARE, &items) ? items : SIZE_MAX;
}

static bool grow(fla_topk *top, size_t k)
{
    size_t capacity = top->capacity == 0 ? FIRST_CAPACITY : 2 * top->capacity;
    capacity = fla_size_min(capacity, fla_topk_most(k));
    double *distances =
        fla_regrow(top->distances, top->count, capacity, sizeof *distances);
    if (distances == NULL)
        return false;
    top->distances = distances;
    int64_t *rows = fla_regrow(top->rows, top->count, capacity, sizeof *rows);
    if (rows == NULL)
        return false;
    top->rows = rows;
    top->capacity = capacity;
    return true;
}

bool fla_topk_add(fla_topk *top, size_t k, double distance, int64_t row)
{
    if (top->count == top->capacity && !grow(top, k))
        return false;
    top->distances[top->count] = distance;
    top->rows[top->count++] = row;
    return true;
}

bool fla_topk_full(const fla_topk *top, size_t k)
{
    return top->count == fla_topk_most(k) ||
           (top->count == k && !(top->radius < INFINITY));
}

/* ---- about the k nearest --------------------------------------------------------- */

static size_t count_within(const fla_topk *top, double radius)
{
    size_t within = 0;
    for (size_t i = 0; i < top->count; i++)
        within += top->distances[i] <= radius;
    return within;
}

/* A radius that holds at least k of the distances, and hardly more than it must. */
static double find_radius(const fla_topk *top, size_t k)
{
    double low = top->distances[0], high = low;
    for (size_t i = 1; i < top->count; i++) {
        const double distance = top->distances[i];
        low = distance < low ? distance : low;
        high = distance > high ? distance : high;
    }
    size_t within = top->count;
    for (int i = 0; i < BISECTIONS && within > k && high < INFINITY; i++) {
        const double middle = low + (high - low) / 2;
        const size_t n = count_within(top, middle);
        if (n >= k) {
            high = middle;
            within = n;
        } else {
            low = middle;
        }
    }
    return high;
}

void fla_topk_tighten(fla_topk *top, size_t k, const fla_estimator *estimator)
{
    if (top->count < k)
        return;
    const double radius = find_radius(top, k);
    top->radius = radius < top->radius ? radius : top->radius;
    const double reach = fla_estimate_reach(estimator, top->radius);
    size_t kept = 0;
    for (size_t i = 0; i < top->count; i++) {
        const double distance = top->distances[i];
        const int64_t row = top->rows[i];
        top->distances[kept] = distance;
        top->rows[kept] = row;
        kept += distance <= reach;
    }
    top->count = kept;
}

/* ---- exactly the k nearest ------------------------------------------------------- */

static bool nearer(const fla_topk *top, size_t a, size_t b)
{
    const double *distances = top->distances;
    return distances[a] < distances[b] ||
           (distances[a] == distances[b] && top->rows[a] < top->rows[b]);
}

static void swap(fla_topk *top, size_t a, size_t b)
{
    const double distance = top->distances[a];
    const int64_t row = top->rows[a];
    top->distances[a] = top->distances[b];
    top->rows[a] = top->rows[b];
    top->distances[b] = distance;
    top->rows[b] = row;
}

/* Restore the order of a heap of n, the farthest at the root, below a hole. */
static void sift_down(fla_topk *top, size_t n, size_t hole)
{
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= n)
            return;
        if (child + 1 < n && nearer(top, child, child + 1))
            child++;
        if (!nearer(top, hole, child))
            return;
        swap(top, hole, child);
        hole = child;
    }
}

static void make_heap(fla_topk *top, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(top, n, i);
}

void fla_topk_select(fla_topk *top, size_t k)
{
    if (top->count < k)
        return;
    make_heap(top, k);
    for (size_t i = k; i < top->count; i++) {
        if (nearer(top, i, 0)) {
            swap(top, i, 0);
            sift_down(top, k, 0);
        }
    }
    top->count = k;
    top->radius = top->distances[0];
}

void fla_topk_sort(fla_topk *top, size_t k)
{
    fla_topk_select(top, k);
    make_heap(top, top->count);
    for (size_t n = top->count; n > 1; n--) {
        swap(top, 0, n - 1);
        sift_down(top, n - 1, 0);
    }
}
