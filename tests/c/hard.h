/* Rows made to break a filter that rounds the wrong way, for the C tests. */
#ifndef FLA_TESTS_HARD_H
#define FLA_TESTS_HARD_H

#include <float.h>
#include <math.h>

#include "base/cpu.h"
#include "check.h"
#include "data.h"
#include "kernels/kernels.h"

/* Arithmetic of 113 bits: squares of doubles are exact. */
#if LDBL_MANT_DIG >= 113
typedef long double quad;
#else
typedef __float128 quad; /* gcc and clang where long double is shorter */
#endif

/* Square root of a number that a double can about hold: Newton's step doubles the bits.
 */
static inline quad hard_root(quad x)
{
    quad y = (quad)sqrt((double)x);
    for (int i = 0; i < 2 && y > 0; i++)
        y = (y + x / y) / 2;
    return y;
}

/* Call test for every tier of this processor. */
static inline void call_tiers(void (*test)(const fla_kernels *))
{
    size_t ran = 0;
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        if ((fla_kernels_at(t)->needs & ~fla_cpu_detect()) != 0)
            continue;
        test(fla_kernels_at(t));
        ran++;
    }
    CHECK(ran > 0, "no tier ran");
}

/* 0 to 1, and a positive number of any size from 2^low to 2^high. */
static inline double hard_uniform(void)
{
    return (double)(data_next() >> 11) * 0x1p-53;
}

static inline double hard_sized(double low, double high)
{
    return exp2(low + (high - low) * hard_uniform()) * (1 + hard_uniform());
}

/* A scale that is no power of two; BORDERS puts rows between its codes. */
static const float HARD_SCALE = 0.1f;

typedef enum hard_kind {
    HARD_NORMAL,
    HARD_BORDERS,    /* (m + 1/2) scale and the doubles beside it */
    HARD_GRID,       /* multiples of 2^-8 around 10,000: ties */
    HARD_OFFSET,     /* noise around 10^6 */
    HARD_FAR_OFFSET, /* noise around 10^30, as fine as a float shows there */
    HARD_GIANT_ROW,  /* one coordinate of one row is 10^8 */
    HARD_GIANT_COLUMN,
    HARD_CONSTANT_COLUMNS,
    HARD_IDENTICAL,
    HARD_CLUSTERS,  /* two, 10^6 apart */
    HARD_SUBNORMAL, /* as floats */
    HARD_SUBNORMAL_DOUBLE,
    HARD_LARGE,        /* near FLT_MAX, both signs */
    HARD_LARGE_DOUBLE, /* 10^300 */
    HARD_BYTES,        /* 0..255 */
    HARD_COLLAPSED,    /* equal as floats, all different */
    HARD_WIDE,         /* of any exponent between 10^-30 and 10^30 */
    HARD_SPARSE,
    HARD_KINDS
} hard_kind;

static const char *const hard_names[HARD_KINDS] = {
    "normal",     "borders",      "grid",         "offset",
    "far offset", "giant row",    "giant column", "constant columns",
    "identical",  "clusters",     "subnormal",    "subnormal double",
    "large",      "large double", "bytes",        "collapsed",
    "wide",       "sparse",
};

/* Roughly normal: the sum of four uniform values. */
static inline double hard_noise(void)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(int64_t)data_next() * 0x1p-63;
    return sum;
}

static inline double hard_border(void)
{
    const double middle = (double)((int64_t)(data_next() % 40) - 20) + 0.5;
    const double at = middle * (double)HARD_SCALE;
    const double toward = data_next() % 2 == 0 ? INFINITY : -INFINITY;
    return data_next() % 3 == 0 ? at : nextafter(at, toward);
}

/* As a float, which must be finite. */
static inline float hard_float(double value)
{
    return (float)fmax(fmin(value, (double)FLT_MAX), -(double)FLT_MAX);
}

/* Coordinate j of row i. */
static inline double hard_value(hard_kind kind, size_t i, size_t j)
{
    const double noise = hard_noise();
    switch (kind) {
        case HARD_BORDERS:
            return hard_border();
        case HARD_GRID:
            return 1e4 + (double)(data_next() % 9) * 0x1p-8;
        case HARD_OFFSET:
            return 1e6 + noise;
        case HARD_FAR_OFFSET:
            return 1e30 + noise * 1e23;
        case HARD_GIANT_ROW:
            return i == 3 && j == 0 ? 1e8 : noise;
        case HARD_GIANT_COLUMN:
            return j == 0 ? 1e8 + noise : noise;
        case HARD_CONSTANT_COLUMNS:
            return j % 2 == 0 ? 12345.678 : noise;
        case HARD_IDENTICAL:
            return 0.7 + (double)j;
        case HARD_CLUSTERS:
            return (i % 2 == 0 ? 5e5 : -5e5) + noise;
        case HARD_SUBNORMAL:
            return noise * 0x1p-140;
        case HARD_SUBNORMAL_DOUBLE:
            return noise * 0x1p-1065;
        case HARD_LARGE:
            return noise * 0.25 * (double)FLT_MAX;
        case HARD_LARGE_DOUBLE:
            return noise * 1e300;
        case HARD_BYTES:
            return (double)(data_next() % 256);
        case HARD_COLLAPSED:
            return 1 + noise * 1e-12;
        case HARD_WIDE:
            return noise * pow(10, (double)(data_next() % 61) - 30);
        case HARD_SPARSE:
            return data_next() % 10 == 0 ? noise : 0;
        default:
            return noise;
    }
}

/* Rows as doubles [n x dim]; a few repeat the one before. */
static inline void hard_rows(hard_kind kind, size_t n, size_t dim, double *rows)
{
    for (size_t i = 0; i < n; i++) {
        const int repeat = i > 0 && data_next() % 8 == 0;
        for (size_t j = 0; j < dim; j++)
            rows[i * dim + j] = repeat ? rows[(i - 1) * dim + j] : hard_value(kind, i, j);
    }
}

#endif
