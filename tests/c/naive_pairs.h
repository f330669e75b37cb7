/* The pairs of a join, by the naive loops. */
#ifndef FLA_TESTS_NAIVE_PAIRS_H
#define FLA_TESTS_NAIVE_PAIRS_H

#include <string.h>

#include "naive.h"

typedef struct naive_sides {
    const double (*left)[NAIVE_DIM], (*right)[NAIVE_DIM];
    size_t n_left, n_right;
} naive_sides;

static inline fla_pairs *naive_pairs(const fla_model *model, naive_sides s,
                                     double threshold, const fla_search_options *options)
{
    fla_pairs *pairs = calloc(1, sizeof *pairs);
    const size_t most = s.n_left * s.n_right + 1;
    pairs->left = malloc(most * sizeof *pairs->left);
    pairs->right = malloc(most * sizeof *pairs->right);
    pairs->distances = malloc(most * sizeof *pairs->distances);
    for (size_t i = 0; i < s.n_left; i++) {
        for (size_t j = options->upper ? i + 1 : 0; j < s.n_right; j++) {
            if (!naive_within(model, s.left[i], s.right[j], threshold, options))
                continue;
            pairs->left[pairs->n] = (int64_t)i;
            pairs->right[pairs->n] = (int64_t)j;
            pairs->distances[pairs->n++] = naive_distance(s.left[i], s.right[j]);
        }
    }
    return pairs;
}

static inline void naive_free(fla_pairs *pairs)
{
    free(pairs->left);
    free(pairs->right);
    free(pairs->distances);
    free(pairs);
}

static inline bool naive_same(const fla_pairs *a, const fla_pairs *b)
{
    return a->n == b->n && memcmp(a->left, b->left, a->n * sizeof *a->left) == 0 &&
           memcmp(a->right, b->right, a->n * sizeof *a->right) == 0 &&
           memcmp(a->distances, b->distances, a->n * sizeof *a->distances) == 0;
}

#endif
