/* Making a model: its unit vectors drawn with the rounding of a chosen JVM, or given. */
#include "lsh/model.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fenv.h"
#include "lsh/bucket_bound.h"
#include "lsh/java_random.h"

/*
 * How a JVM's BLAS sums squares for a norm: some running sums over as many columns as
 * they divide, their total, then the columns left over.
 */
typedef struct norm_order {
    size_t sums;
    bool fused_sums, fused_tail;
} norm_order;

static const norm_order norm_orders[] = {
    [FLA_PROFILE_JAVA11] = {4, true, true},   [FLA_PROFILE_JAVA8] = {4, false, false},
    [FLA_PROFILE_VECTOR2] = {2, true, false}, [FLA_PROFILE_VECTOR4] = {4, true, false},
    [FLA_PROFILE_VECTOR8] = {8, true, false},
};
enum { N_PROFILES = sizeof norm_orders / sizeof norm_orders[0], MAX_SUMS = 8 };

/* Values of vectors that a model may have: 768 MiB, drawn in about 3 seconds. */
enum { MAX_VALUES = 1 << 26 };

/*
 * Of the vectors that float32 may serve.  Its rows are shorter than 2^67, so with these
 * no partial sum of the double chain overflows, which bucket_bound.c takes for granted.
 */
static const double MOST_REACH = 0x1p900;

void fla_model_options_init(fla_model_options *options)
{
    *options = (fla_model_options){
        .struct_size = sizeof *options,
        .bucket_length = 2.0,
        .num_hash_tables = 1,
        .seed = 42,
        .profile = FLA_PROFILE_JAVA11,
    };
}

static double add_square(double sum, double x, bool fused)
{
    return fused ? fma(x, x, sum) : sum + x * x;
}

static double norm(const double *row, size_t dim, const norm_order *order)
{
    double sums[MAX_SUMS] = {0}, total = 0;
    const size_t whole = dim - dim % order->sums;
    if (dim == 1)
        return fabs(row[0]);
    for (size_t j = 0; j < whole; j++)
        sums[j % order->sums] =
            add_square(sums[j % order->sums], row[j], order->fused_sums);
    for (size_t i = 0; i < order->sums; i++)
        total += sums[i];
    for (size_t j = whole; j < dim; j++)
        total = add_square(total, row[j], order->fused_tail);
    return sqrt(total);
}

static void draw_vectors(fla_model *model, int64_t seed, const norm_order *order)
{
    fla_java_random random;
    fla_java_random_init(&random, seed);
    for (size_t t = 0; t < model->tables; t++) {
        double *row = model->vectors + t * model->dim;
        for (size_t j = 0; j < model->dim; j++)
            row[j] = fla_java_random_gaussian(&random);
        const double length = norm(row, model->dim, order);
        if (length == 0)
            continue;
        const double reciprocal = 1.0 / length;
        for (size_t j = 0; j < model->dim; j++)
            row[j] *= reciprocal;
    }
}

static fla_status take_vectors(fla_model *model, const double *vectors, fla_error *err)
{
    const size_t dim = model->dim, values = model->tables * dim;
    memcpy(model->vectors, vectors, values * sizeof *vectors);
    for (size_t i = 0; i < values; i++)
        if (!isfinite(model->vectors[i]))
            return fla_fail_row(err, FLA_ERR_NONFINITE, "vectors", (int64_t)(i / dim),
                                (int64_t)(i % dim), 0,
                                "vector %zu of the model, column %zu is %g: every value "
                                "must be finite",
                                i / dim, i % dim, model->vectors[i]);
    return FLA_OK;
}

/* What hashing wants to know of the vectors. */
static void derive(fla_model *model)
{
    model->reach = 0;
    for (size_t t = 0; t < model->tables; t++) {
        double sum = 0;
        for (size_t j = 0; j < model->dim; j++)
            sum += fabs(model->vectors[t * model->dim + j]);
        model->reach = fmax(model->reach, sum);
    }
    model->longest_norm =
        model->reach <= MOST_REACH
            ? fla_narrow_set(&model->narrow, model->vectors, model->reciprocal)
            : -1;
}

static fla_status check_options(const fla_model_options *options, size_t dim,
                                fla_error *err)
{
    const double w = options->bucket_length;
    const fla_status status =
        fla_check_struct(options->struct_size, sizeof *options, "fla_model_options", err);
    if (status != FLA_OK)
        return status;
    if (!(w > 0 && isfinite(w) && isfinite(1 / w)))
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "bucket_length",
                                 "bucket_length must be positive and finite, with a "
                                 "finite reciprocal, got %g",
                                 w);
    if (options->num_hash_tables < 1)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "num_hash_tables",
                                 "num_hash_tables must be at least 1, got 0");
    if ((int)options->profile < 0 || (int)options->profile >= N_PROFILES)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "profile",
                                 "profile must be from 0 to %d, got %d", N_PROFILES - 1,
                                 (int)options->profile);
    if (dim < 1)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "dim",
                                 "dim must be at least 1, got 0");
    if (options->num_hash_tables > MAX_VALUES / dim)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "num_hash_tables",
                                 "num_hash_tables x dim must be at most %d, got %" PRIu64
                                 " x %zu",
                                 MAX_VALUES, options->num_hash_tables, dim);
    return FLA_OK;
}

static bool reserve_vectors(fla_model *model, size_t tables, size_t dim)
{
    model->vectors = fla_alloc(tables * dim, sizeof *model->vectors);
    model->narrow.vectors = fla_alloc(tables * dim, sizeof *model->narrow.vectors);
    model->narrow.tolerances = fla_alloc(tables, sizeof *model->narrow.tolerances);
    return model->vectors != NULL && model->narrow.vectors != NULL &&
           model->narrow.tolerances != NULL;
}

static fla_status create(const fla_model_options *options, size_t dim, fla_model **out,
                         fla_error *err)
{
    fla_status status = check_options(options, dim, err);
    if (status != FLA_OK)
        return status;
    const size_t tables = (size_t)options->num_hash_tables;
    fla_model *model = fla_alloc_zeroed(1, sizeof *model);
    if (model == NULL || !reserve_vectors(model, tables, dim)) {
        fla_model_free(model);
        return fla_fail_memory(err, "the vectors of a model");
    }
    model->bucket_length = options->bucket_length;
    model->reciprocal = 1 / options->bucket_length;
    model->tables = model->narrow.tables = tables;
    model->dim = model->narrow.dim = dim;
    if (options->vectors == NULL)
        draw_vectors(model, options->seed, &norm_orders[options->profile]);
    else
        status = take_vectors(model, options->vectors, err);
    if (status != FLA_OK) {
        fla_model_free(model);
        return status;
    }
    derive(model);
    *out = model; /* ownership passes to the caller */
    return FLA_OK;
}

fla_status fla_model_create(const fla_model_options *options, size_t dim, fla_model **out,
                            fla_error *err)
{
    fenv_t callers;
    *out = NULL;
    fla_fenv_enter(&callers);
    const fla_status status = create(options, dim, out, err);
    fla_fenv_leave(&callers);
    return status;
}

void fla_model_free(fla_model *model)
{
    if (model == NULL)
        return;
    fla_free(model->narrow.vectors);
    fla_free(model->narrow.tolerances);
    fla_free(model->vectors);
    fla_free(model);
}

size_t fla_model_dim(const fla_model *model)
{
    return model->dim;
}

size_t fla_model_tables(const fla_model *model)
{
    return model->tables;
}

const double *fla_model_vectors(const fla_model *model)
{
    return model->vectors;
}
