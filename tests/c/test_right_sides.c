/*
 * The functions of search/bound.c return at least the right sides that their proofs end
 * with, evaluated in 113 bits, and hardly more; what has no bound is infinite.
 *
 * What they were seen to fail for is listed in test_bound.c.
 */
#include "search/bound.h"

#include <float.h>
#include <math.h>

#include "fast_lsh_ann.h"
#include "hard.h"

static const quad U = 0x1p-53, V = 0x1p-24;

enum { MANY = 20000, TOP_DIM = FLA_MAX_CODED_DIM };

static const size_t dims[] = {1,  2,  3,   4,   5,   7,   15,  16,   17,   63,   64,
                              65, 99, 100, 128, 255, 384, 784, 1000, 1536, 2000, TOP_DIM};
enum { N_DIMS = sizeof dims / sizeof dims[0] };

static size_t any_dim(void)
{
    return dims[data_next() % N_DIMS];
}

/* ---- right sides ----------------------------------------------------------------- */

/* got is at least want, and at most a little more. */
static void check_right_side(double got, quad want, double slack, const char *what)
{
    CHECK((quad)got >= want, "%s: %a is less than %a", what, got, (double)want);
    CHECK((quad)got <= want * (1 + (quad)slack), "%s: %a is much more than %a", what, got,
          (double)want);
}

/* l of step 4. */
static quad run_loss(size_t dim)
{
    const size_t terms = FLA_RUN + dim / FLA_RUN + 1;
    return (quad)((dim < terms ? dim : terms) + 2) * V;
}

static quad length_side(quad sum, size_t dim)
{
    return hard_root((sum + (quad)dim * (quad)0x1p-149) / (1 - run_loss(dim)));
}

static quad centring_side(quad length, size_t dim)
{
    return length * (2 * V) + hard_root((quad)dim) * (quad)0x1p-149;
}

static quad wide_side(quad radius, size_t dim)
{
    const quad d = (quad)dim;
    return radius * (1 + (d + 4) * U) + hard_root(d) * (quad)0x1p-537;
}

static void right_sides_of_lengths(void)
{
    for (int i = 0; i < MANY; i++) {
        const size_t dim = any_dim();
        const double peak = hard_sized(-160, 127);
        const float sum = (float)hard_sized(-149, 126),
                    square = (float)hard_sized(-149, 126);
        check_right_side(fla_rounding_bound(peak, dim),
                         hard_root((quad)dim) * ((quad)peak * V + (quad)0x1p-150),
                         0x1p-46, "rounding");
        check_right_side(fla_length_bound(sum, dim), length_side((quad)sum, dim), 0x1p-46,
                         "length");
        check_right_side(fla_centring_bound(peak, dim), centring_side((quad)peak, dim),
                         0x1p-46, "centring");
        check_right_side(fla_residual_bound(square, sum, dim),
                         length_side((quad)square, dim) * (1 + 2 * V) +
                             centring_side(length_side((quad)sum, dim), dim),
                         0x1p-45, "residual");
    }
    CHECK(fla_length_bound(0, 5) > 0, "squares may have vanished");
}

static void right_sides_of_short_forms(void)
{
    for (int i = 0; i < MANY; i++) {
        const size_t dim = any_dim(), m = 1 + data_next() % 192;
        const double length = hard_sized(i % 3 == 0 ? -160 : -60, 60);
        const quad loss = run_loss(dim), least = (quad)dim * (quad)0x1p-149;
        check_right_side(fla_product_bound(length, dim, m),
                         hard_root((quad)m) * ((quad)length * loss / (1 - loss) + least),
                         0x1p-45, "products");
        CHECK((quad)fla_reflection_bound(length) >=
                  (quad)length * ((quad)0x1p-24 + (quad)0x1p-40) +
                      hard_root(1000) * (quad)0x1p-150,
              "reflection of %a", length);
        /* Nearly all of the length, all of it, more than it, and hardly any. */
        const float sum = (float)(length * length);
        const double products =
            (double)sum * (1 + exp2(-50 * hard_uniform()) * (i % 2 == 0 ? 1 : -1));
        const double off = length * exp2(-60 * hard_uniform());
        const fla_rest rest = fla_rest_bound(sum, products, off, dim);
        const quad near = hard_root((quad)products) * (1 - (quad)0x1p-41) - (quad)off;
        const quad far = hard_root((quad)products) * (1 + (quad)0x1p-41) + (quad)off;
        const quad most = ((quad)sum + least) / (1 - loss) - (near > 0 ? near * near : 0);
        const quad fewest = ((quad)sum - least) * (1 - loss) - far * far;
        const quad high = most > 0 ? hard_root(most) : 0,
                   low = fewest > 0 ? hard_root(fewest) : 0;
        CHECK((quad)rest.length + (quad)rest.error >= high &&
                  (quad)rest.length - (quad)rest.error <= low,
              "rest %a +- %a, want %a to %a", (double)rest.length, rest.error,
              (double)low, (double)high);
        CHECK((quad)rest.error <= (high - low) * (quad)0.51 + high * (quad)0x1p-18,
              "rest %a +- %a, want %a to %a", (double)rest.length, rest.error,
              (double)low, (double)high);
        check_right_side(fla_sum_bound(length, off, products),
                         (quad)length + (quad)off + (quad)products, 0x1p-46, "sum");
    }
}

/* As far apart as step 12 says, and no farther than it allows. */
static void right_sides_of_estimates(void)
{
    for (int i = 0; i < MANY; i++) {
        const bool single = i % 2 == 0;
        const size_t dim = any_dim();
        const quad d = (quad)dim, w = single ? V : U;
        const quad least = d * (single ? (quad)0x1p-148 : (quad)0x1p-1070);
        const quad loss = (quad)(dim / FLA_ESTIMATE_LANES + FLA_ESTIMATE_LANES + 3) * w;
        const quad up = 1 + (d + 4) * U, tiny = hard_root(d) * (quad)0x1p-535;
        const double sum = i % 4 == 1 ? 0 : hard_sized(-140, 100),
                     radius = hard_sized(-70, 61);
        const fla_estimator e = fla_estimator_for(dim, single);
        const quad length = hard_root(((quad)sum + least) / (1 - loss)) * up;
        CHECK((quad)fla_estimate(&e, sum) >= length + tiny / 4, "estimate of %a", sum);
        CHECK((quad)fla_estimate(&e, sum) <= (length + tiny) * (1 + (quad)0x1p-45),
              "estimate of %a", sum);
        const double back = fla_estimate_sum(&e, fla_estimate(&e, sum));
        CHECK(back >= sum && (quad)back <= (quad)sum * (1 + (quad)0x1p-39) + 3 * least,
              "a sum of %a became %a", sum, back);
        const quad reach = (quad)radius * up * up / (1 - loss) + 2 * hard_root(least);
        CHECK((quad)fla_estimate_reach(&e, radius) >= reach, "reach %a of %a",
              fla_estimate_reach(&e, radius), radius);
    }
}

static quad filter_side(quad radius, quad rounding, size_t dim)
{
    const quad d = (quad)dim, reach = wide_side(radius, dim) + rounding;
    return reach * reach / (1 - (d + 3) * V) + (d + 1) * (quad)0x1p-147;
}

/*
 * A rounding for which the right side is just above a float, so that a limit computed a
 * little too small, or rounded to the nearest, stays below.
 */
static void right_side_of_the_filter_limit(void)
{
    for (int i = 0; i < MANY; i++) {
        const size_t dim = any_dim();
        const quad d = (quad)dim;
        const double radius = hard_sized(-40, 40);
        const float aim = (float)(radius * radius * (2 + hard_uniform()));
        const quad reach =
            hard_root(((quad)aim - (d + 1) * (quad)0x1p-147) * (1 - (d + 3) * V));
        double rounding = (double)(reach - wide_side((quad)radius, dim));
        while (filter_side((quad)radius, (quad)rounding, dim) <= (quad)aim)
            rounding = nextafter(rounding, INFINITY);
        const float limit = fla_filter_limit(radius, rounding, dim);
        check_right_side((double)limit, filter_side((quad)radius, (quad)rounding, dim),
                         0x1p-22, "filter limit");
    }
    for (size_t i = 0; i < N_DIMS; i++)
        check_right_side((double)fla_filter_limit(0, 0, dims[i]),
                         ((quad)dims[i] + 1) * (quad)0x1p-147, 0x1p-1,
                         "filter limit of 0");
}

static int32_t half_up(int64_t twice)
{
    return (int32_t)(twice >= 0 ? (twice + 1) / 2 : -(-twice / 2));
}

/*
 * A residual for which A is a whole number N, or just above it; the limit is that of N
 * for even and odd sums of both signs.
 */
static void right_side_of_the_code_limit(void)
{
    for (int i = 0; i < MANY; i++) {
        const size_t dim = any_dim();
        const double scale = (double)(float)hard_sized(-30, 30);
        const int32_t n = (int32_t)hard_sized(1, 26);
        const fla_coded query = {scale * hard_uniform(),
                                 (int32_t)(data_next() % (1 << 25)),
                                 (int32_t)(data_next() % (1 << 26)) - (1 << 25)};
        const double radius = scale * hard_uniform() * exp2(-(double)(data_next() % 60));
        const quad rest = wide_side((quad)radius, dim) + (quad)query.residual;
        double residual = (double)((quad)scale * hard_root((quad)n) - rest);
        residual = residual > 0 ? residual : 0;
        while ((rest + (quad)residual) * (rest + (quad)residual) <
               (quad)n * (quad)scale * (quad)scale)
            residual = nextafter(residual, INFINITY);
        const quad a = (rest + (quad)residual) / (quad)scale;
        const int32_t limit = fla_code_limit(radius, residual, scale, &query, dim);
        const int64_t most = (int64_t)(a * a), p = query.squares;
        CHECK(limit <= half_up(p - most) + query.shift, "limit %d, N %lld, p %lld", limit,
              (long long)most, (long long)p);
        const int64_t more = (int64_t)(a * a * (1 + (quad)0x1p-46));
        CHECK(limit >= half_up(p - more) + query.shift, "limit %d, N %lld, p %lld", limit,
              (long long)more, (long long)p);
    }
}

static void right_side_of_the_code_radius(void)
{
    for (int i = 0; i < MANY; i++) {
        const size_t dim = any_dim();
        const double scale = (double)(float)hard_sized(-30, 30);
        const int32_t p = (int32_t)hard_sized(1, 26), n = (int32_t)hard_sized(1, 25);
        const int32_t shift = (int32_t)(data_next() % (1 << 26)) - (1 << 25);
        const int32_t product =
            (int32_t)((double)(p < n ? p : n) * (1.9 * hard_uniform() - 1));
        const double e = scale * hard_sized(-40, 20);
        const fla_coded query = {scale * hard_sized(-40, 5), p, shift};
        const int32_t a = product - n / 2;
        const quad reach = (quad)scale * hard_root((quad)p - 2 * (quad)a + 1) + (quad)e +
                           (quad)query.residual;
        check_right_side(fla_code_radius(a + shift, e, scale, &query, dim),
                         wide_side(reach, dim), 0x1p-45, "code radius");
    }
}

/* Bounds that do not exist are infinite, and limits then let every row pass. */
static void what_has_no_bound_is_infinite(void)
{
    const double beyond = nextafter((double)FLT_MAX, INFINITY);
    const size_t many = (size_t)1 << 23, very_many = (size_t)1 << 30;
    const fla_coded query = {0, 100, 7}, lost = {INFINITY, 100, 7}, nan = {NAN, 100, 7};
    CHECK(isinf(fla_rounding_bound(beyond, 3)), "beyond float32");
    CHECK(isinf(fla_rounding_bound(NAN, 3)), "no peak");
    CHECK(isinf(fla_length_bound(1, very_many)), "too many roundings");
    CHECK(isinf(fla_length_bound(INFINITY, 3)), "an infinite sum");
    CHECK(!(fla_length_bound(NAN, 3) < INFINITY), "no sum");
    CHECK(!(fla_residual_bound(1, INFINITY, 3) < INFINITY), "an infinite row");
    CHECK(!(fla_residual_bound(NAN, 1, 3) < INFINITY), "no residual");
    CHECK(isinf(fla_product_bound(1, very_many, 1)), "too many roundings");
    CHECK(isinf(fla_rest_bound(1, 1, 0, very_many).error), "too many roundings");
    CHECK(!(fla_rest_bound(INFINITY, 1, 0, 3).error < INFINITY), "an infinite row");
    CHECK(isinf(fla_filter_limit(1, 0, many)), "too many roundings");
    const fla_estimator single = fla_estimator_for(3, true);
    CHECK(isinf(fla_estimate_sum(&single, fla_estimate_reach(&single, 0x1p62))),
          "float may overflow");
    CHECK(isinf(fla_filter_limit(INFINITY, 0, 3)), "no radius");
    CHECK(isinf(fla_filter_limit(1, INFINITY, 3)), "unbounded rounding");
    CHECK(isinf(fla_filter_limit(1e19, 1e19, 3)), "beyond float32");
    CHECK(fla_code_limit(INFINITY, 0, 1, &query, 3) == INT32_MIN, "no radius");
    CHECK(fla_code_limit(1, INFINITY, 1, &query, 3) == INT32_MIN, "no residual");
    CHECK(fla_code_limit(1, 0, 1, &lost, 3) == INT32_MIN, "a query not coded");
    CHECK(fla_code_limit(1, 0, 1, &nan, 3) == INT32_MIN, "a query of no residual");
    CHECK(fla_code_limit(0x1p15, 0, 1, &query, 3) == INT32_MIN, "N of 2^30");
    CHECK(fla_code_limit(0x1p40, 0, 1, &query, 3) == INT32_MIN, "N of 2^80");
    CHECK(fla_code_limit(32767, 0, 1, &query, 3) == (100 - 32767 * 32767) / 2 + 7,
          "N just below 2^30");
    CHECK(isinf(fla_code_radius(0, INFINITY, 1, &query, 3)), "no residual");
}

/*
 * The lowest score that rows can have, codes of -128 against 127 at the top dimension,
 * still has a radius; a score that only rows without codes have, whose bias is -2^30, has
 * none.
 */
static void a_score_without_a_row_proves_no_radius(void)
{
    const int32_t no_row = -(1 << 30), most = 128 * 128 * TOP_DIM;
    const fla_coded query = {0, 127 * 127 * TOP_DIM, 128 * 127 * TOP_DIM};
    const fla_coded same = {0, most, -128 * 128 * TOP_DIM}, zero = {0, 0, 0};
    const int32_t lowest = -128 * 127 * TOP_DIM - most / 2 + query.shift;
    const double radius = fla_code_radius(lowest, 0, 1, &query, TOP_DIM);
    CHECK(radius >= 255 * 128 && radius < 255 * 128.001, "radius %g", radius);
    CHECK(isinf(fla_code_radius(no_row + most + same.shift, 0, 1, &same, TOP_DIM)),
          "an exception");
    CHECK(isinf(fla_code_radius(no_row, 0, 1, &zero, 1)), "padding");
    CHECK(isinf(fla_code_radius(INT32_MIN, 0, 1, &query, TOP_DIM)), "nothing was seen");
}

int main(void)
{
    RUN(right_sides_of_lengths);
    RUN(right_sides_of_short_forms);
    RUN(right_sides_of_estimates);
    RUN(right_side_of_the_filter_limit);
    RUN(right_side_of_the_code_limit);
    RUN(right_side_of_the_code_radius);
    RUN(what_has_no_bound_is_infinite);
    RUN(a_score_without_a_row_proves_no_radius);
    return check_report();
}
