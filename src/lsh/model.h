/* A model's inside: parameters and unit vectors. */
#ifndef FLA_LSH_MODEL_H
#define FLA_LSH_MODEL_H

#include "fast_lsh_ann.h"

struct fla_model {
    double bucket_length;
    double reciprocal; /* 1 / bucket_length, rounded once: what hashing multiplies by */
    size_t tables, dim;
    double *vectors; /* [tables x dim] */
};

#endif
