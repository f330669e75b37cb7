/* A model in float32, and the certificate of the buckets that it gives. */
#ifndef FLA_LSH_BUCKET_BOUND_H
#define FLA_LSH_BUCKET_BOUND_H

#include <stdbool.h>

#include "kernels/kernels.h"

/*
 * Set everything but the pointers, which have room, from vectors [functions x dim],
 * offsets [functions] and the reciprocal of the bucket length.
 *
 * Returns the longest norm the bound is worth having for, negative if none: wherever
 * a row's norm, as a narrow kernel leaves it, is at most this, the bucket kernel may be
 * called, and each bucket that it is sure of is the contract's.
 */
float fla_narrow_set(fla_narrow *narrow, const double *vectors, const double *offsets,
                     double reciprocal);

#endif
