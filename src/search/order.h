/* Putting many lists of pairs into order. */
#ifndef FLA_SEARCH_ORDER_H
#define FLA_SEARCH_ORDER_H

#include "base/pool.h"

/* Lists of pairs, all in one: list i is at starts[i] .. starts[i + 1] - 1. */
typedef struct fla_ordered {
    size_t n;              /* lists */
    const int64_t *starts; /* [n + 1] */
    int64_t *numbers;      /* of the other side's rows, 0 or more */
    double *distances;     /* 0 or more, never -0 */
} fla_ordered;

/*
 * Order every list by the other side's numbers, or by distance; pairs that are equal in
 * that stay as they were.
 * Returns FLA_OK, FLA_ERR_MEMORY or FLA_ERR_CANCELLED.
 */
fla_status fla_order_by_number(fla_ordered *lists, fla_pool *pool, fla_run *run);
fla_status fla_order_by_distance(fla_ordered *lists, fla_pool *pool, fla_run *run);

#endif
