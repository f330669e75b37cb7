/* A count-min sketch's inside, and what a join does with one. */
#ifndef FLA_SEARCH_SKETCH_H
#define FLA_SEARCH_SKETCH_H

#include <stddef.h>

#include "fast_lsh_ann.h"

struct fla_sketch {
    size_t width;
    uint32_t *counters; /* [FLA_SKETCH_DEPTH x width] */
};

/* FLA_OK or FLA_ERR_ARGUMENT. */
fla_status fla_sketch_check_width(uint64_t width, fla_error *err);

/*
 * Pairs of rows are items: the number of a query is the upper half, that of a row the
 * lower.  Numbers of a side of fewer than 2^32 rows stay apart when cut to 32 bits, for
 * they follow each other.
 *
 * Count the pairs of a query and some rows, once each, in one level of the sketch only:
 * different levels may be counted at the same time.
 *
 * level  below FLA_SKETCH_DEPTH.
 */
void fla_sketch_add_pairs(fla_sketch *sketch, unsigned level, uint32_t query,
                          const uint32_t *rows, size_t n);

/*
 * Of some rows keep those whose pairs with a query were counted least times, by their
 * estimate.
 *
 * kept  [n]; in order.
 *
 * Returns how many were kept.
 */
size_t fla_sketch_admit(const fla_sketch *sketch, uint32_t query, const uint32_t *rows,
                        size_t n, uint64_t least, uint32_t *kept);

#endif
