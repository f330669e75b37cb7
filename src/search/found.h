/* Pairs that one task has found: kept in chunks, so that adding never moves any. */
#ifndef FLA_SEARCH_FOUND_H
#define FLA_SEARCH_FOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A query and a base row, counted from the task's first ones; the distance of the two. */
typedef struct fla_found_pair {
    uint32_t query, row;
    double distance;
} fla_found_pair;

typedef struct fla_found_chunk {
    struct fla_found_chunk *next;
    size_t n, capacity;
    fla_found_pair pairs[];
} fla_found_chunk;

typedef struct fla_found {
    fla_found_chunk *first, *last;
} fla_found; /* all zeros: none yet */

/* False: no memory. */
bool fla_found_add(fla_found *found, fla_found_pair pair);
void fla_found_clear(fla_found *found);

#endif
