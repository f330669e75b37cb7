/* A model's inside: parameters and hash functions. */
#ifndef FLA_LSH_MODEL_H
#define FLA_LSH_MODEL_H

#include "fast_lsh_ann.h"
#include "kernels/kernels.h"

struct fla_model {
    double bucket_length;
    double reciprocal; /* 1 / bucket_length, rounded once: what hashing multiplies by */
    size_t tables, hashes; /* hash tables, and hash functions of each */
    size_t functions;      /* tables x hashes; those of table t from t * hashes on */
    size_t dim;
    double *vectors;    /* [functions x dim] */
    double *offsets;    /* [functions]: added to a projection; 0 in Spark's scheme */
    double reach;       /* the most that a vector's magnitudes add up to, rounded */
    fla_narrow narrow;  /* the same in float32: lsh/bucket_bound.h */
    float longest_norm; /* of a row that may be projected in float32 */
};

/* Set what hashing wants to know of the vectors and offsets, which are there: reach,
   narrow and longest_norm. */
void fla_model_derive(fla_model *model);

/* Whether table t collides: all its hashes agree.  a[f * stride] and b[f] are the buckets
   of two rows by function f. */
static inline bool fla_collides(const fla_model *model, size_t t, const int64_t *a,
                                size_t stride, const int64_t *b)
{
    bool same = true;
    for (size_t f = t * model->hashes; f < (t + 1) * model->hashes; f++)
        same &= a[f * stride] == b[f];
    return same;
}

#endif
