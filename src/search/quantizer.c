/* A scalar quantizer: a centre and a scale that turn rows into small integer codes. */
#include "search/quantizer.h"

#include <float.h>
#include <math.h>

#include "base/alloc.h"

enum {
    SAMPLE_ROWS = 2048, /* the error of a quantile is a few rows; 1 MiB at 128 floats */
    FAR_ROWS = 2,       /* of the sample: left out when scale and cap are chosen */
};

/* An unseen row's residual may pass the sample's by this much: residuals of many
   coordinates hardly vary. */
static const double CAP_ROOM = 1.1;

/* Steps in which a scale is lowered: the least residual is a shallow valley. */
static const float LOWER = 0.85F;

/* Whole numbers below this are whole as float32, and so is their difference. */
static const double MOST_WHOLE = 0x1p22;

bool fla_quantizer_init(fla_quantizer *quantizer, const fla_kernels *kernels, size_t dim)
{
    *quantizer = (fla_quantizer){.kernels = kernels,
                                 .dim = dim,
                                 .steps = fla_size_parts(dim, FLA_STEP),
                                 .scale = 1};
    quantizer->centre = fla_alloc_zeroed(dim, sizeof *quantizer->centre);
    return quantizer->centre != NULL;
}

void fla_quantizer_clear(fla_quantizer *quantizer)
{
    fla_free(quantizer->centre);
    *quantizer = (fla_quantizer){0};
}

/* ---- the sample ------------------------------------------------------------------ */

typedef struct sample {
    const fla_matrix *rows;
    size_t n;       /* rows of it */
    double *value;  /* [dim]: one row */
    double *sum;    /* [dim] */
    double *number; /* [n]: per row, its largest coordinate or its residual */
    float *group;   /* for encoding */
    uint8_t *codes;
} sample;

/* Rows spread evenly; the last stretch is not left out. */
static size_t sample_row(const sample *s, size_t i)
{
    return (size_t)((double)i * ((double)s->rows->rows / (double)s->n));
}

/* Whether all values of the sample are whole, and their range. */
typedef struct range {
    double least, most;
    bool whole;
} range;

static bool finite_row(const sample *s, size_t i)
{
    fla_row_widen(s->rows, sample_row(s, i), s->value);
    for (size_t j = 0; j < s->rows->dim; j++)
        if (!isfinite(s->value[j]))
            return false;
    return true;
}

static range survey(sample *s)
{
    range seen = {INFINITY, -INFINITY, true};
    size_t n = 0;
    for (size_t j = 0; j < s->rows->dim; j++)
        s->sum[j] = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!finite_row(s, i))
            continue;
        n++;
        for (size_t j = 0; j < s->rows->dim; j++) {
            const double value = s->value[j];
            s->sum[j] += value;
            seen.least = value < seen.least ? value : seen.least;
            seen.most = value > seen.most ? value : seen.most;
            if (seen.whole)
                seen.whole = fabs(value) < MOST_WHOLE && value == (double)(int32_t)value;
        }
    }
    for (size_t j = 0; j < s->rows->dim && n > 0; j++)
        s->sum[j] /= (double)n; /* the mean; infinite when the sum overflowed */
    return seen;
}

/* The largest of n numbers but for the few farthest. */
static double near_most(const double *numbers, size_t n)
{
    double most[FAR_ROWS + 1] = {0}; /* descending */
    for (size_t i = 0; i < n; i++) {
        double number = numbers[i] < INFINITY ? numbers[i] : 0;
        for (size_t k = 0; k <= FAR_ROWS; k++) {
            if (number > most[k]) {
                const double smaller = most[k];
                most[k] = number;
                number = smaller;
            }
        }
    }
    return most[n > 64 * FAR_ROWS ? FAR_ROWS : 0];
}

void fla_quantizer_set_cap(fla_quantizer *quantizer, const double *residuals, size_t n,
                           double room)
{
    const double most = near_most(residuals, n) * room;
    /* Rows coded as they are have hardly any residual, and the longest have most of it.
     */
    const double least = 0.01 * (double)quantizer->scale * sqrt((double)quantizer->dim);
    quantizer->cap = most > least ? most : least;
}

/* ---- fitting --------------------------------------------------------------------- */

static void center_on_mean(fla_quantizer *quantizer, const sample *s)
{
    for (size_t j = 0; j < quantizer->dim; j++)
        quantizer->centre[j] = fabs(s->sum[j]) <= (double)FLT_MAX ? (float)s->sum[j] : 0;
}

/* How far the farthest coordinate of a row is from the centre. */
static double reach(const fla_quantizer *quantizer, const sample *s)
{
    double most = 0;
    for (size_t j = 0; j < quantizer->dim; j++) {
        const double distance = fabs(s->value[j] - (double)quantizer->centre[j]);
        most = distance > most ? distance : most;
    }
    return most;
}

static float choose_scale(const fla_quantizer *quantizer, sample *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->number[i] = finite_row(s, i) ? reach(quantizer, s) : 0;
    const double scale = near_most(s->number, s->n) / quantizer->kernels->codes->code_max;
    /* Both the scale and its reciprocal must be ordinary floats. */
    return scale > 0x1p-100 && scale < 0x1p100 ? (float)scale : 1;
}

/* What coding the rows of the sample leaves. */
static void measure_residuals(const fla_quantizer *quantizer, sample *s)
{
    const void *group[FLA_GROUP];
    fla_encoded encoded;
    for (size_t i = 0; i < s->n; i += FLA_GROUP) {
        const size_t n = fla_size_min(s->n - i, FLA_GROUP);
        for (size_t g = 0; g < FLA_GROUP; g++)
            group[g] = fla_row(s->rows, sample_row(s, i + (g < n ? g : n - 1)));
        fla_quantizer_encode(quantizer, s->rows->dtype, group, group, s->group, s->codes,
                             &encoded);
        for (size_t g = 0; g < n; g++)
            s->number[i + g] = encoded.residual[g];
    }
}

/*
 * Clamping a few coordinates can cost less than rounding all of them more coarsely: take
 * the scale down as long as that makes the residuals smaller.
 */
static void lower_scale(fla_quantizer *quantizer, sample *s)
{
    double least = INFINITY;
    for (float scale = quantizer->scale;; scale *= LOWER) {
        const float before = quantizer->scale;
        quantizer->scale = scale;
        measure_residuals(quantizer, s);
        const double most = near_most(s->number, s->n);
        if (!(most < least)) {
            quantizer->scale = before;
            return;
        }
        least = most;
    }
}

static void fit(fla_quantizer *quantizer, sample *s)
{
    const int32_t code_max = quantizer->kernels->codes->code_max;
    const range seen = survey(s);
    if (seen.whole && seen.most - seen.least <= 2.0 * code_max + 1) {
        const double middle = ceil((seen.least + seen.most) / 2);
        for (size_t j = 0; j < quantizer->dim; j++)
            quantizer->centre[j] = (float)middle;
        quantizer->scale = 1;
    } else {
        center_on_mean(quantizer, s);
        quantizer->scale = choose_scale(quantizer, s);
        lower_scale(quantizer, s);
    }
    measure_residuals(quantizer, s);
    fla_quantizer_set_cap(quantizer, s->number, s->n, CAP_ROOM);
    quantizer->fits++;
}

fla_status fla_quantizer_fit(fla_quantizer *quantizer, const fla_matrix *rows)
{
    const size_t dim = quantizer->dim;
    sample s = {.rows = rows, .n = fla_size_min(rows->rows, SAMPLE_ROWS)};
    fla_status status = FLA_ERR_MEMORY;
    if (s.n == 0)
        return FLA_OK;
    s.value = fla_alloc(dim, sizeof *s.value);
    s.sum = fla_alloc(dim, sizeof *s.sum);
    s.number = fla_alloc(s.n, sizeof *s.number);
    s.group = fla_alloc(dim, FLA_GROUP * sizeof *s.group);
    s.codes = fla_alloc(quantizer->steps, FLA_GROUP * FLA_STEP);
    if (s.value != NULL && s.sum != NULL && s.number != NULL && s.group != NULL &&
        s.codes != NULL) {
        fit(quantizer, &s);
        status = FLA_OK;
    }
    fla_free(s.value);
    fla_free(s.sum);
    fla_free(s.number);
    fla_free(s.group);
    fla_free(s.codes);
    return status;
}

/* ---- encoding -------------------------------------------------------------------- */

void fla_quantizer_encode_group(const fla_quantizer *quantizer, const float *group,
                                uint8_t *codes, fla_encoded *encoded)
{
    const fla_kernels *kernels = quantizer->kernels;
    fla_residue residue;
    kernels->floats->encode(group, quantizer->dim, quantizer->scale,
                            kernels->codes->code_max, kernels->codes->code_offset, codes,
                            &residue);
    for (size_t i = 0; i < FLA_GROUP; i++) {
        encoded->squares[i] = residue.squares[i];
        encoded->square_sum[i] = residue.length[i];
        encoded->length[i] = fla_length_bound(residue.length[i], quantizer->dim);
        encoded->residual[i] =
            fla_residual_bound(residue.residual[i], residue.length[i], quantizer->dim);
    }
}

void fla_quantizer_encode(const fla_quantizer *quantizer, fla_dtype dtype,
                          const void *const rows[FLA_GROUP],
                          const void *const ahead[FLA_GROUP], float *group,
                          uint8_t *codes, fla_encoded *encoded)
{
    encoded->peak = fla_center_kernel(quantizer->kernels, dtype)(
        rows, ahead, quantizer->dim, quantizer->centre, group);
    fla_quantizer_encode_group(quantizer, group, codes, encoded);
}
