/*
 * What every tier compiles from the same portable C, for its own instruction set: loading
 * unaligned values, the peak of values, and the exact distance.
 */
#ifndef FLA_KERNELS_PORTABLE_H
#define FLA_KERNELS_PORTABLE_H

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

/* +infinity once any value was NaN or infinite, else the larger magnitude. */
static inline double larger_magnitude(double peak, double value)
{
    const double magnitude = fabs(value);
    if (!(magnitude < INFINITY))
        return INFINITY;
    return magnitude > peak ? magnitude : peak;
}

/* Four rows at a time hide the latency of their four chains of additions. */
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
