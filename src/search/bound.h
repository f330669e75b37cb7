/* The certificates of the filters: why no answer is lost. */
#ifndef FLA_SEARCH_BOUND_H
#define FLA_SEARCH_BOUND_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Codes serve up to this dimension: beyond it their scores could pass int32. */
enum { FLA_MAX_CODED_DIM = 1 << 14 };

/*
 * At least the distance between a row of dim doubles up to peak in magnitude and its
 * rounding to float32; infinity when float32 cannot hold it.  0 belongs to float32 rows.
 */
double fla_rounding_bound(double peak, size_t dim);

/*
 * At least the length of the vector whose squares a kernel has summed in float32, in any
 * order; infinity or NaN when the sum is.
 */
double fla_length_bound(float sum, size_t dim);

/*
 * At least the distance between a row less the centre and its float32 form, which is at
 * most length long.
 */
double fla_centring_bound(double length, size_t dim);

/*
 * At least the distance between a row less the centre and scale times its codes.
 *
 * residual, length  what the encode kernel left: sums of squares of the difference and of
 *                   the float32 row.
 */
double fla_residual_bound(float residual, float length, size_t dim);

/*
 * At least the distance between the products of a row, at most length long, with so many
 * vectors and what the multiply kernel makes of them; the vectors' norm is at most 1.
 */
double fla_product_bound(double length, size_t dim, size_t vectors);

/* The length of what a row has besides its products, and at most how wrong that is. */
typedef struct fla_rest {
    float length;
    double error; /* infinity: nothing is known */
} fla_rest;

/*
 * square_sum       the row's, as the encode kernel summed it.
 * product_squares  sum of the squares of its products, in double.
 * off              fla_product_bound of the row.
 */
fla_rest fla_rest_bound(float square_sum, double product_squares, double off, size_t dim);

/*
 * At least what sharing out the rest's length (prefix.c) gets wrong, in double and
 * rounded to float32 at the end; for a row at most length long and short forms of up to
 * 1,000 coordinates.
 */
double fla_reflection_bound(double length);

/* At least a + b + c. */
double fla_sum_bound(double a, double b, double c);

/*
 * The float32 filter's limit for a search radius: every row whose computed distance (the
 * exact kernel's) is at most radius scores at most this in the float32 filter, or scores
 * NaN.
 *
 * rounding  at least what rounding to float32 moved the row plus what it moved the query.
 */
float fla_filter_limit(double radius, double rounding, size_t dim);

/* Upper bounds of computed distances, from the sums that the estimate kernels make. */
typedef struct fla_estimator {
    double least, factor, addend;      /* from a sum to a bound */
    double reach_factor, reach_addend; /* how far bounds may pass the distances */
} fla_estimator;

/* single: both rows of a pair are float32, so that their sum is too. */
fla_estimator fla_estimator_for(size_t dim, bool single);

static inline double fla_estimate(const fla_estimator *e, double sum)
{
    return sqrt(sum + e->least) * e->factor + e->addend;
}

/* Rows whose computed distance is at most radius have estimates up to this; where float32
   may overflow, nothing is known of them. */
static inline double fla_estimate_reach(const fla_estimator *e, double radius)
{
    return radius < 0x1p62 ? radius * e->reach_factor + e->reach_addend
                           : (double)INFINITY;
}

/* At least every sum whose estimate is at most reach; least covers an underflow here. */
static inline double fla_estimate_sum(const fla_estimator *e, double reach)
{
    const double root = (reach - e->addend) / e->factor;
    return (root > 0 ? root * root * (1 + 0x1p-40) : 0) + e->least;
}

/* A query in codes, as the limits need it. */
typedef struct fla_coded {
    double residual; /* at least: the distance from scale times its codes */
    int32_t squares; /* sum of code^2 */
    int32_t shift;   /* code_offset times the sum of its codes: what storing the base with
                        an offset adds to every score */
} fla_coded;

/* A row's bias in the scores of the code kernels: squares is its sum of code^2. */
static inline int32_t fla_code_bias(int32_t squares)
{
    return -(squares / 2);
}

/*
 * The code filter's limit for a search radius: every row whose computed distance is at
 * most radius, and whose own residual is at most residual, scores at least this.
 */
int32_t fla_code_limit(double radius, double residual, double scale,
                       const fla_coded *query, size_t dim);

/*
 * At least the computed distance of any row, with a residual up to residual, that reached
 * score in the code kernels; infinity for a score so low that no row's codes can leave
 * it.
 */
double fla_code_radius(int32_t score, double residual, double scale,
                       const fla_coded *query, size_t dim);

#endif
