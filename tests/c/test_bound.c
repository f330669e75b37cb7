/*
 * What the proofs of search/bound.c promise, where it is hardest to keep: vectors, rows
 * and codes whose every rounding loses as much as it can in the direction that hurts; the
 * true length, distance or score, in 113 bits, must be on its side.
 *
 * Seen to fail.  Each line is one change of bound.c made alone, and the tests of this
 * file that it turned red.  Unless it says green, right_side* or
 * what_has_no_bound_is_infinite (both test_right_sides.c) turned red too or alone:
 * "sides" means that no vector can show it, because what is named covers it.  More is
 * listed in test_filters.c and test_certificate.c.
 *
 * ROOM = 1                              sides, all; where it is taken from one function
 *                                       alone: its own; every other term has slack
 * fla_rounding_bound
 *   no sqrt(d), v / 2, no 2^-150        what_moves_a_row_is_bounded
 *   no test of FLT_MAX                  sides
 * fla_length_bound
 *   no loss, t + 2 -> t - 1, 1 + loss   lengths_are_never_short
 *   t + 2 -> t                          sides: a first sum, to 0, is exact
 *   d 2^-149 dropped or 2^-151          lengths_are_never_short
 *   loss > 0.5 allowed                  sides
 * fla_centring_bound
 *   2^-23 dropped or 2^-24              what_moves_a_row_is_bounded
 *   no 2^-149, no sqrt(d)               what_moves_a_row_is_bounded
 * fla_residual_bound
 *   no fla_centring_bound               what_moves_a_row_is_bounded
 *   no 1 + 2^-23                        sides: t + 2 for t covers it
 *   no ROOM of its own                  green: those of its two terms cover it
 * widen
 *   (d + 4) u dropped, quartered, < 0   distances_that_lost_most_by_rounding_are_held
 *   2^-537 dropped, no sqrt(d)          distances_of_vanishing_squares_are_held (scales
 *                                       that small are never fitted)
 * fla_filter_limit
 *   no widen                            sides: d + 3 covers it
 *   d + 3 -> d + 1                      sides: as t + 2, and rounding up covers the rest
 *   no growth, 1 + growth               sides, and test_filters.c
 *   no 2^-147, 2^-151, no rounding      sides, and test_filters.c
 *   to the nearest float                sides: d + 3 for d + 2 covers it
 *   growth > 0.5 allowed                sides
 *   no test of FLT_MAX                  green: IEC 60559 converts to infinity, C need not
 * fla_code_limit
 *   no ROOM                             sides: residuals are wider than that
 *   no widen                            distances_that_lost..., ..._vanishing_squares_...
 *   either residual dropped             rows_across_a_border_are_held
 *   M - 1; a limit more                 codes_without_residuals_are_exact
 *   ceil: 1 more for positive, for      codes_without_residuals_are_exact
 *   negative; floor (loose) for either
 *   no shift                            codes_without_residuals_are_exact
 *   no test of 2^30, 2^29               sides
 * fla_code_radius
 *   + 1 dropped or + 0.5                codes_without_residuals_are_exact
 *   no shift                            codes_without_residuals_are_exact
 *   either residual dropped             a_radius_counts_both_residuals
 *   no widen                            distances_that_lost..., ..._vanishing_squares_...
 *   one ROOM dropped                    green: the other covers it; both: sides
 *   no test of 2^30                     a_score_without_a_row... (test_right_sides.c)
 *   squares > 0 not asked               green: N >= 0, so no row's score asks for it
 * fla_code_bias: ceil of n / 2          codes_without_residuals_are_exact
 * fla_product_bound, fla_rest_bound, fla_reflection_bound, fla_sum_bound
 *   every term of them dropped          sides: products are never off by so much
 * fla_estimate, fla_estimate_sum
 *   no addend; no 1 + 2^-40             sides; more in test_filters.c
 *   a sum without least, or with 4      green: each covers the other
 *   times the addend taken off
 */
#include "search/bound.h"

#include <float.h>
#include <math.h>

#include "base/alloc.h"
#include "check.h"
#include "fast_lsh_ann.h"
#include "hard.h"
#include "kernels/kernels.h"

static const quad U = 0x1p-53, V = 0x1p-24;

enum { MANY = 20000, TOP_DIM = FLA_MAX_CODED_DIM };

/* ---- lengths --------------------------------------------------------------------- */

static quad squares_of(const float *values, size_t n)
{
    quad sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (quad)values[i] * (quad)values[i];
    return sum;
}

/* Encode one vector in every lane; codes [dim + 3] of the first come back. */
static fla_residue encode(const fla_kernels *k, const float *vector, size_t dim,
                          float scale, int32_t *out)
{
    const size_t steps = (dim + FLA_STEP - 1) / FLA_STEP;
    float *group = fla_alloc(dim, FLA_GROUP * sizeof *group);
    uint8_t *codes = fla_alloc(steps, FLA_STEP * FLA_GROUP);
    fla_residue residue;
    for (size_t j = 0; j < dim * FLA_GROUP; j++)
        group[j] = vector[j / FLA_GROUP];
    k->floats->encode(group, dim, scale, k->codes->code_max, k->codes->code_offset, codes,
                      &residue);
    for (size_t j = 0; j < dim; j++)
        out[j] =
            (int8_t)(uint8_t)(codes[j / FLA_STEP * FLA_STEP * FLA_GROUP + j % FLA_STEP] -
                              k->codes->code_offset);
    fla_free(group);
    fla_free(codes);
    return residue;
}

/*
 * Each square and each addition loses nearly half an ulp, d roundings in all as long as
 * they are one run: the first square, 2047 * 2^-23 above 1, by itself; the others vanish
 * beside it.
 */
static void lengths_hold_where_every_rounding_is_down(const fla_kernels *k)
{
    float vector[256];
    int32_t codes[256];
    vector[0] = 1 + 2047 * 0x1p-23f;
    for (size_t j = 1; j < 256; j++)
        vector[j] = 0x1p-12f * (1 - 0x1p-22f);
    for (size_t dim = 1; dim < 256; dim += dim < 20 ? 1 : 47) {
        const fla_residue residue = encode(k, vector, dim, 0x1p20f, codes);
        const quad sum = squares_of(vector, dim);
        CHECK(dim > FLA_RUN || sum > (quad)residue.length[0] * (1 + ((quad)dim - 1) * V),
              "%s dim %zu: the sum lost too little to test anything", k->name, dim);
        for (size_t i = 0; i < FLA_GROUP; i++) {
            const quad length = (quad)fla_length_bound(residue.length[i], dim);
            CHECK(length * length >= sum, "%s dim %zu: %a, lost %g u", k->name, dim,
                  (double)length, (double)((sum / (quad)residue.length[i] - 1) / V));
            CHECK(residue.residual[i] == residue.length[i], "codes are not 0");
        }
    }
}

static void lengths_hold_where_squares_vanish(const fla_kernels *k)
{
    float vector[256];
    int32_t codes[256];
    for (size_t j = 0; j < 256; j++)
        vector[j] = 0x1p-75f; /* its square is half of the least float */
    for (size_t dim = 1; dim <= 256; dim *= 4) {
        const fla_residue residue = encode(k, vector, dim, 1, codes);
        const quad length = (quad)fla_length_bound(residue.length[0], dim);
        CHECK(residue.length[0] == 0, "%s: the squares are there", k->name);
        CHECK(length * length >= squares_of(vector, dim), "%s dim %zu: %a", k->name, dim,
              (double)length);
    }
}

static void lengths_are_never_short(void)
{
    call_tiers(lengths_hold_where_every_rounding_is_down);
    call_tiers(lengths_hold_where_squares_vanish);
}

/* ---- rounding, centring, residuals ----------------------------------------------- */

/* Rows of one value, less a centre; the squared length of what that moved them. */
static quad moved(const fla_kernels *k, double value, float centre, size_t dim, float *to)
{
    const void *rows[FLA_GROUP];
    double *row = fla_alloc(dim, sizeof *row);
    float *group = fla_alloc(dim, FLA_GROUP * sizeof *group);
    float *centres = fla_alloc(dim, sizeof *centres);
    quad sum = 0;
    for (size_t i = 0; i < FLA_GROUP; i++)
        rows[i] = row;
    for (size_t j = 0; j < dim; j++) {
        row[j] = value;
        centres[j] = centre;
    }
    k->floats->center_f64(rows, rows, dim, centres, group);
    for (size_t j = 0; j < dim; j++) {
        const quad lost = (quad)value - (quad)centre - (quad)group[j * FLA_GROUP];
        sum += lost * lost;
    }
    *to = group[0];
    fla_free(row);
    fla_free(group);
    fla_free(centres);
    return sum;
}

/* Halfway between two floats, where the lower is even, above 1 and below the least. */
static void rounding_to_float_is_bounded(const fla_kernels *k)
{
    static const double values[] = {1 + 0x1p-24, 0x1p-150, 0x1p-150 + 0x1p-148,
                                    -(1 + 0x1p-24), 0x1p127 + 0x1p103};
    float to;
    for (size_t i = 0; i < 5; i++) {
        for (size_t dim = 1; dim <= 256; dim *= 4) {
            const quad bound = (quad)fla_rounding_bound(fabs(values[i]), dim);
            const quad lost = moved(k, values[i], 0, dim, &to);
            CHECK(lost > 0 && bound * bound >= lost, "%s %a dim %zu: %a", k->name,
                  values[i], dim, (double)bound);
        }
    }
}

/*
 * 1 + 2^-24 + 2^-53 is half an ulp of double above half an ulp of float above 1: both
 * subtraction and conversion round down.
 */
static void centring_is_bounded(const fla_kernels *k)
{
    float to;
    for (size_t dim = 1; dim <= 256; dim *= 4) {
        const double length = sqrt((double)dim);
        quad lost = moved(k, 1 + 0x1p-24, -0x1p-53f, dim, &to);
        quad bound = (quad)fla_centring_bound(length, dim);
        CHECK(to == 1, "%s rounded up", k->name);
        CHECK(bound * bound >= lost, "%s dim %zu: %a", k->name, dim, (double)bound);
        lost = moved(k, 0x1p-150, 0, dim, &to);
        bound = (quad)fla_centring_bound(0, dim);
        CHECK(to == 0, "%s rounded up", k->name);
        CHECK(bound * bound >= lost, "%s dim %zu: %a", k->name, dim, (double)bound);
    }
}

/* A residual that computes as zero is what centring moved. */
static void a_residual_of_zero_is_none(const fla_kernels *k)
{
    float vector[256];
    int32_t codes[256];
    for (size_t j = 0; j < 256; j++)
        vector[j] = 1;
    for (size_t dim = 1; dim <= 256; dim *= 4) {
        float to;
        const fla_residue residue = encode(k, vector, dim, 1, codes);
        const quad lost = moved(k, 1 + 0x1p-24, -0x1p-53f, dim, &to);
        const quad bound =
            (quad)fla_residual_bound(residue.residual[0], residue.length[0], dim);
        CHECK(to == 1 && codes[0] == 1 && residue.residual[0] == 0, "%s", k->name);
        CHECK(bound * bound >= lost, "%s dim %zu: %a", k->name, dim, (double)bound);
    }
}

static void what_moves_a_row_is_bounded(void)
{
    call_tiers(rounding_to_float_is_bounded);
    call_tiers(centring_is_bounded);
    call_tiers(a_residual_of_zero_is_none);
}

/* ---- from computed distances to codes and back ----------------------------------- */

/* Two rows scale * code, without residuals. */
typedef struct pair {
    size_t dim;
    double scale;
    int32_t k[TOP_DIM], l[TOP_DIM];
} pair;

static pair two;

static double computed(const pair *p)
{
    double sum = 0;
    for (size_t j = 0; j < p->dim; j++) {
        const double difference = p->scale * p->k[j] - p->scale * p->l[j];
        const double square = difference * difference;
        sum += square;
    }
    return sqrt(sum);
}

typedef struct integers {
    int64_t apart; /* N */
    int32_t score;
    fla_coded query;
} integers;

static integers score(const pair *p, int32_t offset)
{
    int64_t n = 0, squares = 0, product = 0, sum = 0, apart = 0;
    for (size_t j = 0; j < p->dim; j++) {
        n += p->k[j] * p->k[j];
        squares += p->l[j] * p->l[j];
        product += p->k[j] * p->l[j];
        sum += p->l[j];
        apart += (p->k[j] - p->l[j]) * (p->k[j] - p->l[j]);
    }
    const int32_t shift = (int32_t)(offset * sum);
    return (integers){apart,
                      fla_code_bias((int32_t)n) + (int32_t)product + shift,
                      {0, (int32_t)squares, shift}};
}

/* The row is within its own computed distance, and that within the radius of its score.
 */
static bool check_pair(const pair *p, double distance, const char *what)
{
    const integers i = score(p, 128);
    const int32_t limit = fla_code_limit(distance, 0, p->scale, &i.query, p->dim);
    const double radius = fla_code_radius(i.score, 0, p->scale, &i.query, p->dim);
    CHECK(i.score >= limit, "%s: score %d below %d, N %lld, scale %a", what, i.score,
          limit, (long long)i.apart, p->scale);
    CHECK(radius >= distance, "%s: radius %a, distance %a", what, radius, distance);
    return i.score == limit;
}

/* All pairs of small codes: N = M everywhere, odd and even squares, both signs. */
static void codes_without_residuals_are_exact(void)
{
    static const float scales[] = {1, 0.1f, 3.3f, 0x1.fffffep-50f, 7e20f};
    size_t tight = 0, pairs = 0;
    two.dim = 2;
    for (size_t s = 0; s < 5; s++) {
        two.scale = (double)scales[s];
        for (int32_t c = 0; c < 7 * 7 * 7 * 7; c++) {
            two.k[0] = c % 7 - 3;
            two.k[1] = c / 7 % 7 - 3;
            two.l[0] = c / 49 % 7 - 3;
            two.l[1] = c / 343 - 3;
            tight += check_pair(&two, computed(&two), "small codes");
            pairs++;
        }
    }
    CHECK(tight == pairs, "%zu of %zu limits are exact", tight, pairs);
}

/*
 * d terms of s^2 after a start of 2^17 s^2, where an ulp is 2^-35: s = 1 + i 2^-23, and i
 * is sought that makes every addition round the same way.  An even or odd number of ones
 * among the row's codes makes the floor of n/2 exact or not.
 */
static double roll(pair *p, bool down, bool even)
{
    const size_t ones = even ? 8191 : 8190;
    double most = 0, at = 1;
    p->dim = TOP_DIM;
    for (size_t j = 0; j < p->dim; j++) {
        const bool first = j >= 3 && j < 3 + ones;
        p->k[j] = j < 2 ? 127 : j == 2 ? 23 : first ? 1 : 0;
        p->l[j] = j < 2 ? -127 : j == 2 ? -23 : first ? 0 : -1;
    }
    for (int32_t i = 1; i < 1200; i++) {
        p->scale = 1 + i * 0x1p-23;
        const quad c = (quad)computed(p);
        const quad ratio = c * c / ((quad)p->scale * (quad)p->scale * (quad)147529);
        const double lost = (double)((down ? 1 - ratio : ratio - 1) / U);
        if (lost > most) {
            most = lost;
            at = p->scale;
        }
    }
    p->scale = at;
    return most / 2; /* of the distance, in u */
}

static void distances_that_lost_most_by_rounding_are_held(void)
{
    for (int i = 0; i < 4; i++) {
        const bool down = i % 2 == 0, even = i / 2 == 0;
        const double lost = roll(&two, down, even);
        CHECK(score(&two, 0).apart == 147529, "N");
        CHECK(lost > TOP_DIM / 3.0, "only %g u were lost", lost);
        check_pair(&two, computed(&two), down ? "rounded down" : "rounded up");
    }
}

/* Squares below the least double: 2^-1075 rounds to 0, what is above to 2^-1074. */
static void distances_of_vanishing_squares_are_held(void)
{
    static const double scales[] = {0x1.6a09e667f3bccp-538, 0x1.6a09e667f3bcdp-538};
    for (size_t dim = 1; dim <= 257; dim += 16) {
        for (int i = 0; i < 4; i++) {
            two.dim = dim;
            two.scale = scales[i / 2];
            for (size_t j = 0; j < dim; j++) {
                two.k[j] = i % 2 == 0 || j > 0;
                two.l[j] = two.k[j] - 1;
            }
            const double distance = computed(&two);
            CHECK((distance == 0) == (i / 2 == 0), "a square of %a", two.scale);
            check_pair(&two, distance, "subnormal");
        }
    }
}

/*
 * Two rows close to each other on both sides of a border between codes: the residuals and
 * the distance make up exactly one scale, so that A is exactly 1, whatever was rounded.
 */
static void rows_across_a_border_are_held(void)
{
    for (int i = 0; i < MANY; i++) {
        const double scale = (double)(float)hard_sized(-3, 3);
        const int32_t low = 1 + 2 * (int32_t)(data_next() % 60), high = low + 1;
        const double border = (low + 0.5) * scale,
                     near = exp2(-30 * hard_uniform()) / 400;
        const double row = border * (1 + near * hard_uniform());
        const double query = border * (1 - near * hard_uniform());
        const double e = scale * high - row, eq = query - scale * low;
        const fla_coded coded = {eq, low * low, 0};
        CHECK((quad)(row - query) + (quad)e + (quad)eq == (quad)scale, "not exact");
        const int32_t a = high * low + fla_code_bias(high * high);
        const int32_t limit = fla_code_limit(row - query, e, scale, &coded, 1);
        CHECK(a >= limit, "codes %d and %d: %d below %d, scale %a, e %a and %a", high,
              low, a, limit, scale, e, eq);
        const double radius = fla_code_radius(a, e, scale, &coded, 1);
        CHECK(radius >= row - query, "radius %a", radius);
    }
}

/*
 * Codes nearer than their rows: the residuals point away from each other, and the code
 * radius needs both of them.
 */
static void a_radius_counts_both_residuals(void)
{
    for (int i = 0; i < MANY; i++) {
        const double scale = (double)(float)hard_sized(-3, 3);
        const int32_t k = (int32_t)(data_next() % 61) + 1,
                      l = -(int32_t)(data_next() % 60);
        const double row = scale * (k + hard_uniform() / 2),
                     query = scale * (l - hard_uniform() / 2);
        const double e = nextafter(row - scale * k, INFINITY);
        const fla_coded coded = {nextafter(scale * l - query, INFINITY), l * l, 0};
        const int32_t a = k * l + fla_code_bias(k * k);
        const double radius = fla_code_radius(a, e, scale, &coded, 1);
        CHECK(radius >= row - query, "radius %a, distance %a", radius, row - query);
    }
}

int main(void)
{
    RUN(lengths_are_never_short);
    RUN(what_moves_a_row_is_bounded);
    RUN(codes_without_residuals_are_exact);
    RUN(distances_that_lost_most_by_rounding_are_held);
    RUN(distances_of_vanishing_squares_are_held);
    RUN(rows_across_a_border_are_held);
    RUN(a_radius_counts_both_residuals);
    return check_report();
}
