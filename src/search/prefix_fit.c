/*
 * Finding directions for short forms, and deciding whether they pay.
 *
 * A sample of the rows is searched for its own nearest rows: of all pairs, how many would
 * pass short forms of each size at the radius of the nearest?  The size that makes a pair
 * cheapest wins, if it is much cheaper than one stage.
 */
#include "search/prefix_fit.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "search/cost.h"
#include "search/directions.h"

enum {
    SAMPLE_ROWS = 2048, /* the search takes less time than coding LEAST_ROWS rows */
    LEAST_ROWS = 16384, /* fewer do not repay the search for directions */
    LEAST_DIM = 128,    /* with fewer, coding short forms costs what they save */
    ASKED = 32,         /* rows of the sample that stand for queries */
};

/* Coordinates of short forms to choose from; at most a third of a row's. */
static const size_t SIZES[] = {16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192};
enum { N_SIZES = sizeof SIZES / sizeof SIZES[0], SHARE = 3 };

/* Of what one stage costs: preparing short forms must be repaid too. */
static const double WORTH = 0.7;

/* Of the mean square of mixed coordinates' size, what the quantizer's scale reaches to.
 */
static const double REACH = 4.5;

typedef struct survey {
    const fla_kernels *kernels;
    fla_sample sample;
    size_t most;       /* directions to choose from */
    float *directions; /* [most x dim] */
    float *products;   /* [n / 16][most x 16] */
    float *asked;      /* [ASKED x dim] */
    float *dots;       /* [n / 16][ASKED x 16] */
    double *squares;   /* [n]: of the rows' lengths */
} survey;

static void survey_clear(survey *s)
{
    fla_free(s->sample.groups);
    fla_free(s->sample.columns);
    fla_free(s->directions);
    fla_free(s->products);
    fla_free(s->asked);
    fla_free(s->dots);
    fla_free(s->squares);
}

static size_t columns(size_t dim)
{
    return fla_size_parts(dim, FLA_GROUP) * FLA_GROUP;
}

size_t fla_prefix_longest(size_t dim)
{
    size_t longest = 0;
    for (size_t i = 0; i < N_SIZES && dim >= LEAST_DIM && SIZES[i] <= dim / SHARE; i++)
        longest = SIZES[i];
    return longest;
}

/* The survey's two copies of the sample, two of its products and one of its forms. */
double fla_prefix_fit_takes(size_t dim)
{
    const size_t values = 2 * columns(dim) + 3 * fla_prefix_longest(dim) + ASKED + 2;
    return dim < LEAST_DIM
               ? 0
               : fla_alloc_takes((double)(SAMPLE_ROWS * sizeof(float) * values));
}

static bool survey_init(survey *s, const fla_kernels *kernels, size_t dim)
{
    const size_t n = SAMPLE_ROWS;
    *s = (survey){.kernels = kernels,
                  .sample = {.n = n, .dim = dim},
                  .most = fla_prefix_longest(dim)};
    s->sample.groups = fla_alloc(n, dim * sizeof(float));
    s->sample.columns = fla_alloc_zeroed(n, columns(dim) * sizeof(float));
    s->directions = fla_alloc(s->most, dim * sizeof(float));
    s->products = fla_alloc(n, s->most * sizeof(float));
    s->asked = fla_alloc(ASKED, dim * sizeof(float));
    s->dots = fla_alloc(n, ASKED * sizeof(float));
    s->squares = fla_alloc_zeroed(n, sizeof(double));
    return s->sample.groups != NULL && s->sample.columns != NULL &&
           s->directions != NULL && s->products != NULL && s->asked != NULL &&
           s->dots != NULL && s->squares != NULL;
}

/* Row i of groups of width values each, value j. */
static float lane(const float *groups, size_t width, size_t i, size_t j)
{
    return groups[(i / FLA_GROUP * width + j) * FLA_GROUP + i % FLA_GROUP];
}

/* Which row of the sample stands for a query. */
static size_t asked_row(size_t q)
{
    return q * (SAMPLE_ROWS / ASKED);
}

/* Take the sample out of the rows.  False: some values are not ordinary numbers. */
static bool take_sample(survey *s, const fla_matrix *rows, const float *centre)
{
    const size_t n = s->sample.n, dim = s->sample.dim;
    const size_t apart = rows->rows / n;
    fla_center_fn *center = fla_center_kernel(s->kernels, rows->dtype);
    const void *group[FLA_GROUP];
    double peak = 0;
    for (size_t i = 0; i < n; i += FLA_GROUP) {
        for (size_t g = 0; g < FLA_GROUP; g++)
            group[g] = fla_row(rows, (i + g) * apart);
        peak = fmax(peak, center(group, group, dim, centre, s->sample.groups + i * dim));
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < dim; j++) {
            const float value = lane(s->sample.groups, dim, i, j);
            s->sample.columns[(j / FLA_GROUP * n + i) * FLA_GROUP + j % FLA_GROUP] =
                value;
            s->squares[i] += (double)value * (double)value;
        }
    }
    for (size_t q = 0; q < ASKED; q++)
        for (size_t j = 0; j < dim; j++)
            s->asked[q * dim + j] = lane(s->sample.groups, dim, asked_row(q), j);
    return peak < 0x1p60; /* squares of differences stay ordinary floats */
}

static void multiply(survey *s)
{
    const size_t dim = s->sample.dim;
    for (size_t i = 0; i < s->sample.n; i += FLA_GROUP) {
        const float *group = s->sample.groups + i * dim;
        s->kernels->floats->multiply(group, dim, s->directions, s->most,
                                     s->products + i * s->most);
        s->kernels->floats->multiply(group, dim, s->asked, ASKED, s->dots + i * ASKED);
    }
}

/* ---- the choice ------------------------------------------------------------------ */

/* Square of the distance of a row of the sample and a query. */
static double square_distance(const survey *s, size_t q, size_t i)
{
    const double both = s->squares[asked_row(q)] + s->squares[i];
    const double square = both - 2 * (double)lane(s->dots, ASKED, i, q);
    return square > 1e-6 * both ? square : 0; /* the rest is rounding */
}

/* The distance of a query to its nearest row that is not its equal. */
static double nearest(const survey *s, size_t q)
{
    double least = INFINITY;
    for (size_t i = 0; i < s->sample.n; i++) {
        const double square = square_distance(s, q, i);
        if (square > 0 && square < least)
            least = square;
    }
    return sqrt(least);
}

/* Mean square of a row's products with the first m directions. */
static double energy(const survey *s, size_t m)
{
    double sum = 0;
    for (size_t i = 0; i < s->sample.n; i++) {
        for (size_t v = 0; v < m; v++) {
            const double product = (double)lane(s->products, s->most, i, v);
            sum += product * product;
        }
    }
    return sum / (double)s->sample.n;
}

/* About how far codes of m mixed directions are from what they code. */
static double code_error(const survey *s, size_t m)
{
    const double scale =
        REACH * sqrt(energy(s, m) / (double)m) / (double)s->kernels->codes->code_max;
    return scale * sqrt((double)(m + 1) / 12);
}

static double rest(double square, double products)
{
    return square > products ? sqrt(square - products) : 0;
}

/* Count, for each size, the rows whose short forms are within a query's reach. */
static void count_within(const survey *s, size_t q, const double *reach, size_t *within)
{
    const size_t asked = asked_row(q);
    for (size_t i = 0; i < s->sample.n; i++) {
        double apart = 0, mine = 0, its = 0;
        size_t v = 0;
        for (size_t size = 0; size < N_SIZES && SIZES[size] <= s->most; size++) {
            for (; v < SIZES[size] - 1; v++) {
                const double a = (double)lane(s->products, s->most, asked, v);
                const double b = (double)lane(s->products, s->most, i, v);
                apart += (a - b) * (a - b);
                mine += a * a;
                its += b * b;
            }
            const double rests = rest(s->squares[asked], mine) - rest(s->squares[i], its);
            within[size] += apart + rests * rests <= reach[size] * reach[size];
        }
    }
}

/* The number of directions that makes a pair cheapest; 0: one stage does. */
static size_t choose(const survey *s)
{
    size_t within[N_SIZES] = {0}, best = 0;
    double error[N_SIZES], reach[N_SIZES];
    const double pairs = (double)(ASKED * s->sample.n);
    const fla_code_kernels *codes = s->kernels->codes;
    const double check = fla_cost_check(codes, s->sample.dim);
    double least = WORTH * fla_cost_codes(codes, s->sample.dim / FLA_STEP);
    for (size_t i = 0; i < N_SIZES && SIZES[i] <= s->most; i++)
        error[i] = code_error(s, SIZES[i] - 1);
    for (size_t q = 0; q < ASKED; q++) {
        const double radius = nearest(s, q);
        for (size_t i = 0; i < N_SIZES && SIZES[i] <= s->most; i++)
            reach[i] = radius + 2 * error[i];
        count_within(s, q, reach, within);
    }
    for (size_t i = 0; i < N_SIZES && SIZES[i] <= s->most; i++) {
        const double time = fla_cost_codes(codes, SIZES[i] / FLA_STEP) +
                            (double)within[i] / pairs * check;
        if (time < least) {
            least = time;
            best = SIZES[i] - 1;
        }
    }
    return best;
}

/* ---- fitting --------------------------------------------------------------------- */

/* What coding the rows of a group would leave, as far as short forms ask. */
static fla_encoded as_encoded(const survey *s, size_t first)
{
    fla_encoded rows;
    for (size_t g = 0; g < FLA_GROUP; g++) {
        rows.square_sum[g] = (float)s->squares[first + g];
        rows.length[g] = sqrt(s->squares[first + g]);
    }
    return rows;
}

/* Fit the quantizer to the sample's short forms; its cap allows for shortening. */
static fla_status fit_quantizer(survey *s, fla_prefix *prefix)
{
    const size_t m = prefix->directions, n = s->sample.n, dim = s->sample.dim;
    float *form = fla_alloc(fla_prefix_padded(m) + 1, FLA_GROUP * sizeof *form);
    float *forms = fla_alloc(n, (m + 1) * sizeof *forms);
    uint8_t *codes = fla_alloc(prefix->quantizer.steps, FLA_STEP * FLA_GROUP);
    fla_status status = FLA_ERR_MEMORY;
    fla_encoded brief;
    double wrong[FLA_GROUP];
    if (form != NULL && forms != NULL && codes != NULL) {
        for (size_t i = 0; i < n; i += FLA_GROUP) {
            const fla_encoded rows = as_encoded(s, i);
            fla_prefix_shorten(prefix, s->sample.groups + i * dim, &rows, form, wrong);
            for (size_t g = 0; g < FLA_GROUP; g++)
                for (size_t v = 0; v <= m; v++)
                    forms[(i + g) * (m + 1) + v] = form[v * FLA_GROUP + g];
        }
        const fla_matrix matrix = {
            forms, n, m + 1, (ptrdiff_t)((m + 1) * sizeof *forms), 0, FLA_F32};
        status = fla_quantizer_fit(&prefix->quantizer, &matrix);
        for (size_t i = 0; i < n; i += FLA_GROUP) {
            const fla_encoded rows = as_encoded(s, i);
            fla_prefix_encode(prefix, s->sample.groups + i * dim, &rows, form, codes,
                              &brief);
            memcpy(s->squares + i, brief.residual, sizeof brief.residual);
        }
        fla_quantizer_set_cap(&prefix->quantizer, s->squares, n, 1);
    }
    fla_free(form);
    fla_free(forms);
    fla_free(codes);
    return status;
}

static fla_status fit(survey *s, fla_prefix *prefix)
{
    if (!fla_directions_find(s->kernels, &s->sample, s->most, s->directions))
        return FLA_ERR_MEMORY;
    multiply(s);
    const size_t m = choose(s), dim = s->sample.dim;
    if (m == 0)
        return FLA_OK;
    float *mixed = fla_alloc(m, dim * sizeof *mixed);
    bool room = mixed != NULL;
    if (room) {
        fla_directions_mix(s->directions, m, dim, mixed);
        room = fla_prefix_init(prefix, s->kernels, mixed, m, dim);
    }
    fla_free(mixed);
    if (!room)
        return FLA_ERR_MEMORY;
    return prefix->directions > 0 ? fit_quantizer(s, prefix) : FLA_OK;
}

fla_status fla_prefix_fit(fla_prefix *prefix, const fla_kernels *kernels,
                          const fla_matrix *rows, const float *centre)
{
    survey s;
    fla_status status = FLA_ERR_MEMORY;
    fla_prefix_clear(prefix);
    if (rows->rows < LEAST_ROWS || rows->dim < LEAST_DIM)
        return FLA_OK;
    if (survey_init(&s, kernels, rows->dim))
        status = take_sample(&s, rows, centre) ? fit(&s, prefix) : FLA_OK;
    survey_clear(&s);
    return status;
}
