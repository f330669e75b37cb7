/*
 * Models that bring their vectors along: of any length, where drawn ones have length 1.
 * Every bucket, and every refusal, against the definition written out here.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "data.h"
#include "fast_lsh_ann.h"

/* So many tables that no buckets are kept: what is asked is whether they must fit. */
enum { N = 70, DIM = 5, TABLES = 24 };

static double base[N][DIM], vectors[TABLES * DIM];

static fla_matrix matrix(size_t n)
{
    return (fla_matrix){base, n, DIM, sizeof base[0], 0, FLA_F64};
}

static void fill(double row_scale, double vector_scale)
{
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < DIM; j++)
            base[i][j] = i > 0 ? data_value() * row_scale : 0;
    for (size_t i = 0; i < TABLES * DIM; i++)
        vectors[i] = data_value() * vector_scale;
}

static fla_model_options options_of(double bucket_length)
{
    fla_model_options options;
    fla_model_options_init(&options);
    options.bucket_length = bucket_length;
    options.num_hash_tables = TABLES;
    options.vectors = vectors;
    return options;
}

static fla_model *model_of(double bucket_length)
{
    const fla_model_options options = options_of(bucket_length);
    fla_model *model;
    fla_error err;
    if (!CHECK(fla_model_create(&options, DIM, &model, &err) == FLA_OK, "%s",
               err.message))
        abort();
    return model;
}

static double bucket(double bucket_length, size_t i, size_t t)
{
    double sum = 0;
    for (size_t j = 0; j < DIM; j++)
        sum = fma(base[i][j], vectors[t * DIM + j], sum);
    return floor(1 / bucket_length * sum);
}

/* The first row with a bucket beyond int64, or N. */
static size_t first_beyond(double bucket_length)
{
    for (size_t i = 0; i < N; i++)
        for (size_t t = 0; t < TABLES; t++)
            if (!(bucket(bucket_length, i, t) >= -0x1p63 &&
                  bucket(bucket_length, i, t) < 0x1p63))
                return i;
    return N;
}

/* ---- buckets --------------------------------------------------------------------- */

/*
 * Ask for the neighbors of zeros, of which row 0 is one: no other row has to be hashed,
 * but all of them must have buckets.
 */
static fla_status search(fla_context *context, const fla_model *model, size_t queries)
{
    static const double zeros[N][DIM];
    const fla_matrix asked = {zeros, queries, DIM, sizeof zeros[0], 0, FLA_F64};
    const fla_matrix rows = matrix(N);
    fla_knn *knn;
    fla_error err;
    CHECK(fla_knn_create(context, NULL, model, &asked, 1, NULL, &knn, &err) == FLA_OK,
          "%s", err.message);
    const fla_status status = fla_knn_push(knn, NULL, &rows, &err);
    fla_knn_free(knn);
    return status;
}

static void check_buckets(fla_context *context, const char *tier, double bucket_length)
{
    int64_t out[N * TABLES];
    fla_error err;
    fla_model *model = model_of(bucket_length);
    const fla_matrix rows = matrix(N);
    const size_t beyond = first_beyond(bucket_length);
    const fla_status want = beyond < N ? FLA_ERR_RANGE : FLA_OK;
    const fla_status hashed =
        fla_model_hash(model, context, NULL, &rows, out, N * TABLES, &err);
    CHECK(hashed == want, "%s, w %g: status %d, want %d", tier, bucket_length,
          (int)hashed, (int)want);
    if (hashed == FLA_ERR_RANGE)
        CHECK(err.row == (int64_t)beyond, "row %lld, want %zu", (long long)err.row,
              beyond);
    for (size_t i = 0; i < N * TABLES && hashed == FLA_OK; i++)
        CHECK(out[i] == (int64_t)bucket(bucket_length, i / TABLES, i % TABLES),
              "%s, w %g, row %zu, table %zu: %lld, want %g", tier, bucket_length,
              i / TABLES, i % TABLES, (long long)out[i],
              bucket(bucket_length, i / TABLES, i % TABLES));
    CHECK(search(context, model, 1) == want, "%s, w %g, one query", tier, bucket_length);
    CHECK(search(context, model, N) == want, "%s, w %g, queries", tier, bucket_length);
    fla_model_free(model);
}

static void each_tier(void (*test)(fla_context *context, const char *tier))
{
    const char *tiers[16];
    const size_t n = fla_simd_tiers(tiers, 16);
    for (size_t i = 0; i < n; i++) {
        const fla_context_options options = {sizeof options, 1, tiers[i]};
        fla_context *context;
        CHECK(fla_context_create(&options, &context, NULL) == FLA_OK, "%s", tiers[i]);
        test(context, tiers[i]);
        fla_context_free(context);
    }
}

static void vectors_of_any_length(fla_context *context, const char *tier)
{
    static const double scales[] = {0,    1e-310, 1e-300, 1e-40, 1e-9, 1,
                                    1e10, 1e19,   1e40,   1e150, 1e300};
    static const double widths[] = {1e-300, 1e-18, 1e-3, 1, 1e5, 1e20, 1e300};
    size_t refused = 0, fit = 0;
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            fill(3, scales[s]);
            if (first_beyond(widths[w]) < N)
                refused++;
            else
                fit++;
            check_buckets(context, tier, widths[w]);
        }
    }
    CHECK(refused > 10 && fit > 10, "%zu refused, %zu fit", refused, fit);
}

static void buckets_of_vectors_of_any_length_are_the_definitions(void)
{
    each_tier(vectors_of_any_length);
}

/*
 * The last row's sums overflow although their products with a small reciprocal would fit:
 * vectors as long as w is large, and rows that float32 would be sure of; then rows as
 * long as w is large.
 */
static void sums_that_overflow(fla_context *context, const char *tier)
{
    static const struct {
        double row, vector, width;
    } cases[] = {{0.73, 1e308, 1e307}, {1.7e308, 0.25, 1e308}};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < DIM; j++) {
            for (size_t n = 1; n < N; n++)
                base[n][j] = n == N - 1 ? cases[i].row : cases[i].row / 10;
            for (size_t t = 0; t < TABLES; t++)
                vectors[t * DIM + j] = cases[i].vector;
        }
        CHECK(first_beyond(cases[i].width) == N - 1, "no sum overflows");
        check_buckets(context, tier, cases[i].width);
    }
}

static void a_sum_that_overflows_is_refused(void)
{
    each_tier(sums_that_overflow);
}

/* ---- the vectors ----------------------------------------------------------------- */

static void given_vectors_are_copied(void)
{
    double kept[TABLES * DIM];
    fill(1, 5);
    memcpy(kept, vectors, sizeof kept);
    fla_model *model = model_of(2);
    memset(vectors, 0, sizeof vectors);
    CHECK(fla_model_tables(model) == TABLES && fla_model_dim(model) == DIM, "sizes");
    CHECK(memcmp(fla_model_vectors(model), kept, sizeof kept) == 0, "other values");
    fla_model_free(model);
}

static void a_value_that_is_not_finite_is_named(void)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    const long live = fla_test_alloc_live();
    for (size_t i = 0; i < 3; i++) {
        fla_model *model;
        fla_error err;
        fill(1, 1);
        vectors[(TABLES - 1) * DIM + 2 + i] = bad[i]; /* at last the last of all */
        const fla_model_options options = options_of(2);
        CHECK(fla_model_create(&options, DIM, &model, &err) == FLA_ERR_NONFINITE &&
                  model == NULL,
              "%g was taken", bad[i]);
        CHECK(err.row == TABLES - 1 && err.column == (int64_t)(2 + i) &&
                  strcmp(err.argument, "vectors") == 0,
              "%s", err.message);
    }
    CHECK(fla_test_alloc_live() == live, "blocks leaked");
}

/* The seed and the profile do nothing beside vectors, and nothing is read past these. */
static void nothing_else_is_read(void)
{
    guarded exact = guarded_new(sizeof vectors);
    fla_model_options options = options_of(2);
    fla_model *model;
    fill(1, 1);
    memcpy(exact.data, vectors, sizeof vectors);
    options.vectors = exact.data;
    options.seed = -7;
    options.profile = FLA_PROFILE_VECTOR8;
    CHECK(fla_model_create(&options, DIM, &model, NULL) == FLA_OK, "model");
    CHECK(memcmp(fla_model_vectors(model), vectors, sizeof vectors) == 0, "values");
    fla_model_free(model);
    guarded_free(&exact);
}

static void every_allocation_may_fail(void)
{
    const fla_model_options options = options_of(2);
    const long live = fla_test_alloc_live();
    fla_status status = FLA_ERR_MEMORY;
    long n = 0;
    fill(1, 1);
    for (; status == FLA_ERR_MEMORY; n++) {
        fla_model *model;
        fla_test_alloc_budget(n, false);
        status = fla_model_create(&options, DIM, &model, NULL);
        fla_test_alloc_budget(-1, false);
        CHECK(status == FLA_OK || model == NULL, "a failed model is NULL");
        fla_model_free(model);
        CHECK(fla_test_alloc_live() == live, "allocation %ld: blocks leaked", n);
    }
    CHECK(status == FLA_OK && n > 3, "%ld allocations: %d", n, (int)status);
}

int main(void)
{
    RUN(buckets_of_vectors_of_any_length_are_the_definitions);
    RUN(a_sum_that_overflows_is_refused);
    RUN(given_vectors_are_copied);
    RUN(a_value_that_is_not_finite_is_named);
    RUN(nothing_else_is_read);
    RUN(every_allocation_may_fail);
    return check_report();
}
