/* A short form of rows of many coordinates. */
#include "search/prefix.h"

#include <math.h>
#include <string.h>

void fla_prefix_clear(fla_prefix *prefix)
{
    fla_free(prefix->vectors);
    fla_quantizer_clear(&prefix->quantizer);
    *prefix = (fla_prefix){0};
}

/* ---- directions ------------------------------------------------------------------ */

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

/*
 * At least the square of the spectral norm of W [n x dim]: the largest sum of magnitudes
 * in a row of W W^T (Gershgorin), with room for the roundings of dim double products.
 */
static double norm_bound(const float *vectors, size_t n, size_t dim)
{
    double most = 0;
    for (size_t v = 0; v < n; v++) {
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += fabs(dot(vectors + v * dim, vectors + k * dim, dim));
        if (!(sum <= most))
            most = sum;
    }
    return most * (1 + 0x1p-30);
}

static void scale(float *vectors, size_t n, double factor)
{
    for (size_t i = 0; i < n; i++)
        vectors[i] = (float)((double)vectors[i] * factor);
}

bool fla_prefix_init(fla_prefix *prefix, const fla_kernels *kernels,
                     const float *directions, size_t n, size_t dim)
{
    const size_t rows = fla_prefix_padded(n);
    *prefix = (fla_prefix){.kernels = kernels, .dim = dim};
    prefix->vectors = fla_alloc_zeroed(rows, dim * sizeof *prefix->vectors);
    if (prefix->vectors == NULL ||
        !fla_quantizer_init(&prefix->quantizer, kernels, n + 1))
        return false;
    memcpy(prefix->vectors, directions, n * dim * sizeof *directions);
    /* Rounding to float moves the bound again, by less than the second factor. */
    scale(prefix->vectors, n * dim, (1 - 0x1p-20) / sqrt(norm_bound(directions, n, dim)));
    prefix->directions = norm_bound(prefix->vectors, n, dim) <= 1 ? n : 0;
    return true;
}

/* ---- short forms ----------------------------------------------------------------- */

static double alternate(size_t n, double value)
{
    return n % 2 == 0 ? value : -value;
}

/*
 * Share the rest's length out among all coordinates, which keeps distances: the
 * reflection in I - b u u^T that takes the last axis to a diagonal, u the one less the
 * other, b = 2 / |u|^2.  The diagonal's signs alternate: that of equal signs holds the
 * first direction.
 */
static void share_rest(float *form, size_t n)
{
    const double diagonal = 1 / sqrt((double)n), last = 1 - diagonal;
    const double b = 2 / ((double)(n - 1) * diagonal * diagonal + last * last);
    for (size_t i = 0; i < FLA_GROUP; i++) {
        double along = last * (double)form[(n - 1) * FLA_GROUP + i];
        for (size_t v = 0; v + 1 < n; v++)
            along += alternate(v + n, diagonal) * (double)form[v * FLA_GROUP + i];
        for (size_t v = 0; v < n; v++) {
            const double u = v + 1 < n ? alternate(v + n, diagonal) : last;
            float *coordinate = form + v * FLA_GROUP + i;
            *coordinate = (float)((double)*coordinate - b * along * u);
        }
    }
}

void fla_prefix_shorten(const fla_prefix *prefix, const float *group,
                        const fla_encoded *rows, float *form, double wrong[FLA_GROUP])
{
    const size_t m = prefix->directions;
    double squares[FLA_GROUP] = {0};
    prefix->kernels->floats->multiply(group, prefix->dim, prefix->vectors,
                                      fla_prefix_padded(m), form);
    for (size_t v = 0; v < m; v++)
        for (size_t i = 0; i < FLA_GROUP; i++)
            squares[i] +=
                (double)form[v * FLA_GROUP + i] * (double)form[v * FLA_GROUP + i];
    for (size_t i = 0; i < FLA_GROUP; i++) {
        const double off = fla_product_bound(rows->length[i], prefix->dim, m);
        const fla_rest rest =
            fla_rest_bound(rows->square_sum[i], squares[i], off, prefix->dim);
        form[m * FLA_GROUP + i] = rest.length;
        wrong[i] = fla_sum_bound(off, rest.error, fla_reflection_bound(rows->length[i]));
    }
    share_rest(form, m + 1);
}

void fla_prefix_encode(const fla_prefix *prefix, const float *group,
                       const fla_encoded *rows, float *form, uint8_t *codes,
                       fla_encoded *encoded)
{
    double wrong[FLA_GROUP];
    fla_prefix_shorten(prefix, group, rows, form, wrong);
    for (size_t v = 0; v <= prefix->directions; v++)
        for (size_t i = 0; i < FLA_GROUP; i++)
            form[v * FLA_GROUP + i] -= prefix->quantizer.centre[v];
    fla_quantizer_encode_group(&prefix->quantizer, form, codes, encoded);
    for (size_t i = 0; i < FLA_GROUP; i++)
        encoded->residual[i] =
            fla_sum_bound(encoded->residual[i], wrong[i],
                          fla_centring_bound(rows->length[i], prefix->dim));
}
