/*
 * Making a model.  Its hash functions are drawn, Spark's unit vectors with the rounding
 * of a chosen JVM or the p-stable scheme's Gaussian vectors and offsets; or they are
 * given.
 */
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
        .num_hashes_per_table = 1,
        .projection = FLA_PROJECTION_SPARK,
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

static void normalize(double *row, size_t dim, const norm_order *order)
{
    const double length = norm(row, dim, order);
    if (length == 0)
        return;
    const double reciprocal = 1.0 / length;
    for (size_t j = 0; j < dim; j++)
        row[j] *= reciprocal;
}

static void draw(fla_model *model, const fla_model_options *options)
{
    fla_java_random random;
    fla_java_random_init(&random, options->seed);
    for (size_t f = 0; f < model->functions; f++) {
        double *row = model->vectors + f * model->dim;
        for (size_t j = 0; j < model->dim; j++)
            row[j] = fla_java_random_gaussian(&random);
        if (options->projection == FLA_PROJECTION_SPARK)
            normalize(row, model->dim, &norm_orders[options->profile]);
        else
            model->offsets[f] = model->bucket_length * fla_java_random_double(&random);
    }
}

static fla_status take_vectors(fla_model *model, const double *vectors, fla_error *err)
{
    const size_t dim = model->dim, values = model->functions * dim;
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

void fla_model_derive(fla_model *model)
{
    model->reach = 0;
    for (size_t f = 0; f < model->functions; f++) {
        double sum = 0;
        for (size_t j = 0; j < model->dim; j++)
            sum += fabs(model->vectors[f * model->dim + j]);
        model->reach = fmax(model->reach, sum);
    }
    model->longest_norm = model->reach <= MOST_REACH
                              ? fla_narrow_set(&model->narrow, model->vectors,
                                               model->offsets, model->reciprocal)
                              : -1;
}

static fla_status check_sizes(const fla_model_options *options, size_t dim,
                              fla_error *err)
{
    const uint64_t tables = options->num_hash_tables;
    const uint64_t hashes = options->num_hashes_per_table;
    if (tables < 1)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "num_hash_tables",
                                 "num_hash_tables must be at least 1, got 0");
    if (hashes < 1)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "num_hashes_per_table",
                                 "num_hashes_per_table must be at least 1, got 0");
    if (dim < 1)
        return fla_fail_argument(err, FLA_ERR_SHAPE, "dim",
                                 "dim must be at least 1, got 0");
    if (tables > MAX_VALUES / dim || hashes > MAX_VALUES / dim / tables)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "num_hash_tables",
                                 "num_hash_tables x num_hashes_per_table x dim must be "
                                 "at most %d, got %" PRIu64 " x %" PRIu64 " x %zu",
                                 MAX_VALUES, tables, hashes, dim);
    return FLA_OK;
}

static fla_status check_projection(const fla_model_options *options, fla_error *err)
{
    const bool gaussian = options->projection == FLA_PROJECTION_GAUSSIAN;
    if ((int)options->profile < 0 || (int)options->profile >= N_PROFILES)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "profile",
                                 "profile must be from 0 to %d, got %d", N_PROFILES - 1,
                                 (int)options->profile);
    if ((unsigned)options->projection > FLA_PROJECTION_GAUSSIAN)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "projection",
                                 "projection must be from 0 to %d, got %d",
                                 FLA_PROJECTION_GAUSSIAN, (int)options->projection);
    if (gaussian && options->profile != FLA_PROFILE_JAVA11)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "profile",
                                 "Gaussian vectors are not Spark's and have no profile: "
                                 "leave it 0, got %d",
                                 (int)options->profile);
    if (gaussian && options->vectors != NULL)
        return fla_fail_argument(err, FLA_ERR_ARGUMENT, "projection",
                                 "vectors that are given have no offsets, and Gaussian "
                                 "projections have: leave one out");
    return FLA_OK;
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
    const fla_status drawn = check_projection(options, err);
    return drawn != FLA_OK ? drawn : check_sizes(options, dim, err);
}

/* Room for hash functions; offsets are 0 until they are drawn. */
static bool reserve_functions(fla_model *model)
{
    const size_t functions = model->functions, values = functions * model->dim;
    fla_narrow *narrow = &model->narrow;
    model->vectors = fla_alloc(values, sizeof *model->vectors);
    model->offsets = fla_alloc_zeroed(functions, sizeof *model->offsets);
    narrow->vectors = fla_alloc(values, sizeof *narrow->vectors);
    narrow->offsets = fla_alloc(functions, sizeof *narrow->offsets);
    narrow->tolerances = fla_alloc(functions, sizeof *narrow->tolerances);
    return model->vectors != NULL && model->offsets != NULL && narrow->vectors != NULL &&
           narrow->offsets != NULL && narrow->tolerances != NULL;
}

static fla_status create(const fla_model_options *options, size_t dim, fla_model **out,
                         fla_error *err)
{
    fla_status status = check_options(options, dim, err);
    if (status != FLA_OK)
        return status;
    fla_model *model = fla_alloc_zeroed(1, sizeof *model);
    if (model == NULL)
        return fla_fail_memory(err, "a model");
    model->bucket_length = options->bucket_length;
    model->reciprocal = 1 / options->bucket_length;
    model->tables = (size_t)options->num_hash_tables;
    model->hashes = (size_t)options->num_hashes_per_table;
    model->functions = model->narrow.functions = model->tables * model->hashes;
    model->dim = model->narrow.dim = dim;
    if (!reserve_functions(model))
        status = fla_fail_memory(err, "the vectors of a model");
    else if (options->vectors == NULL)
        draw(model, options);
    else
        status = take_vectors(model, options->vectors, err);
    if (status != FLA_OK) {
        fla_model_free(model);
        return status;
    }
    fla_model_derive(model);
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
    fla_free(model->narrow.offsets);
    fla_free(model->narrow.tolerances);
    fla_free(model->vectors);
    fla_free(model->offsets);
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

size_t fla_model_hashes(const fla_model *model)
{
    return model->hashes;
}

const double *fla_model_vectors(const fla_model *model)
{
    return model->vectors;
}

const double *fla_model_offsets(const fla_model *model)
{
    return model->offsets;
}
