/*
 * What every tier compiles from the same portable C, for its own instruction set: loading
 * unaligned values, the peak of values, a few exact projections.
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

/* The functions from first on, one value after the other. */
static inline void lay_out_from(const int64_t *buckets, size_t functions, size_t first,
                                size_t n, int64_t *out)
{
    for (size_t i = 0; i < n; i++)
        for (size_t f = first; f < functions; f++)
            out[i * functions + f] = buckets[f * FLA_GROUP + i];
}

/* Eight chains side by side, so that the processor overlaps them. */
#define FLA_CHAIN(load)                                            \
    double sum[FLA_PAIRS] = {0};                                   \
    for (size_t j = 0; j < dim; j++)                               \
        for (size_t i = 0; i < FLA_PAIRS; i++)                     \
            sum[i] = fma(load(rows[i], j), vectors[i][j], sum[i]); \
    memcpy(sums, sum, sizeof sum);

static inline void chain_f32(const void *const rows[FLA_PAIRS],
                             const double *const vectors[FLA_PAIRS], size_t dim,
                             double sums[FLA_PAIRS])
{
    FLA_CHAIN(load_f32)
}

static inline void chain_f64(const void *const rows[FLA_PAIRS],
                             const double *const vectors[FLA_PAIRS], size_t dim,
                             double sums[FLA_PAIRS])
{
    FLA_CHAIN(load_f64)
}

#endif
