/* A model's inside: parameters and random vectors. */
#ifndef FLA_LSH_MODEL_H
#define FLA_LSH_MODEL_H

#include "fast_lsh_ann.h"
#include "kernels/kernels.h"

struct fla_model {
    double bucket_length;
    double reciprocal; /* 1 / bucket_length, rounded once: what hashing multiplies by */
    size_t tables, dim;
    double *vectors;    /* [tables x dim]; of unit length if they were drawn */
    double reach;       /* the most that a vector's magnitudes add up to, rounded */
    fla_narrow narrow;  /* the vectors in float32: lsh/bucket_bound.h */
    float longest_norm; /* of a row that may be projected in float32 */
};

#endif
