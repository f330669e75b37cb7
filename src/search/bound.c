/*
 * The certificates of the filters.
 *
 * Notation: u = 2^-53 and v = 2^-24, the unit roundoffs of double and float; x, q the
 * rows as given, D their real distance; c the computed distance that decides; d = dim.
 *
 * 1. From c to D.  c = sqrt(S) rounded, S the sequential double sum of squares.  A term
 *    passes a subtraction (squared: two factors), a product and at most d additions, each
 *    within a factor 1 - u from below; a product may also lose 2^-1075 by underflow,
 *    while differences and sums of doubles are exact where they are subnormal.  So
 *        D^2 <= (S + d 2^-1075) / (1-u)^(d+3),   sqrt(S) <= c / (1-u),
 *    and c <= R implies  D <= R' = R (1 + (d+4) u) + sqrt(d) 2^-537,
 *    as (1-u)^-((d+3)/2 + 1) <= 1 + (d+4) u for every d below 2^40.  The same count
 *    upwards: D <= R implies c <= R (1 + (d+4) u) + sqrt(d) 2^-537.
 *
 * The float32 filter.  x', q' are the rows in float32, less one centre that both share,
 * D' their real distance, f the computed float32 score.
 *
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
 * The code filter.  m the centre, s the scale, both taken as the real numbers they are;
 * k, l the codes of x and q.
 *
 * 4. Residuals.  y = x - m computed and rounded to float32: off by at most v |x-m| + u
 *    |x-m| + 2^-150 a coordinate, together less than 2^-23 |y| + sqrt(d) 2^-149.  The
 *    kernel's r = fma(-s, k, y) is off by at most v |y - s k|, without underflow, as all
 *    three are multiples of 2^-149.  Summing d squares in runs, a square passes its own
 *    rounding and fewer than t = min(d, FLA_RUN + d / FLA_RUN + 1) additions: it loses at
 *    most a factor (1-v)^(t+1), and all lose d 2^-150 by underflow, so with l = (t+2) v
 *    |r|^2 <= (sum + d 2^-149) / (1 - l), and
 *        |x - m - s k| <= e = |r| (1 + 2^-23) + 2^-23 |y| + sqrt(d) 2^-149.
 * 5. From D to integers.  |D - s |k-l|| <= e_x + e_q, so with N = |k-l|^2, an integer,
 *        c <= R  implies  N <= A = ((R' + e_x + e_q) / s)^2,  so  N <= M = floor(A).
 * 6. From N to the score.  With n = |k|^2, p = |l|^2 the score without its shift is
 *    a = k.l - floor(n/2) >= k.l - n/2 = (p - N)/2 >= (p - M)/2; a is whole, so
 *        a >= ceil((p - M)/2).
 *    Where M passes 2^30 the limit is INT32_MIN: every row passes.  Nothing overflows:
 * for d <= 2^14 and bytes, |a|, the shift and every partial sum stay below 2^30.
 * 7. Back from the score.  N = n + p - 2 k.l = p - 2a + (n - 2 floor(n/2)) <= p - 2a + 1,
 *    so D <= s sqrt(p - 2a + 1) + e_x + e_q, and step 1 upwards gives c.  Codes differ by
 *    at most 255, so N < 2^30 for d <= 2^14: where p - 2a + 1 passes 2^30 no codes have
 *    reached the score (an exception or padding may have), and the radius is infinite.
 *
 * The short form.  W a matrix with spectral norm at most 1, y = x - m rounded to float32,
 * b(y) = sqrt(|y|^2 - |W y|^2), z(y) = (W y, b(y)).
 *
 * 8. z shrinks distances.  B = (I - W^T W)^(1/2) exists, as W^T W <= I, and b(y) = |B y|.
 *    With w = y - y', |W w|^2 + (|B y| - |B y'|)^2 <= |W w|^2 + |B w|^2 = |w|^2.  Steps 5
 *    and 6 hold for z in place of x, with the residual of z.
 * 9. Computing z.  A product sums d terms in runs: off by at most l / (1 - l), l as in
 *    step 4, of sum |w_j y_j| <= |y| (rows of W are at most 1 long), and 2^-149 a
 * term by underflow; m of them together sqrt(m) as much, called off.  So |W y| lies
 * within off of the length p of what was computed, and b(y) between the roots of |y|^2 -
 * (p + off)^2 and |y|^2 - (p - off)^2, where |y|^2 is known up to the factors of step 4.
 * The middle is taken, and half the distance is the error.
 * 10. Reflecting z keeps distances.  With double numbers for u and b, at most 1,000
 *    coordinates and |z| = |y| but for step 9's errors, what is computed is off by less
 *    than 2^-40 |z|, and rounded to float by 2^-24 |z| + sqrt(1000) 2^-150.
 * 11. The residual of z adds up: coding it (step 4, as z less its own centre is rounded
 *    once more), computing it (steps 9 and 10), and what rounding moved y (step 4), which
 * z does not stretch.
 *
 * Estimates.  g the sum of the squares of the differences as a kernel made it, in float
 * if both rows are, else in double; w its roundoff, t its additions to one term,
 * FLA_ESTIMATE.
 *
 * 12. As in step 3, D^2 (1 - l) - d m <= g <= D^2 / (1 - l) + d m with l = (t+3) w and m
 * = 2^-148 in float, 2^-1070 in double, if nothing overflowed.  With step 1 the estimate
 *        E = sqrt((g + d m) / (1 - l)) (1 + (d+4) u) + sqrt(d) 2^-537 >= c,
 *    and E <= sqrt(D^2 / (1-l)^2 + 4 d m) (1 + (d+4) u) + ...
 *          <= c (1 + 2 l + 2 l^2) (1 + 2 (d+4) u) + 2 sqrt(d m) + sqrt(d) 2^-535
 *    for l <= 1/4.  Where a step overflowed, E is infinite, and D passes 2^62: beyond any
 *    smaller radius, and for others fla_estimate_reach keeps every row.
 *
 * Right sides are evaluated in double: fewer than 16 roundings of positive terms, covered
 * by the factor 1 + 2^-48, and rounded up where they are stored narrower.
 */
#include "search/bound.h"

#include <float.h>
#include <math.h>

#include "base/alloc.h"
#include "kernels/kernels.h"

static const double FLOAT_ROUNDOFF = 0x1p-24, DOUBLE_ROUNDOFF = 0x1p-53;
static const double ROOM =
    1 + 0x1p-48; /* for the roundings of a bound's own evaluation */
static const double MOST_SQUARES = 0x1p30;

double fla_rounding_bound(double peak, size_t dim)
{
    if (!(peak <= (double)FLT_MAX))
        return INFINITY;
    /* Per coordinate: half an ulp, relative when normal, 2^-150 when subnormal. */
    return sqrt((double)dim) * (peak * FLOAT_ROUNDOFF + 0x1p-150) * ROOM;
}

/* Step 4: what a sum of dim products, in runs, may have lost of itself. */
static double run_loss(size_t dim)
{
    const size_t terms = fla_size_min(dim, FLA_RUN + dim / FLA_RUN + 1);
    return (double)(terms + 2) * FLOAT_ROUNDOFF;
}

double fla_length_bound(float sum, size_t dim)
{
    const double d = (double)dim, loss = run_loss(dim);
    if (loss > 0.5)
        return INFINITY;
    return sqrt(((double)sum + d * 0x1p-149) / (1 - loss)) * ROOM;
}

double fla_centring_bound(double length, size_t dim)
{
    return (length * 0x1p-23 + sqrt((double)dim) * 0x1p-149) * ROOM;
}

double fla_residual_bound(float residual, float length, size_t dim)
{
    return (fla_length_bound(residual, dim) * (1 + 0x1p-23) +
            fla_centring_bound(fla_length_bound(length, dim), dim)) *
           ROOM;
}

double fla_product_bound(double length, size_t dim, size_t vectors)
{
    const double d = (double)dim, loss = run_loss(dim);
    if (loss > 0.5)
        return INFINITY;
    return sqrt((double)vectors) * (length * loss / (1 - loss) + d * 0x1p-149) * ROOM;
}

/* Wider than ROOM by far: differences of squares that nearly cancel, and a sum of as many
   squares as there are products. */
static const double WIDE = 0x1p-40;

static double root(double squares)
{
    return squares > 0 ? sqrt(squares) : 0;
}

fla_rest fla_rest_bound(float square_sum, double product_squares, double off, size_t dim)
{
    const double d = (double)dim, sum = (double)square_sum;
    const double loss = run_loss(dim);
    const double products = sqrt(product_squares);
    const double near = products * (1 - WIDE) - off, far = products * (1 + WIDE) + off;
    if (loss > 0.5)
        return (fla_rest){0, INFINITY};
    const double most = (sum + d * 0x1p-149) / (1 - loss) * ROOM;
    const double least = (sum - d * 0x1p-149) * (1 - loss) / ROOM;
    const double high = root(most - (near > 0 ? near * near : 0)) * (1 + WIDE);
    const double low = root(least - far * far) * (1 - WIDE);
    const float middle = (float)((low + high) / 2);
    return (fla_rest){middle, fmax(high - (double)middle, (double)middle - low) * ROOM};
}

double fla_reflection_bound(double length)
{
    return length * 0x1p-22 + 0x1p-140;
}

double fla_sum_bound(double a, double b, double c)
{
    return (a + b + c) * ROOM;
}

/* Step 1: at least the real distance of a pair whose computed one is at most radius, and
 * the other way round. */
static double widen(double radius, size_t dim)
{
    const double d = (double)dim;
    return radius * (1 + (d + 4) * DOUBLE_ROUNDOFF) + sqrt(d) * 0x1p-537;
}

float fla_filter_limit(double radius, double rounding, size_t dim)
{
    const double d = (double)dim;
    const double growth = (d + 3) * FLOAT_ROUNDOFF;
    if (!(radius < INFINITY) || !(rounding < INFINITY) || growth > 0.5)
        return INFINITY;
    const double reach = widen(radius, dim) + rounding;
    const double limit = (reach * reach / (1 - growth) + (d + 1) * 0x1p-147) * ROOM;
    if (!(limit < (double)FLT_MAX))
        return INFINITY;
    const float rounded = (float)limit;
    return (double)rounded < limit ? nextafterf(rounded, INFINITY) : rounded;
}

/* Step 12. */
fla_estimator fla_estimator_for(size_t dim, bool single)
{
    const double roundoff = single ? FLOAT_ROUNDOFF : DOUBLE_ROUNDOFF;
    const double d = (double)dim, least = d * (single ? 0x1p-148 : 0x1p-1070);
    const size_t additions = dim / FLA_ESTIMATE_LANES + FLA_ESTIMATE_LANES;
    const double loss = (double)(additions + 3) * roundoff;
    if (loss > 0.25) /* nothing is known */
        return (fla_estimator){INFINITY, 1, 0, 0, INFINITY};
    const double up = 1 + (d + 4) * DOUBLE_ROUNDOFF, tiny = sqrt(d) * 0x1p-535;
    return (fla_estimator){
        .least = least,
        .factor = sqrt(1 / (1 - loss)) * up * ROOM * ROOM,
        .addend = tiny,
        .reach_factor = (1 + 2 * loss + 2 * loss * loss) * up * up * ROOM * ROOM * ROOM,
        .reach_addend = (2 * sqrt(least) + 4 * tiny) * ROOM,
    };
}

int32_t fla_code_limit(double radius, double residual, double scale,
                       const fla_coded *query, size_t dim)
{
    const double reach = (widen(radius, dim) + residual + query->residual) / scale;
    const double squares = floor(reach * reach * ROOM);
    if (!(squares < MOST_SQUARES))
        return INT32_MIN;
    const int32_t twice = query->squares - (int32_t)squares;
    /* ceil(twice / 2): integer division rounds towards 0 */
    return (twice > 0 ? twice / 2 + twice % 2 : twice / 2) + query->shift;
}

double fla_code_radius(int32_t score, double residual, double scale,
                       const fla_coded *query, size_t dim)
{
    const double squares =
        (double)query->squares - 2 * ((double)score - (double)query->shift) + 1;
    if (squares > MOST_SQUARES)
        return INFINITY;
    const double reach = scale * sqrt(squares > 0 ? squares : 0);
    return widen((reach + residual + query->residual) * ROOM, dim) * ROOM;
}
