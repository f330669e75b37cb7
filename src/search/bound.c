/*
 * The float32 filter's certificate.
 *
 * Notation: u = 2^-53 and v = 2^-24, the unit roundoffs of double and float; x, q the
 * rows as given, D their real distance; x', q' the rows in float32, D' their real
 * distance; c the computed distance that decides, f the computed float32 score; d = dim.
 *
 * 1. From c to D.  c = sqrt(S) rounded, S the sequential double sum of squares.  A term
 *    passes a subtraction (squared: two factors), a product and at most d additions, each
 *    within a factor 1 - u from below; a product may also lose 2^-1075 by underflow,
 * while differences and sums of doubles are exact where they are subnormal.  So D^2 <= (S
 * + d 2^-1075) / (1-u)^(d+3),   sqrt(S) <= c / (1-u), c <= R  implies  D <= R' = R (1 +
 * (d+4) u) + sqrt(d) 2^-537, as (1-u)^-((d+3)/2 + 1) <= 1 + (d+4) u for every d below
 * 2^40.
 * 2. From D to D'.  |D - D'| <= |x - x'| + |q - q'| <= e by the triangle inequality.
 * 3. From D' to f.  The same count upwards, in float: a difference (two factors), at most
 *    one rounding of the product and d of additions, in any order, fused or not; each
 *    rounding may also add 2^-150 by underflow.  So
 *        f <= D'^2 (1+v)^(d+3) + 2 (d+1) 2^-150 (1+v)^d.
 *    With (d+3) v <= 1/2, (1+v)^(d+3) <= 1 / (1 - (d+3) v) <= 2; hence
 *        f <= (R' + e)^2 / (1 - (d+3) v) + (d+1) 2^-147.
 *    Above that dimension, and where the right side passes FLT_MAX, the limit is infinite
 *    and every row is decided exactly.  If a float32 step overflows to infinity then the
 *    right side passes FLT_MAX too, so an infinite f is above a finite limit rightly.
 *
 * The right side is evaluated in double: fewer than 16 roundings of positive terms,
 * covered by the factor 1 + 2^-48, and rounded up to float.
 */
#include "search/bound.h"

#include <float.h>
#include <math.h>

static const double FLOAT_ROUNDOFF = 0x1p-24, DOUBLE_ROUNDOFF = 0x1p-53;

double fla_rounding_bound(double peak, size_t dim)
{
    if (!(peak <= (double)FLT_MAX))
        return INFINITY;
    /* Per coordinate: half an ulp, relative when normal, 2^-150 when subnormal. */
    return sqrt((double)dim) * (peak * FLOAT_ROUNDOFF + 0x1p-150) * (1 + 0x1p-48);
}

float fla_filter_limit(double radius, double rounding, size_t dim)
{
    const double d = (double)dim;
    const double growth = (d + 3) * FLOAT_ROUNDOFF;
    if (!(radius < INFINITY) || !(rounding < INFINITY) || growth > 0.5)
        return INFINITY;
    const double reach =
        radius * (1 + (d + 4) * DOUBLE_ROUNDOFF) + sqrt(d) * 0x1p-537 + rounding;
    const double limit =
        (reach * reach / (1 - growth) + (d + 1) * 0x1p-147) * (1 + 0x1p-48);
    if (!(limit < (double)FLT_MAX))
        return INFINITY;
    const float rounded = (float)limit;
    return (double)rounded < limit ? nextafterf(rounded, INFINITY) : rounded;
}
