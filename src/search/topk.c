/* The k nearest of the rows seen so far, by (distance, row). */
#include "search/topk.h"

#include <math.h>

#include "base/alloc.h"

enum { FIRST_CAPACITY = 16, SPARE = 4 };

void fla_topk_init(fla_topk *top)
{
    *top = (fla_topk){.radius = INFINITY};
}

void fla_topk_clear(fla_topk *top)
{
    fla_free(top->items);
    fla_topk_init(top);
}

static bool nearer(fla_neighbor a, fla_neighbor b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.row < b.row);
}

static void swap(fla_neighbor *a, fla_neighbor *b)
{
    const fla_neighbor other = *a;
    *a = *b;
    *b = other;
}

/* The middle one of the first, the middle and the last: never the farthest of all. */
static fla_neighbor median(const fla_neighbor *items, size_t low, size_t high)
{
    const fla_neighbor a = items[low], b = items[low + (high - low) / 2], c = items[high];
    if (nearer(a, b))
        return nearer(b, c) ? b : nearer(a, c) ? c : a;
    return nearer(a, c) ? a : nearer(b, c) ? c : b;
}

/* Hoare's partition: items up to the one returned are no farther than those after it. */
static size_t partition(fla_neighbor *items, size_t low, size_t high)
{
    const fla_neighbor pivot = median(items, low, high);
    for (size_t i = low, j = high;; i++, j--) {
        while (nearer(items[i], pivot))
            i++;
        while (nearer(pivot, items[j]))
            j--;
        if (i >= j)
            return j;
        swap(&items[i], &items[j]);
    }
}

/* Hoare's selection: bring the k nearest of n > k items to the front. */
static void bring_nearest(fla_neighbor *items, size_t n, size_t k)
{
    size_t low = 0, high = n - 1;
    while (low < high) {
        const size_t last = partition(items, low, high);
        if (k <= last)
            high = last;
        else
            low = last + 1;
    }
}

void fla_topk_select(fla_topk *top, size_t k)
{
    if (top->count < k)
        return;
    if (top->count > k)
        bring_nearest(top->items, top->count, k);
    top->count = k;
    top->radius = -INFINITY;
    for (size_t i = 0; i < k; i++)
        top->radius = fmax(top->radius, top->items[i].distance);
}

/* k and an eighth as much again: fewer, and selecting costs more; more, and the radius
   is older (bench). */
static size_t most(size_t k)
{
    size_t items;
    return fla_size_add(k, k / 8 + SPARE, &items) ? items : SIZE_MAX;
}

static bool grow(fla_topk *top, size_t k)
{
    size_t capacity = top->capacity == 0 ? FIRST_CAPACITY : 2 * top->capacity;
    capacity = fla_size_min(capacity, most(k));
    fla_neighbor *items = fla_regrow(top->items, top->count, capacity, sizeof *items);
    if (items == NULL)
        return false;
    top->items = items;
    top->capacity = capacity;
    return true;
}

bool fla_topk_offer(fla_topk *top, size_t k, fla_neighbor neighbor)
{
    if (!(neighbor.distance <= top->radius)) /* NaN never comes: rows are finite */
        return true;
    if (top->count == top->capacity && !grow(top, k))
        return false;
    top->items[top->count++] = neighbor;
    if (top->count == k || top->count == most(k))
        fla_topk_select(top, k);
    return true;
}

/* Restore the order of a heap of n, the farthest at the root, below a hole that a
 * neighbor fills. */
static void sift_down(fla_neighbor *heap, size_t n, size_t hole, fla_neighbor neighbor)
{
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= n)
            break;
        if (child + 1 < n && nearer(heap[child], heap[child + 1]))
            child++;
        if (!nearer(neighbor, heap[child]))
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = neighbor;
}

void fla_topk_sort(fla_topk *top, size_t k)
{
    fla_neighbor *items = top->items;
    fla_topk_select(top, k);
    for (size_t i = top->count / 2; i-- > 0;)
        sift_down(items, top->count, i, items[i]);
    for (size_t n = top->count; n > 1; n--) {
        const fla_neighbor farthest = items[0];
        sift_down(items, n - 1, 0, items[n - 1]);
        items[n - 1] = farthest;
    }
}
