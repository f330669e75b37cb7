/*
 * The exact distance, in portable C: every tier's file compiles it for its own
 * instruction set.  Four rows at a time hide the latency of their four chains of
 * additions.
 */
#ifndef FLA_KERNELS_DISTANCE_H
#define FLA_KERNELS_DISTANCE_H

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static inline double load_f32(const void *row, size_t j)
{
    float value; /* rows may be unaligned */
    memcpy(&value, (const char *)row + j * sizeof value, sizeof value);
    return (double)value;
}

static inline double load_f64(const void *row, size_t j)
{
    double value;
    memcpy(&value, (const char *)row + j * sizeof value, sizeof value);
    return value;
}

#define FLA_DISTANCE(load)                                         \
    double sum[FLA_PAIRS] = {0};                                   \
    for (size_t j = 0; j < dim; j++) {                             \
        for (size_t i = 0; i < FLA_PAIRS; i++) {                   \
            const double difference = load(rows[i], j) - query[j]; \
            const double square = difference * difference;         \
            sum[i] += square;                                      \
        }                                                          \
    }                                                              \
    for (size_t i = 0; i < FLA_PAIRS; i++)                         \
        distances[i] = sqrt(sum[i]);

static void distance_f32(const void *const rows[FLA_PAIRS], size_t dim,
                         const double *query, double distances[FLA_PAIRS])
{
    FLA_DISTANCE(load_f32)
}

static void distance_f64(const void *const rows[FLA_PAIRS], size_t dim,
                         const double *query, double distances[FLA_PAIRS])
{
    FLA_DISTANCE(load_f64)
}

#endif
