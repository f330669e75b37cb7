/* Rows with many ties, a model, and what the contract says of a pair of them, naively. */
#ifndef FLA_TESTS_NAIVE_H
#define FLA_TESTS_NAIVE_H

#include <math.h>
#include <stdlib.h>

#include "data.h"
#include "fast_lsh_ann.h"

enum { NAIVE_DIM = 7, NAIVE_TABLES = 4, NAIVE_CASES = 4 };

/* A point on a grid of halves, so that equal distances are common. */
static inline void naive_fill(double (*rows)[NAIVE_DIM], size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < NAIVE_DIM; j++)
            rows[i][j] = (double)(int)(data_next() % 9) / 2;
}

static inline fla_matrix naive_matrix(const double (*rows)[NAIVE_DIM], size_t n,
                                      int64_t first_row)
{
    return (fla_matrix){rows, n, NAIVE_DIM, sizeof rows[0], first_row, FLA_F64};
}

static inline fla_model *naive_model_of(uint64_t hashes, fla_projection projection)
{
    fla_model_options options;
    fla_model *model;
    fla_model_options_init(&options); /* bucket_length 2 */
    options.num_hash_tables = NAIVE_TABLES;
    options.num_hashes_per_table = hashes;
    options.projection = projection;
    if (fla_model_create(&options, NAIVE_DIM, &model, NULL) != FLA_OK)
        abort();
    return model;
}

static inline fla_model *naive_model(void)
{
    return naive_model_of(1, FLA_PROJECTION_SPARK);
}

static inline double naive_distance(const double *x, const double *y)
{
    double sum = 0;
    for (size_t j = 0; j < NAIVE_DIM; j++) {
        const double difference = x[j] - y[j];
        const double square = difference * difference;
        sum += square;
    }
    return sqrt(sum);
}

/* By function f: hash f % hashes of table f / hashes. */
static inline double naive_bucket(const fla_model *model, const double *x, size_t f)
{
    const double *vector = fla_model_vectors(model) + f * NAIVE_DIM;
    double sum = 0;
    for (size_t j = 0; j < NAIVE_DIM; j++)
        sum = fma(x[j], vector[j], sum);
    return floor(0.5 * (sum + fla_model_offsets(model)[f]));
}

static inline uint64_t naive_collisions(const fla_model *model, const double *x,
                                        const double *y)
{
    uint64_t count = 0;
    const size_t hashes = fla_model_hashes(model);
    for (size_t t = 0; t < NAIVE_TABLES; t++) {
        size_t same = 0;
        for (size_t f = t * hashes; f < (t + 1) * hashes; f++)
            same += naive_bucket(model, x, f) == naive_bucket(model, y, f);
        count += same == hashes;
    }
    return count;
}

static inline bool naive_within(const fla_model *model, const double *x, const double *y,
                                double radius, const fla_search_options *options)
{
    const double d = naive_distance(x, y);
    return (options->strict ? d < radius : d <= radius) &&
           (options->min_collisions == 0 ||
            naive_collisions(model, x, y) >= options->min_collisions);
}

/* Option sets worth trying: exact or not, strict or not. */
static inline fla_search_options naive_options(int number)
{
    fla_search_options options;
    fla_search_options_init(&options);
    options.min_collisions = number % 2 == 0 ? 0 : 1 + (uint64_t)number / 2;
    options.strict = number % 4 >= 2;
    return options;
}

#endif
