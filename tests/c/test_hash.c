/*
 * Hashing through float32 against the definition, on every tier: rows made so that their
 * projection lies within a few ulps of the border of a bucket, where any error of the
 * bound shows, and rows that float32 serves badly or not at all.
 */
#include "lsh/hash.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "check.h"
#include "data.h"
#include "lsh/bucket_bound.h"
#include "lsh/model.h"

enum { ROWS = 41, FUNCTIONS = 3, MAX_DIM = 2000, TRIALS = 16 };

static double vectors[FUNCTIONS * MAX_DIM], offsets[FUNCTIONS], wide[ROWS * MAX_DIM];
static float narrow_rows[ROWS * MAX_DIM], narrow_vectors[FUNCTIONS * MAX_DIM];
static float narrow_offsets[FUNCTIONS], tolerances[FUNCTIONS];

static fla_model model_of(size_t dim, double reciprocal)
{
    fla_model model = {
        .bucket_length = 1 / reciprocal,
        .reciprocal = reciprocal,
        .tables = FUNCTIONS,
        .hashes = 1,
        .functions = FUNCTIONS,
        .dim = dim,
        .vectors = vectors,
        .offsets = offsets,
        .narrow = {FUNCTIONS, dim, narrow_vectors, narrow_offsets, tolerances, 0}};
    fla_model_derive(&model);
    return model;
}

/* ---- rows and vectors ------------------------------------------------------------ */

static double uniform(void)
{
    return (double)(int64_t)data_next() * 0x1p-63;
}

/* Of unit length, or as long as they come. */
static void draw_vectors(size_t dim)
{
    const bool unit = data_next() % 2 == 0;
    for (size_t f = 0; f < FUNCTIONS; f++) {
        double squares = 0;
        for (size_t j = 0; j < dim; j++) {
            vectors[f * dim + j] = uniform();
            squares += vectors[f * dim + j] * vectors[f * dim + j];
        }
        for (size_t j = 0; unit && j < dim; j++)
            vectors[f * dim + j] /= sqrt(squares);
    }
}

static void no_offsets(void)
{
    memset(offsets, 0, sizeof offsets);
}

static void scale_rows(size_t dim, double size)
{
    draw_vectors(dim);
    for (size_t i = 0; i < ROWS * dim; i++)
        wide[i] = uniform() * size;
}

static void ordinary(size_t dim)
{
    scale_rows(dim, 3);
}

static void large(size_t dim)
{
    scale_rows(dim, 1e15);
}

static void beyond_float_squares(size_t dim)
{
    scale_rows(dim, 1e30);
}

static void small(size_t dim)
{
    scale_rows(dim, 1e-30);
}

static void subnormal(size_t dim)
{
    scale_rows(dim, 1e-42);
}

/* As large as what adding to an offset may round off. */
static void faint(size_t dim)
{
    scale_rows(dim, 0x1p-24);
}

static void mixed(size_t dim)
{
    draw_vectors(dim);
    for (size_t i = 0; i < ROWS * dim; i++)
        wide[i] = data_value();
}

/* All products positive: the partial sums are as large as they can be. */
static void aligned(size_t dim)
{
    draw_vectors(dim);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < dim; j++)
            wide[i * dim + j] = vectors[i % FUNCTIONS * dim + j] * (9 + uniform());
}

/* Large products of changing sign that nearly cancel. */
static void cancelling(size_t dim)
{
    draw_vectors(dim);
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t j = 0; j < dim; j++) {
            const double r = vectors[i % FUNCTIONS * dim + j];
            const double product = (j % 2 == 0 ? 1e4 : -1e4) + uniform();
            wide[i * dim + j] = product / (r + (r < 0 ? -1e-3 : 1e-3));
        }
    }
}

/*
 * A product of 1 where a run of additions begins, every or only the first one, and then
 * products of just under half an ulp of it: each addition loses its whole product, and
 * all to one side.
 */
static void absorb(size_t dim, size_t period)
{
    for (size_t i = 0; i < ROWS + FUNCTIONS; i++) {
        double *row = i < ROWS ? wide + i * dim : vectors + (i - ROWS) * dim;
        const double sign = i < ROWS && i % 2 == 1 ? -1 : 1;
        for (size_t j = 0; j < dim; j++)
            row[j] = j % period == 0 ? 1 : sign * 0.98 * 0x1p-12;
    }
}

static void absorbing_first(size_t dim)
{
    absorb(dim, SIZE_MAX);
}

static void absorbing_runs(size_t dim)
{
    absorb(dim, FLA_RUN);
}

typedef struct family {
    const char *name;
    void (*make)(size_t dim);
} family;

static const family families[] = {
    {"ordinary", ordinary},
    {"mixed", mixed},
    {"large", large},
    {"beyond float squares", beyond_float_squares},
    {"small", small},
    {"subnormal", subnormal},
    {"faint", faint},
    {"aligned", aligned},
    {"cancelling", cancelling},
    {"absorbing, first", absorbing_first},
    {"absorbing, runs", absorbing_runs},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

/* ---- against the definition ------------------------------------------------------ */

static fla_matrix matrix_of(fla_dtype dtype, size_t dim)
{
    const size_t size = dtype == FLA_F32 ? sizeof(float) : sizeof(double);
    fla_matrix rows = {.data = wide,
                       .rows = ROWS,
                       .dim = dim,
                       .row_stride_bytes = (ptrdiff_t)(dim * size),
                       .dtype = dtype};
    if (dtype == FLA_F32) {
        for (size_t i = 0; i < ROWS * dim; i++)
            narrow_rows[i] = (float)wide[i];
        rows.data = narrow_rows;
    }
    return rows;
}

/* Hash and compare.  Returns the buckets of the last block that float32 was sure of. */
static size_t check_rows(const char *what, const fla_kernels *k, const fla_model *model,
                         const fla_matrix *rows)
{
    int64_t out[ROWS * FUNCTIONS];
    fla_hasher hasher;
    size_t sure = 0;
    bool fits = true;
    CHECK(fla_hasher_init(&hasher, k, model), "no memory");
    const fla_status status = fla_hash_rows(&hasher, rows, 0, ROWS, out);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t t = 0; t < FUNCTIONS; t++)
            fits &= fla_bucket_fits(fla_hash_one(model, rows, i, t));
    CHECK(status == (fits ? FLA_OK : FLA_ERR_RANGE), "%s on %s: status %d", what, k->name,
          (int)status);
    for (size_t i = 0; i < ROWS && status == FLA_OK; i++) {
        for (size_t t = 0; t < FUNCTIONS; t++) {
            const int64_t want = (int64_t)fla_hash_one(model, rows, i, t);
            CHECK(out[i * FUNCTIONS + t] == want,
                  "%s on %s, type %d, dim %zu, row %zu, table %zu: %lld, want %lld", what,
                  k->name, (int)rows->dtype, rows->dim, i, t,
                  (long long)out[i * FUNCTIONS + t], (long long)want);
        }
    }
    for (size_t t = 0; t < FUNCTIONS && hasher.failures == 0; t++)
        for (size_t i = 0; i < FLA_GROUP; i++)
            sure += (hasher.unsure[t] >> i & 1) == 0;
    fla_hasher_clear(&hasher);
    return sure;
}

/* A reciprocal that puts some row's projection within two ulps of a border. */
static double reciprocal_at_border(const fla_matrix *rows)
{
    const size_t i = data_next() % ROWS, t = i % FUNCTIONS;
    const double border = (double)(1 + ((int64_t)1 << data_next() % 13));
    double sum = 0;
    for (size_t j = 0; j < rows->dim; j++)
        sum = fma(fla_row_value(rows, i, j), vectors[t * rows->dim + j], sum);
    double reciprocal = border / fabs(sum);
    if (!(isnormal(reciprocal) && isnormal(1 / reciprocal)))
        return 1;
    for (uint64_t ulps = data_next() % 5; ulps > 0; ulps--)
        reciprocal = nextafter(reciprocal, ulps % 2 == 0 ? 0 : INFINITY);
    return reciprocal;
}

/* An offset of [0, length) that puts some row's projection beside a border. */
static double offset_at_border(const fla_matrix *rows, double reciprocal, size_t f)
{
    const size_t i = data_next() % ROWS;
    double sum = 0;
    for (size_t j = 0; j < rows->dim; j++)
        sum = fma(fla_row_value(rows, i, j), vectors[f * rows->dim + j], sum);
    const double z = reciprocal * sum, length = 1 / reciprocal;
    const double offset =
        (ceil(z) - z) * length + (double)(data_next() % 5) * z * 0x1p-54;
    return fmin(fmax(offset, 0), nextafter(length, 0));
}

static size_t hash_family(const fla_kernels *k, const family *family, size_t dim)
{
    size_t sure = 0;
    family->make(dim);
    for (size_t trial = 0; trial < TRIALS; trial++) {
        const fla_matrix rows = matrix_of(trial % 2 == 0 ? FLA_F32 : FLA_F64, dim);
        const bool ones = trial % 8 >= 6; /* so that rows may be small beside buckets */
        const double reciprocal = ones ? 1 : reciprocal_at_border(&rows);
        no_offsets();
        for (size_t f = 0; f < FUNCTIONS && trial % 8 >= 4; f++)
            offsets[f] = offset_at_border(&rows, reciprocal, f);
        const fla_model model = model_of(dim, reciprocal);
        sure += check_rows(family->name, k, &model, &rows);
    }
    no_offsets();
    return sure;
}

static void each_tier(void (*test)(const fla_kernels *))
{
    size_t ran = 0;
    for (size_t t = 0; fla_kernels_at(t) != NULL; t++) {
        const fla_kernels *k = fla_kernels_at(t);
        if ((k->needs & ~fla_cpu_detect()) != 0)
            continue;
        test(k);
        ran++;
    }
    const char *none[1];
    CHECK(ran == fla_simd_tiers(none, 0), "%zu tiers ran of %zu", ran,
          fla_simd_tiers(none, 0));
}

static void buckets_at_borders(const fla_kernels *k)
{
    static const size_t dims[] = {1, 2, 3, 5, 16, 31, 32, 33, 64, 100, 128, 500, 2000};
    enum { DIMS = sizeof dims / sizeof dims[0] };
    size_t sure[FAMILIES] = {0};
    for (size_t f = 0; f < FAMILIES; f++)
        for (size_t d = 0; d < DIMS; d++)
            sure[f] += hash_family(k, &families[f], dims[d]);
    for (size_t f = 0; f < FAMILIES; f++) {
        const size_t share = 100 * sure[f] / (DIMS * TRIALS * FUNCTIONS * FLA_GROUP);
        const bool served = strcmp(families[f].name, "beyond float squares") != 0 &&
                            strcmp(families[f].name, "small") != 0 &&
                            strcmp(families[f].name, "subnormal") != 0;
        printf("ran    %s on %s: float32 is sure of %zu %%\n", families[f].name, k->name,
               share);
        CHECK(share >= (served ? 5 : 0), "%s on %s: float32 decides nothing",
              families[f].name, k->name);
    }
}

static void every_bucket_at_a_border_is_the_definitions(void)
{
    each_tier(buckets_at_borders);
}

/* Bucket lengths from absurdly small to absurdly large. */
static void any_bucket_length(const fla_kernels *k)
{
    for (int exponent = -300; exponent <= 300; exponent += 12) {
        ordinary(37);
        const fla_model model = model_of(37, ldexp(1, exponent));
        for (int type = 0; type < 2; type++) {
            const fla_matrix rows = matrix_of(type == 0 ? FLA_F32 : FLA_F64, 37);
            check_rows("bucket length", k, &model, &rows);
        }
    }
}

static void every_bucket_length_is_served(void)
{
    each_tier(any_bucket_length);
}

/* Zero rows lie on a border of every table. */
static void zeros(const fla_kernels *k)
{
    for (size_t empty = 1; empty <= ROWS; empty += 5) {
        ordinary(20);
        memset(wide, 0, empty * 20 * sizeof *wide);
        const fla_matrix rows = matrix_of(FLA_F32, 20);
        const fla_model model = model_of(20, 0.5);
        check_rows("zeros", k, &model, &rows);
    }
}

static void zero_rows_have_bucket_zero(void)
{
    each_tier(zeros);
}

/* One row that is not finite, or so long that its buckets do not fit. */
static void one_bad_row(const fla_kernels *k)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e35};
    enum { KINDS = sizeof bad / sizeof bad[0], DIM = 33 };
    for (size_t trial = 0; trial < 32; trial++) {
        int64_t out[ROWS * FUNCTIONS];
        fla_hasher hasher;
        ordinary(DIM);
        wide[data_next() % (ROWS * DIM)] = bad[trial % KINDS];
        const fla_matrix rows =
            matrix_of(trial / KINDS % 2 == 0 ? FLA_F32 : FLA_F64, DIM);
        const fla_model model = model_of(DIM, 1);
        const fla_status want = trial % KINDS < 3 ? FLA_ERR_NONFINITE : FLA_ERR_RANGE;
        CHECK(fla_hasher_init(&hasher, k, &model), "no memory");
        const fla_status got = fla_hash_rows(&hasher, &rows, 0, ROWS, out);
        CHECK(got == want, "%s, %g: status %d, want %d", k->name, bad[trial % KINDS],
              (int)got, (int)want);
        fla_hasher_clear(&hasher);
    }
}

static void a_bad_row_is_reported(void)
{
    each_tier(one_bad_row);
}

/* After rows that float32 does not serve it is tried again. */
static void float32_returns(const fla_kernels *k)
{
    enum { DIM = 4, MANY = 200, LONG = 100 };
    float rows[MANY * FLA_GROUP][DIM];
    int64_t *out = fla_alloc(MANY * FLA_GROUP * FUNCTIONS, sizeof *out);
    fla_hasher hasher;
    draw_vectors(DIM);
    const fla_model model = model_of(DIM, 1);
    for (size_t i = 0; i < MANY * FLA_GROUP; i++)
        for (size_t j = 0; j < DIM; j++)
            rows[i][j] = (float)uniform() * (i < LONG * FLA_GROUP ? 1e9f : 1);
    const fla_matrix all = {.data = rows,
                            .rows = MANY * FLA_GROUP,
                            .dim = DIM,
                            .row_stride_bytes = sizeof rows[0]};
    CHECK(fla_hasher_init(&hasher, k, &model) && out != NULL, "no memory");
    CHECK(fla_hash_rows(&hasher, &all, 0, LONG * FLA_GROUP, out) == FLA_OK, "hash");
    CHECK(hasher.failures > 0, "%s: float32 took rows that are too long", k->name);
    CHECK(fla_hash_rows(&hasher, &all, 0, MANY * FLA_GROUP, out) == FLA_OK, "hash");
    CHECK(hasher.failures == 0, "%s: float32 was not tried again", k->name);
    for (size_t i = 0; i < MANY * FLA_GROUP * FUNCTIONS; i++)
        CHECK(out[i] == (int64_t)fla_hash_one(&model, &all, i / FUNCTIONS, i % FUNCTIONS),
              "%s: row %zu", k->name, i / FUNCTIONS);
    fla_hasher_clear(&hasher);
    fla_free(out);
}

static void float32_is_tried_again(void)
{
    each_tier(float32_returns);
}

static void no_bound_means_no_norm(void)
{
    draw_vectors(8);
    fla_narrow narrow = {1, 8, narrow_vectors, narrow_offsets, tolerances, 0};
    CHECK(fla_narrow_set(&narrow, vectors, offsets, 0.5) > 1, "an ordinary model");
    CHECK(fla_narrow_set(&narrow, vectors, offsets, 1e45) < 0, "beyond float32");
    CHECK(fla_narrow_set(&narrow, vectors, offsets, DBL_MAX) < 0, "beyond float32");
    CHECK(fla_narrow_set(&narrow, vectors, offsets, 1e-300) > 1, "all buckets 0 or -1");
    narrow.dim = (size_t)1 << 23;
    CHECK(fla_narrow_set(&narrow, vectors, offsets, 0.5) < 0, "too many roundings");
    memset(vectors, 0, sizeof vectors);
    narrow.dim = 8;
    const float longest = fla_narrow_set(&narrow, vectors, offsets, 0.5);
    CHECK(longest > 1 && longest <= FLT_MAX, "a zero vector: %g", (double)longest);
}

/* Rows of one magnitude that lean the way a vector does have the largest buckets. */
static void rows_that_surely_fit_do(void)
{
    enum { DIM = 37 };
    size_t sure = 0, unsure = 0;
    for (int exponent = -60; exponent <= 60; exponent += 5) {
        ordinary(DIM);
        const double reciprocal = ldexp(1, exponent);
        for (size_t f = 0; f < FUNCTIONS; f++)
            offsets[f] = (0.5 + fabs(uniform()) / 2) / reciprocal;
        const fla_model model = model_of(DIM, reciprocal);
        for (int bits = 58; bits <= 66; bits++) {
            const double peak = ldexp(1, bits) / (reciprocal * model.reach);
            for (size_t i = 0; i < ROWS * DIM; i++)
                wide[i] = copysign(peak, vectors[i / DIM % FUNCTIONS * DIM + i % DIM]);
            const fla_matrix rows = matrix_of(FLA_F64, DIM);
            bool fits = true;
            for (size_t i = 0; i < ROWS * FUNCTIONS; i++)
                fits &= fla_bucket_fits(
                    fla_hash_one(&model, &rows, i / FUNCTIONS, i % FUNCTIONS));
            const bool surely = fla_buckets_surely_fit(&model, peak);
            CHECK(fits || !surely, "2^%d buckets of 2^%d surely fit, and do not", bits,
                  -exponent);
            CHECK(surely || bits >= 61, "2^%d buckets might not fit", bits);
            sure += surely;
            unsure += !fits;
        }
    }
    CHECK(sure > 0 && unsure > 0, "%zu sure, %zu do not fit", sure, unsure);
    no_offsets();
}

/* A sum and an offset that are finite, and together are not. */
static void rows_that_overflow_with_their_offset_do_not_surely_fit(void)
{
    for (size_t f = 0; f < FUNCTIONS; f++) {
        vectors[f] = 1;
        offsets[f] = 1.6e308;
    }
    const fla_model model = model_of(1, 1 / 1.7e308);
    CHECK(!fla_buckets_surely_fit(&model, 0.5e308), "an infinite bucket surely fits");
    CHECK(fla_buckets_surely_fit(&model, 0.01e307), "bucket 0 or 1 might not fit");
    no_offsets();
}

int main(void)
{
    RUN(every_bucket_at_a_border_is_the_definitions);
    RUN(every_bucket_length_is_served);
    RUN(zero_rows_have_bucket_zero);
    RUN(a_bad_row_is_reported);
    RUN(float32_is_tried_again);
    RUN(no_bound_means_no_norm);
    RUN(rows_that_surely_fit_do);
    RUN(rows_that_overflow_with_their_offset_do_not_surely_fit);
    return check_report();
}
