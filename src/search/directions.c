/* Leading principal directions of a sample of rows. */
#include "search/directions.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

enum {
    ITERATIONS = 4, /* the span need not be exact: errors cost speed alone */
    LANES = 16,     /* partial sums of a dot product, so that it is a vector's work */
};

/* ---- orthonormal rows ------------------------------------------------------------ */

static float dot(const float *a, const float *b, size_t n)
{
    float sums[LANES] = {0}, total = 0;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (size_t i = 0; i < LANES; i++)
            sums[i] += a[j + i] * b[j + i];
    for (; j < n; j++)
        total += a[j] * b[j];
    for (size_t i = 0; i < LANES; i++)
        total += sums[i];
    return total;
}

static void add_multiple(float *to, const float *from, float factor, size_t n)
{
    for (size_t j = 0; j < n; j++)
        to[j] += factor * from[j];
}

/* xorshift: any numbers do, as long as they are the same everywhere. */
static float draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (float)((double)(int64_t)*state * 0x1p-63);
}

static void draw_rows(float *rows, size_t n, uint64_t *state)
{
    for (size_t i = 0; i < n; i++)
        rows[i] = draw(state);
}

static float scale_to_unit(float *row, size_t n)
{
    const float length = sqrtf(dot(row, row, n));
    const float factor = length > 0 ? 1 / length : 0;
    for (size_t j = 0; j < n; j++)
        row[j] *= factor;
    return length;
}

/*
 * Modified Gram-Schmidt, twice where a row lost much (Kahan's "twice is enough"); a row
 * that had no direction of its own, or was not finite, becomes any other.
 */
static void orthonormalize(float *rows, size_t m, size_t n, uint64_t *state)
{
    for (size_t i = 0; i < m; i++) {
        float *row = rows + i * n;
        float left = 0;
        for (int pass = 0; pass < 4 && !(left > 0.5F); pass++) {
            scale_to_unit(row, n);
            for (size_t k = 0; k < i; k++)
                add_multiple(row, rows + k * n, -dot(row, rows + k * n, n), n);
            left = scale_to_unit(row, n);
            if (!(left > 1e-4F))
                draw_rows(row, n, state);
        }
    }
}

/* ---- orthogonal iteration -------------------------------------------------------- */

/* out[v * n + i]: products of packed groups, n / 16 of them, with vectors. */
static void multiply_all(const fla_kernels *kernels, const float *groups, size_t n,
                         size_t dim, const float *vectors, size_t m, float *block,
                         float *out)
{
    for (size_t g = 0; g < n; g += FLA_GROUP) {
        kernels->floats->multiply(groups + g * dim, dim, vectors, m, block);
        for (size_t v = 0; v < m; v++)
            memcpy(out + v * n + g, block + v * FLA_GROUP, FLA_GROUP * sizeof *out);
    }
}

static size_t padded(size_t dim)
{
    return fla_size_parts(dim, FLA_GROUP) * FLA_GROUP;
}

bool fla_directions_find(const fla_kernels *kernels, const fla_sample *sample, size_t m,
                         float *directions)
{
    const size_t n = sample->n, dim = sample->dim, wide = padded(dim);
    uint64_t state = 88172645463325252u;
    size_t scores, coordinates;
    float *score = NULL, *next = NULL, *block = NULL;
    if (fla_size_mul(m, n, &scores) && fla_size_mul(m, wide, &coordinates)) {
        score = fla_alloc(scores, sizeof *score);
        next = fla_alloc(coordinates, sizeof *next);
        block = fla_alloc(m, FLA_GROUP * sizeof *block);
    }
    const bool room = score != NULL && next != NULL && block != NULL;
    if (room)
        draw_rows(directions, m * dim, &state);
    for (int i = 0; room && i < ITERATIONS; i++) {
        orthonormalize(directions, m, dim, &state);
        multiply_all(kernels, sample->groups, n, dim, directions, m, block, score);
        multiply_all(kernels, sample->columns, wide, n, score, m, block, next);
        for (size_t v = 0; v < m; v++)
            memcpy(directions + v * dim, next + v * wide, dim * sizeof *next);
    }
    if (room)
        orthonormalize(directions, m, dim, &state);
    fla_free(score);
    fla_free(next);
    fla_free(block);
    return room;
}

/* The orthogonal cosine transform (DCT-II): no entry passes sqrt(2 / m) in magnitude, and
   the first direction, which often stands out most, goes to all alike. */
void fla_directions_mix(const float *directions, size_t m, size_t dim, float *mixed)
{
    static const double PI = 3.14159265358979323846;
    memset(mixed, 0, m * dim * sizeof *mixed);
    for (size_t v = 0; v < m; v++) {
        for (size_t k = 0; k < m; k++) {
            const double angle = PI * ((double)v + 0.5) * (double)k / (double)m;
            const double entry = sqrt((k == 0 ? 1 : 2) / (double)m) * cos(angle);
            add_multiple(mixed + v * dim, directions + k * dim, (float)entry, dim);
        }
    }
}
