/*
 * The certificate of the float32 buckets.
 *
 * Notation: u = 2^-53 and v = 2^-24, the unit roundoffs of double and float; d = dim;
 * |.| Euclidean length.  x a row as given, x' its values rounded to float32; r a vector
 * of the model, of any length, o its offset, c the reciprocal of the bucket length, a = c
 * r in real numbers, b the float32 vector that stands for a, e the float32 that stands
 * for c o.  z = fl(c fl(s + o)) is what the contract floors, s the double chain; y is the
 * kernel's float32 projection of x' on b, and p = fl(y + e).  All that is wanted is a
 * slack with  fl(p - slack) <= z <= fl(p + slack):  floor is monotone, so where both ends
 * have one floor, it is z's.  Writing L = |x'|:
 *
 * 1. The contract's own roundings.  s is off x.r by at most ((1+u)^d - 1) |x| |r| and
 *    d 2^-1074 by underflow; the sum with o and the product are rounded once more each,
 *    so
 *        |z - (a.x + c o)| <= (d+3) u |a| |x| + 3 u |c o| + (c d + 1) 2^-1073.
 * 2. Rounding the row.  |x - x'| <= v L + sqrt(d) 2^-150, hence |x| <= 2 L + sqrt(d)
 *    2^-149, and  |a.x - a.x'| <= |a| (v L + sqrt(d) 2^-150).
 * 3. Rounding the vector.  |a.x' - b.x'| <= |a - b| L.  Rounding the offset moves it by
 *    |c o - e|.
 * 4. The float32 sums.  Term j passes k_j roundings, counted by roundings_of: one of the
 *    product unless fused; the additions of its own and of all later terms of its run (a
 *    run's first term is added to 0, which is exact); those of its run's sum and of later
 *    ones to the total (again but the very first).  It is multiplied by at most
 *    (1+v)^k_j <= 1 + k_j v (1 + 2 K v) where K = max k_j and K v <= 1/2, and
 *    underflow adds at most 2^-150 to a product, twice that at the end, so
 *        |b.x' - y| <= v (1 + 2 K v) sum k_j |b_j x'_j| + d 2^-149
 *                   <= v (1 + 2 K v) |k b| L + d 2^-149      (Cauchy-Schwarz),
 *    k b the vector of k_j b_j.  The mean square of the k_j decides, not the largest.
 * 5. The ends.  p is off y + e by at most v (|y| + |e|), fl(p + slack) off by at most
 *    v (|p| + slack) more, and |y| <= (1 + 2 K v) |b| L + d 2^-149 by 4.
 * 6. L from the computed norm.  The float sum of squares has lost at most a factor
 *    (1-v)^(d+1) and d 2^-149 by underflow, its root a factor 1-v, so
 *        L <= g norm + sqrt(d) 2^-74 g,   g = 1 / (1 - (d+3) v),   if (d+3) v <= 1/2.
 *
 * Together, with
 *        t = v |k b| + 2 v |b| + |a - b| + (v + 2 (d+3) u) |a|,
 * a slack of at least (t L + absolute) (1 + 2 K v) (1 + 2 v) is enough, where absolute
 * collects  2 v |e| + |c o - e| + 3 u |c o|  and the underflows of 1, 2, 4 and 5.  (The
 * second roundings in 5 make 2 v a 2 v + v^2, and slack is on both sides: 1 + v / 2 and
 * 1 / (1 - v) are together below 1 + 2 v.)  tolerance = t g (1 + 2 K v) ROOM and
 * least = max over the functions of (absolute + sqrt(d) 2^-74 t g) (1 + 2 K v) ROOM give
 * it. ROOM covers 1 + 2 v, the kernel's roundings of the slack, and those of this file:
 * sums of at most d positive terms in double, d u being below 2^-29 where g is defined.
 * Here a is itself rounded, which moves |a| and |a - b| by at most u |a|, and so is c o.
 * Underflow in the
 * kernel's slack and in this file (squares of less than 2^-500 count only times L, which
 * is below 2^66) is covered by absolute having d 2^-147 where d 2^-149 (1 + v) is needed.
 *
 * Overflow.  Norms up to the longest have slacks of at most MOST_SLACK.  Then x' is
 * finite; v |b| L and v |e| are at most MOST_SLACK, so that |y|, |p| and every partial
 * sum stay below 2^20: nothing overflows and every bucket fits int32.  Where float32
 * holds no b, or the dimension is too large, no norm is short enough.  NaN and infinity
 * have no such norm either.
 */
#include "lsh/bucket_bound.h"

#include <float.h>
#include <math.h>

static const double FLOAT_ROUNDOFF = 0x1p-24, DOUBLE_ROUNDOFF = 0x1p-53;
static const double ROOM = 1 + 0x1p-20;

/*
 * Above this, whole groups in double cost less: twice the slack of all entries is unsure,
 * and settling one takes 25 times as long as projecting it in float32 (measured).
 */
static const double MOST_SLACK = 1.0 / 128;

/* How many roundings coordinate j's product passes in the bucket kernel. */
static size_t roundings_of(size_t j, size_t dim)
{
    const size_t run = j / FLA_RUN, runs = (dim - 1) / FLA_RUN + 1;
    const size_t left = dim - run * FLA_RUN, length = left < FLA_RUN ? left : FLA_RUN;
    const size_t place = j % FLA_RUN;
    const size_t own = place == 0 ? length : length - place + 1;
    return own + (run == 0 ? runs - 1 : runs - run);
}

/* Squared lengths of one vector's forms: a, b, a - b and k b. */
typedef struct lengths {
    double exact, narrow, difference, weighted;
} lengths;

/* Round c r into b, and measure. */
static lengths narrow_vector(const double *r, double c, size_t dim, float *b)
{
    lengths sum = {0, 0, 0, 0};
    for (size_t j = 0; j < dim; j++) {
        const double exact = c * r[j], weight = (double)roundings_of(j, dim);
        b[j] = (float)exact;
        const double narrow = (double)b[j], difference = exact - narrow;
        sum.exact += exact * exact;
        sum.narrow += narrow * narrow;
        sum.difference += difference * difference;
        sum.weighted += weight * weight * (narrow * narrow);
    }
    return sum;
}

/* A float that is not less. */
static float rounded_up(double value)
{
    const float rounded = (float)value;
    return (double)rounded < value ? nextafterf(rounded, INFINITY) : rounded;
}

/* Round c o into e.  Returns what that and adding e leave of the offset's error. */
static double narrow_offset(double o, double c, float *e)
{
    const double exact = c * o, narrow = (double)(*e = (float)exact);
    return 2 * FLOAT_ROUNDOFF * fabs(narrow) + fabs(exact - narrow) +
           4 * DOUBLE_ROUNDOFF * fabs(exact);
}

float fla_narrow_set(fla_narrow *narrow, const double *vectors, const double *offsets,
                     double reciprocal)
{
    const size_t dim = narrow->dim;
    const double d = (double)dim, loss = (d + 3) * FLOAT_ROUNDOFF;
    const double most_roundings = (double)(FLA_RUN + dim / FLA_RUN + 1);
    const double growth = (1 + 2 * most_roundings * FLOAT_ROUNDOFF) * ROOM;
    const double short_norm = sqrt(d) * 0x1p-74;
    double steepest = 0, least = 0;
    bool bounded = loss <= 0.5;
    for (size_t f = 0; f < narrow->functions && bounded; f++) {
        const lengths square =
            narrow_vector(vectors + f * dim, reciprocal, dim, narrow->vectors + f * dim);
        const double length = sqrt(square.exact);
        const double relative =
            (FLOAT_ROUNDOFF * (sqrt(square.weighted) + 2 * sqrt(square.narrow)) +
             sqrt(square.difference) +
             (FLOAT_ROUNDOFF + 2 * (d + 4) * DOUBLE_ROUNDOFF) * length) /
            (1 - loss);
        const double absolute =
            narrow_offset(offsets[f], reciprocal, narrow->offsets + f) + d * 0x1p-147 +
            length * sqrt(d) * 0x1p-148 + reciprocal * (d * 0x1p-1072) + 0x1p-1072;
        narrow->tolerances[f] = rounded_up(relative * growth);
        bounded = narrow->tolerances[f] < FLT_MAX; /* false for NaN */
        steepest = fmax(steepest, (double)narrow->tolerances[f]);
        least = fmax(least, (absolute + short_norm * relative) * growth);
    }
    narrow->least = rounded_up(least);
    const double room = MOST_SLACK - (double)narrow->least;
    if (!bounded || !(room > 0))
        return -1;
    return (float)fmin(room / steepest * (1 - 0x1p-20), (double)FLT_MAX);
}
