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

/* The largest of the sample's numbers but for the few farthest rows'. */
static double near_most(const sample *s)
{
    double most[FAR_ROWS + 1] = {0}; /* descending */
    for (size_t i = 0; i < s->n; i++) {
        double number = s->number[i];
        for (size_t k = 0; k <= FAR_ROWS; k++) {
            if (number > most[k]) {
                const double smaller = most[k];
                most[k] = number;
                number = smaller;
            }
        }
    }
    return most[s->n > 64 * FAR_ROWS ? FAR_ROWS : 0];
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
    const double scale = near_most(s) / quantizer->kernels->codes->code_max;
    /* Both the scale and its reciprocal must be ordinary floats. */
    return scale > 0x1p-100 && scale < 0x1p100 ? (float)scale : 1;
}

static double choose_cap(const fla_quantizer *quantizer, sample *s)
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
            s->number[i + g] = encoded.residual[g] < INFINITY ? encoded.residual[g] : 0;
    }
    const double most = near_most(s) * CAP_ROOM;
    /* Rows coded as they are have hardly any residual, and the longest have most of it.
     */
    const double least = 0.01 * (double)quantizer->scale * sqrt((double)quantizer->dim);
    return most > least ? most : least;
}

static void fit(fla_quantizer *quantizer, sample *s)
{
    const int32_t code_max = quantizer->kernels->codes->code_max;
    const range seen = survey(s);
    if (seen.whole && seen.most - seen.least <= 2.0 * code_max) {
        const double middle = floor((seen.least + seen.most) / 2);
        for (size_t j = 0; j < quantizer->dim; j++)
            quantizer->centre[j] = (float)middle;
        quantizer->scale = 1;
    } else {
        center_on_mean(quantizer, s);
        quantizer->scale = choose_scale(quantizer, s);
    }
    quantizer->cap = choose_cap(quantizer, s);
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

void fla_quantizer_encode(const fla_quantizer *quantizer, fla_dtype dtype,
                          const void *const rows[FLA_GROUP],
                          const void *const ahead[FLA_GROUP], float *group,
                          uint8_t *codes, fla_encoded *encoded)
{
    const fla_kernels *kernels = quantizer->kernels;
    fla_residue residue;
    encoded->peak = fla_center_kernel(kernels, dtype)(rows, ahead, quantizer->dim,
                                                      quantizer->centre, group);
    kernels->floats->encode(group, quantizer->dim, quantizer->scale,
                            kernels->codes->code_max, kernels->codes->code_offset, codes,
                            &residue);
    for (size_t i = 0; i < FLA_GROUP; i++) {
        encoded->squares[i] = residue.squares[i];
        encoded->length[i] = fla_length_bound(residue.length[i], quantizer->dim);
        encoded->residual[i] =
            fla_residual_bound(residue.residual[i], residue.length[i], quantizer->dim);
    }
}
