/* The k nearest of the rows seen so far, by (distance, row). */
#ifndef FLA_SEARCH_TOPK_H
#define FLA_SEARCH_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fla_neighbor {
    double distance;
    int64_t row;
} fla_neighbor;

/* A binary heap with the farthest at the root; it grows with what it holds, up to k. */
typedef struct fla_topk {
    fla_neighbor *heap;
    size_t count, capacity;
} fla_topk;

void fla_topk_clear(fla_topk *top);

/* Offer one neighbor; false when there is no memory for it. */
bool fla_topk_offer(fla_topk *top, size_t k, fla_neighbor neighbor);

/* The distance beyond which nothing can enter: infinity until there are k. */
double fla_topk_radius(const fla_topk *top, size_t k);

/* Turn the heap into a list, nearest first; nothing can be offered after that. */
void fla_topk_sort(fla_topk *top);

#endif
