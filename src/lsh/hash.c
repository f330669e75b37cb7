/* Buckets of rows, 16 rows at a time. */
#include "lsh/hash.h"

#include <math.h>

#include "base/alloc.h"
#include "lsh/model.h"

bool fla_buckets_surely_fit(const fla_model *model, double peak)
{
    return peak * sqrt((double)model->dim) * model->reciprocal < 0x1p62;
}

double fla_hash_one(const fla_model *model, const fla_matrix *rows, size_t i,
                    size_t table)
{
    const double *vector = model->vectors + table * model->dim;
    double sum = 0;
    for (size_t j = 0; j < model->dim; j++)
        sum = fma(fla_row_value(rows, i, j), vector[j], sum);
    return floor(model->reciprocal * sum);
}

bool fla_hasher_init(fla_hasher *hasher, const fla_kernels *kernels,
                     const fla_model *model)
{
    size_t values;
    *hasher = (fla_hasher){.kernels = kernels, .model = model};
    if (!fla_size_mul(model->dim, FLA_GROUP, &values))
        return false;
    hasher->group = fla_alloc(values, sizeof *hasher->group);
    if (!fla_size_mul(model->tables, FLA_GROUP, &values))
        return false;
    hasher->buckets = fla_alloc(values, sizeof *hasher->buckets);
    return hasher->group != NULL && hasher->buckets != NULL;
}

void fla_hasher_clear(fla_hasher *hasher)
{
    fla_free(hasher->group);
    fla_free(hasher->buckets);
    *hasher = (fla_hasher){0};
}

fla_status fla_hash_group(fla_hasher *hasher, fla_dtype dtype,
                          const void *const rows[FLA_GROUP],
                          const void *const ahead[FLA_GROUP])
{
    const fla_model *model = hasher->model;
    fla_pack_fn *pack = fla_pack_kernel(hasher->kernels, dtype);
    if (!isfinite(pack(rows, ahead, model->dim, hasher->group)))
        return FLA_ERR_NONFINITE;
    hasher->kernels->floats->project(hasher->group, model->dim, model->vectors,
                                     model->tables, model->reciprocal, hasher->buckets);
    return FLA_OK;
}

/* Convert the first n rows' buckets to integers, row by row. */
static fla_status take_buckets(const fla_hasher *hasher, size_t n, int64_t *out)
{
    const size_t tables = hasher->model->tables;
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < tables; t++) {
            const double bucket = hasher->buckets[t * FLA_GROUP + i];
            if (!fla_bucket_fits(bucket))
                return FLA_ERR_RANGE;
            out[i * tables + t] = (int64_t)bucket;
        }
    }
    return FLA_OK;
}

fla_status fla_hash_rows(fla_hasher *hasher, const fla_matrix *rows, int64_t *out)
{
    const void *group[FLA_GROUP], *ahead[FLA_GROUP];
    fla_status status = FLA_OK;
    for (size_t i = 0; status == FLA_OK && i < rows->rows; i += FLA_GROUP) {
        const size_t left = rows->rows - i;
        fla_rows_group(rows, i, group);
        fla_rows_group(rows, i + FLA_GROUP, ahead);
        status = fla_hash_group(hasher, rows->dtype, group, ahead);
        if (status == FLA_OK)
            status = take_buckets(hasher, fla_size_min(left, FLA_GROUP),
                                  out + i * hasher->model->tables);
    }
    return status;
}
