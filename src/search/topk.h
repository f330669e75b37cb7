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

/*
 * A buffer of somewhat more than k neighbors: when it is full the k nearest are selected
 * and the others dropped, so that one neighbor costs O(1) whatever k.  It grows with what
 * it holds.
 */
typedef struct fla_topk {
    fla_neighbor *items; /* in no order before fla_topk_sort */
    size_t count, capacity;
    double radius; /* beyond it nothing can enter: infinity until there are k */
} fla_topk;

void fla_topk_init(fla_topk *top); /* holds no memory yet */
void fla_topk_clear(fla_topk *top);

/* Offer one neighbor; false when there is no memory for it. */
bool fla_topk_offer(fla_topk *top, size_t k, fla_neighbor neighbor);

/* Keep the k nearest, or all if they are fewer; the radius is theirs. */
void fla_topk_select(fla_topk *top, size_t k);

/* Select and order by (distance, row). */
void fla_topk_sort(fla_topk *top, size_t k);

#endif
