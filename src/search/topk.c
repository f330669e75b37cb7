/* The k nearest of the rows seen so far, by (distance, row). */
#include "search/topk.h"

#include <math.h>

#include "base/alloc.h"

enum { FIRST_CAPACITY = 16 };

void fla_topk_clear(fla_topk *top)
{
    fla_free(top->heap);
    *top = (fla_topk){0};
}

static bool farther(fla_neighbor a, fla_neighbor b)
{
    return a.distance > b.distance || (a.distance == b.distance && a.row > b.row);
}

/* Put a neighbor into the hole at the root of the first n and restore the order. */
static void sift_down(fla_neighbor *heap, size_t n, fla_neighbor neighbor)
{
    size_t hole = 0;
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= n)
            break;
        if (child + 1 < n && farther(heap[child + 1], heap[child]))
            child++;
        if (!farther(heap[child], neighbor))
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = neighbor;
}

static void sift_up(fla_neighbor *heap, size_t hole, fla_neighbor neighbor)
{
    while (hole > 0 && farther(neighbor, heap[(hole - 1) / 2])) {
        heap[hole] = heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    heap[hole] = neighbor;
}

static bool grow(fla_topk *top, size_t k)
{
    size_t capacity = top->capacity == 0 ? FIRST_CAPACITY : 2 * top->capacity;
    if (capacity > k)
        capacity = k;
    fla_neighbor *heap = fla_regrow(top->heap, top->count, capacity, sizeof *heap);
    if (heap == NULL)
        return false;
    top->heap = heap;
    top->capacity = capacity;
    return true;
}

bool fla_topk_offer(fla_topk *top, size_t k, fla_neighbor neighbor)
{
    if (top->count == k) {
        if (farther(top->heap[0], neighbor))
            sift_down(top->heap, k, neighbor);
        return true;
    }
    if (top->count == top->capacity && !grow(top, k))
        return false;
    sift_up(top->heap, top->count++, neighbor);
    return true;
}

double fla_topk_radius(const fla_topk *top, size_t k)
{
    return top->count == k ? top->heap[0].distance : INFINITY;
}

void fla_topk_sort(fla_topk *top)
{
    for (size_t n = top->count; n > 1; n--) {
        const fla_neighbor farthest = top->heap[0];
        sift_down(top->heap, n - 1, top->heap[n - 1]);
        top->heap[n - 1] = farthest;
    }
}
