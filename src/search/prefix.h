/*
 * A short form of rows of many coordinates: their products with a few directions along
 * which they vary most, and the length of the rest.
 *
 * Distances between short forms are at most those between rows, whatever the directions
 * (search/bound.c), so they filter first.  How well they do depends on the rows alone.
 */
#ifndef FLA_SEARCH_PREFIX_H
#define FLA_SEARCH_PREFIX_H

#include "base/alloc.h"
#include "search/quantizer.h"

enum { FLA_DIRECTIONS = 8 }; /* directions come in blocks of so many */

typedef struct fla_prefix {
    const fla_kernels *kernels;
    size_t dim;              /* of the rows */
    size_t directions;       /* 0: rows have no short form */
    float *vectors;          /* [directions, padded to a block x dim] */
    fla_quantizer quantizer; /* of directions + 1 coordinates */
} fla_prefix;

/* Directions padded to whole blocks, and so the least rows of a product. */
static inline size_t fla_prefix_padded(size_t directions)
{
    return fla_size_parts(directions, FLA_DIRECTIONS) * FLA_DIRECTIONS;
}

/*
 * Take directions [n x dim], about orthonormal; scaled so that no distance can grow.
 * None are left (directions is 0) when they were too far from that.  Returns false when
 * there is no memory.  Clear in any case; what was there before must be cleared.
 */
bool fla_prefix_init(fla_prefix *prefix, const fla_kernels *kernels,
                     const float *directions, size_t n, size_t dim);
void fla_prefix_clear(fla_prefix *prefix);

/*
 * Short forms of 16 rows, [directions + 1 x 16].
 *
 * group  the rows less the centre, packed.
 * rows   what coding the rows themselves left.
 * form   fla_prefix_padded(directions) + 1 rows of 16 floats, aligned.
 * wrong  at least the distance from the short form of the row before centring.
 */
void fla_prefix_shorten(const fla_prefix *prefix, const float *group,
                        const fla_encoded *rows, float *form, double wrong[FLA_GROUP]);

/*
 * Code the short forms of 16 rows: arguments as above.
 *
 * codes    a coded group of the quantizer's steps.
 * encoded  of the short forms; its residuals allow for what shortening got wrong.
 */
void fla_prefix_encode(const fla_prefix *prefix, const float *group,
                       const fla_encoded *rows, float *form, uint8_t *codes,
                       fla_encoded *encoded);

#endif
