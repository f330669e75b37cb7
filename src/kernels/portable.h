/*
 * What every tier compiles from the same portable C, for its own instruction set: loading
 * unaligned values and the peak of values.
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

#endif
